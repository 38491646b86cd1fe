"""Stopped at any instant, short of disk, used by many at once: nothing is half-registered, no fact is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from registry_storm import storm

from mainstay.registry.disk import DiskFull
from mainstay.registry.store import Registry
from mainstay.testing.registry import add

HERE = Path(__file__).parent

DIES = """
import os, signal, sys
from pathlib import Path
from mainstay.testing.registry import add
from mainstay.registry import aliases, deployments, events, versions
from mainstay.registry.store import Registry
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
with Registry.open(Path(sys.argv[1])) as registry:
    where = sys.argv[2]
    if where == "before the transaction":
        versions.add = die
    elif where == "before the commit":
        events.write = die
    elif where == "while committing":
        from sqlalchemy import event
        event.listen(registry._database._engine, "commit", die)
    else:
        count = int(where)
        put = registry.blobs.put
        def puts(data):
            global count
            count -= 1
            return put(data) if count >= 0 else die()
        registry.blobs.put = puts
    add(registry, graph="2")
"""
FILLS = """
import resource, signal, sys
from pathlib import Path
from mainstay.registry.disk import DiskFull
from mainstay.testing.registry import add
from mainstay.registry.store import Registry
with Registry.open(Path(sys.argv[1])) as registry:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        add(registry, graph="2" * 300_000)
    except DiskFull as error:
        print(error)
        sys.exit(7)
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=HERE, capture_output=True, text=True, check=False
    )


def expect_one_version(root: Path) -> None:
    """One version, one event, nothing unfinished; and the next registration is number 2."""
    with Registry.open(root, create=False) as registry:
        assert [v.ref for v in registry.versions()] == ["credit:1"]
        assert [e.kind for e in registry.events()] == ["registered"]
        again = add(registry, graph="2")
        assert again.ref == "credit:2"
        assert registry.package(again).read("model.onnx") == b"2"
        assert list((root / "blobs" / "tmp").iterdir()) == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Registry.open(tmp_path / ".mainstay") as registry:
        add(registry)
    return tmp_path / ".mainstay"


@pytest.mark.parametrize(
    "where", ["0", "1", "3", "5", "before the transaction", "before the commit", "while committing"]
)
def test_killed_while_registering_nothing_is_half_registered(root: Path, where: str) -> None:
    assert run(DIES, str(root), where).returncode == -signal.SIGKILL
    expect_one_version(root)


@pytest.mark.parametrize("limit", [0, 100_000])
def test_out_of_quota_while_registering_nothing_is_half_registered(root: Path, limit: int) -> None:
    told = run(FILLS, str(root), str(limit))
    assert told.returncode == 7, told.stderr
    assert "free some space" in told.stdout
    expect_one_version(root)


def test_on_a_full_disk_nothing_is_half_registered(small_disk: Path) -> None:
    root = small_disk / ".mainstay"
    with Registry.open(root) as registry:
        add(registry)
        with pytest.raises(DiskFull, match="free some space"):
            add(registry, graph="2" * 2_000_000)
    expect_one_version(root)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)
    return filler


def test_a_disk_that_fills_up_under_the_database_loses_nothing(small_disk: Path) -> None:
    root = small_disk / ".mainstay"
    with Registry.open(root) as registry:
        add(registry)
        told, filler = 1, fill(small_disk)
        with pytest.raises(DiskFull):
            for number in range(10_000):
                registry.record("note", actor="ada", reason=f"{number} " + "0" * 4000)
                told += 1
        assert len(registry.events(limit=100_000)) == told
        filler.unlink()
        registry.record("note", actor="ada")
    with Registry.open(root) as registry:
        assert len(registry.events(limit=100_000)) == told + 1


def test_a_full_disk_is_told_when_a_registry_is_opened_and_when_one_is_made(small_disk: Path) -> None:
    with Registry.open(small_disk / "there") as registry:
        add(registry)
    filler = fill(small_disk)
    for folder in ("there", "new"):
        with pytest.raises(DiskFull, match="free some space"), Registry.open(small_disk / folder) as registry:
            for number in range(1000):
                registry.record("note", actor="ada", reason=f"{number} " + "0" * 4000)
    filler.unlink()
    for folder, count in (("there", 1), ("new", 0)):
        with Registry.open(small_disk / folder) as registry:
            assert len(registry.versions()) == count
            registry.record("note", actor="ada")


def test_many_processes_killed_at_random_lose_nothing_and_break_nothing(tmp_path: Path) -> None:
    storm(tmp_path, str(tmp_path / ".mainstay"))
