"""Waiting for a person."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def until_interrupted() -> None:
    """Returns at the first SIGINT or SIGTERM."""
    over = threading.Event()

    def heard(number: int, frame: FrameType | None) -> None:
        over.set()

    before = {which: signal.signal(which, heard) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        over.wait()
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
