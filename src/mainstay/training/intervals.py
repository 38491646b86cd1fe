"""Bootstrap intervals: how far a metric would move with other rows of the same kind.

Rows are drawn with replacement; a draw is a weight a row (how often it was drawn), so that each metric is computed
for many draws at once from one sort. Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13
(percentile intervals).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.models.signature import Floats
from mainstay.training.metrics import (
    CALIBRATION_BINS,
    PROPORTIONS,
    Measured,
    Scored,
    calibration_bins,
    measure,
    row_losses,
)

LEVEL = 0.95
MOST, LEAST = 1000, 200
"""Draws for few and for many rows."""
MANY = 50_000
"""Beyond so many rows intervals are narrow, and half of `LEAST` draws will do."""
WORK = 10_000_000
"""Rows times draws (times classes, where each is ranked) that one evaluation may cost: about a second."""
BLOCK = 2_000_000
"""Weights held in memory at a time."""
CALIBRATION = "expected_calibration_error"
Z = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A metric with its interval."""

    value: float
    low: float | None = None
    """None where too few draws define the metric."""
    high: float | None = None
    level: float = LEVEL
    error: float | None = None
    """Standard error: the standard deviation over the draws."""
    method: str = "bootstrap"
    """Or "wilson", for a share of rows where every draw gives the same (such as 12 of 12); or "recentred bootstrap",
    for the calibration error."""


def estimates(rows: Scored, measured: Measured, *, seed: int, most: int = MOST) -> dict[str, Estimate]:
    """Each defined metric with its interval.

    Args:
        rows: the rows that were measured.
        measured: what `measure` gave for them.
        seed: of the draws.
        most: draws at most, however few rows there are.
    """
    if not measured.values:
        return {}
    draws = _drawn(_sorted(rows), seed=seed, most=most)
    return {name: _estimate(name, value, draws[name], rows) for name, value in measured.values.items()}


class Pairing:
    """One model's rows, against which the answers of others for the same rows are held on the same draws."""

    def __init__(self, rows: Scored, *, seed: int, most: int = MOST) -> None:
        """`most` draws at most are made, by `seed`."""
        self.values = measure(rows).values
        """The metrics that its rows define."""
        self._seed, self._most = seed, most
        self._draws = _drawn(rows, seed=seed, most=most) if self.values else {}

    def against(self, other: Scored) -> tuple[dict[str, float], dict[str, Estimate]]:
        """The other's metrics; and, of those that both define, how much more they are than this model's."""
        values = measure(other).values
        both = [name for name in self.values if name in values]
        if not both:
            return values, {}
        draws = _drawn(other, seed=self._seed, most=self._most)
        return values, {
            name: _interval(values[name] - self.values[name], draws[name] - self._draws[name]) for name in both
        }


def paired(a: Scored, b: Scored, *, seed: int, most: int = MOST) -> dict[str, Estimate]:
    """How much each metric differs, `b` minus `a`, on the same rows: both are measured on the same draws.

    Args:
        a: the rows with the answers of one model.
        b: the same rows with the answers of the other.
        seed: of the draws.
        most: draws at most.
    """
    return Pairing(a, seed=seed, most=most).against(b)[1]


def _sorted(rows: Scored) -> Scored:
    """The rows in the order of their scores: a draw need not be put in order for a ranking, which costs most."""
    if rows.task != "binary" or rows.probabilities is None:
        return rows
    return rows.rows(np.argsort(-rows.scores, kind="stable"))


