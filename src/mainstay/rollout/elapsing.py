"""How long a controller has looked after something, by a clock that only goes forward."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mainstay.rollout.decide import LONGEST_LOOK


@dataclass
class _Watch:
    at: float
    unnoted: float = 0.0


class Elapsing:
    """Seconds since the last note, by key. What is looked at first begins at 0: a successor does not guess."""

    def __init__(self) -> None:
        self._watches: dict[tuple[str, int], _Watch] = {}

    def keep(self, keys: Collection[tuple[str, int]]) -> None:
        """Forgets all others."""
        self._watches = {key: watch for key, watch in self._watches.items() if key in keys}

    def looked(self, key: tuple[str, int], at: float) -> float:
        """A look at a time; the seconds that were looked after since the last note."""
        watch = self._watches.setdefault(key, _Watch(at))
        watch.unnoted += min(max(at - watch.at, 0.0), LONGEST_LOOK)
        watch.at = at
        return watch.unnoted

    def noted(self, key: tuple[str, int]) -> None:
        """They are noted elsewhere, and begin at 0 again."""
        self._watches[key].unnoted = 0.0
