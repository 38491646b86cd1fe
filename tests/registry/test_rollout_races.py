"""Controllers that race for rollouts, in processes that are killed: one moves, and a move is whole or none."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

import backends
from mainstay.registry import schema, snapshots
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.database import Database, _engine
from mainstay.registry.disk import NotWritable
from mainstay.registry.store import Registry
from mainstay.testing.rollouts import FIRST, PROMOTED, kinds_of, moved, started

HERE = Path(__file__).parent
RACERS = 2
DIES = """
import os, signal, sys
from mainstay.registry import deployments, rollouts
from mainstay.registry.store import Registry
from mainstay.testing.rollouts import PROMOTED, moved
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
where = sys.argv[2]
with Registry.open(sys.argv[1], create=False) as registry:
    seen = registry.rollout("credit")
    if where == "before the event":
        rollouts.tell = die
    elif where == "before the switch":
        deployments.switch = die
    else:
        from sqlalchemy import event
        event.listen(registry._database._engine, "commit", die)
    moved(registry, seen, PROMOTED)
"""


@pytest.mark.parametrize("where", ["before the event", "before the switch", "while committing"])
def test_killed_in_the_midst_of_a_move_nothing_of_it_has_happened(tmp_path: Path, where: str) -> None:
    with Registry.open(tmp_path) as registry:
        rollout, told = started(registry), kinds_of(registry)
        died = subprocess.run([sys.executable, "-c", DIES, str(tmp_path), where], cwd=HERE, check=False)
        assert died.returncode == -signal.SIGKILL
        assert (registry.rollout("credit"), registry.generation(), kinds_of(registry)) == (rollout, 2, told)
        assert registry.version("credit@champion").ref == "credit:1"
        moved(registry, rollout, PROMOTED)
        assert registry.version("credit@champion").ref == "credit:2"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "state")
        return
    with backends.schema(request.getfixturevalue("postgres_server")) as url:
        yield url


def test_of_controllers_that_race_one_moves_and_who_lost_the_lead_writes_nothing(place: str, tmp_path: Path) -> None:
    blobs, stop = str(tmp_path / "blobs"), tmp_path / "stop"
    with Registry.open(place, blobs=blobs) as registry:
        rollout = started(registry)

        def race(name: int) -> subprocess.Popen[bytes]:
            journal = str(tmp_path / f"journal-{name}")
            return subprocess.Popen(
                [sys.executable, str(HERE / "rollout_racer.py"), str(stop), journal, place, blobs], cwd=HERE
            )

        racers = [race(name) for name in range(RACERS)]
        try:
            wait_for(tmp_path, RACERS * 10)
            racers[0].kill()
            assert racers[0].wait() == -signal.SIGKILL
            racers[0] = race(RACERS)
            wait_for(tmp_path, RACERS * 20)
            stop.touch()
            assert [racer.wait(60) for racer in racers] == [0] * RACERS
        finally:
            for racer in racers:
                racer.kill()
                racer.wait()
        expect_one_at_a_time(registry, rollout.id, facts(tmp_path))


def expect_one_at_a_time(registry: Registry, rollout_id: str, noted: list[dict[str, Any]]) -> None:
    taken = {fact["taken"]: fact["revision"] for fact in noted if "taken" in fact}
    assert len(taken) == sum("taken" in fact for fact in noted)  # never two with the same fence
    assert any("refused" in fact for fact in noted)
    told = [event.evidence for event in registry.events(limit=100_000) if "fence" in event.evidence]
    # Each move begins where the one before it ended.
    assert [each["revision"] for each in told] == list(range(2, len(told) + 2))
    fences = [each["fence"] for each in told]
    assert fences == sorted(fences)
    for fence, revision in taken.items():
        # What stood when the lead was taken is the last that anybody before wrote.
        assert all(each["fence"] >= fence for each in told if each["revision"] > revision)
    acknowledged = {(fact["moved"], fact["revision"], fact["share"]) for fact in noted if "moved" in fact}
    assert acknowledged <= {(each["fence"], each["revision"], each["share"]) for each in told}
    now = registry.rollout("credit")
    assert now is not None and (now.id, now.revision, now.share) == (
        rollout_id,
        told[-1]["revision"],
        told[-1]["share"],
    )


def facts(folder: Path) -> list[dict[str, Any]]:
    """Up to each last whole line."""
    whole = (path.read_bytes().rpartition(b"\n")[0] for path in folder.glob("journal-*"))
    return [msgspec.json.decode(line) for lines in whole for line in lines.splitlines()]


def wait_for(folder: Path, count: int) -> None:
    """Until so much has happened, of each kind some."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        noted = facts(folder)
        if len(noted) >= count and any("refused" in each for each in noted):
            return
        time.sleep(0.05)
    pytest.fail(f"only {len(facts(folder))} of {count} facts within 2 minutes")


def test_two_rollouts_of_a_model_cannot_run_whoever_writes_them(place: str, tmp_path: Path) -> None:
    with Registry.open(place, blobs=tmp_path / "blobs") as registry:
        started(registry)
        with pytest.raises(IntegrityError), registry._database.write() as connection:
            row = dict(connection.execute(schema.rollout.select()).mappings().one())
            connection.execute(insert(schema.rollout), {**row, "id": "another"})


def test_a_registry_that_may_only_be_read_tells_of_rollouts(tmp_path: Path) -> None:
    with Registry.open(tmp_path) as registry:
        rollout = moved(registry, started(registry), FIRST)
    read = Database(tmp_path / "registry.db")
    read._unwritten = NotWritable(read.path)
    read._engine = _engine(read.path, snapshots.connector(snapshots.state_of(read.path)))
    with Registry(read, FolderBlobs(tmp_path / "blobs")) as registry:
        assert registry.rollout("credit") == rollout and registry.rollouts() == [rollout]
        assert (registry.beats(), registry.lead()) == ({rollout.id: 0}, None)
        found = registry.deployment("credit")
        assert found is not None and found.candidate is not None and found.candidate.share == 100
        with pytest.raises(NotWritable):
            registry.note_rollout(rollout, held=1.0, verdict={})
