"""The folder of a run: the routing table, what workers acknowledge, their counters. Gone when the server ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

YOUNG = 10.0
"""Seconds in which a new folder may not be locked yet."""


@contextmanager
def run_folder(root: Path) -> Iterator[Path]:
    """A folder for this run, locked while it lives; what servers that were killed left behind is removed."""
    folder = root / "run"
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        if left.is_dir() and _abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as run, _locked(Path(run)):
        yield Path(run)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _abandoned(folder: Path) -> bool:
    """Whether no server holds the folder: its workers, if any live, are ending, and need it no more."""
    if time.time() - folder.stat().st_mtime < YOUNG:
        return False  # it may be about to be locked
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
