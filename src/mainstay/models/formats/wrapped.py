"""Boosted votes, and estimators that wrap one other: a threshold, a transformed target, the survivor of a search."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.ensembles import label_of, member, probabilities_of, value_of
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted AdaBoostClassifier, or of one that wraps another estimator."""
    writer = {
        "AdaBoostClassifier": _boosted_votes,
        "FixedThresholdClassifier": _threshold,
        "TunedThresholdClassifierCV": _threshold,
        "TransformedTargetRegressor": _transformed_target,
        "RANSACRegressor": _inner,
        "SelfTrainingClassifier": _inner,
    }[type(estimator).__name__]
    scores: Scores = writer(graph, features, estimator)
    return scores


def _inner(graph: Graph, features: Features, estimator: Any) -> Scores:
    return member(graph, features, estimator.estimator_)


def _boosted_votes(graph: Graph, features: Features, estimator: Any) -> Scores:
    """SAMME: J. Zhu, H. Zou, S. Rosset, T. Hastie, "Multi-class AdaBoost", 2009, as in scikit-learn.

    The votes are added one by one, in scikit-learn's order: a sum in another one could turn a tie.
    """
    classes = len(estimator.classes_)
    if classes < 2 or any(not np.array_equal(each.classes_, estimator.classes_) for each in estimator.estimators_):
        raise CannotExport("A member of AdaBoost saw only some of the classes.")
    each_class = graph.constant(np.arange(classes).reshape(1, -1), np.int64)
    total = ""
    for each, weight in zip(estimator.estimators_, estimator.estimator_weights_, strict=False):
        label = graph.add("Unsqueeze", label_of(graph, member(graph, features, each)), graph.constant([1], np.int64))
        chosen = graph.add("Equal", label, each_class)
        against = -1 / (classes - 1) * weight
        votes = graph.add("Where", chosen, graph.constant(float(weight)), graph.constant(float(against)))
        total = graph.add("Add", total, votes) if total else votes
    decision = graph.add("Div", total, graph.constant(float(estimator.estimator_weights_.sum())))
    if classes > 2:
        probabilities = links.softmax(graph, graph.add("Div", decision, graph.constant(float(classes - 1))))
        return Scores(probabilities=probabilities, raw=decision, label=links.most(graph, decision))
    first, second = (graph.add("Gather", decision, graph.constant([i], np.int64), axis=1) for i in range(2))
    raw = graph.add("Sub", second, first)
    both = graph.add("Concat", graph.add("Neg", raw), raw, axis=1)
    halved = graph.add("Div", both, graph.constant(2.0))
    return Scores(probabilities=links.softmax(graph, halved), raw=raw, label=links.above(graph, raw))


def _threshold(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The inner classifier's scores, and a label by the threshold on them."""
    inner = getattr(estimator, "estimator_", None) or estimator.estimator
    scores = member(graph, features, inner)
    if type(estimator).__name__ == "FixedThresholdClassifier":
        threshold, positive = estimator.threshold, estimator.pos_label
    else:
        # What was fitted says which label is the positive one nowhere else.
        threshold, positive = estimator.best_threshold_, estimator._curve_scorer._get_pos_label()  # noqa: SLF001
    method = estimator.response_method
    by_probability = hasattr(inner, "predict_proba") if method == "auto" else method == "predict_proba"
    at = 1 if positive is None else int(np.flatnonzero(np.asarray(estimator.classes_) == positive)[0])
    if threshold == "auto":
        threshold = 0.5 if by_probability else 0.0
    if by_probability:
        score = graph.add("Gather", probabilities_of(scores), graph.constant([at], np.int64), axis=1)
    elif scores.raw is None:
        raise CannotExport(f"{type(inner).__name__} has a decision function that is not exported.")
    else:
        score = scores.raw if at == 1 else graph.add("Neg", scores.raw)
    over = links.above(graph, score, float(threshold), or_equal=True)
    label = over if at == 1 else graph.add("Sub", graph.constant(1, np.int64), over)
    return Scores(probabilities=scores.probabilities, raw=scores.raw, label=label)


def _transformed_target(graph: Graph, features: Features, estimator: Any) -> Scores:
    value = value_of(member(graph, features, estimator.regressor_))
    transformer = estimator.transformer_
    name = type(transformer).__name__
    if name == "StandardScaler":
        if transformer.with_std:
            value = graph.add("Mul", value, graph.constant(transformer.scale_.reshape(1, -1)))
        if transformer.with_mean:
            value = graph.add("Add", value, graph.constant(transformer.mean_.reshape(1, -1)))
        return Scores(value=value)
    inverse = getattr(transformer, "inverse_func", None)
    if name != "FunctionTransformer" or transformer.inv_kw_args:
        raise CannotExport(f"A target that is transformed by {name} is not exported.")
    if inverse is None:
        return Scores(value=value)
    if inverse is np.exp:
        return Scores(value=graph.add("Exp", value))
    if inverse is np.expm1:
        return Scores(value=graph.add("Sub", graph.add("Exp", value), graph.constant(1.0)))
    if inverse is np.square:
        return Scores(value=graph.add("Mul", value, value))
    if inverse is np.sqrt:
        return Scores(value=graph.add("Sqrt", value))
    raise CannotExport(f"A target whose inverse is {getattr(inverse, '__name__', inverse)!r} is not exported.")
