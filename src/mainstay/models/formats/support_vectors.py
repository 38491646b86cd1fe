"""scikit-learn's support vector machines, in double precision.

The arithmetic of libsvm's svm_predict_values: https://www.csie.ntu.edu.tw/~cjlin/papers/libsvm.pdf
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores
from mainstay.models.signature import Floats


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted SVC, NuSVC, SVR or NuSVR."""
    if getattr(estimator, "probability", False) is True:
        raise CannotExport(
            "The probabilities of SVC(probability=True) come from an iteration that ONNX does not have: use "
            "CalibratedClassifierCV(SVC()) in its place."
        )
    kernel = _kernel(graph, graph.double(features), estimator)
    if not hasattr(estimator, "classes_"):
        return Scores(value=_weighted(graph, kernel, estimator.dual_coef_, estimator.intercept_))
    classes = len(estimator.classes_)
    if classes == 2:
        raw = _weighted(graph, kernel, estimator.dual_coef_, estimator.intercept_)
        return Scores(raw=raw, label=links.above(graph, raw, or_equal=True))
    pairs = _weighted(graph, kernel, _pair_weights(estimator), estimator.intercept_)
    return _one_against_one(graph, pairs, estimator, classes)


def _kernel(graph: Graph, x: str, estimator: Any) -> str:
    """(n, support vectors)"""
    vectors = np.asarray(estimator.support_vectors_, dtype=np.float64)
    gamma, start = graph.constant(estimator._gamma), graph.constant(estimator.coef0)  # noqa: SLF001 - "scale", as fitted
    product = graph.add("MatMul", x, graph.constant(vectors.T))
    if estimator.kernel == "linear":
        return product
    if estimator.kernel == "rbf":
        squares = graph.add("ReduceSum", graph.add("Mul", x, x), graph.constant([1], np.int64), keepdims=1)
        both = graph.add("Add", squares, graph.constant(np.sum(vectors * vectors, axis=1)))
        distance = graph.add("Sub", both, graph.add("Mul", product, graph.constant(2.0)))
        return graph.add("Exp", graph.add("Neg", graph.add("Mul", distance, gamma)))
    moved = graph.add("Add", graph.add("Mul", product, gamma), start)
    if estimator.kernel == "poly":
        return graph.add("Pow", moved, graph.constant(float(estimator.degree)))
    if estimator.kernel == "sigmoid":
        return graph.add("Tanh", moved)
    raise CannotExport(
        f"The kernel {estimator.kernel!r} of {type(estimator).__name__} is not one of scikit-learn's own."
    )


def _weighted(graph: Graph, kernel: str, weights: Any, intercept: Any) -> str:
    weights = np.asarray(weights.toarray() if hasattr(weights, "toarray") else weights)
    return graph.add("Add", graph.add("MatMul", kernel, graph.constant(weights.T)), graph.constant(intercept))


def _pair_weights(estimator: Any) -> Floats:
    """(pairs, support vectors): each pair of classes weighs its own vectors only."""
    ends = np.cumsum(estimator.n_support_)
    of_class = [slice(end - count, end) for end, count in zip(ends, estimator.n_support_, strict=True)]
    classes, dual = len(ends), np.asarray(estimator.dual_coef_)
    rows = []
    for first in range(classes):
        for second in range(first + 1, classes):
            row = np.zeros(dual.shape[1])
            row[of_class[first]] = dual[second - 1, of_class[first]]
            row[of_class[second]] = dual[first, of_class[second]]
            rows.append(row)
    return np.array(rows)


def _one_against_one(graph: Graph, pairs: str, estimator: Any, classes: int) -> Scores:
    firsts = [i for i in range(classes) for j in range(i + 1, classes)]
    seconds = [j for i in range(classes) for j in range(i + 1, classes)]
    first, second = np.eye(classes)[firsts], np.eye(classes)[seconds]  # (pairs, classes)
    wins = graph.cast(graph.add("Greater", pairs, graph.constant(0.0)), "float64")
    losses = graph.add("Sub", graph.constant(1.0), wins)
    votes = graph.add(
        "Add",
        graph.add("MatMul", wins, graph.constant(first)),
        graph.add("MatMul", losses, graph.constant(second)),
    )
    label = links.most(graph, votes)
    if estimator.decision_function_shape == "ovo":
        return Scores(raw=pairs, label=label)
    # Confidences break ties between votes without outweighing one: sklearn.utils.multiclass._ovr_decision_function
    confidence = graph.add("MatMul", pairs, graph.constant(first - second))
    size = graph.add("Add", graph.add("Abs", confidence), graph.constant(1.0))
    raw = graph.add("Add", votes, graph.add("Div", confidence, graph.add("Mul", size, graph.constant(3.0))))
    return Scores(raw=raw, label=links.most(graph, raw) if estimator.break_ties else label)
