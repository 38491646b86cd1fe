"""Memory that is free goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress


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
