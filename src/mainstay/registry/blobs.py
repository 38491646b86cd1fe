"""Content-addressed files in a folder: each is named by the SHA-256 of its bytes, and never changes.

A blob stands at `ROOT/ab/abcdef…`. It is written under `ROOT/tmp` first, synced, and renamed into place, so a blob is
whole or absent, whenever the machine stops.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from mainstay.registry.disk import refused, sync_folder

_HASH = re.compile(r"[0-9a-f]{64}")
_WRITING = "tmp"


def is_hash(text: str) -> bool:
    """Whether it is a SHA-256 in lower-case hex."""
    return _HASH.fullmatch(text) is not None


@dataclass(frozen=True)
class Listed:
    """A blob that stands in a store."""

    sha: str
    size: int
    """Bytes."""
    put_at: datetime
    """When it was put last."""


class Blobs(Protocol):
    """Content-addressed blobs, wherever they stand; each call is as `FolderBlobs` says of it."""

    @property
    def guarded(self) -> bool:
        """Whether `discard` never removes what was put since `before`, also where it is put at the same time."""

    def put(self, data: bytes) -> str: ...
    def get(self, sha: str) -> bytes: ...
    def has(self, sha: str) -> bool: ...
    def sweep(self) -> int: ...
    def listed(self) -> Iterable[Listed]: ...
    def discard(self, sha: str, *, before: datetime) -> bool: ...


class FolderBlobs:
    """Blobs in a folder, for any number of processes at once."""

    guarded = True
    """By a lock on the folder."""

    def __init__(self, root: Path) -> None:
        """`root` is made at the first `put`."""
        self.root = root

    def put(self, data: bytes) -> str:
        """Keeps the bytes, durably, and gives their SHA-256 (hex).

        Bytes that are here already are compared and kept; a blob that was damaged since is replaced.

        Raises:
            DiskFull, NotWritable, MachineError: the disk said no; no blob is half-written.
        """
        sha = hashlib.sha256(data).hexdigest()
        path = self.path(sha)
        try:
            with self._locked(fcntl.LOCK_SH):
                if self._holds(path, data):
                    # As young as a new blob, for whoever collects old ones that nothing names yet.
                    os.utime(path)
                else:
                    self._write(path, data)
                # Also for a blob found here: whoever renamed it may not have come to this line yet.
                sync_folder(path.parent)
        except OSError as error:
            raise refused(error, path) from error
        return sha

    def get(self, sha: str) -> bytes:
        """The bytes under a hash, as they are on the disk: whoever needs them right checks them (`Package` does).

        Raises:
            KeyError: `sha` is no SHA-256 in lower-case hex.
            OSError: not here, or not readable.
        """
        return self.path(sha).read_bytes()

    def has(self, sha: str) -> bool:
        """Whether a blob stands under this hash."""
        return bool(_HASH.fullmatch(sha)) and self.path(sha).is_file()

    def path(self, sha: str) -> Path:
        """Where the blob stands, or would. Raises KeyError if `sha` is no SHA-256 in lower-case hex."""
        if not _HASH.fullmatch(sha):
            raise KeyError(sha)
        return self.root / sha[:2] / sha

    def listed(self) -> Iterator[Listed]:
        """Every blob, in no order. Raises MachineError: the folder cannot be read."""
        try:
            for folder in list(self.root.iterdir()) if self.root.is_dir() else []:
                if len(folder.name) != 2 or not folder.is_dir():
                    continue
                for path in list(folder.iterdir()):
                    if not is_hash(path.name):
                        continue
                    try:
                        stat = path.stat()
                    except FileNotFoundError:  # collected by somebody else meanwhile
                        continue
                    yield Listed(path.name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))
        except OSError as error:
            raise refused(error, self.root) from error

    def discard(self, sha: str, *, before: datetime) -> bool:
        """Removes a blob that nobody has put since a time; False where somebody has, or it is gone.

        Whoever puts the same bytes meanwhile waits, and then keeps them anew.

        Raises:
            MachineError: the folder cannot be written.
        """
        path = self.path(sha)
        try:
            with self._locked(fcntl.LOCK_EX):
                if path.stat().st_mtime >= before.timestamp():
                    return False
                path.unlink()
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            raise refused(error, path) from error

    def sweep(self) -> int:
        """Removes what writers that died left unfinished; the number of files removed.

        A writer holds a lock on its file for as long as it lives, so no clock and no process id is trusted.

        Raises:
            MachineError: the folder cannot be read or written.
        """
        folder, removed = self.root / _WRITING, 0
        try:
            for path in list(folder.iterdir()) if folder.is_dir() else []:
                removed += _remove_if_abandoned(path)
        except OSError as error:
            raise refused(error, folder) from error
        return removed

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Keeps what puts and what removes apart; many may put at once."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _holds(self, path: Path, data: bytes) -> bool:
        try:
            # The size first: a file cut short is not worth reading.
            return path.stat().st_size == len(data) and path.read_bytes() == data
        except FileNotFoundError:
            return False

    def _write(self, path: Path, data: bytes) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self.root)
            sync_folder(self.root.parent)
        (self.root / _WRITING).mkdir(exist_ok=True)
        descriptor, unfinished = self._unfinished()
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 — a descriptor, not a path
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
                unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _unfinished(self) -> tuple[int, Path]:
        """A new locked file to write into."""
        while True:
            path = self.root / _WRITING / secrets.token_hex(16)
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor, path
            # Swept between its creation and its lock: make another.
            os.close(descriptor)


def _remove_if_abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(descriptor)
    return True
