"""gc removes what this machine has made for itself, and nothing that is live, young or being made."""

from __future__ import annotations

import fcntl
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.cli.app import run
from mainstay.models.classes import CLASS, REQUIREMENTS
from mainstay.models.package import Draft
from mainstay.operations.collecting import collect
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.changes import Change
from mainstay.registry.local import LocalCopies
from mainstay.registry.plans import Plan
from mainstay.registry.store import Registry
from mainstay.serving.environments import Environments, name_of
from mainstay.testing.drafts import draft

MONTH = timedelta(days=30)
LATER = datetime.now(UTC) + MONTH


class Elsewhere:
    """Blobs that are in no folder of this machine, as a bucket's."""


def _cached(folder: Path) -> FolderBlobs:
    """credit:1 is deployed, credit:2 aliased, credit:3 neither; copies of all three."""
    with Registry.open(folder / ".mainstay") as registry:
        versions = [registry.add("credit", draft(str(n)), passed=True, actor="ann", summary={}) for n in (1, 2, 3)]
        registry.deploy(versions[0], expecting=None, actor="ann")
        registry.point("credit", "best", versions[1], expecting=None, actor="ann")
        copies = LocalCopies(Elsewhere(), folder / ".mainstay" / "cache")  # type: ignore[arg-type] # it asks nothing of them
        for version in versions:
            copies.bring(registry.package(version))
    return copies.folder


def _shas(folder: Path, ref: str) -> set[str]:
    with Registry.open(folder / ".mainstay") as registry:
        package = registry.package(registry.version(ref))
        return {entry.sha256 for entry in package.manifest.content.values()}


def test_copies_of_what_is_served_stay_and_others_go_when_they_are_old(tmp_path: Path) -> None:
    copies = _cached(tmp_path)
    gone = _shas(tmp_path, "credit:3") - _shas(tmp_path, "credit:1") - _shas(tmp_path, "credit:2")
    assert gone
    assert collect(tmp_path).copies == []  # all are young
    assert {each.sha256 for each in collect(tmp_path, now=LATER, dry_run=True).copies} == gone
    assert all(copies.has(sha) for sha in gone)
    assert {each.sha256 for each in collect(tmp_path, now=LATER).copies} == gone
    assert {each.sha for each in copies.listed()} == _shas(tmp_path, "credit:1") | _shas(tmp_path, "credit:2")


def test_copies_of_a_rollouts_two_versions_stay(tmp_path: Path) -> None:
    copies = _cached(tmp_path)
    with Registry.open(tmp_path / ".mainstay") as registry:
        one, _, three = (registry.version(f"credit:{number}") for number in (1, 2, 3))
        rollout = registry.start_rollout(three, Plan(strategy="blue-green"), expecting=one, actor="ann")
        both = _shas(tmp_path, "credit:1") | _shas(tmp_path, "credit:3")
        assert collect(tmp_path, now=LATER).copies == []
        switched = Change(state="promoting", step=0, mode="warm", share=0, traffic="candidate")
        rollout = registry.move_rollout(rollout, switched, actor="ann", why="", evidence={})
        assert collect(tmp_path, now=LATER).copies == []
        assert all(copies.has(sha) for sha in both)
        ended = Change(state="completed", step=0, mode="off", share=0)
        registry.move_rollout(rollout, ended, actor="ann", why="", evidence={})
    gone = _shas(tmp_path, "credit:1") - _shas(tmp_path, "credit:2") - _shas(tmp_path, "credit:3")
    assert {each.sha256 for each in collect(tmp_path, now=LATER).copies} == gone != set()


def test_a_copy_that_is_brought_again_is_young_again(tmp_path: Path) -> None:
    copies = _cached(tmp_path)
    then = time.time() - MONTH.total_seconds()
    for each in copies.listed():
        os.utime(copies.path(each.sha), (then, then))
    with Registry.open(tmp_path / ".mainstay") as registry:
        again = LocalCopies(Elsewhere(), copies.root)  # type: ignore[arg-type] # as above
        again.bring(registry.package(registry.version("credit:3")))
    assert collect(tmp_path).copies == []


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """One that a registered class needs, one that none needs, one that was left half built, and what is none."""
    whole = draft("1")
    content = {**whole.content, CLASS: b'{"name":"model:Model","python":"3.11"}', REQUIREMENTS: b"numpy==2.0\n"}
    content["model.json"] = b'{"format":"python-class","file":"model.onnx"}'
    with Registry.open(tmp_path / ".mainstay") as registry:
        version = registry.add("own", Draft(content), passed=True, actor="ann", summary={})
        needed = name_of(registry.package(version))
    root = tmp_path / ".mainstay" / "environments"
    for name in (needed, "a" * 64, f".{'b' * 64}-x1", "notes"):
        (root / name / "bin").mkdir(parents=True)
        (root / name / "bin" / "python").write_bytes(b"0" * 100)
    (root / f"{'a' * 64}.lock").touch()
    return root


def test_environments_that_no_version_needs_go_when_nobody_used_them_lately(tmp_path: Path, environments: Path) -> None:
    before = sorted(path.name for path in environments.iterdir())
    assert collect(tmp_path).environments == []
    unused = collect(tmp_path, now=LATER, dry_run=True).environments
    assert [(each.name, each.size) for each in unused] == [(f".{'b' * 64}-x1", 100), ("a" * 64, 100)]
    assert sorted(path.name for path in environments.iterdir()) == before
    assert collect(tmp_path, now=LATER).environments == unused
    left = {path.name for path in environments.iterdir() if path.is_dir()}
    assert left == set(before) - {f".{'b' * 64}-x1", "a" * 64, f"{'a' * 64}.lock"}


def test_an_environment_that_is_being_built_stays(tmp_path: Path, environments: Path) -> None:
    with (environments / f"{'a' * 64}.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [each.name for each in collect(tmp_path, now=LATER).environments] == [f".{'b' * 64}-x1"]
    assert (environments / ("a" * 64)).is_dir()


def test_one_that_is_used_is_young_again(tmp_path: Path, environments: Path) -> None:
    with Registry.open(tmp_path / ".mainstay") as registry:
        package = registry.package(registry.version("own"))
    place = environments / name_of(package)
    then = time.time() - MONTH.total_seconds()
    os.utime(place, (then, then))
    content = {name: package.read(name) for name in package.manifest.content}
    content[REQUIREMENTS] = b"".join(
        b"%s==2.0 --hash=sha256:%s\n" % (name, b"0" * 64) for name in (b"msgspec", b"numpy")
    )
    other = Draft(content).package()
    place.rename(environments / name_of(other))
    assert Environments(environments).of(other).exists()
    assert collect(tmp_path).environments == []


def test_the_command_counts_them(
    tmp_path: Path, environments: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    then = time.time() - MONTH.total_seconds()
    os.utime(environments / ("a" * 64), (then, then))
    assert run(["gc", "--dry-run"]) == 0
    assert "Would remove 1 unused environments of Python classes, 100 bytes." in capsys.readouterr().out
