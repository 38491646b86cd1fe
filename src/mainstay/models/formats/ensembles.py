"""Estimators made of estimators: each member writes its own nodes, and theirs are joined in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mainstay.models.formats import links, scalers
from mainstay.models.formats.calibration import calibrated
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores
from mainstay.models.formats.writers import write_estimator
from mainstay.models.signature import Floats


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted ensemble, pipeline or calibrated classifier."""
    writer = {
        "VotingClassifier": _voting_classifier,
        "VotingRegressor": _voting_regressor,
        "StackingClassifier": _stacking,
        "StackingRegressor": _stacking,
        "BaggingClassifier": _bagging,
        "BaggingRegressor": _bagging,
        "CalibratedClassifierCV": _calibrated,
        "FrozenEstimator": lambda graph, features, frozen: member(graph, features, frozen.estimator),
        "Pipeline": _pipeline,
    }[type(estimator).__name__]
    scores: Scores = writer(graph, features, estimator)
    return scores


def member(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The scores of a member, all in double precision."""
    scores = write_estimator(graph, features, estimator)
    if scores.dtype == "float64":
        return scores
    probabilities, value = scores.probabilities, scores.value
    return replace(
        scores,
        probabilities=None if probabilities is None else graph.cast(probabilities, "float64"),
        value=None if value is None else graph.cast(value, "float64"),
        dtype="float64",
    )


def _voting_classifier(graph: Graph, features: Features, estimator: Any) -> Scores:
    weights = _weights(estimator)
    members = [member(graph, features, each) for each in estimator.estimators_]
    if estimator.voting == "soft":
        return Scores(probabilities=_average(graph, [probabilities_of(each) for each in members], weights))
    # One vote a member, for the class that its predict() names; the first class wins a tie.
    classes = len(estimator.classes_)
    each_class = graph.constant(np.arange(classes).reshape(1, -1), np.int64)
    votes = []
    for each, weight in zip(members, weights, strict=True):
        label = graph.add("Unsqueeze", label_of(graph, each), graph.constant([1], np.int64))
        vote = graph.cast(graph.add("Equal", label, each_class), "float64")
        votes.append(links.times(graph, vote, float(weight)))
    return Scores(label=links.most(graph, graph.add("Sum", *votes)))


def _voting_regressor(graph: Graph, features: Features, estimator: Any) -> Scores:
    values = [value_of(member(graph, features, each)) for each in estimator.estimators_]
    return Scores(value=_average(graph, values, _weights(estimator)))


def _weights(estimator: Any) -> Floats:
    if estimator.weights is None:
        return np.ones(len(estimator.estimators_))
    return np.array(estimator._weights_not_none, dtype=np.float64)  # noqa: SLF001 - those of the members not dropped


def _average(graph: Graph, tensors: Sequence[str], weights: Floats) -> str:
    parts = [links.times(graph, tensor, float(weight)) for tensor, weight in zip(tensors, weights, strict=True)]
    total = parts[0] if len(parts) == 1 else graph.add("Sum", *parts)
    return graph.add("Div", total, graph.constant(float(weights.sum())))


def _stacking(graph: Graph, features: Features, estimator: Any) -> Scores:
    if estimator.cv == "prefit":
        raise CannotExport("A stack of estimators fitted beforehand (cv='prefit') may not share its classes.")
    classes = len(estimator.classes_) if hasattr(estimator, "classes_") else 0
    columns: list[str] = []
    width = 0
    for each, method in zip(estimator.estimators_, estimator.stack_method_, strict=True):
        tensor, size = _answer(graph, member(graph, features, each), method, classes)
        columns.append(tensor)
        width += size
    origin = np.full(width, -1)
    factor, offset = np.ones(width), np.zeros(width)
    if estimator.passthrough:
        columns.append(graph.double(features))
        origin = np.concatenate([origin, features.columns])
        factor, offset = np.concatenate([factor, features.factor]), np.concatenate([offset, features.offset])
    joined = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    return member(graph, Features(joined, "float64", origin, factor, offset), estimator.final_estimator_)


def _answer(graph: Graph, scores: Scores, method: str, classes: int) -> tuple[str, int]:
    if classes == 0:
        return value_of(scores), 1
    if method == "predict_proba":
        probabilities = probabilities_of(scores)
        if classes > 2:
            return probabilities, classes
        return graph.add("Gather", probabilities, graph.constant([1], np.int64), axis=1), 1
    if method == "decision_function":
        if scores.raw is None:
            raise CannotExport("A member of the ensemble has a decision function that is not exported.")
        return scores.raw, 1 if classes == 2 else classes
    label = graph.cast(label_of(graph, scores), "float64")
    return graph.add("Unsqueeze", label, graph.constant([1], np.int64)), 1


def _bagging(graph: Graph, features: Features, estimator: Any) -> Scores:
    classes = getattr(estimator, "classes_", None)
    scores = []
    for each, chosen in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        if classes is not None and (not hasattr(each, "predict_proba") or len(each.classes_) != len(classes)):
            raise CannotExport("A member of the bagging ensemble has no probabilities, or saw only some classes.")
        scores.append(member(graph, _chosen(graph, features, np.asarray(chosen)), each))
    if classes is not None:
        return Scores(probabilities=_average(graph, [probabilities_of(each) for each in scores], np.ones(len(scores))))
    return Scores(value=_average(graph, [value_of(each) for each in scores], np.ones(len(scores))))


def _chosen(graph: Graph, features: Features, chosen: Any) -> Features:
    if np.array_equal(chosen, np.arange(features.width)):
        return features
    return Features(
        graph.add("Gather", features.name, graph.constant(chosen, np.int64), axis=1),
        features.dtype,
        features.columns[chosen],
        features.factor[chosen],
        features.offset[chosen],
    )


def _calibrated(graph: Graph, features: Features, estimator: Any) -> Scores:
    classes = len(estimator.classes_)
    found = []
    for each in estimator.calibrated_classifiers_:
        if len(each.estimator.classes_) != classes:
            raise CannotExport("A fold of the calibration saw only some of the classes.")
        found.append(calibrated(graph, member(graph, features, each.estimator), each, classes))
    probabilities = found[0] if len(found) == 1 else _average(graph, found, np.ones(len(found)))
    return Scores(probabilities=probabilities)


def _pipeline(graph: Graph, features: Features, estimator: Any) -> Scores:
    *steps, last = [step for _, step in estimator.steps if step is not None and not isinstance(step, str)]
    for step in steps:
        features = scalers.write(graph, features, step)
    return member(graph, features, last)


def probabilities_of(scores: Scores) -> str:
    """Its probabilities (n, k). Raises CannotExport where it has none."""
    if scores.probabilities is None:
        raise CannotExport("A member of the ensemble has no probabilities.")
    return scores.probabilities


def value_of(scores: Scores) -> str:
    """Its values (n, 1). Raises CannotExport where it has none."""
    if scores.value is None:
        raise CannotExport("A member of the ensemble gives no value.")
    return scores.value


def label_of(graph: Graph, scores: Scores) -> str:
    """The index of its class (n,)."""
    return scores.label if scores.label is not None else links.most(graph, probabilities_of(scores))
