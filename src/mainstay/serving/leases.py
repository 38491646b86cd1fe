"""Until when candidates may have traffic: a row of clock readings in the run's folder, written by the agent alone.

The agent prolongs a candidate's lease whenever it sees that a controller looks after the rollout. Where the registry,
the controller or the agent is away for longer than the lease, workers send everything to the stable version, and need
nobody to tell them. The clock is the machine's monotonic one, which all its processes share and nobody can set.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from mainstay.serving.mapped import mapped

FILE = "leases"
SLOTS = 1024
"""Rollouts that may run at a time on one machine."""
LEASE = 30.0
"""Seconds for which a candidate may have traffic without anybody looking after it."""


class Leases:
    """The agent's side."""

    def __init__(self, run: Path, *, seconds: float | None = None) -> None:
        """`seconds` is how long a lease lasts, if not `LEASE`."""
        self._seconds, self._numbers = LEASE if seconds is None else seconds, _opened(run)
        self._slots: dict[str, int] = {}
        self._beats: dict[str, int] = {}

    def slot(self, rollout: str) -> int:
        """The slot of a rollout, which has no traffic until it is seen to be looked after; -1: there is none left."""
        found = self._slots.get(rollout)
        if found is None:
            taken = set(self._slots.values())
            found = next((slot for slot in range(SLOTS) if slot not in taken), -1)
            if found >= 0:
                self._numbers[found] = 0.0
                self._slots[rollout] = found
        return found

    def heard(self, beats: Mapping[str, int]) -> None:
        """Prolongs the leases of the rollouts whose beat has grown since it was seen last; forgets those that ended."""
        until = time.monotonic() + self._seconds
        for rollout, slot in list(self._slots.items()):
            beat = beats.get(rollout)
            if beat is None:
                self._numbers[slot] = 0.0
                del self._slots[rollout]
            elif beat > self._beats.get(rollout, beat):
                self._numbers[slot] = until
        self._beats = dict(beats)


class Lease:
    """A worker's side of one of them."""

    __slots__ = ("_numbers", "_slot")

    def __init__(self, run: Path, slot: int) -> None:
        self._numbers, self._slot = _opened(run), slot

    @property
    def holds(self) -> bool:
        """Whether the candidate may have traffic now."""
        return self._slot >= 0 and self._numbers[self._slot] > time.monotonic()


def _opened(run: Path) -> memoryview[float]:
    return memoryview(mapped(run / FILE, 8 * SLOTS)).cast("d")
