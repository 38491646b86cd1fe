"""The folder of a run: the routing table, what workers acknowledge, their counters. Gone when the server ends.

The supervisor holds a lock on the folder for as long as it lives, and each worker a shared one on a file in it. So it
can be seen from outside what became of a run: served, left behind by a supervisor that was killed, or over.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mainstay.registry.locks import taken

YOUNG = 10.0
"""Seconds in which a new folder may not be locked yet."""
RUN = "run"
WORKERS = "workers"
"""The file that workers hold."""
WORKER = "mainstay-worker"
"""How a worker is called in lists of processes."""


@contextmanager
def run_folder(root: Path) -> Iterator[Path]:
    """A folder for this run, locked while it lives; what servers that were killed left behind is removed."""
    folder = root / RUN
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        if left.is_dir() and not has_workers(left) and _abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name:
        run = Path(name)
        handle = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            (run / WORKERS).touch()
            yield run
        finally:
            os.close(handle)


def works_in(run: Path) -> int:
    """Says that this process is a worker of a run, until it ends; the file that it holds for that."""
    handle = os.open(run / WORKERS, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def has_workers(run: Path) -> bool:
    """Whether a worker of a run lives."""
    try:
        handle = os.open(run / WORKERS, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not taken(handle)
    finally:
        os.close(handle)


def left_behind(root: Path) -> Iterator[tuple[Path, int]]:
    """The runs whose supervisor is gone while their workers live, each with a lock on it that is the caller's now."""
    folder = root / RUN
    for run in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not run.is_dir() or not has_workers(run):
            continue
        try:
            handle = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        if taken(handle):
            yield run, handle
        else:
            os.close(handle)


def _abandoned(folder: Path) -> bool:
    """Whether no server holds the folder."""
    try:
        if time.time() - folder.stat().st_mtime < YOUNG:
            return False  # it may be about to be locked
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        return taken(handle)
    finally:
        os.close(handle)
