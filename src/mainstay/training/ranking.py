"""Which trial is better, which is hopeless, and which families are worth more trials: by scores on folds alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mainstay.models.signature import Floats

PATIENCE, FIRST_PATIENCE = 0.5, 1.5
"""After k folds, a trial ends early where it is behind the best by more than PATIENCE + FIRST_PATIENCE / k standard
deviations of the best's folds."""
TUNED = 4
"""Families, at most, that are varied further; two at least."""
NEAR = 0.05
"""Only families whose defaults lack at most this share of the best's lead over the baseline are varied further."""


def surpasses(ours: Floats, best: Floats) -> bool:
    """Whether a trial is better than the best so far by more than one standard error of their difference.

    The maximum of many noisy scores is too good to be true; without a margin, the more trials, the more the winner owes
    to luck. (The margin of Breiman et al., Classification and Regression Trees, 1984, on paired folds.)

    Args:
        ours: scores on the folds, of shape (folds,); more is better, NaN where a fold defines none.
        best: those of the best so far.
    """
    difference = (ours - best)[np.isfinite(ours) & np.isfinite(best)]
    if len(difference) == 0:
        return False
    error = float(np.std(difference, ddof=1)) / len(difference) ** 0.5 if len(difference) > 1 else 0.0
    return float(np.mean(difference)) > error


def hopeless(ours: Floats, best: Floats) -> str | None:
    """Why a trial need not be scored on more folds, or None.

    Args:
        ours: scores on the first k folds.
        best: scores of the best so far on all folds.
    """
    theirs = best[: len(ours)]
    both = np.isfinite(theirs) & np.isfinite(ours)
    finite = best[np.isfinite(best)]
    if not both.any() or len(finite) < 2:
        return None
    behind = float(np.mean((theirs - ours)[both]))
    if behind <= (PATIENCE + FIRST_PATIENCE / len(ours)) * float(np.std(finite, ddof=1)):
        return None
    return f"behind the best by {behind:.3g} on the first {len(ours)} of {len(best)} folds"


def promising(scores: Sequence[float], baseline: float) -> list[int]:
    """Positions of the scores worth varying, the best first."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    if not order:
        return []
    best = scores[order[0]]
    floor = best - NEAR * max(0.0, best - baseline)
    return [i for place, i in enumerate(order[:TUNED]) if place < 2 or scores[i] >= floor]
