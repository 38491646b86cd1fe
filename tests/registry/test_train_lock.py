from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mainstay.errors import MachineError
from mainstay.registry.locks import TrainingRuns, file_lock, train_lock

HOLDS = """
import sys
from pathlib import Path
from mainstay.registry.locks import train_lock
with train_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_training_is_told_of_the_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / ".mainstay")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(TrainingRuns, match=f"process {first.pid}, since 20") as refusal,
            train_lock(tmp_path / ".mainstay"),
        ):
            pytest.fail("two hold the lock")
        assert refusal.value.holder is not None
        assert refusal.value.holder.since <= datetime.now(UTC)
        first.kill()
    with train_lock(tmp_path / ".mainstay"):
        pass


def test_the_lock_is_free_again_after_a_training(tmp_path: Path) -> None:
    for _ in range(2):
        with train_lock(tmp_path):
            assert f'"pid":{os.getpid()}' in (tmp_path / "train.lock").read_text()


def test_waiting_for_a_lock_ends(tmp_path: Path) -> None:
    with file_lock(tmp_path / "a.lock", patience=1):
        with pytest.raises(MachineError, match=r"a\.lock for 0 seconds"), file_lock(tmp_path / "a.lock", patience=0):
            pytest.fail("two hold the lock")
        with file_lock(tmp_path / "b.lock", patience=0):
            pass
