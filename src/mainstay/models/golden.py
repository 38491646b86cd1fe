"""Golden predictions: synthetic rows and the answers that the native model gave for them.

They travel in the package and are replayed before a version answers anybody. No row is a person's: values are
drawn from the profile's ranges and categories, and from the estimator's own thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import CheckFailed
from mainstay.models.answers import Answers
from mainstay.models.tensors import Array, plain

TOLERANCE = 1e-5
"""|a - b| <= TOLERANCE * max(1, |b|), for every probability or value; labels are equal."""


class GoldenMismatch(CheckFailed):
    """A model does not give its golden predictions here: a changed library, machine or file."""


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by column name, and the native answers for them.

    Exactly one of `probabilities` (rows of one number a label), `values` (one number a row) and `outputs` (an array a
    name) is set, or none for a classifier without probabilities; `labels` are label indices for classifiers.
    """

    rows: list[dict[str, Any]]
    labels: list[int] | None = None
    probabilities: list[list[float]] | None = None
    values: list[float] | None = None
    outputs: dict[str, list[Any]] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], answers: Answers) -> Golden:
        """The golden predictions of rows, from the native model's answers for them."""
        return cls(
            rows=[dict(row) for row in rows],
            labels=None if answers.labels is None else answers.labels.tolist(),
            probabilities=None if answers.probabilities is None else answers.probabilities.tolist(),
            values=None if answers.values is None else answers.values.tolist(),
            outputs=msgspec.UNSET
            if answers.outputs is None
            else {name: plain(array) for name, array in answers.outputs.items()},
        )

    def check(self, answers: Answers) -> None:
        """Raises GoldenMismatch unless the answers are the golden ones, within the tolerance."""
        if self.probabilities is not None:
            _compare("probability", answers.probabilities, self.probabilities)
        if self.values is not None:
            _compare("value", answers.values, self.values)
        for name, expected in ({} if self.outputs is msgspec.UNSET else self.outputs).items():
            _compare_output(name, (answers.outputs or {}).get(name), expected)
        if self.labels is not None:
            found = None if answers.labels is None else answers.labels.tolist()
            if found != self.labels:
                raise GoldenMismatch("Golden predictions differ: a label is not the one that the native model gave.")


def close(found: Any, expected: Any) -> bool:
    """Whether every number is within the tolerance of the expected one, NaN equal to NaN only."""
    return largest_difference(found, expected) <= TOLERANCE


def largest_difference(found: Any, expected: Any) -> float:
    """max |a - b| / max(1, |b|) over arrays of one shape; infinite where shapes or missing values differ."""
    a, b = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0:
        return 0.0
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        difference = np.abs(a - b) / np.maximum(1.0, np.abs(b))
    worst = float(np.max(np.where(equal, 0.0, difference)))
    return float("inf") if np.isnan(worst) else worst


def _compare_output(name: str, found: Array | None, expected: list[Any]) -> None:
    if found is not None and found.dtype == object:
        if plain(found) != expected:
            raise GoldenMismatch(f"Golden predictions differ: the output {name!r} is not the native model's.")
        return
    _compare(f"number of the output {name!r}", found, expected)


def _compare(what: str, found: Any, expected: Any) -> None:
    if found is None or not close(found, expected):
        worst = float("inf") if found is None else largest_difference(found, expected)
        raise GoldenMismatch(
            f"Golden predictions differ: a {what} is {worst:.2g} away from the native model's, more than {TOLERANCE:g}."
        )
