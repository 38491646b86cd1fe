"""Which of several controllers acts: the one that has the lead in the registry, for as long as it says that it lives.

No clock is compared between machines. Who wants the lead waits until its holder has said nothing for `SILENT` seconds
of the waiting one's own clock; each taking has a number, the fence, and what a holder before still wants to write under
its own is refused by the registry, however late it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mainstay.registry.errors import NotLeading
from mainstay.registry.records import Lead

SILENT = 5.0
"""Seconds without a sign of life after which a holder has lost the lead."""
BEAT_EVERY = 1.0
"""Seconds between two signs of life."""


class Leads(Protocol):
    """What is asked of the registry."""

    def lead(self) -> Lead | None: ...
    def take_lead(self, holder: str, *, seen: Lead | None) -> Lead: ...
    def keep_lead(self, lead: Lead) -> Lead: ...
    def leave_lead(self, lead: Lead) -> None: ...


class Leading:
    """The lead of one controller, while it has it."""

    def __init__(
        self,
        leads: Leads,
        holder: str,
        *,
        clock: Callable[[], float],
        gone: Callable[[str], bool] = lambda holder: False,
    ) -> None:
        """
        Args:
            holder: names this controller; no other has ever the same name.
            clock: seconds, of a clock that only goes forward.
            gone: whether a holder is known to be dead, so that nobody has to wait for its silence.
        """
        self._leads, self._holder, self._clock, self._gone = leads, holder, clock, gone
        self._mine: Lead | None = None
        self._beat_at = 0.0
        self._other: Lead | None = None
        self._changed_at = 0.0

    def fence(self) -> int | None:
        """The number under which this controller may act now; None: another one has the lead.

        Raises:
            MachineError: the registry cannot be reached.
        """
        try:
            return self._kept() if self._mine is not None else self._taken()
        except NotLeading:
            self._mine = None
            return None

    def leave(self) -> None:
        """Gives the lead back, if it is had, so that nobody has to wait."""
        if self._mine is not None:
            mine, self._mine = self._mine, None
            self._leads.leave_lead(mine)

    def _kept(self) -> int:
        assert self._mine is not None
        now = self._clock()
        if now - self._beat_at >= BEAT_EVERY:
            self._mine = self._leads.keep_lead(self._mine)
            self._beat_at = now
        return self._mine.fence

    def _taken(self) -> int | None:
        found, now = self._leads.lead(), self._clock()
        if found != self._other:
            self._other, self._changed_at = found, now
        free = found is None or not found.holder or self._gone(found.holder)
        if not free and now - self._changed_at < SILENT:
            return None
        self._mine = self._leads.take_lead(self._holder, seen=found)
        self._beat_at = now
        return self._mine.fence
