"""XGBoost: its trees as they stand in its JSON format, in single precision throughout, as XGBoost computes.

https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html. Needs no import of XGBoost: a fitted model
writes the JSON itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mainstay.models.formats.graph import CannotExport, Features, Graph, Scores
from mainstay.models.formats.trees import LT, MEMBER, Tree, remember_splits, write_sum

_IDENTITY = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror")
_EXPONENTIAL = ("reg:gamma", "reg:tweedie", "count:poisson")
_LOGISTIC = ("binary:logistic", "reg:logistic")
_SOFTMAX = "multi:softprob"
_FIRST, _LAST = (3, 0), (3, 4)
"""The releases whose files are known to mean what is read here. Release 3.3 moved DART's weights without a word: a
later one is refused until its answers have been held against the library's."""


def write(graph: Graph, features: Features, estimator: Any) -> Scores:
    """The nodes of a fitted XGBClassifier, XGBRegressor (also the random forests) or Booster."""
    booster = estimator
    if hasattr(estimator, "get_booster"):
        booster = estimator.get_booster()
        best = booster.attr("best_iteration")
        if best is not None:
            booster = booster[: int(best) + 1]
    document = json.loads(bytes(booster.save_raw("json")))
    _check_release(document.get("version", ()))
    learner = document["learner"]
    objective = learner["objective"]["name"]
    trees = _trees(learner)
    remember_splits(graph, features, trees)
    x = _as_read(graph, features, learner, getattr(estimator, "missing", np.nan))
    raw = write_sum(graph, x, trees, targets=_groups(learner), dtype="float32")
    return _answer(graph, raw, objective)


def classes_of(learner: dict[str, Any]) -> int:
    """How many classes a learner of XGBoost's JSON tells apart; 0 for one that gives values."""
    if learner["objective"]["name"] in ("binary:logistic", "binary:hinge"):
        return 2
    return int(learner["learner_model_param"]["num_class"])


def _check_release(version: Sequence[int]) -> None:
    if not _FIRST <= tuple(version[:2]) <= _LAST:
        raise CannotExport(
            f"This model is in the format of XGBoost {'.'.join(map(str, version)) or 'before 1.0'}, and only those of "
            f"{_FIRST[0]}.{_FIRST[1]} to {_LAST[0]}.{_LAST[1]} are known to be read as XGBoost reads them."
        )


def _answer(graph: Graph, raw: str, objective: str) -> Scores:
    if objective == _SOFTMAX:
        return Scores(probabilities=graph.add("Softmax", raw, axis=1), dtype="float32")
    if objective == "binary:logistic":
        positive = graph.add("Sigmoid", raw)
        negative = graph.add("Sub", graph.constant(1.0, np.float32), positive)
        return Scores(probabilities=graph.add("Concat", negative, positive, axis=1), dtype="float32")
    if objective in _LOGISTIC:
        return Scores(value=graph.add("Sigmoid", raw), dtype="float32")
    return Scores(value=graph.add("Exp", raw) if objective in _EXPONENTIAL else raw, dtype="float32")


def _groups(learner: dict[str, Any]) -> int:
    return max(1, int(learner["learner_model_param"]["num_class"]))


def _start(learner: dict[str, Any]) -> list[float]:
    """The score before the first tree, one a group; the file holds it as an answer, not as a score."""
    objective = learner["objective"]["name"]
    given = learner["learner_model_param"]["base_score"]
    base = np.array(json.loads(given if given.startswith("[") else f"[{given}]"), dtype=np.float32)
    groups = _groups(learner)
    base = np.repeat(base, groups) if len(base) == 1 else base
    if objective in _LOGISTIC:
        base = -np.log(np.float32(1.0) / base - np.float32(1.0))
    elif objective in _EXPONENTIAL:
        base = np.log(base)
    elif objective not in (*_IDENTITY, _SOFTMAX):
        raise CannotExport(f"The XGBoost objective {objective!r} is not one whose answers are exported.")
    start: list[float] = base.astype(np.float32).tolist()
    return start


