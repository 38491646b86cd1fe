"""A full disk and missing rights, met by gc, copies and exports of the registry: told, and nothing is lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.operations.collecting import collect
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.copying import copy
from mainstay.registry.disk import DiskFull
from mainstay.registry.store import Registry
from mainstay.testing.registry import add

AS_NOBODY = """
import os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from mainstay.errors import MachineError
from mainstay.operations.collecting import collect
from mainstay.operations.copying import moved
import mainstay.models.package, mainstay.registry.migrations, sqlalchemy.dialects.sqlite
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
folder = Path(sys.argv[1])
def refused(call):
    try:
        call()
    except MachineError as error:
        print(type(error).__name__, error)
    else:
        sys.exit("it was not refused")
refused(lambda: collect(folder, now=datetime.now(UTC) + timedelta(days=30)))
refused(lambda: moved(str(folder / ".mainstay"), str(folder / "there" / ".mainstay")))
"""
READS_AS_NOBODY = """
import os, sys
from pathlib import Path
from mainstay.registry.disk import NotWritable
from mainstay.registry.store import Registry
import mainstay.models.package, mainstay.registry.migrations, sqlalchemy.dialects.sqlite
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
with Registry.open(Path(sys.argv[1]) / ".mainstay", create=False) as registry:
    version = registry.version("credit")
    print(version.ref)
    print(*(event.kind for event in registry.events()))
    package = registry.package(version)
    print("whole" if all(package.read(name) for name in package.manifest.content) else "")
    try:
        registry.point("credit", "best", version, expecting=None, actor="nobody")
    except NotWritable:
        print(version.ref, "was not pointed at")
"""
LATER = timedelta(days=30)


def expect_whole(root: Path, versions: int) -> None:
    with Registry.open(root, create=False) as registry:
        found = registry.versions()
        assert len(found) == versions
        for version in found:
            package = registry.package(version)
            assert {name: package.read(name) for name in package.manifest.files}


def test_gc_makes_room_on_a_disk_that_is_all_but_full(small_disk: Path) -> None:
    with Registry.open(small_disk / ".mainstay") as registry:
        add(registry)
        lost = [registry.blobs.put(b"%d" % number * 60_000) for number in range(5)]
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)
    with pytest.raises(DiskFull, match="free some space"):  # SQLite itself takes a little
        collect(small_disk, now=datetime.now(UTC) + LATER)
    os.truncate(filler, filler.stat().st_size - 100_000)
    done = collect(small_disk, now=datetime.now(UTC) + LATER)
    assert {each.sha256 for each in done.removed} == set(lost)
    expect_whole(small_disk / ".mainstay", 1)
    with Registry.open(small_disk / ".mainstay") as registry:
        assert add(registry, graph="2" * 100_000).ref == "credit:2"


def test_a_copy_onto_a_disk_that_is_too_small_leaves_nothing_half_done_and_goes_on(
    small_disk: Path, tmp_path: Path
) -> None:
    with Registry.open(tmp_path / "source") as source:
        for number in range(4):
            add(source, graph=f"{number}" * 150_000)
        filler = small_disk / "filler"
        filler.write_bytes(b"0" * 400_000)
        with Registry.open(small_disk / "target") as target:
            with pytest.raises(DiskFull, match="free some space"):
                copy(source, target)
            assert (target.versions(), target.events()) == ([], [])
            assert len(source.versions()) == 4
            there = len(list(target.blobs.listed()))
            filler.unlink()
            done = copy(source, target)
            assert there > 0 and done.sent == done.blobs - there
    expect_whole(small_disk / "target", 4)


def test_who_may_not_write_removes_and_copies_nothing_and_is_told(tmp_path: Path) -> None:
    root = tmp_path / ".mainstay"
    with Registry.open(root) as registry:
        add(registry)
        registry.blobs.put(b"lost")
    (tmp_path / "there").mkdir()
    folders = [path for path in (tmp_path, *tmp_path.rglob("*")) if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    for path in tmp_path.parents:
        if path.stat().st_uid == os.getuid() and path != Path(path.anchor):
            path.chmod(path.stat().st_mode | 0o111)
    try:
        told = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(tmp_path)], capture_output=True, text=True, check=False
        )
    finally:
        for path in folders:
            path.chmod(0o755)
    assert told.returncode == 0, told.stderr
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["NotWritable", "NotWritable"]
    assert FolderBlobs(root / "blobs").has(hashlib.sha256(b"lost").hexdigest())
    assert list((tmp_path / "there").iterdir()) == []
    expect_whole(root, 1)


def test_what_only_reads_needs_no_room_on_a_full_disk(small_disk: Path) -> None:
    root = small_disk / ".mainstay"
    with Registry.open(root) as registry:
        add(registry)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)
    expect_whole(root, 1)
    with Registry.open(root, create=False) as registry:
        assert [event.kind for event in registry.events()] == ["registered"]
        with pytest.raises(DiskFull, match="free some space"):
            add(registry, graph="2" * 10)


@pytest.mark.parametrize("logged", [False, True], ids=["closed", "with a log"])
def test_what_only_reads_needs_no_right_to_write(logged: bool, tmp_path: Path) -> None:
    """Also of a registry whose last writer was killed, so that what it committed stands in its log alone."""
    root, there = tmp_path / "written" / ".mainstay", tmp_path / "there"
    with Registry.open(root) as registry:
        add(registry)
        if logged:
            shutil.copytree(root, there / ".mainstay")
    if not logged:
        shutil.copytree(root, there / ".mainstay")
    (there / ".mainstay" / "registry.db-shm").unlink(missing_ok=True)
    assert (there / ".mainstay" / "registry.db-wal").exists() == logged
    for path in (there, *there.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in tmp_path.parents:
        if path.stat().st_uid == os.getuid() and path != Path(path.anchor):
            path.chmod(path.stat().st_mode | 0o111)
    tmp_path.chmod(0o755)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    temporary.chmod(0o777)
    told = subprocess.run(
        [sys.executable, "-c", READS_AS_NOBODY, str(there)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    for path in (there, *there.rglob("*")):
        path.chmod(0o755)
    assert told.returncode == 0, told.stderr
    assert told.stdout.split("\n")[:-1] == ["credit:1", "registered", "whole", "credit:1 was not pointed at"]
    assert not list(temporary.iterdir())
