from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.registry.blobs import FolderBlobs
from mainstay.testing.blobs import BlobsContract

DIES_WRITING = """
import os, signal, stat, sys
from pathlib import Path
from mainstay.registry.blobs import FolderBlobs
def die(descriptor):
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = die
FolderBlobs(Path(sys.argv[1])).put(b"half")
"""
WRITES_SLOWLY = """
import os, stat, sys
from pathlib import Path
from mainstay.registry.blobs import FolderBlobs
def wait(descriptor):
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        print("writing", flush=True)
        sys.stdin.readline()
os.fsync = wait
print(FolderBlobs(Path(sys.argv[1])).put(b"slow"), flush=True)
"""


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs")


class TestFolder(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> FolderBlobs:
        return FolderBlobs(tmp_path / "blobs")


@given(data=st.binary(max_size=200))
def test_bytes_survive_a_round_trip(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    blobs = FolderBlobs(tmp_path_factory.getbasetemp() / "round-trip")
    sha = blobs.put(data)
    assert sha == hashlib.sha256(data).hexdigest()
    assert blobs.has(sha)
    assert blobs.get(sha) == data


def test_nothing_else_is_left_behind(blobs: FolderBlobs) -> None:
    sha = blobs.put(b"1")
    assert [path for path in blobs.root.rglob("*") if path.is_file()] == [blobs.root / sha[:2] / sha]
    assert blobs.path(sha).stat().st_mode & 0o777 == 0o444


def test_a_blob_that_is_here_is_not_written_again_but_made_young(blobs: FolderBlobs) -> None:
    path = blobs.path(blobs.put(b"1"))
    os.utime(path, (1, 1))
    before = path.stat()
    blobs.put(b"1")
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime > 1


@pytest.mark.parametrize("damage", [b"", b"x", b"0123456789"])
def test_a_damaged_blob_is_replaced(blobs: FolderBlobs, damage: bytes) -> None:
    path = blobs.path(blobs.put(b"1234567890"))
    path.unlink()
    path.write_bytes(damage)
    blobs.put(b"1234567890")
    assert path.read_bytes() == b"1234567890"


def test_what_a_killed_writer_left_is_swept(blobs: FolderBlobs) -> None:
    blobs.put(b"whole")
    killed = subprocess.run([sys.executable, "-c", DIES_WRITING, str(blobs.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((blobs.root / "tmp").iterdir())) == 1
    assert not blobs.has(hashlib.sha256(b"half").hexdigest())
    assert blobs.sweep() == 1
    assert blobs.sweep() == 0
    assert blobs.has(blobs.put(b"whole"))


def test_what_a_living_writer_writes_is_not_swept(blobs: FolderBlobs) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITES_SLOWLY, str(blobs.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        assert len(list((blobs.root / "tmp").iterdir())) == 1
        assert blobs.sweep() == 0
        said, _ = writer.communicate("go on\n")
    assert blobs.get(said.strip()) == b"slow"


def test_servers_read_blobs_without_a_database_library() -> None:
    code = "import sys, mainstay.registry.blobs; sys.exit('sqlalchemy' in sys.modules or 'alembic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
