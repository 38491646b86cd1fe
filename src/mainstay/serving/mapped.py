"""A file in memory that processes share, and that outlives them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path


def mapped(path: Path, size: int) -> mmap.mmap:
    """The first `size` bytes of a file, which is made where there is none; new bytes are 0.

    Raises:
        OSError: there is no room for it.
    """
    with path.open("a+b") as file:
        # Its blocks are taken now: of a file with holes, a disk that got full would kill who writes (SIGBUS).
        os.posix_fallocate(file.fileno(), 0, size)
        return mmap.mmap(file.fileno(), size)
