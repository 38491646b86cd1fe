"""What the allocator keeps of the memory that is free, and when that goes back to the system."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

KEPT = 16 * 1024 * 1024
"""Free bytes at the end of an arena from which on they go back to the system by themselves."""
OWN_PAGES = 4 * 1024 * 1024
"""Bytes from which on a block has pages of its own, which go back as soon as it is free."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_pages() -> None:
    """Has the allocator keep the pages that bodies and their numbers take for those that come next.

    Else glibc gives the pages back with each body of a few hundred kilobytes and takes them again with the next: dozens
    of faults a request. What the operator sets himself (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_) stays. Does
    nothing where the C library has no mallopt(3).
    """
    if sys.platform != "linux":
        return
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for variable, parameter, size in (
            ("MALLOC_TRIM_THRESHOLD_", _TRIM_THRESHOLD, KEPT),
            ("MALLOC_MMAP_THRESHOLD_", _MMAP_THRESHOLD, OWN_PAGES),
        ):
            if variable not in os.environ:
                mallopt(parameter, size)


def give_back() -> None:
    """Has the allocator give back the pages that it holds and nobody uses.

    glibc keeps what a model's arrays took in the arena of the thread that loaded it, for whoever asks next in that
    arena; versions are loaded in any of several threads, so that without this a few models' worth stays behind. Takes
    milliseconds, without Python's lock: to be called in a thread. Does nothing where the C library has no
    malloc_trim(3).
    """
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
