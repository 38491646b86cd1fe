"""What a large registry costs: counted in steps of SQLite's machine, which no other load changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy

from mainstay.cli.app import run
from mainstay.operations.catalogue import happened, listed
from mainstay.operations.history import history
from mainstay.registry.store import Registry
from mainstay.testing.drafts import draft

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from registry_contestants import MODEL, Mainstay


def steps(subject: Mainstay, call: Callable[[], object]) -> int:
    """How many hundreds of steps SQLite takes for a call."""
    counted = SimpleNamespace(steps=0)

    def count() -> None:
        counted.steps += 1

    def watch(connection, *_: object) -> None:
        connection.set_progress_handler(count, 100)

    engine = subject._registry._database._engine
    engine.dispose()
    sqlalchemy.event.listen(engine, "connect", watch)
    try:
        call()
    finally:
        sqlalchemy.event.remove(engine, "connect", watch)
        engine.dispose()
    return counted.steps


def test_nothing_slows_down_as_the_registry_grows(tmp_path: Path) -> None:
    small = Mainstay(str(tmp_path / "small"), versions=60, events=600)
    large = Mainstay(str(tmp_path / "large"), versions=3000, events=30_000)

    def calls(of: Mainstay) -> dict[str, Callable[[], object]]:
        registry = of._registry
        middle = registry.version(f"{MODEL}:30")
        return {
            "resolve": of.resolve,
            "move": of.move,
            "register": of.register,
            "list": lambda: registry.versions(MODEL, limit=20),
            "list of all": lambda: registry.versions(limit=20),
            "a later page": lambda: registry.versions(MODEL, limit=20, before=middle),
            "events": lambda: registry.latest_events(MODEL, limit=20),
            "aliases": lambda: registry.aliases(MODEL),
        }

    for (name, one), other in zip(calls(small).items(), calls(large).values(), strict=True):
        assert steps(large, other) <= steps(small, one) + 3, name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven versions of two models; `live` went through four of them."""
    with Registry.open(tmp_path / ".mainstay") as registry:
        for number in range(7):
            version = registry.add("ab"[number % 2], draft(str(number)), passed=True, actor="ann", summary={})
            if version.model == "a":
                aliases = {alias.name: alias.ref for alias in registry.aliases("a")}
                now = registry.version(aliases["live"]) if "live" in aliases else None
                registry.point("a", "live", version, expecting=now, actor="ann")
                registry.point("a", "other", version, expecting=now, actor="ann")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("model", ["a", None])
def test_pages_of_versions_follow_each_other(folder: Path, model: str | None) -> None:
    every = listed(folder, model, limit=100)
    assert every.next is None
    found, before = [], None
    while True:
        page = listed(folder, model, limit=2, before=before)
        found += page.versions
        if (before := page.next) is None:
            break
        assert len(page.versions) == 2
    assert found == every.versions


def test_pages_of_events_and_moves_follow_each_other(folder: Path) -> None:
    every = happened(folder, None, limit=100)
    assert every.next is None
    found, before = [], None
    while True:
        page = happened(folder, None, limit=4, before=before)
        found = [*page.events, *found]
        if (before := page.next) is None:
            break
    assert found == every.events
    moves, before = [], None
    while True:
        part = history(folder, "a", alias="live", limit=2, before=before)
        moves += part.moves
        if (before := part.next) is None:
            break
    assert [move.after for move in moves] == ["a:4", "a:3", "a:2", "a:1"]
    assert {move.name for move in moves} == {"live"}


def test_the_commands_say_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "a", "--limit", "3"]) == 0
    assert "Older: mainstay list a --limit 3 --before a:2" in capsys.readouterr().err
    assert run(["list", "a", "--before", "a:2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["version"] for each in said["versions"]] == ["a:1"] and said["next"] is None
    assert run(["events", "--limit", "1"]) == 0
    [older] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Older: ")]
    assert run(older.removeprefix("Older: mainstay ").split()) == 0
    capsys.readouterr()
    assert run(["history", "a", "--limit", "1"]) == 0
    [older] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Older: ")]
    assert run(older.removeprefix("Older: mainstay ").split()) == 0
    assert run(["list", "a", "--before", "b:1"]) == 2
    assert "b:1 is no version of a" in capsys.readouterr().err
