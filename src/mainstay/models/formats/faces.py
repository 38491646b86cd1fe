"""What stands before a native booster, so that it is asked as every other estimator is."""

from __future__ import annotations

from typing import Any


class Face:
    """An estimator whose answers are those of the booster that it holds."""

    booster: Any


def behind(estimator: Any) -> Any:
    """The booster behind a face; every other estimator as it is."""
    return estimator.booster if isinstance(estimator, Face) else estimator
