"""The reference profile: what a model's inputs and answers looked like in training, as counts.

It holds no rows, no free text and no identifiers: numbers are counted in bins, categories by the signature's own
list, texts by their length. The live profile is counted into the same bins while serving.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells, Column, ColumnType, Floats, Signature
from mainstay.models.tensors import Array

BINS = 20
ROWS_A_BIN = 20
"""Fewer rows make wider bins: an edge between few rows would tell their values."""
LENGTHS = (0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0)
"""Lower ends of the bins of a text's length, in characters."""
SHARES = tuple(step / BINS for step in range(1, BINS))


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Counts between edges: len(counts) = len(edges) + 1; bin i holds edges[i-1] <= value < edges[i]."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def position(self, values: Floats) -> npt.NDArray[np.intp]:
        """The bin of each value, for values without NaN."""
        return np.searchsorted(np.array(self.edges, dtype=np.float64), values, side="right")


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input column."""

    name: str
    type: ColumnType
    missing: int = 0
    histogram: Histogram | None = None
    """Of numbers and date-times (seconds since 1970 UTC) by quantile; of texts by length."""
    mean: float | None = None
    deviation: float | None = None
    """Of numbers: the standard deviation, over the rows."""
    categories: tuple[int, ...] = ()
    """A count for each category of the signature, or for false and true."""
    unseen: int = 0


class TensorProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One tensor: of each row, the mean of its numbers, or the length of its texts or bytes together."""

    name: str
    histogram: Histogram
    mean: float | None = None
    deviation: float | None = None


class PredictionProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the model answered for the reference rows."""

    labels: tuple[int, ...] = ()
    """A count for each label."""
    probabilities: tuple[Histogram, ...] = ()
    """For each label, its probability in bins of equal width."""
    values: Histogram | None = None
    mean: float | None = None
    deviation: float | None = None
    outputs: tuple[TensorProfile, ...] = ()
    """Of a general model."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reference profile of a package."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    predictions: PredictionProfile
    tensors: tuple[TensorProfile, ...] = ()


def profile_of(cells: Cells, signature: Signature, answers: Answers) -> Profile:
    """The profile of reference rows and of a model's answers for them."""
    return Profile(
        rows=len(cells),
        columns=tuple(_column(cells, index, column) for index, column in enumerate(signature.inputs)),
        predictions=_predictions(answers, len(signature.labels)),
        tensors=tuple(_tensor(tensor.name, cells.tensors[tensor.name]) for tensor in signature.tensors),
    )


def quantile_histogram(values: Floats) -> Histogram:
    """Counts of finite values in bins that hold about the same number each, at least ROWS_A_BIN of them."""
    bins = max(1, min(BINS, len(values) // ROWS_A_BIN))
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins)) if bins > 1 else np.empty(0)
    return _counted(tuple(edges.tolist()), values)


def _column(cells: Cells, index: int, column: Column) -> ColumnProfile:
    if column.type == "text":
        texts = cells.texts[index]
        lengths = np.array([len(text) for text in texts if text is not None], dtype=np.float64)
        return ColumnProfile(
            name=column.name,
            type=column.type,
            missing=len(texts) - len(lengths),
            histogram=_counted(LENGTHS[1:], lengths),
        )
    numbers = cells.numbers[:, index]
    present = numbers[~np.isnan(numbers)]
    missing = len(numbers) - len(present)
    if column.type in ("category", "boolean"):
        size = len(column.categories) if column.type == "category" else 2
        known = present[present >= 0].astype(np.intp)
        return ColumnProfile(
            name=column.name,
            type=column.type,
            missing=missing,
            categories=tuple(np.bincount(known, minlength=size).tolist()),
            unseen=len(present) - len(known),
        )
    mean, deviation = _moments(present)
    return ColumnProfile(
        name=column.name,
        type=column.type,
        missing=missing,
        histogram=quantile_histogram(present),
        mean=mean,
        deviation=deviation,
    )


def _tensor(name: str, array: Array) -> TensorProfile:
    rows = array.reshape(len(array), -1) if array.size else array.reshape(len(array), 0)
    if array.dtype == object:
        each = np.array([sum(map(len, row)) for row in rows.tolist()], dtype=np.float64)
    else:
        each = rows.mean(axis=1, dtype=np.float64) if rows.shape[1] else np.empty(0)
    each = each[np.isfinite(each)]
    mean, deviation = _moments(each)
    return TensorProfile(name=name, histogram=quantile_histogram(each), mean=mean, deviation=deviation)


def _predictions(answers: Answers, labels: int) -> PredictionProfile:
    if answers.outputs is not None:
        return PredictionProfile(outputs=tuple(_tensor(name, array) for name, array in answers.outputs.items()))
    if answers.values is not None:
        finite = answers.values[np.isfinite(answers.values)]
        mean, deviation = _moments(finite)
        return PredictionProfile(values=quantile_histogram(finite), mean=mean, deviation=deviation)
    counts = () if answers.labels is None else tuple(np.bincount(answers.labels, minlength=labels).tolist())
    histograms: tuple[Histogram, ...] = ()
    if answers.probabilities is not None:
        histograms = tuple(_counted(SHARES, column) for column in answers.probabilities.T)
    return PredictionProfile(labels=counts, probabilities=histograms)


def _moments(values: Floats) -> tuple[float | None, float | None]:
    if not len(values):
        return None, None
    with np.errstate(over="ignore"):
        mean, deviation = float(np.mean(values)), float(np.std(values))
    return (mean if np.isfinite(mean) else None), (deviation if np.isfinite(deviation) else None)


def _counted(edges: tuple[float, ...], values: Floats) -> Histogram:
    empty = Histogram(edges=edges, counts=())
    counts = np.bincount(empty.position(values), minlength=len(edges) + 1)
    return Histogram(edges=edges, counts=tuple(counts.tolist()))
