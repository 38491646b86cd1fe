"""Calibrators of scikit-learn's CalibratedClassifierCV: sigmoid, isotonic, temperature."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.graph import CannotExport, Graph, Scores

_EPSILON = 1e-12
"""Added to a probability before its logarithm, as in sklearn.calibration._convert_to_logits."""


def calibrated(graph: Graph, scores: Scores, pair: Any, classes: int) -> str:
    """The probabilities (n, classes) of one fitted estimator and its calibrators.

    Args:
        graph: where to.
        scores: those of the estimator.
        pair: the element of `calibrated_classifiers_`.
        classes: how many.
    """
    shown = scores.raw if hasattr(pair.estimator, "decision_function") else scores.probabilities
    if shown is None:
        raise CannotExport(f"{type(pair.estimator).__name__} gives no scores that could be calibrated.")
    if pair.method == "temperature":
        logits = _logits(graph, shown, is_raw=scores.raw == shown, classes=classes)
        return links.softmax(graph, links.times(graph, logits, float(pair.calibrators[0].beta_)))
    if classes == 2:
        positive = shown if scores.raw == shown else _column(graph, shown, 1)
        return links.binary(graph, _one(graph, positive, pair.calibrators[0]))
    columns = [_one(graph, _column(graph, shown, index), each) for index, each in enumerate(pair.calibrators)]
    return links.shares(graph, graph.add("Concat", *columns, axis=1))


def _column(graph: Graph, tensor: str, index: int) -> str:
    return graph.add("Gather", tensor, graph.constant([index], np.int64), axis=1)


def _logits(graph: Graph, shown: str, *, is_raw: bool, classes: int) -> str:
    if not is_raw:
        return graph.add("Log", graph.add("Add", shown, graph.constant(_EPSILON)))
    return graph.add("Concat", graph.add("Neg", shown), shown, axis=1) if classes == 2 else shown


def _one(graph: Graph, score: str, calibrator: Any) -> str:
    name = type(calibrator).__name__
    if name == "_SigmoidCalibration":
        line = graph.add("Add", links.times(graph, score, float(calibrator.a_)), graph.constant(calibrator.b_))
        return graph.add("Sigmoid", graph.add("Neg", line))
    if name == "IsotonicRegression":
        return _interpolated(graph, score, calibrator)
    raise CannotExport(f"The calibrator {name} is not known.")


def _interpolated(graph: Graph, score: str, calibrator: Any) -> str:
    """Linear interpolation between the calibrator's points, held at both ends."""
    x = np.asarray(calibrator.X_thresholds_, dtype=np.float64)
    y = np.asarray(calibrator.y_thresholds_, dtype=np.float64)
    if len(x) == 1:
        return graph.add("Add", graph.add("Mul", score, graph.constant(0.0)), graph.constant(y[0]))
    held = graph.add("Clip", score, graph.constant(x[0]), graph.constant(x[-1]))
    # The interval of each score: how many of the inner points lie at or below it.
    below = graph.cast(graph.add("GreaterOrEqual", held, graph.constant(x[1:-1].reshape(1, -1))), "int64")
    interval = graph.add("ReduceSum", below, graph.constant([1], np.int64), keepdims=1)
    at, start, slope = (
        graph.add("Gather", graph.constant(values), interval, axis=0)
        for values in (x[:-1], y[:-1], np.diff(y) / np.diff(x))
    )
    return graph.add("Add", graph.add("Mul", graph.add("Sub", held, at), slope), start)
