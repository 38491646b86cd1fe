"""Locks between processes, held by an open file: the system releases them when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mainstay.errors import MachineError
from mainstay.registry.disk import refused

TRAIN_LOCK = "train.lock"


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock, written into its file."""

    pid: int
    since: datetime


class TrainingRuns(MachineError):
    """Another process trains in this project."""

    def __init__(self, root: Path, holder: Holder | None) -> None:
        self.root, self.holder = root, holder
        who = f" (process {holder.pid}, since {holder.since:%Y-%m-%d %H:%M:%S} UTC)" if holder else ""
        super().__init__(f"Another training{who} runs in {root.parent}: wait for it to end, or stop it with Ctrl-C.")


@contextmanager
def train_lock(root: Path) -> Iterator[None]:
    """Holds the right to train in the project whose registry folder is `root`.

    Raises:
        TrainingRuns: another process holds it; the message names the process and since when.
        MachineError: the folder cannot be written.
    """
    descriptor = _opened(root / TRAIN_LOCK)
    try:
        if not taken(descriptor):
            raise TrainingRuns(root.resolve(), _holder(descriptor))
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, msgspec.json.encode(Holder(os.getpid(), datetime.now(UTC))), 0)
        except OSError as error:
            raise refused(error, root / TRAIN_LOCK) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(path: Path, *, patience: float) -> Iterator[None]:
    """Waits for an exclusive lock on the file at `path`, which is made if need be, at most `patience` seconds.

    Raises:
        MachineError: the file cannot be written, or its lock is held for longer.
    """
    descriptor = _opened(path)
    try:
        until = time.monotonic() + patience
        while not taken(descriptor):
            if time.monotonic() >= until:
                raise MachineError(
                    f"Another process has held {path} for {patience:g} seconds: let it end, or end it, then try again."
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise refused(error, path) from error


def taken(descriptor: int) -> bool:
    """Locks an open file or folder for this process, where nobody else has; whether it did."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> Holder | None:
    """None in the instant between taking the lock and signing it."""
    try:
        return msgspec.json.decode(os.pread(descriptor, 1000, 0), type=Holder)
    except msgspec.DecodeError:
        return None
