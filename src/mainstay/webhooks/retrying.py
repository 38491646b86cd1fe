"""When a webhook that did not take an event is told of it again."""

from __future__ import annotations

from collections.abc import Callable

ATTEMPTS = 12
"""After so many failed attempts an event is given up for a webhook: about four hours."""
FIRST_PAUSE = 5.0
"""Seconds."""
LONGEST_PAUSE = 3600.0
"""Seconds."""


def pause(failed: int, chance: Callable[[], float]) -> float | None:
    """Seconds to wait after the `failed`-th failed attempt (from 1); None: it is given up.

    Twice as long each time, and a random half of that less, so that what failed together does not come back together.

    Args:
        chance: gives a number from 0 to 1.
    """
    if failed >= ATTEMPTS:
        return None
    longest: float = min(FIRST_PAUSE * 2.0 ** (failed - 1), LONGEST_PAUSE)
    return longest * (0.5 + 0.5 * chance())
