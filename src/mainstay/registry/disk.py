"""What a disk refused, as a sentence with the way out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mainstay.errors import MachineError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


DATABASE, BLOBS = "registry.db", "blobs"
"""In a registry's folder, the file of its database, and the folder of its files."""


class DiskFull(MachineError):
    """There is no room for what had to be written; nothing was half done."""

    def __init__(self, where: Path) -> None:
        self.where = where
        super().__init__(f"No room to write {where}: free some space on its disk or raise the quota, then try again.")


class NotWritable(MachineError):
    """A folder of the registry may not be written by this user."""

    def __init__(self, where: Path) -> None:
        self.where = where
        super().__init__(
            f"{where} may not be written: make its folder writable for you (and not mounted read-only), "
            "or work in a folder that is."
        )


def refused(error: OSError, where: Path) -> MachineError:
    """The error to raise from `error`, met while `where` was read or written."""
    if error.errno in _FULL:
        return DiskFull(where)
    if error.errno in _FORBIDDEN:
        return NotWritable(where)
    reason = error.strerror or str(error)
    return MachineError(f"{where} cannot be used ({reason}): repair or move what stands there, then try again.")


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
