"""Test rows that a model was fitted on: known where the rows that it was fitted on are given too."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mainstay.errors import CheckFailed
from mainstay.models.signature import Cells

LEAST = 20
"""Fewer rows than this say nothing of a model."""
_SURE = 4.0
"""Standard deviations beyond which more test rows stand in X than chance would put there."""


@dataclass(frozen=True)
class Judged:
    """Which test rows a model is judged by."""

    rows: npt.NDArray[np.intp]
    """Their positions."""
    note: str = ""
    """What is to be told of the others; empty where there are none."""


def judged_by(fitted: Cells, test: Cells) -> Judged:
    """The test rows that are not among those that a model was fitted on.

    Equal rows belong on one side, as in the splits of a project. But where rows repeat by their nature (a few columns
    of a few values each), chance puts equal ones on both sides: as many as there are rows of X with an equal one in X.
    Then nothing says that they are the same, and what would be left are the rare ones alone: so all are kept, and told.

    Args:
        fitted: the rows of X, as the model sees them.
        test: those of X_test.

    Raises:
        CheckFailed: too few are left.
    """
    known = Counter(_keys(fitted))
    seen = np.array([key in known for key in _keys(test)], dtype=np.bool_)
    count, of = int(seen.sum()), len(test)
    if not count:
        return Judged(np.arange(of))
    repeated = sum(times for times in known.values() if times > 1) / len(fitted)
    if count <= of * repeated + _SURE * float(np.sqrt(of * repeated * (1 - repeated))):
        return Judged(
            np.arange(of),
            f"{count} of the {of} test rows equal a row of X, as {repeated:.0%} of the rows of X equal another one "
            "there: chance explains it, so they are kept.",
        )
    if of - count < LEAST:
        raise CheckFailed(
            f"{count} of the {of} rows of X_test stand in X, so the model was fitted on them, and of the {LEAST} that "
            f"are needed to judge by {of - count} are left: give rows that it was not fitted on, or leave X_test and "
            "y_test out."
        )
    return Judged(
        np.flatnonzero(~seen),
        f"{count} of the {of} rows of X_test stand in X, so the model was fitted on them: they are left out of the "
        "evaluation.",
    )


def _keys(cells: Cells) -> Sequence[bytes]:
    """A digest of each row, as the model sees it: equal rows have equal ones."""
    numbers = np.ascontiguousarray(np.where(np.isnan(cells.numbers), np.nan, cells.numbers) + 0.0)  # no negative zero
    texts = [cells.texts[index] for index in sorted(cells.texts)]
    arrays = [np.ascontiguousarray(cells.tensors[name]) for name in sorted(cells.tensors)]
    found = []
    for row in range(len(cells)):
        digest = hashlib.blake2b(numbers[row].tobytes(), digest_size=16)
        for column in texts:
            digest.update(repr(column[row]).encode("utf-8", "surrogatepass"))
        for array in arrays:
            part = array[row]
            digest.update(
                repr(part.tolist()).encode("utf-8", "surrogatepass") if part.dtype == object else part.tobytes()
            )
        found.append(digest.digest())
    return found
