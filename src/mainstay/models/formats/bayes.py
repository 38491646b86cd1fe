"""scikit-learn's naive Bayes classifiers: joint log likelihoods in double precision, then a softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.graph import Features, Graph, Scores


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted GaussianNB, MultinomialNB or BernoulliNB."""
    name = type(estimator).__name__
    x = graph.double(features)
    if name == "GaussianNB":
        joint = _gaussian(graph, x, estimator)
    elif name == "BernoulliNB":
        if estimator.binarize is not None:
            x = graph.cast(graph.add("Greater", x, graph.constant(estimator.binarize)), "float64")
        no = np.log(1 - np.exp(estimator.feature_log_prob_))
        start = estimator.class_log_prior_ + no.sum(axis=1)
        joint = _product(graph, x, estimator.feature_log_prob_ - no, start)
    else:
        joint = _product(graph, x, estimator.feature_log_prob_, estimator.class_log_prior_)
    return Scores(probabilities=links.softmax(graph, joint), label=links.most(graph, joint))


def _product(graph: Graph, x: str, weights: Any, start: Any) -> str:
    return graph.add("Add", graph.add("MatMul", x, graph.constant(weights.T)), graph.constant(start))


def _gaussian(graph: Graph, x: str, estimator: Any) -> str:
    # (n, 1, width) against (k, width): written out, since the expanded square loses digits far from 0.
    start = np.log(estimator.class_prior_) - 0.5 * np.sum(np.log(2.0 * np.pi * estimator.var_), axis=1)
    away = graph.add("Sub", graph.add("Unsqueeze", x, graph.constant([1], np.int64)), graph.constant(estimator.theta_))
    each = graph.add("Div", graph.add("Mul", away, away), graph.constant(estimator.var_))
    total = graph.add("ReduceSum", each, graph.constant([2], np.int64), keepdims=0)
    return graph.add("Sub", graph.constant(start), graph.add("Mul", total, graph.constant(0.5)))
