"""scikit-learn's decision trees, forests and gradient boosting.

They cast their input to float32 and compare it with double thresholds; the graph does the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores
from mainstay.models.formats.trees import LEQ, Tree, remember_splits, write_sum
from mainstay.models.signature import Floats

_CONSTANT_PRIORS = ("prior", "most_frequent", "constant")


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted tree, forest or GradientBoosting estimator."""
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise CannotExport(f"{type(estimator).__name__} has several targets: only one is exported.")
    if hasattr(estimator, "init_"):
        return _boosting(graph, features, estimator)
    members = list(estimator.estimators_) if hasattr(estimator, "estimators_") else [estimator]
    if hasattr(estimator, "classes_"):
        return _classifier(graph, features, members, len(estimator.classes_))
    trees = [_tree(member.tree_, member.tree_.value[:, 0, 0]) for member in members]
    remember_splits(graph, features, trees)
    x = _as_native(graph, features)
    return Scores(value=write_sum(graph, x, trees, targets=1, dtype="float64", average=len(trees) > 1))


def _classifier(graph: Graph, features: Features, members: list[Any], classes: int) -> Scores:
    # A leaf of `TreeEnsemble` adds to one target only, and a leaf of these trees holds a number a class. So each
    # tree answers the row of its leaf in a table of leaves, and the rows are added in the order of the trees.
    trees, table, rows = [], [], 0
    for target, member in enumerate(members):
        tree = member.tree_
        leaf = tree.children_left < 0
        number = np.full(tree.node_count, -1.0)
        number[leaf] = rows + np.arange(leaf.sum())
        rows += int(leaf.sum())
        table.append(tree.value[leaf, 0, :classes])
        trees.append(_tree(tree, number, target))
    remember_splits(graph, features, trees)
    x = _as_native(graph, features)
    found = graph.cast(write_sum(graph, x, trees, targets=len(trees), dtype="float64"), "int64")
    each = graph.add("Gather", graph.constant(np.concatenate(table)), found, axis=0)
    probabilities = graph.add("ReduceSum", each, graph.constant([1], np.int64), keepdims=0)
    if len(trees) > 1:
        probabilities = graph.add("Div", probabilities, graph.constant(float(len(trees))))
    return Scores(probabilities=probabilities)


def _boosting(graph: Graph, features: Features, estimator: Any) -> Scores:
    base = _prior(estimator)
    trees = [Tree.constant(value, target) for target, value in enumerate(base)]
    for stage in estimator.estimators_:
        for target, member in enumerate(stage):
            tree = member.tree_
            trees.append(_tree(tree, estimator.learning_rate * tree.value[:, 0, 0], target))
    remember_splits(graph, features, trees)
    raw = write_sum(graph, _as_native(graph, features), trees, targets=len(base), dtype="float64")
    if not hasattr(estimator, "classes_"):
        return Scores(value=raw)
    if len(base) > 1:
        return Scores(probabilities=links.softmax(graph, raw), raw=raw)
    slope = 2.0 if estimator.loss == "exponential" else 1.0
    probabilities = links.binary(graph, links.sigmoid(graph, raw, slope))
    # predict() says the second class where the score is exactly 0, and the most probable class would be the first.
    return Scores(probabilities=probabilities, raw=raw, label=links.above(graph, raw, or_equal=True))


def _prior(estimator: Any) -> list[float]:
    name = "zero" if isinstance(estimator.init_, str) else type(estimator.init_).__name__
    constant = name in ("zero", "DummyRegressor") or (
        name == "DummyClassifier" and estimator.init_.strategy in _CONSTANT_PRIORS
    )
    if not constant:
        raise CannotExport(
            f"{type(estimator).__name__} starts from a fitted {name} (init=…), and only a constant start is exported."
        )
    row = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    start: list[float] = estimator._raw_predict_init(row)[0].tolist()  # noqa: SLF001 - the one place that knows it
    return start


def _as_native(graph: Graph, features: Features) -> str:
    return graph.cast(graph.single(features), "float64")


def _tree(tree: Any, values: Floats, target: int = 0) -> Tree:
    leaf = tree.children_left < 0
    if tree.node_count == 1:
        return Tree.constant(float(values[0]), target)
    place = np.where(leaf, ~(np.cumsum(leaf) - 1), np.cumsum(~leaf) - 1)
    inner = np.flatnonzero(~leaf)
    return Tree(
        feature=tree.feature[inner].astype(np.int64),
        threshold=tree.threshold[inner],
        mode=np.full(len(inner), LEQ, dtype=np.uint8),
        yes=place[tree.children_left[inner]],
        no=place[tree.children_right[inner]],
        missing_yes=tree.missing_go_to_left[inner].astype(np.bool_),
        members=(),
        leaves=values[leaf],
        target=target,
    )
