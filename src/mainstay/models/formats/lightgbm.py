"""LightGBM: its trees as they stand in its own text format, which holds every double exactly.

The rules of a decision are those of `Tree::NumericalDecision` and `Tree::CategoricalDecision` in LightGBM's
include/LightGBM/tree.h. Needs no import of LightGBM: a fitted model writes the text itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores
from mainstay.models.formats.trees import LEQ, MEMBER, Indices, Tree, remember_splits, write_sum
from mainstay.models.signature import Floats

ZERO = float(np.float32(1e-35))
"""LightGBM reads every number of at most this size as 0."""
_CATEGORICAL, _DEFAULT_LEFT, _ZERO_MISSING, _NAN_MISSING = 1, 2, 1, 2

_IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
_EXPONENTIAL = ("poisson", "gamma", "tweedie")
_CLASSES = ("binary", "multiclass", "multiclassova")


@dataclass(frozen=True)
class _Text:
    """What the head of the text says."""

    objective: str
    options: dict[str, str]
    per_iteration: int
    average: bool


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted LGBMClassifier, LGBMRegressor or Booster, at its best iteration."""
    booster = getattr(estimator, "booster_", estimator)
    head, *sections = booster.model_to_string().split("\nTree=")
    text = _head(head)
    blocks = [_block(section) for section in sections]
    if any(block.get("is_linear") == "1" for block in blocks):
        raise CannotExport("This LightGBM model has linear trees (linear_tree=true), which ONNX trees cannot hold.")
    trees = [_tree(block, index % text.per_iteration) for index, block in enumerate(blocks)]
    if not trees:
        raise CannotExport("This LightGBM model has no trees.")
    remember_splits(graph, features, trees)
    x = _as_read(graph, features, blocks)
    raw = write_sum(graph, x, trees, targets=text.per_iteration, dtype="float64")
    if text.average:
        raw = graph.add("Div", raw, graph.constant(float(len(trees) // text.per_iteration)))
    return _answer(graph, raw, text, classifier=hasattr(estimator, "classes_"), booster=booster is estimator)


def classes_of(booster: Any) -> int:
    """How many classes a Booster tells apart; 0 for one that gives values."""
    fields = dict(line.split("=", 1) for line in _top(booster.model_to_string()) if "=" in line)
    objective = fields.get("objective", "").split(" ")[0]
    return 0 if objective not in _CLASSES else 2 if objective == "binary" else int(fields["num_class"])


def _top(text: str) -> list[str]:
    return text.split("\nTree=", 1)[0].splitlines()


def _answer(graph: Graph, raw: str, text: _Text, *, classifier: bool, booster: bool) -> Scores:
    classes = text.objective in _CLASSES
    if classifier is not classes and not booster:
        kind = "classifier" if classifier else "regressor"
        raise CannotExport(f"A LightGBM {kind} with the objective {text.objective!r} gives scores of another kind.")
    slope = float(text.options.get("sigmoid", "1"))
    if text.objective == "binary":
        return Scores(probabilities=links.binary(graph, links.sigmoid(graph, raw, slope)), raw=raw)
    if text.objective == "multiclass":
        return Scores(probabilities=links.softmax(graph, raw), raw=raw)
    if text.objective == "multiclassova":
        return Scores(probabilities=links.sigmoid(graph, raw, slope), raw=raw)
    return Scores(value=_values(graph, text)(raw))


def _values(graph: Graph, text: _Text) -> Callable[[str], str]:
    name = text.objective
    if name in _IDENTITY:
        if "sqrt" not in text.options:
            return lambda raw: raw
        return lambda raw: graph.add("Mul", raw, graph.add("Abs", raw))
    if name in _EXPONENTIAL:
        return lambda raw: graph.add("Exp", raw)
    if name == "cross_entropy":
        return lambda raw: graph.add("Sigmoid", raw)
    if name == "cross_entropy_lambda":
        return lambda raw: graph.add("Log", graph.add("Add", graph.constant(1.0), graph.add("Exp", raw)))
    raise CannotExport(f"The LightGBM objective {name!r} is not one whose answers are known.")


def _head(text: str) -> _Text:
    lines = text.splitlines()
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    objective, *options = fields.get("objective", "a function of the user's").split(" ")
    if objective == "a":
        objective, options = "custom", []
    return _Text(
        objective=objective,
        options={key: value for key, _, value in (option.partition(":") for option in options)},
        per_iteration=int(fields["num_tree_per_iteration"]),
        average="average_output" in lines,
    )


def _block(section: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in section.split("\n\n", 1)[0].splitlines()[1:] if "=" in line)


def _floats(block: dict[str, str], key: str) -> Floats:
    return np.array(block.get(key, "").split(), dtype=np.float64)


def _integers(block: dict[str, str], key: str) -> Indices:
    return np.array(block.get(key, "").split(), dtype=np.int64)


def _tree(block: dict[str, str], target: int) -> Tree:
    leaves = _floats(block, "leaf_value")
    if len(leaves) == 1:
        return Tree.constant(float(leaves[0]), target)
    kind = _integers(block, "decision_type")
    threshold = _floats(block, "threshold")
    sets = (kind & _CATEGORICAL) > 0
    default_left = (kind & _DEFAULT_LEFT) > 0
    # A missing value takes the default branch where the column had missing values in training; where it had
    # none, it is read as 0; and with zero_as_missing, the zeros come in as missing (see `_as_read`).
    has_default = (kind >> 2 & 3) > 0
    missing_left = np.where(has_default, default_left, threshold >= 0) & ~sets
    bounds, words = _integers(block, "cat_boundaries"), _integers(block, "cat_threshold")
    members = tuple(_members(words[bounds[index] : bounds[index + 1]]) for index in threshold[sets].astype(np.int64))
    return Tree(
        feature=_integers(block, "split_feature"),
        threshold=np.where(sets, 0.0, _around_zero(threshold)),
        mode=np.where(sets, MEMBER, LEQ).astype(np.uint8),
        yes=_integers(block, "left_child"),
        no=_integers(block, "right_child"),
        missing_yes=missing_left,
        members=members,
        leaves=leaves,
        target=target,
    )


def _around_zero(threshold: Floats) -> Floats:
    """Thresholds that say of ±1e-35 what LightGBM says of it, namely what it says of 0."""
    small = np.abs(threshold) <= ZERO
    return np.where(small, np.where(threshold >= 0, ZERO, np.nextafter(-ZERO, -np.inf)), threshold)


def _members(words: Indices) -> tuple[float, ...]:
    return tuple(float(32 * i + bit) for i, word in enumerate(words.tolist()) for bit in range(32) if word >> bit & 1)


def _as_read(graph: Graph, features: Features, blocks: list[dict[str, str]]) -> str:
    """The features in double precision, as LightGBM reads them: categories cut to whole numbers towards 0, and
    zeros as missing in the columns where it was trained so."""
    kinds: dict[int, set[tuple[bool, int]]] = {}
    for block in blocks:
        for column, kind in zip(_integers(block, "split_feature"), _integers(block, "decision_type"), strict=True):
            kinds.setdefault(int(column), set()).add((bool(kind & _CATEGORICAL), int(kind) >> 2 & 3))
    categorical, zero_missing = np.zeros(features.width, np.bool_), np.zeros(features.width, np.bool_)
    for column, found in kinds.items():
        categorical[column] = any(is_set for is_set, _ in found)
        missing = {how for is_set, how in found if not is_set}
        zero_missing[column] = _ZERO_MISSING in missing
        if (categorical[column] and missing) or {_ZERO_MISSING, _NAN_MISSING} <= missing:
            raise CannotExport(f"The trees of this LightGBM model read column {column} in two ways.")
    x = graph.double(features)
    if categorical.any():
        whole = graph.add("Mul", graph.add("Sign", x), graph.add("Floor", graph.add("Abs", x)))
        x = graph.add("Where", graph.constant(categorical, np.bool_), whole, x)
    if zero_missing.any():
        limits = graph.constant(np.where(zero_missing, ZERO, -1.0))
        x = graph.add("Where", graph.add("LessOrEqual", graph.add("Abs", x), limits), graph.constant(np.nan), x)
    return x