def _trees(learner: dict[str, Any]) -> list[Tree]:
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        raise CannotExport("This XGBoost model is linear (booster='gblinear'): only its trees are exported.")
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    if int(learner["learner_model_param"].get("num_target", "1")) > 1:
        raise CannotExport("This XGBoost model has several targets: only one is exported.")
    if any(model.get("cats", {}).get(key) for key in ("enc", "feature_segments", "sorted_idx")):
        raise CannotExport(
            "This XGBoost model was trained on a table with category columns and recodes them itself: train it on "
            "their codes, with feature_types."
        )
    found = [Tree.constant(value, target) for target, value in enumerate(_start(learner))]
    for tree, target, weight in zip(model["trees"], model["tree_info"], _weights(booster, model), strict=True):
        if int(tree["tree_param"]["size_leaf_vector"]) > 1:
            raise CannotExport(
                "This XGBoost model has trees that answer for several classes at once (multi_strategy="
                "'multi_output_tree'): only trees of one answer are exported."
            )
        found.append(_tree(tree, target, weight))
    return found


def _weights(booster: dict[str, Any], model: dict[str, Any]) -> npt.NDArray[np.float32]:
    """What each tree counts for, other than 1 where some were dropped while training (DART).

    Since XGBoost 3.3 that stands among the trees, and "dart" is no booster of its own.
    """
    given = model.get("weight_drop") or booster.get("weight_drop") or np.ones(len(model["trees"]))
    return np.array(given, dtype=np.float32)


def _tree(tree: dict[str, Any], target: int, weight: np.float32) -> Tree:
    # A number in the JSON is a float32 in its shortest decimal form: it has to be read as one.
    conditions = np.array(tree["split_conditions"], dtype=np.float64).astype(np.float32)
    left = np.array(tree["left_children"], dtype=np.int64)
    leaf = left < 0
    if leaf[0]:
        return Tree.constant(float(conditions[0] * weight), target)
    place = np.where(leaf, ~(np.cumsum(leaf) - 1), np.cumsum(~leaf) - 1)
    inner = np.flatnonzero(~leaf)
    sets = np.array(tree["split_type"], dtype=np.int64)[inner] == 1
    yes, no = place[left[inner]], place[np.array(tree["right_children"], dtype=np.int64)[inner]]
    missing = np.array(tree["default_left"], dtype=np.int64)[inner] == 1
    # A category in the set goes right.
    yes, no, missing = np.where(sets, no, yes), np.where(sets, yes, no), np.where(sets, ~missing, missing)
    return Tree(
        feature=np.array(tree["split_indices"], dtype=np.int64)[inner],
        threshold=np.where(sets, 0.0, conditions[inner].astype(np.float64)),
        mode=np.where(sets, MEMBER, LT).astype(np.uint8),
        yes=yes,
        no=no,
        missing_yes=missing,
        members=_members(tree, inner[sets].tolist()),
        leaves=(conditions[leaf] * weight).astype(np.float64),
        target=target,
    )


def _members(tree: dict[str, Any], nodes: list[int]) -> tuple[tuple[float, ...], ...]:
    sets = {
        node: tuple(float(code) for code in tree["categories"][begin : begin + size])
        for node, begin, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        )
    }
    return tuple(sets.get(node, ()) for node in nodes)


def _as_read(graph: Graph, features: Features, learner: dict[str, Any], missing: float | None) -> str:
    """The features in single precision, the estimator's own missing value as NaN, categories as whole numbers."""
    x = graph.single(features)
    if missing is not None and not np.isnan(missing):
        gone = graph.add("Equal", x, graph.constant(missing, np.float32))
        x = graph.add("Where", gone, graph.constant(np.nan, np.float32), x)
    categorical = np.array([kind == "c" for kind in learner["feature_types"]], dtype=np.bool_)
    if categorical.any():
        x = graph.add("Where", graph.constant(categorical, np.bool_), graph.add("Floor", x), x)
    return x
