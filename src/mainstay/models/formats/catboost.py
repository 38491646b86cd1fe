"""CatBoost's models of numbers: their trees as they stand in its JSON, split in single precision, added in double.

https://catboost.ai/docs/en/concepts/json-export. Needs no import of CatBoost: a fitted model writes the JSON itself.
Categories, texts and embeddings become numbers by tables and hashes of CatBoost's own, which are not written here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores
from mainstay.models.formats.trees import LEQ, Indices, Tree, remember_splits, write_sum
from mainstay.models.signature import Floats

_LAST = float(np.finfo(np.float32).max)
_IDENTITY = ("RMSE", "MAE", "Quantile", "MAPE", "Huber", "Expectile", "LogLinQuantile", "Lq", "LogCosh")
_EXPONENTIAL = ("Poisson", "Tweedie")
_BINARY = ("Logloss", "CrossEntropy")


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted CatBoostClassifier, CatBoostRegressor or CatBoost."""
    loss = loss_of(estimator)
    document = _document(estimator)
    scale, bias = document["scale_and_bias"]
    trees = [tree for shape in _shapes(document) for tree in shape.split(len(bias))]
    if not trees:
        raise CannotExport("This CatBoost model has no trees.")
    # The last border of a column splits missing values from all others, as infinity does in other libraries.
    ends = [replace(tree, threshold=np.where(np.abs(tree.threshold) < _LAST, tree.threshold, np.inf)) for tree in trees]
    remember_splits(graph, features, ends)
    raw = write_sum(graph, graph.double(features), trees, targets=len(bias), dtype="float64")
    raw = links.times(graph, raw, float(scale))
    if any(bias):
        raw = graph.add("Add", raw, graph.constant(np.array(bias, dtype=np.float64)))
    if loss in _BINARY:
        return Scores(probabilities=links.binary(graph, links.sigmoid(graph, raw, 1.0)), raw=raw)
    if loss == "MultiClass":
        return Scores(probabilities=links.softmax(graph, raw), raw=raw)
    if loss == "MultiClassOneVsAll":
        return Scores(probabilities=links.sigmoid(graph, raw, 1.0), raw=raw)
    if len(bias) != 1 or loss not in (*_IDENTITY, *_EXPONENTIAL):
        raise CannotExport(f"The CatBoost loss {loss!r} is not one whose answers are exported.")
    return Scores(value=graph.add("Exp", raw) if loss in _EXPONENTIAL else raw)


def loss_of(estimator: Any) -> str:
    """The name of the loss that a model was trained with, without its parameters; empty where it does not say."""
    parameters = estimator.get_all_params()
    return str(parameters.get("loss_function", "")).partition(":")[0]


def takes_more_than_numbers(estimator: Any) -> bool:
    """Whether some of its features are categories, texts or embeddings."""
    return bool(
        estimator.get_cat_feature_indices()
        or estimator.get_text_feature_indices()
        or estimator.get_embedding_feature_indices()
    )


def _document(estimator: Any) -> dict[str, Any]:
    if takes_more_than_numbers(estimator):
        raise CannotExport("This CatBoost model takes categories, texts or embeddings: only numbers are exported.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        estimator.save_model(str(path), format="json")
        document: dict[str, Any] = json.loads(path.read_bytes())
    return document


class _Shape:
    """One tree of CatBoost: a node goes to `no` where its feature is at most the threshold, and each leaf has a value
    for each output."""

    def __init__(self, inner: list[tuple[int, float, bool, int, int]], leaves: Floats) -> None:
        """Args:
        inner: of each node: feature, threshold, whether a missing value counts as greater, and its two children.
        leaves: (leaves, outputs).
        """
        self._inner, self._leaves = inner, leaves

    def split(self, outputs: int) -> Iterator[Tree]:
        """A tree for each output."""
        for output in range(outputs):
            leaves = self._leaves[:, output]
            if not self._inner:
                yield Tree.constant(float(leaves[0]), output)
                continue
            feature, threshold, greater, left, right = (np.array(part) for part in zip(*self._inner, strict=True))
            yield Tree(
                feature=feature.astype(np.int64),
                threshold=threshold.astype(np.float64),
                mode=np.full(len(feature), LEQ, dtype=np.uint8),
                yes=left.astype(np.int64),
                no=right.astype(np.int64),
                missing_yes=~greater.astype(np.bool_),
                members=(),
                leaves=leaves,
                target=output,
            )


def _shapes(document: dict[str, Any]) -> Iterator[_Shape]:
    features = document["features_info"].get("float_features", [])
    columns: Indices = np.array([entry["flat_feature_index"] for entry in features], dtype=np.int64)
    greater = [entry.get("nan_value_treatment") == "AsTrue" for entry in features]
    outputs = len(document["scale_and_bias"][1])

    def condition(split: dict[str, Any]) -> tuple[int, float, bool]:
        if split["split_type"] != "FloatFeature":
            raise CannotExport(f"This CatBoost model splits by {split['split_type']}: only numbers are exported.")
        index = split["float_feature_index"]
        # Borders are single-precision numbers, and so is what is compared with them.
        return int(columns[index]), float(np.float32(split["border"])), greater[index]

    for tree in document.get("oblivious_trees", []):
        yield _oblivious([condition(split) for split in tree.get("splits") or []], tree["leaf_values"], outputs)
    for tree in document.get("trees", []):
        inner: list[tuple[int, float, bool, int, int]] = []
        leaves: list[list[float]] = []
        _descend(tree, condition, inner, leaves)
        yield _Shape(inner, np.array(leaves, dtype=np.float64).reshape(-1, outputs))


def _oblivious(splits: list[tuple[int, float, bool]], values: list[float], outputs: int) -> _Shape:
    """A tree that asks the same question at each depth: the answer to question i is bit i of the leaf's number."""
    depth = len(splits)
    inner: list[tuple[int, float, bool, int, int]] = []
    # Level by level; the last question, the highest bit, is the root, so that the leaves stand in their own order.
    for level in range(depth):
        split = splits[depth - 1 - level]
        for place in range(2**level):
            children = tuple(
                (2 ** (level + 1) - 1) + 2 * place + side if level + 1 < depth else ~(2 * place + side)
                for side in (0, 1)
            )
            inner.append((*split, children[0], children[1]))
    return _Shape(inner, np.array(values, dtype=np.float64).reshape(-1, outputs))


def _descend(
    node: dict[str, Any], condition: Any, inner: list[tuple[int, float, bool, int, int]], leaves: list[list[float]]
) -> int:
    """Adds a node and all below it; gives its place."""
    if "split" not in node:
        value = node["value"]
        leaves.append(value if isinstance(value, list) else [value])
        return ~(len(leaves) - 1)
    place = len(inner)
    inner.append((0, 0.0, False, 0, 0))
    left = _descend(node["left"], condition, inner, leaves)
    right = _descend(node["right"], condition, inner, leaves)
    inner[place] = (*condition(node["split"]), left, right)
    return place
