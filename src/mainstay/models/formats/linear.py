"""scikit-learn's linear models: one matrix product in double precision, then the model's link."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores

_PROBABILITIES = ("LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis")
_LINKS = ("IdentityLink", "LogLink")


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted linear regressor or classifier."""
    coefficients = _dense(estimator)
    intercept = np.ravel(np.asarray(estimator.intercept_, dtype=np.float64))
    product = graph.add("MatMul", graph.double(features), graph.constant(coefficients.T))
    raw = graph.add("Add", product, graph.constant(intercept))
    if not hasattr(estimator, "classes_"):
        if len(coefficients) != 1:
            raise CannotExport(f"{type(estimator).__name__} has several targets: only one is exported.")
        return Scores(value=_linked(graph, raw, estimator))
    return _classified(graph, raw, estimator, binary=len(coefficients) == 1)


def _dense(estimator: Any) -> Any:
    found = estimator.coef_
    found = found.toarray() if hasattr(found, "toarray") else np.asarray(found)  # after sparsify()
    return np.atleast_2d(found.astype(np.float64))


def _linked(graph: Graph, raw: str, estimator: Any) -> str:
    loss = getattr(estimator, "_base_loss", None)  # the generalised linear models only
    link = "IdentityLink" if loss is None else type(loss.link).__name__
    if link not in _LINKS:
        raise CannotExport(f"{type(estimator).__name__} has a link function that is not known.")
    return graph.add("Exp", raw) if link == "LogLink" else raw


def _classified(graph: Graph, raw: str, estimator: Any, *, binary: bool) -> Scores:
    name = type(estimator).__name__
    loss = estimator.loss if name == "SGDClassifier" else None
    if name in _PROBABILITIES:
        probabilities = links.binary(graph, links.sigmoid(graph, raw)) if binary else links.softmax(graph, raw)
        return Scores(probabilities=probabilities, raw=raw)
    if loss == "log_loss":
        positive = links.sigmoid(graph, raw)
        probabilities = links.binary(graph, positive) if binary else links.shares(graph, positive)
        return Scores(probabilities=probabilities, raw=raw, label=_label(graph, raw, binary=binary))
    if loss == "modified_huber":
        within = graph.add("Clip", raw, graph.constant(-1.0), graph.constant(1.0))
        positive = graph.add("Div", graph.add("Add", within, graph.constant(1.0)), graph.constant(2.0))
        probabilities = links.binary(graph, positive) if binary else links.shares(graph, positive)
        return Scores(probabilities=probabilities, raw=raw, label=_label(graph, raw, binary=binary))
    return Scores(raw=raw, label=_label(graph, raw, binary=binary))


def _label(graph: Graph, raw: str, *, binary: bool) -> str:
    return links.above(graph, raw) if binary else links.most(graph, raw)
