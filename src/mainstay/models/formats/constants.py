"""Baselines that answer the same whatever the row."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted DummyClassifier or DummyRegressor."""
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise CannotExport(f"{type(estimator).__name__} has several targets: only one is exported.")
    row = np.zeros((1, features.width))
    if not hasattr(estimator, "classes_"):
        return Scores(value=_repeated(graph, features, estimator.predict(row).reshape(1, 1)))
    if estimator.strategy in ("stratified", "uniform"):
        raise CannotExport(f"A DummyClassifier with strategy={estimator.strategy!r} answers at random.")
    return Scores(probabilities=_repeated(graph, features, estimator.predict_proba(row).reshape(1, -1)))


def _repeated(graph: Graph, features: Features, row: Any) -> str:
    """The row (1, k), once for each row of the features."""
    rows = graph.add("Shape", features.name, end=1)
    shape = graph.add("Concat", rows, graph.constant([row.shape[1]], np.int64), axis=0)
    return graph.add("Expand", graph.constant(row), shape)
