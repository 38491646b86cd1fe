"""Curves and counts for plots: aggregates of the evaluated rows, never the rows themselves."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from mainstay.models.signature import Floats
from mainstay.training.metrics import CALIBRATION_BINS, Scored, calibration_bins

POINTS = 160
"""Points of a curve at most."""
SCORE_BINS = 40
GRID = 32
"""Cells to each side of the grid of predicted against true values."""


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """How one class is ranked: points (x, y) from left to right."""

    label: str
    roc: list[tuple[float, float]]
    """False positive rate, true positive rate."""
    pr: list[tuple[float, float]]
    """Recall, precision."""
    share: float
    """Of the rows that are of this class: the precision of chance."""


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Rows whose stated probability of the positive class falls into one bin."""

    stated: float
    """Mean of their probabilities."""
    observed: float
    """Share that is of the positive class."""
    rows: int


class ScoreCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of each class got which probability of the positive class; bins are equal, from 0 to 1."""

    positive: list[int]
    negative: list[int]


class ValueGrid(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of rows over true and predicted values, and over residuals."""

    edges: list[float]
    """Of both sides: GRID + 1 bounds."""
    counts: list[list[int]]
    """By true value, then by predicted value."""
    outside: int
    """Rows beyond the edges, which hold the middle 99.8 %."""
    residual_edges: list[float]
    residual_counts: list[int]


def curves(rows: Scored, labels: list[str]) -> list[Curve]:
    """ROC and precision-recall curves: of the positive class, or of each class against the rest.

    Classes without a row, or without a row of another class, have no curve. Of more than eight classes, the eight
    with most rows have one.
    """
    assert rows.probabilities is not None
    if rows.task == "binary":
        chosen = [rows.positive]
    else:
        counts = np.bincount(rows.truth.astype(np.int64), minlength=rows.classes)
        chosen = sorted(int(label) for label in np.argsort(-counts, kind="stable")[:8])
    found = []
    for label in chosen:
        truth = rows.truth == label
        if truth.any() and not truth.all():
            scores = rows.probabilities[:, label]
            fpr, tpr, _ = sk.roc_curve(truth, scores)
            precision, recall, _ = sk.precision_recall_curve(truth, scores)
            found.append(
                Curve(
                    label=labels[label],
                    roc=thinned(fpr, tpr),
                    pr=thinned(recall[::-1], precision[::-1]),
                    share=float(truth.mean()),
                )
            )
    return found


def thinned(x: Floats, y: Floats, points: int = POINTS) -> list[tuple[float, float]]:
    """At most `points` of a curve, both ends among them, equally far apart along its length."""
    if len(x) > points:
        along = np.r_[0, np.cumsum(np.hypot(np.diff(x), np.diff(y)))]
        wanted = np.linspace(0, along[-1], points)
        chosen = np.unique(np.r_[0, np.searchsorted(along, wanted).clip(0, len(x) - 1), len(x) - 1])
        x, y = x[chosen], y[chosen]
    return [(round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True)]


def calibration(rows: Scored) -> list[CalibrationBin]:
    """Stated against observed, for the bins of probability that hold a row."""
    scores, truth = rows.scores, rows.positives
    bins = calibration_bins(scores)
    return [
        CalibrationBin(
            stated=float(scores[bins == index].mean()),
            observed=float(truth[bins == index].mean()),
            rows=int((bins == index).sum()),
        )
        for index in range(CALIBRATION_BINS)
        if (bins == index).any()
    ]


def score_counts(rows: Scored) -> ScoreCounts:
    """How the probabilities of the positive class are spread, by true class."""

    def counted(scores: Floats) -> list[int]:
        return [int(count) for count in np.histogram(scores.clip(0, 1), bins=SCORE_BINS, range=(0, 1))[0]]

    return ScoreCounts(positive=counted(rows.scores[rows.positives]), negative=counted(rows.scores[~rows.positives]))


def confusion(rows: Scored) -> list[list[int]]:
    """Counts by true label, then by answered label."""
    matrix = sk.confusion_matrix(rows.truth, rows.labels, labels=np.arange(rows.classes))
    return [[int(count) for count in row] for row in matrix]


def value_grid(rows: Scored) -> ValueGrid:
    """Predicted against true values, counted over a grid that holds the middle 99.8 % of both."""
    truth, values = np.asarray(rows.truth, dtype=np.float64), rows.values
    assert values is not None
    low, high = _middle(np.r_[truth, values])
    edges = np.linspace(low, high, GRID + 1)
    counts, _, _ = np.histogram2d(truth, values, bins=(edges, edges))
    residuals = values - truth
    r_low, r_high = _middle(residuals)
    bound = max(abs(r_low), abs(r_high))
    r_counts, r_edges = np.histogram(residuals, bins=SCORE_BINS + 1, range=(-bound, bound))
    return ValueGrid(
        edges=edges.tolist(),
        counts=[[int(count) for count in row] for row in counts],
        outside=len(truth) - int(counts.sum()),
        residual_edges=r_edges.tolist(),
        residual_counts=[int(count) for count in r_counts],
    )


def _middle(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = (float(bound) for bound in np.quantile(values, [0.001, 0.999]))
    if low == high:
        margin = max(1.0, abs(low)) / 2
        return low - margin, high + margin
    return low, high
