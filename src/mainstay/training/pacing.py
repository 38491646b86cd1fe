"""How long things take, and whether there is time for them. Asked only where a search goes by the clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from mainstay.training.candidates.base import Family, Params
from mainstay.training.features import Recipe

MARGIN = 1.25
"""Times are taken to be this much longer than measured ones."""
LARGEST_SHARE = 0.4
"""A family whose first trial would take more than this share of the whole budget is left out."""
PROBE_FROM = 1500
"""Training rows from which a family is first timed on a few of them."""


@dataclass
class Costs:
    """What was measured: seconds of a fit on one fold for a family's unit of effort, and of making features."""

    per_effort: dict[str, float] = field(default_factory=dict)
    encoding: dict[Recipe, float] = field(default_factory=dict)

    def record(self, family: str, effort: float, recipe: Recipe, *, fit: float, encode: float) -> None:
        """Keeps a mean in which later times count more, since a busy machine is not busy for ever."""
        found = fit / effort
        self.per_effort[family] = (self.per_effort.get(family, found) + found) / 2
        self.encoding[recipe] = max(self.encoding.get(recipe, 0.0), encode)

    def known(self, family: str) -> bool:
        return family in self.per_effort

    def fit(self, family: Family, params: Params) -> float:
        """Seconds that a fit on one fold will take."""
        return self.per_effort[family.name] * family.effort(params)

    def encode(self, recipe: Recipe) -> float:
        """Seconds to make the features of one fold."""
        return self.encoding.get(recipe, max(self.encoding.values(), default=0.0))


def extrapolate(small: tuple[int, float], large: tuple[int, float], *, rows: int, growth: float) -> float:
    """Seconds for `rows` rows from two measured fits, each (rows, seconds).

    A line through both for what grows with the rows; from the larger alone, by the power `growth`, for what grows
    faster.
    """
    (n, t), (m, u) = small, large
    if growth >= 1.5:
        return u * float((rows / m) ** growth)
    slope = max(0.0, u - t) / (m - n)
    return float(max(u, u + slope * (rows - m)))


def shortage(needed: float, *, left: float, reserve: float) -> str | None:
    """Why there is no time for what needs `needed` seconds, or None.

    Args:
        needed: as measured or extrapolated, with the fit on all rows that would follow.
        left: seconds until the budget ends.
        reserve: seconds that the present best's own fit on all rows needs.
    """
    wanted = MARGIN * max(needed, reserve)
    if wanted <= left:
        return None
    return f"about {wanted:.1f} s more are needed, and {max(0.0, left):.1f} s are left"
