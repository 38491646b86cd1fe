"""Whether a model is so quick that a host computes it where it listens: learned from what it is asked. Pure."""

from __future__ import annotations

QUICK = 0.005
"""Seconds of computing in which a host may hear nobody: neither a signal nor another worker."""
FORGETS = 0.5
"""Of the slowest row's seconds, what is left after each further request."""


class Pace:
    """How long a model takes for a row."""

    __slots__ = ("_each",)

    def __init__(self) -> None:
        self._each = 1.0  # slow, until it has shown otherwise: that takes about ten requests

    def took(self, rows: int, seconds: float) -> None:
        """It was asked so many rows, and took so long."""
        self._each = max(seconds / max(rows, 1), self._each * FORGETS)

    def quick(self, rows: int) -> bool:
        """Whether so many rows take no longer than `QUICK`, as far as can be told: that they take it in proportion,
        and no row more than the slowest of late, or the half of one before."""
        return self._each * max(rows, 1) <= QUICK
