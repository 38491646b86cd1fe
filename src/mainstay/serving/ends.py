"""Which ends of processes tell against what runs in them, and not against whoever ended them. Pure.

A process that crashes, or gives up, ends by itself. One that is killed was killed by somebody: a person, or a machine
without memory, which chooses the largest process and not the one at fault. So that says nothing, unless those that take
its place are killed again and again, each after a short life.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

SHORT = 60.0
"""Seconds of a short life."""
AGAIN = 3
"""The end of so many short lives in a row is no accident any more."""
FROM_OUTSIDE = frozenset((0, -SIGKILL, -SIGTERM, -SIGINT, -SIGHUP))
"""Exit codes of processes that were told to end, or killed."""
REMEMBERED = 1000
"""Ends before a rollout that are compared with those in it."""


class Ends:
    """The ends of a process, and of those that took its place one after the other."""

    __slots__ = ("_in_a_row", "telling")

    def __init__(self) -> None:
        self._in_a_row = 0
        self.telling = 0
        """How many told against what ran in them."""

    def note(self, code: int, lived: float) -> None:
        """One ended with an exit code, after so many seconds."""
        self._in_a_row = self._in_a_row + 1 if lived < SHORT else 1
        self.telling += code not in FROM_OUTSIDE or self._in_a_row >= AGAIN


class Noticed:
    """What became of a server's workers, whichever models they have: when their ends told against those."""

    def __init__(self) -> None:
        self._known: tuple[int, ...] = ()
        self._times: deque[float] = deque(maxlen=REMEMBERED)

    def look(self, telling: Sequence[int], at: float) -> list[int]:
        """The numbers of the workers with new ends, once for each; `telling` is that of all workers, by number."""
        known = (*self._known, *telling[len(self._known) :])  # what was there at the first look is nobody's
        found = [number for number, count in enumerate(telling) for _ in range(count - known[number])]
        self._known = tuple(telling)
        self._times.extend([at] * len(found))
        return found

    def between(self, begin: float, end: float) -> int:
        """Ends from a time on until another."""
        return sum(begin <= time < end for time in self._times)
