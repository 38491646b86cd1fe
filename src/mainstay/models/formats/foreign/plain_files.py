"""Whether what is to be read is made of files: a pipe or a device has no end, and none that waits for one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mainstay.models.formats.foreign.protocol import CannotImport

CLASS = "mainstay-model.toml"
LARGEST = 4 << 30
"""Bytes of a file, or of all files in a folder: a larger model is none that a request waits for."""
_OTHER = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_files(path: Path, *, largest: int = LARGEST) -> None:
    """Looks at a file, or at all files of a folder, before any is opened. What is hidden in a folder is not read.

    Args:
        path: that exists; links are followed to what they name.
        largest: bytes that are read.

    Raises:
        CannotImport: one is a pipe, a socket or a device; or they are too large.
    """
    # Of a Python class, what its description names is read, with bounds of its own: there may lie data beside it.
    counted, total = not (path / CLASS).is_file(), 0
    for each in _inside(path):
        try:
            found = each.stat()
        except OSError:  # a link to nowhere: whoever reads it says so
            continue
        for is_one, what in _OTHER:
            if is_one(found.st_mode):
                where = f"{each.name} of {path.name}" if each != path else path.name
                raise CannotImport(f"{where} is {what}, which need not come to an end: give a file.")
        total += found.st_size if counted and stat.S_ISREG(found.st_mode) else 0
        if total > largest:
            raise CannotImport(f"{path.name} has more than {largest:,} bytes, which is more than is read of a model.")


def _inside(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names if not name.startswith("."))
