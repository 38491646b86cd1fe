"""A SQLite database that may be read and not written: one state of it, in memory.

SQLite cannot even read a database in WAL mode where it may not make its shared memory beside it: on a mount that is
read-only, or a disk that is full. Its two files can be read all the same, which is what is done here.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mainstay.errors import MachineError

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder for what others cannot read is made in it
_TRIES = 20
_ROLLBACK = b"\x01\x01"
"""Bytes 18 and 19 of a database that is not in WAL mode (https://sqlite.org/fileformat.html#file_format_version_numbers);
one in memory cannot be in it."""


def state_of(path: Path) -> bytes:
    """The bytes of a database, with all that was committed, as of one moment.

    Raises:
        MachineError: it may not be read either, is written all the time, or there is no room to put it together.
    """
    try:
        for _ in range(_TRIES):
            before = _stamp(path)
            log, main = _read(_log_of(path)), path.read_bytes()
            # What is committed goes to the log, and from there into the file: while that is as it was, both fit.
            if _stamp(path) == before:
                return main[:18] + _ROLLBACK + main[20:] if not log else _joined(main, log)
            time.sleep(0.05)
    except OSError as error:
        raise MachineError(
            f"{path} can be neither written nor read ({error.strerror or error}): make its folder readable for you."
        ) from error
    raise MachineError(f"{path} is written all the time, and may not be shared here: try again.")


def connector(state: bytes) -> Callable[[], sqlite3.Connection]:
    """What opens the database that `state_of` gave, each time a copy of its own."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.deserialize(state)
        return connection

    return connect


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _joined(main: bytes, log: bytes) -> bytes:
    """The database with its log applied by SQLite itself, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mainstay-", dir=_room(2 * (len(main) + len(log)))) as folder:
        path = Path(folder) / "registry.db"
        path.write_bytes(main)
        _log_of(path).write_bytes(log)
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
            return connection.serialize()
        finally:
            connection.close()


def _room(size: int) -> str | None:
    """A folder with room for so many bytes; None: that of the system."""
    places = [Path(tempfile.gettempdir()), _MEMORY]
    fits = [each for each in places if os.access(each, os.W_OK | os.X_OK) and _free(each) > size]
    return str(fits[0]) if fits else None


def _free(folder: Path) -> int:
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize
