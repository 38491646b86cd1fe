"""Whether who leads still moves rollouts: told by his beat, since no clock of his is compared with ours."""

from __future__ import annotations

import time
from collections.abc import Callable

from mainstay.registry.records import Lead


class Beats:
    """The beats of who leads, as somebody sees them who looks again and again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: Lead | None = None
        self._since = clock()

    def rest(self, lead: Lead | None) -> float:
        """Seconds for which the lead has been as it is, as far as that was seen."""
        now = self._clock()
        if lead != self._last:
            self._last, self._since = lead, now
        return now - self._since