def draw_count(rows: Scored, most: int = MOST) -> int:
    """How many draws are made for these rows."""
    each = max(1, len(rows)) * (rows.classes if rows.task == "multiclass" else 1)
    least = LEAST if len(rows) <= MANY else LEAST // 2
    return max(min(most, least), min(most, WORK // each))


def weights(n: int, draws: int, seed: int) -> Iterator[Floats]:
    """Blocks (b, n) of how often each row was drawn; in all `draws` of them, the same for the same seed."""
    rng = np.random.default_rng(seed)
    size = max(1, BLOCK // n)
    for start in range(0, draws, size):
        count = min(size, draws - start)
        yield np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(count)]).astype(np.float64)


def _drawn(rows: Scored, *, seed: int, most: int) -> dict[str, Floats]:
    blocks = [resampled(rows, block) for block in weights(len(rows), draw_count(rows, most), seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _estimate(name: str, value: float, draws: Floats, rows: Scored) -> Estimate:
    found = _interval(value, draws)
    if name == CALIBRATION:
        return _recentred(found, draws)
    if name in PROPORTIONS and found.low is not None and found.low == found.high:
        low, high = wilson(value, _chances(name, rows))
        return Estimate(value=value, low=low, high=high, error=found.error, method="wilson")
    return found


def _recentred(found: Estimate, draws: Floats) -> Estimate:
    """The interval of a mean of absolute gaps, moved back by what the draws add to it.

    A draw has its own noise on top of the rows' own, and no gap counts as negative, so all draws lie too high
    (Efron and Tibshirani 1993, section 10.2: the bootstrap's estimate of bias).
    """
    if found.low is None or found.high is None:
        return found
    added = float(np.median(draws[np.isfinite(draws)])) - found.value
    low, high = max(0.0, found.low - added), max(0.0, found.high - added)
    return msgspec.structs.replace(found, low=low, high=high, method="recentred bootstrap")


def _interval(value: float, draws: Floats) -> Estimate:
    defined = draws[np.isfinite(draws)]
    if len(defined) < max(20, len(draws) // 2):
        return Estimate(value=value)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high), error=float(defined.std(ddof=1)))


def wilson(share: float, chances: int) -> tuple[float, float]:
    """The 95 % interval of a share of `chances` rows. Wilson 1927, "Probable inference"."""
    spread = Z * Z / chances
    centre = (share + spread / 2) / (1 + spread)
    half = Z * np.sqrt(share * (1 - share) / chances + spread / (4 * chances)) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _chances(name: str, rows: Scored) -> int:
    if name == "recall":
        return int(rows.positives.sum())
    if name == "precision":
        return int(np.sum(rows.labels == rows.positive))
    return len(rows)


def resampled(rows: Scored, drawn: Floats) -> dict[str, Floats]:
    """Each metric for each draw, NaN where the draw does not define it.

    Args:
        rows: n rows.
        drawn: (draws, n), how often each row was drawn.

    Returns:
        By metric, (draws,). Metrics that need probabilities are absent where there are none.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if rows.task == "regression":
            return _regression(rows, drawn)
        matrix = _confusion(rows, drawn)
        return _binary(rows, drawn, matrix) if rows.task == "binary" else _multiclass(rows, drawn, matrix)


def _confusion(rows: Scored, drawn: Floats) -> Floats:
    """(draws, classes, classes): truth by answer."""
    assert rows.labels is not None
    cell = rows.truth.astype(np.int64) * rows.classes + rows.labels
    counts = [np.bincount(cell, weights=draw, minlength=rows.classes**2) for draw in drawn]
    return np.stack(counts).astype(np.float64).reshape(len(drawn), rows.classes, rows.classes)


def _binary(rows: Scored, drawn: Floats, matrix: Floats) -> dict[str, Floats]:
    yes, no = rows.positive, 1 - rows.positive
    tp, fn, fp, tn = matrix[:, yes, yes], matrix[:, yes, no], matrix[:, no, yes], matrix[:, no, no]
    total = tp + fn + fp + tn
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    # Answers of one class only have no correlation with the truth: 0, as scikit-learn has it.
    both = (tp + fn > 0) & (tn + fp > 0)
    correlation = np.where(spread > 0, (tp * tn - fp * fn) / spread, np.where(both, 0.0, np.nan))
    found = {
        "accuracy": (tp + tn) / total,
        "balanced_accuracy": (tp / (tp + fn) + tn / (tn + fp)) / 2,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "mcc": correlation,
    }
    if rows.probabilities is None or not np.isfinite(rows.probabilities).all():
        return found
    truth, scores = rows.positives, rows.scores
    bins = calibration_bins(scores)
    gap = scores - truth
    gaps = np.stack([np.bincount(bins, weights=draw * gap, minlength=CALIBRATION_BINS) for draw in drawn])
    area, precision = ranked(truth, scores, drawn)
    return {
        **found,
        "roc_auc": area,
        "average_precision": precision,
        "log_loss": drawn @ row_losses(rows) / total,
        "brier": drawn @ (np.clip(scores, 0, 1) - truth) ** 2 / total,
        "expected_calibration_error": np.abs(gaps).sum(axis=1) / total,
    }


def ranked(truth: npt.NDArray[np.bool_], scores: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """ROC AUC and average precision of each draw, from one sort; rows with equal scores count as one step.

    Args:
        truth: (n,) whether a row is positive.
        scores: (n,).
        drawn: (draws, n) weights.

    Returns:
        Two arrays (draws,), NaN where a draw has no positive row (for the AUC: or no negative one).
    """
    if np.any(np.diff(scores) > 0):
        order = np.argsort(-scores, kind="stable")
        truth, scores, drawn = truth[order], scores[order], drawn[:, order]
    steps = np.flatnonzero(np.r_[True, np.diff(scores) != 0])
    if len(steps) == len(scores):
        yes = drawn * truth
        no = drawn - yes
    else:
        yes = np.add.reduceat(drawn * truth, steps, axis=1)
        no = np.add.reduceat(drawn, steps, axis=1) - yes
    hits, alarms = np.cumsum(yes, axis=1), np.cumsum(no, axis=1)
    positives, negatives = hits[:, -1], alarms[:, -1]
    area = (yes * (negatives[:, None] - alarms + no / 2)).sum(axis=1) / (positives * negatives)
    reached = hits + alarms
    share = np.divide(hits, reached, out=np.zeros_like(hits), where=reached > 0)
    return area, (yes * share).sum(axis=1) / positives


def _multiclass(rows: Scored, drawn: Floats, matrix: Floats) -> dict[str, Floats]:
    hits = np.diagonal(matrix, axis1=1, axis2=2)
    true, said = matrix.sum(axis=2), matrix.sum(axis=1)
    total = true.sum(axis=1)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    precision = np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)
    f1 = np.divide(2 * hits, true + said, out=np.zeros_like(hits), where=true + said > 0)
    present, seen = true > 0, (true + said) > 0
    several = present.sum(axis=1) > 1
    found = {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": np.where(several, recall.sum(axis=1) / present.sum(axis=1), np.nan),
        "f1_macro": f1.sum(axis=1) / seen.sum(axis=1),
        "f1_weighted": (f1 * true).sum(axis=1) / total,
        "precision_macro": precision.sum(axis=1) / seen.sum(axis=1),
        "recall_macro": recall.sum(axis=1) / seen.sum(axis=1),
    }
    if rows.probabilities is None or not np.isfinite(rows.probabilities).all():
        return found
    areas = [
        ranked(rows.truth == label, rows.probabilities[:, label], drawn)[0] if present[:, label].any() else None
        for label in range(rows.classes)
    ]
    kept = np.stack([area for area in areas if area is not None])
    known = np.isfinite(kept)
    found["roc_auc"] = np.where(known, kept, 0).sum(axis=0) / known.sum(axis=0)
    found["log_loss"] = drawn @ row_losses(rows) / total
    return found


def _regression(rows: Scored, drawn: Floats) -> dict[str, Floats]:
    assert rows.values is not None
    total = drawn.sum(axis=1)
    miss = np.abs(rows.values - rows.truth)
    squares = drawn @ miss**2
    # Centred first: the difference of two large sums would lose its digits.
    centred = rows.truth - rows.truth.mean()
    variation = drawn @ centred**2 - (drawn @ centred) ** 2 / total
    variation = np.where(variation > 1e-12 * (drawn @ centred**2), variation, np.nan)
    return {
        "rmse": np.sqrt(squares / total),
        "mae": drawn @ miss / total,
        "r2": 1 - squares / variation,
        "median_absolute_error": _weighted_median(miss, drawn),
        "mape": drawn @ (miss / np.maximum(np.abs(rows.truth), np.finfo(np.float64).eps)) / total,
    }


def _weighted_median(values: Floats, drawn: Floats) -> Floats:
    """The median of each draw (draws,): the mean of the two middle values where their number is even."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(drawn[:, order], axis=1)
    half = reached[:, -1:] / 2
    low = (reached >= half).argmax(axis=1)
    high = (reached > half).argmax(axis=1)
    return np.asarray((values[order][low] + values[order][high]) / 2)
