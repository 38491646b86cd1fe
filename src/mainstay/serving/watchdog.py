"""Ends a process that computes for too long."""

from __future__ import annotations

import faulthandler
from time import monotonic
from typing import TextIO

LATE = 1.0
"""Seconds at most by which a process is ended late; no more than a quarter of those that it has."""


class Watchdog:
    """A clock in a thread that needs no lock of Python's, so that it ends a model that hangs in C too.

    To start that thread, and to end it, takes longer than most models do. So one that is running is left to, for as
    long as it would not be much too late.
    """

    def __init__(self, seconds: float, into: TextIO) -> None:
        """Ends the process once something has been computed for so many seconds; says where in `into`."""
        self._seconds, self._into = seconds, into
        self._late = min(LATE, seconds / 4)
        self._since: float | None = None

    def watch(self) -> None:
        """Something begins to be computed."""
        now = monotonic()
        if self._since is None or now - self._since > self._late:
            faulthandler.dump_traceback_later(self._seconds + self._late, exit=True, file=self._into)
            self._since = now

    def rest(self) -> float | None:
        """Nothing is computed at this moment; after how many seconds that is to be said again, if at all.

        The thread is kept for a while, since what comes next may come soon.
        """
        if self._since is not None and monotonic() - self._since > self._late:
            faulthandler.cancel_dump_traceback_later()
            self._since = None
        return None if self._since is None else self._late
