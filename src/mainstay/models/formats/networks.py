"""scikit-learn's multi-layer perceptrons, in double precision."""

from __future__ import annotations

from typing import Any

from mainstay.models.formats import links
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores

_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted MLPClassifier or MLPRegressor."""
    x = graph.double(features)
    last = len(estimator.coefs_) - 1
    for layer, (weights, offsets) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        x = graph.add("Add", graph.add("MatMul", x, graph.constant(weights)), graph.constant(offsets))
        if layer < last and estimator.activation != "identity":
            x = graph.add(_ACTIVATIONS[estimator.activation], x)
    if not hasattr(estimator, "classes_"):
        if estimator.n_outputs_ != 1:
            raise CannotExport("MLPRegressor has several targets: only one is exported.")
        return Scores(value=_finished(graph, x, estimator))
    if estimator.out_activation_ == "softmax":
        return Scores(probabilities=links.softmax(graph, x))
    if estimator.n_outputs_ != 1:
        raise CannotExport("MLPClassifier has several targets: only one is exported.")
    return Scores(probabilities=links.binary(graph, links.sigmoid(graph, x)))


def _finished(graph: Graph, x: str, estimator: Any) -> str:
    if estimator.out_activation_ == "identity":
        return x
    if estimator.loss == "poisson":
        return graph.add("Exp", x)
    raise CannotExport(f"MLPRegressor ends in {estimator.out_activation_!r}, which is not known.")
