"""Rates of keys, exact over all workers of a server: one number a key, in memory that they share.

The generic cell rate algorithm (ITU-T I.371; a token bucket that keeps only when it will be full): a key's number is
the time at which it would have used up nothing. A request moves it on by 1 / rate, and is refused where that would
lead further than burst / rate ahead of now.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mainstay.registry.records import ApiKey

FILE = "rates"
SLOTS = 65_536
"""Keys that have a rate of their own; beyond them, some share one."""
_NUMBER = 8
_TRIES = 50


def take_slots(keys: Iterable[ApiKey], slots: dict[str, int]) -> None:
    """Gives each key with a rate a slot, by its id, where it has none yet: by the order in which they come."""
    for key in keys:
        if key.rate is not None:
            slots.setdefault(key.id, len(slots) % SLOTS)


class Rates:
    """The numbers of one run, in a file that every worker maps."""

    def __init__(self, run: Path) -> None:
        """Makes the file, or goes on with what is there."""
        self._handle = os.open(run / FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Whole, and always of one size: a file that shrinks, or has holes on a full disk, kills who maps it.
            os.posix_fallocate(self._handle, 0, SLOTS * _NUMBER)
            self._map = mmap.mmap(self._handle, SLOTS * _NUMBER)
        except OSError:
            os.close(self._handle)
            raise
        self._numbers = memoryview(self._map).cast("d")

    def close(self) -> None:
        self._numbers.release()
        self._map.close()
        os.close(self._handle)

    def take(self, slot: int, rate: float, burst: int, *, now: float) -> float:
        """Takes one request, and gives 0; or takes none, and gives the seconds until there is one.

        Args:
            slot: below `SLOTS`.
            now: of a clock that is the same for all processes of the machine, seconds.
        """
        held = self._hold(slot)
        try:
            ahead, wait = taken(self._numbers[slot], rate, burst, now=now)
            if not wait:
                self._numbers[slot] = ahead
            return wait
        finally:
            if held:
                fcntl.lockf(self._handle, fcntl.LOCK_UN, _NUMBER, slot * _NUMBER)

    def _hold(self, slot: int) -> bool:
        """Whether this worker alone has the number now. It waits for nobody: a worker that was stopped in the midst of
        these microseconds must not stop the others, and what it costs is a request too many."""
        for _ in range(_TRIES):
            with suppress(BlockingIOError, PermissionError):
                fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, _NUMBER, slot * _NUMBER)
                return True
        return False


def taken(full_at: float, rate: float, burst: int, *, now: float) -> tuple[float, float]:
    """What a key's number becomes by a request at `now`, and how long that must wait, seconds."""
    ahead = max(full_at, now) + 1.0 / rate
    wait = ahead - now - burst / rate
    return (ahead, 0.0) if wait <= 1e-9 else (full_at, wait)
