"""What gc removes, and that it never removes anything that somebody needs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mainstay.cli.app import run
from mainstay.errors import MainstayError
from mainstay.models.package import PackageCorrupt
from mainstay.operations.collecting import collect, duration_of
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.store import Registry
from mainstay.testing.drafts import draft

MONTH = 30 * 86_400


def aged(folder: Path, seconds: float = MONTH) -> None:
    """Makes every blob as old as this."""
    then = time.time() - seconds
    for path in (folder / ".mainstay" / "blobs").glob("??/*"):
        os.utime(path, (then, then))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """credit:1 is deployed, credit:3 beside it with an attestation more, credit:2 failed; nobody names two files."""
    with Registry.open(tmp_path / ".mainstay") as registry:
        one, _, three = (
            registry.add("credit", draft(str(n)), passed=n != 2, actor="ann", summary={}) for n in (1, 2, 3)
        )
        registry.deploy(one, expecting=None, actor="ann")
        registry.deploy_beside(three, expecting=one, actor="ann")
        registry.attest(three, "audit.txt", b"fine", actor="ann")
        registry.blobs.put(b"lost")
        registry.blobs.put(b"lost too")
    aged(tmp_path)
    return tmp_path


def readable(folder: Path) -> int:
    with Registry.open(folder / ".mainstay") as registry:
        found = registry.versions()
        for version in found:
            package = registry.package(version)
            assert {name: package.read(name) for name in package.manifest.files}
    return len(found)


def there(folder: Path, data: bytes) -> bool:
    return FolderBlobs(folder / ".mainstay" / "blobs").has(hashlib.sha256(data).hexdigest())


def test_what_nobody_names_goes_and_all_else_stays(folder: Path) -> None:
    planned = collect(folder, dry_run=True)
    assert there(folder, b"lost") and planned.dry_run
    done = collect(folder)
    assert {each.sha256 for each in done.removed} == {each.sha256 for each in planned.removed}
    assert {each.sha256 for each in done.removed} == {hashlib.sha256(b).hexdigest() for b in (b"lost", b"lost too")}
    assert done.bytes == planned.bytes == len(b"lost") + len(b"lost too")
    assert not there(folder, b"lost") and not there(folder, b"lost too")
    assert readable(folder) == 3
    assert collect(folder).removed == []


def test_what_is_young_stays_and_putting_it_again_makes_it_young(folder: Path) -> None:
    aged(folder, 6.9 * 86_400)
    assert collect(folder).young == 2
    aged(folder)
    FolderBlobs(folder / ".mainstay" / "blobs").put(b"lost")
    done = collect(folder)
    assert (len(done.removed), done.young) == (1, 1)
    assert there(folder, b"lost")


def test_nothing_goes_while_it_cannot_be_told_what_a_version_needs(folder: Path) -> None:
    with Registry.open(folder / ".mainstay") as registry:
        version = registry.version("credit:2")
        path = FolderBlobs(folder / ".mainstay" / "blobs").path(version.content_id)
    path.chmod(0o644)
    path.write_bytes(b"{}")
    aged(folder)
    with pytest.raises(PackageCorrupt, match="credit:2"):
        collect(folder)
    assert there(folder, b"lost")


def test_a_registration_of_the_same_files_at_the_same_time_loses_nothing(tmp_path: Path) -> None:
    state = tmp_path / ".mainstay"
    over = threading.Event()
    troubles: list[BaseException] = []

    def keep_collecting() -> None:
        try:
            while not over.is_set():
                collect(tmp_path)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            troubles.append(error)

    with Registry.open(state) as registry:
        thread = threading.Thread(target=keep_collecting)
        thread.start()
        try:
            for number in range(60):
                new = draft(f"graph {number}", evaluation=f"{number}")
                for data in (*new.content.values(), *new.attestations.values()):
                    registry.blobs.put(data)  # as a registration did that never ended
                aged(tmp_path)
                version = registry.add("credit", new, passed=True, actor="ann", summary={})
                package = registry.package(version)
                assert {name: package.read(name) for name in package.manifest.files}
        finally:
            over.set()
            thread.join()
    assert troubles == []
    assert readable(tmp_path) == 60


def test_a_gc_that_is_killed_does_no_harm(folder: Path) -> None:
    blobs = FolderBlobs(folder / ".mainstay" / "blobs")
    for number in range(600):
        blobs.put(b"lost %d" % number)
    aged(folder)

    def left() -> int:
        return sum(1 for _ in blobs.listed())

    before, kills = left(), 0
    while left() > before - 500 and kills < 8:
        process = subprocess.Popen([sys.executable, "-m", "mainstay", "gc"], cwd=folder, stdout=subprocess.DEVNULL)
        start = left()
        while process.poll() is None and left() > start - 100:
            time.sleep(0.001)
        process.kill()
        process.wait()
        kills += 1
        assert readable(folder) == 3
    collect(folder)
    assert readable(folder) == 3
    assert collect(folder).removed == []


def test_the_command_says_what_and_how_many_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run(["gc", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert hashlib.sha256(b"lost").hexdigest() in said and "Would remove 2 file(s), 12 bytes." in said
    assert run(["gc", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == 12


@pytest.mark.parametrize("text", ["", "7", "7w", "0d", "59m", "-1d", "1e9d"])
def test_a_time_that_is_none_or_too_short_is_refused(text: str) -> None:
    with pytest.raises(MainstayError):
        duration_of(text)
