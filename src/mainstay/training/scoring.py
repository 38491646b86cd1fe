"""How good predictions are, as one number that the search makes larger: a loss counts as its negative."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.answers import Answers
from mainstay.models.signature import Floats, Task
from mainstay.training import metrics

Target = npt.NDArray[np.int64] | Floats
"""Label indices or values of n rows."""


class UnknownMetric(MainstayError):
    """The project file names a metric that there is not, or not for its task."""


def metric_for(name: str | None, task: Task) -> str:
    """The metric that a search goes by: the one named, or else the task's own.

    Raises:
        UnknownMetric: there is none of that name for the task.
    """
    known = metrics.METRICS[task]
    if name is None:
        return metrics.PRIMARY[task]
    if name not in known:
        raise UnknownMetric(
            f"[search] metric = {name!r} is no metric of a {task} task.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}."
        )
    return name


def score(metric: str, y: Target, predicted: Floats, *, task: Task, positive: int = 1) -> float:
    """The metric, negative for a loss, so that more is better; NaN where it is not defined.

    Args:
        metric: a name that `metric_for` gave.
        y: label indices, int64, or values, float64, of shape (n,).
        predicted: probabilities of shape (n, labels), or values of shape (n,).
        task: what the model does.
        positive: index of the positive label of a binary task.
    """
    if task == "regression":
        rows = metrics.scored(Answers(values=predicted), y, task=task)
    else:
        answers = Answers(probabilities=predicted)
        rows = metrics.scored(answers, y, task=task, classes=predicted.shape[1], positive=positive)
    value = metrics.measure(rows).values.get(metric, math.nan)
    return -value if metric in metrics.LOWER_IS_BETTER else value


def error(metric: str, scored: float) -> float:
    """How far a score of `score` is from a perfect model's: 0 is perfect."""
    return -scored if metric in metrics.LOWER_IS_BETTER else 1.0 - scored
