"""What to do where one class is rarer than the others: weigh its rows more, or draw them more often.

Only ever on the rows that an estimator is fitted on; rows that it is scored on stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mainstay.models.signature import Floats

Way = Literal["none", "class_weight", "resample"]


@dataclass(frozen=True)
class Balanced:
    """Positions of the rows to fit on, and a weight for each; None is all rows, or equal weights."""

    rows: npt.NDArray[np.intp] | None = None
    weights: Floats | None = None


def balance(y: npt.NDArray[np.int64], way: Way, *, seed: int) -> Balanced:
    """How the rows of label indices `y`, of shape (n,), are to be fitted."""
    if way == "class_weight":
        return Balanced(weights=balanced_weights(y))
    if way == "resample":
        return Balanced(rows=oversampled(y, seed=seed))
    return Balanced()


def balanced_weights(y: npt.NDArray[np.int64]) -> Floats:
    """n / (classes * rows of the class) for each row: scikit-learn's class_weight="balanced". Their mean is 1."""
    counts = np.bincount(y)
    present = int(np.count_nonzero(counts))
    weights: Floats = len(y) / (present * counts[y].astype(np.float64))
    return weights


def oversampled(y: npt.NDArray[np.int64], *, seed: int) -> npt.NDArray[np.intp]:
    """Positions of all rows, and after them further draws from each smaller class until all are equally large."""
    generator = np.random.default_rng(seed)
    counts = np.bincount(y)
    drawn = [np.arange(len(y), dtype=np.intp)]
    for label in np.flatnonzero(counts):
        members = np.flatnonzero(y == label)
        drawn.append(generator.choice(members, size=int(counts.max()) - len(members), replace=True))
    return np.concatenate(drawn).astype(np.intp)
