"""Waiting for a person, and hearing Ctrl-C in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from mainstay.errors import INTERRUPTED, MainstayError

LOOK = 0.2
"""Seconds between two looks at what is waited for."""


class Interrupted(MainstayError):
    """Ctrl-C came before there was anything to keep."""

    exit_code = INTERRUPTED


@contextmanager
def first_interrupt_sets(stop: threading.Event, told: Callable[[], None]) -> Iterator[None]:
    """While inside, the first SIGINT sets `stop` and calls `told`; the next raises KeyboardInterrupt.

    Signals reach the main thread alone: in another one, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        told()

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def until_interrupted(goes_on: Callable[[], bool]) -> bool:
    """Waits for SIGINT or SIGTERM while `goes_on`; False where it did not."""
    over = threading.Event()

    def heard(number: int, frame: FrameType | None) -> None:
        over.set()

    before = {which: signal.signal(which, heard) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not over.wait(LOOK):
            if not goes_on():
                return False
        return True
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
