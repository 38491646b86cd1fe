"""What a smaller model costs: the loss on rows that its model never saw, and when it can be borne."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.signature import Task
from mainstay.training.intervals import Pairing
from mainstay.training.metrics import LOWER_IS_BETTER, METRICS, PRIMARY, Scored, measure

MAX_LOSS = 0.005
"""Half a point of a score; half a percent of an error."""
CHOOSING = {"prune_trees": 0.5, "quantize": 0.75, "float16": 0.75}
"""What is chosen on one half of the rows may use this share of the loss, with all before it: the other half has to
agree, and pruning, which goes as far as it may, leaves something for the others."""
QUICK = 200
"""Bootstrap draws while choosing."""
RULE = (
    "A loss holds where the upper end of its 95 % interval (bootstrap, both models on the same draws) is at most the "
    "loss that is allowed."
)
_UNBOUNDED = frozenset({"log_loss", "rmse", "mae", "median_absolute_error", "mape"})
_WITHOUT_SCORES = "balanced_accuracy"

Unit = Literal["absolute", "relative"]


class UnknownMeasure(MainstayError):
    """A loss cannot be stated in this metric."""


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """How much worse one model is than another on the same rows; negative where it is better."""

    metric: str
    unit: Unit
    """Of `value`, `low` and `high`: in the metric's own units, or as a share of `before`."""
    rows: int
    before: float
    after: float
    value: float
    low: float | None
    high: float | None
    """Of the interval; None where the rows are too few for one."""

    def holds(self, allowed: float) -> bool:
        """Whether the loss is at most what is allowed, as `RULE` says."""
        return self.high is not None and self.high <= allowed

    def told(self) -> str:
        """The loss, as part of a sentence."""
        interval = "without an interval" if self.high is None else f"{self.low:.2g} to {self.high:.2g}"
        share = "" if self.unit == "absolute" else " of what it was"
        return (
            f"{self.metric} goes from {self.before:.4g} to {self.after:.4g} on {self.rows} rows, a loss of "
            f"{self.value:.2g}{share} ({interval})"
        )


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """A model file, and how long one row takes."""

    bytes: int
    microseconds: float
    """The median of the graph alone for one row, on one thread; the two models took turns in one process."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A technique, and what became of it."""

    technique: str
    kept: bool
    reason: str
    """What it did; or why it is not kept."""
    bytes: int | None = None
    """Of the model file with it; None where it does not apply."""
    loss: Loss | None = None
    """With it, on the rows that were chosen by."""


class Compression(msgspec.Struct, frozen=True, kw_only=True):
    """The compression document of a package."""

    source: str
    """The version that was made smaller."""
    content_id: str
    kept: tuple[str, ...]
    max_loss: float
    rule: str = RULE
    chosen_on: int
    """Rows that techniques and trees were chosen by; 0 where nothing was to be chosen. No figure is stated on them."""
    loss: Loss
    before: Size
    after: Size
    labels_changed: int | None
    """Rows, of those that the loss is stated on, whose label changes; None for a regression."""
    tried: tuple[Tried, ...]


def metric_of(task: Task, rows: Scored, asked: str | None = None) -> str:
    """The metric that a loss is stated in: the one that is asked for, else the task's primary one.

    Raises:
        UnknownMeasure: it is none of the task, or these rows do not define it.
    """
    name = asked or PRIMARY[task]
    if name not in METRICS[task]:
        known = METRICS[task]
        raise UnknownMeasure(
            f"{name!r} is no metric of a {task} task.{did_you_mean(name, known)} Known: {', '.join(known)}."
        )
    measured = measure(rows)
    if asked is None and name not in measured.values and rows.probabilities is None and task != "regression":
        name = _WITHOUT_SCORES
    if name not in measured.values:
        raise UnknownMeasure(f"{name} is not defined on these {len(rows)} rows: {measured.undefined[name]}.")
    return name


def loss_of(before: Pairing, after: Scored, metric: str) -> Loss:
    """How much worse a model is than the one before, on the same rows.

    Metrics between 0 and 1 lose in their own units; errors and log loss, which have no upper end, as a share of what
    they were.

    Args:
        before: the rows with the answers of the model before.
        after: the same rows with those of the other.
        metric: that `metric_of` gave for the rows.
    """
    values, differences = before.against(after)
    one, other, found = before.values[metric], values.get(metric, math.inf), differences.get(metric)
    unit: Unit = "relative" if metric in _UNBOUNDED else "absolute"
    size = abs(one) if unit == "relative" else 1.0
    known: dict[str, Any] = {"metric": metric, "unit": unit, "rows": len(after), "before": one, "after": other}
    if found is None or (size == 0 and other != one):
        # Not measured; or worse than a model without any error, which is no share of anything.
        return Loss(**known, value=math.inf, low=None, high=None)
    sign, size = (1.0 if metric in LOWER_IS_BETTER else -1.0), size or 1.0
    # Zero is added so that no loss is never told as -0.
    ends = sorted(sign * end / size + 0.0 for end in (found.low, found.high) if end is not None)
    low, high = (ends[0], ends[-1]) if ends else (None, None)
    return Loss(**known, value=sign * found.value / size + 0.0, low=low, high=high)
