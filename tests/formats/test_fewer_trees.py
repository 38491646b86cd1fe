"""Graphs with fewer trees: a prefix of boosting is the library's own, a part of a forest is the mean of its trees."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import onnx
import pytest
import xgboost as xgb
from exporting import session
from hypothesis import given, settings
from hypothesis import strategies as st
from skl2onnx import to_onnx as converted
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

from examples import examples
from mainstay.models.answers import Answers
from mainstay.models.formats.compression.forests import first_rounds, merged, rounds_of
from mainstay.models.formats.compression.pruning import pruned, smallest
from mainstay.models.formats.compression.technique import NotApplicable
from mainstay.models.formats.compression.weights import halved
from mainstay.models.formats.export import to_onnx

ROUNDS = 12


def rows_of(classes: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    x = draw.normal(size=(250, 6)).round(2)
    x[:, 5] = draw.integers(0, 9, size=250)
    raw = x[:, 0] + x[:, 1] * x[:, 2] + (x[:, 5] > 4) + draw.normal(size=250) * 0.3
    if classes == 0:
        return x, raw
    return x, np.digitize(raw, np.quantile(raw, np.arange(1, classes) / classes))


def answers(graph: bytes, x: np.ndarray) -> np.ndarray:
    asked = session(graph)
    (entry,) = asked.get_inputs()
    names = [output.name for output in asked.get_outputs()]
    wanted = next(name for name in ("probabilities", "value", "variable") if name in names)
    return asked.run([wanted], {entry.name: x.astype(np.float32 if entry.type == "tensor(float)" else np.float64)})[0]


def boosted() -> list:
    cases = []
    for classes in (0, 2, 3):
        x, y = rows_of(classes)
        name = "predict_proba" if classes else "predict"
        gbm = (lgb.LGBMClassifier if classes else lgb.LGBMRegressor)(n_estimators=ROUNDS, verbose=-1, n_jobs=1)
        gbm.fit(x, y, categorical_feature=[5])
        cases.append((gbm, x, lambda k, m=gbm, x=x, n=name: getattr(m, n)(x, num_iteration=k)))
        own = (xgb.XGBClassifier if classes else xgb.XGBRegressor)(n_estimators=ROUNDS, max_depth=4, n_jobs=1).fit(x, y)
        cases.append((own, x, lambda k, m=own, x=x, n=name: getattr(m, n)(x, iteration_range=(0, k))))
        old = (GradientBoostingClassifier if classes else GradientBoostingRegressor)(n_estimators=ROUNDS).fit(x, y)
        cases.append((old, x, lambda k, m=old, x=x, n=f"staged_{name}": list(getattr(m, n)(x))[k - 1]))
    x, y = rows_of(3)
    hist = HistGradientBoostingClassifier(max_iter=ROUNDS, categorical_features=[5], early_stopping=False).fit(x, y)
    cases.append((hist, x, lambda k: list(hist.staged_predict_proba(x))[k - 1]))
    return cases


@pytest.fixture(scope="module")
def boosting():
    return [(to_onnx(model, width=6).graph, x, native) for model, x, native in boosted()]


@settings(max_examples=examples(6))
@given(kept=st.integers(1, ROUNDS))
def test_the_first_rounds_of_boosting_are_the_librarys_own(boosting, kept):
    for graph, x, native in boosting:
        assert rounds_of(graph) == ROUNDS
        smaller = first_rounds(graph, kept, of=ROUNDS, reweighted=False)
        expected = np.asarray(native(kept)).reshape(len(x), -1)
        assert np.abs(answers(smaller, x) - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
        assert kept == ROUNDS or len(smaller) < len(graph)


FORESTS = [
    (RandomForestClassifier(ROUNDS, random_state=0), 2),
    (RandomForestClassifier(ROUNDS, max_depth=4, random_state=0), 3),
    (ExtraTreesClassifier(ROUNDS, random_state=0), 3),
    (RandomForestRegressor(ROUNDS, random_state=0), 0),
]


@pytest.mark.parametrize("forest, classes", FORESTS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("kept", [1, 5, ROUNDS])
def test_a_part_of_a_forest_is_the_mean_of_its_trees(forest, classes, kept):
    x, y = rows_of(classes)
    forest.fit(x, y)
    graph = to_onnx(forest, width=6).graph
    smaller = first_rounds(graph, kept, of=ROUNDS, reweighted=True)
    trees = [tree.predict_proba(x) if classes else tree.predict(x)[:, None] for tree in forest.estimators_[:kept]]
    assert np.abs(answers(smaller, x) - np.mean(trees, axis=0)).max() <= 1e-12


def test_a_forest_in_half_precision_can_still_be_cut():
    x, y = rows_of(3)
    forest = RandomForestClassifier(ROUNDS, max_depth=5, random_state=0).fit(x, y)
    graph = to_onnx(forest, width=6).graph
    small = halved(graph)
    assert rounds_of(small) == ROUNDS
    trees = [tree.predict_proba(x) for tree in forest.estimators_[:4]]
    for share in (0.0, 0.2):
        cut = merged(first_rounds(small, 4, of=ROUNDS, reweighted=True), share)
        assert len(cut) < 0.5 * len(small)
        assert np.abs(answers(cut, x) - np.mean(trees, axis=0)).max() <= (1e-3 if share == 0 else 0.3)


def test_trees_of_which_something_unknown_is_made_are_left_alone():
    x, y = rows_of(3)
    forest = RandomForestClassifier(ROUNDS, max_depth=5, random_state=0).fit(x, y)
    model = onnx.load_model_from_string(to_onnx(forest, width=6).graph)
    for node in model.graph.node:
        if node.op_type == "ReduceSum":
            node.op_type = "ReduceMax"
    with pytest.raises(NotApplicable, match="not known here"):
        rounds_of(model.SerializeToString())


@pytest.mark.parametrize("forest, classes", FORESTS, ids=lambda value: type(value).__name__)
def test_a_converters_own_operators_are_cut_likewise(forest, classes):
    x, y = rows_of(classes)
    forest.fit(x, y)
    options = {id(forest): {"zipmap": False}} if classes else None
    graph = converted(forest, x[:1].astype(np.float32), options=options).SerializeToString()
    assert "TreeEnsemble" not in {node.op_type for node in onnx.load_model_from_string(graph).graph.node}
    assert rounds_of(graph) == ROUNDS
    smaller = first_rounds(graph, 5, of=ROUNDS, reweighted=True)
    x = x.astype(np.float32)
    trees = [tree.predict_proba(x) if classes else tree.predict(x)[:, None] for tree in forest.estimators_[:5]]
    assert np.abs(answers(smaller, x) - np.mean(trees, axis=0)).max() <= 1e-5
    assert len(smaller) < 0.6 * len(graph)


def test_boosting_of_a_converter_is_cut_by_iterations():
    x, y = rows_of(3)
    fitted = GradientBoostingClassifier(n_estimators=ROUNDS).fit(x, y)
    graph = converted(fitted, x[:1].astype(np.float32), options={id(fitted): {"zipmap": False}}).SerializeToString()
    smaller = first_rounds(graph, 4, of=ROUNDS, reweighted=False)
    expected = list(fitted.staged_predict_proba(x.astype(np.float32)))[3]
    assert np.abs(answers(smaller, x) - expected).max() <= 1e-5


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_merged_leaves_make_a_smaller_graph_that_still_runs(boosting, share):
    forest = RandomForestClassifier(ROUNDS, random_state=0)
    x, y = rows_of(3)
    cases = [*boosting, (to_onnx(forest.fit(x, y), width=6).graph, x, None)]
    for graph, x, _ in cases:
        smaller = merged(graph, share)
        found, before = answers(smaller, x), answers(graph, x)
        if share == 0:  # equal leaves alone: the same answers
            assert (found == before).all()
            assert len(smaller) <= len(graph)
        else:
            assert len(smaller) < len(graph)
            assert np.isfinite(found).all()
        if share == 1.0:
            assert len(smaller) < 0.7 * len(graph)


def test_equal_leaves_are_merged_and_nothing_changes():
    x = np.arange(40, dtype=np.float64)[:, None]
    fitted = DecisionTreeClassifier().fit(x, np.repeat([0, 1, 0, 1], 10))
    tree = fitted.tree_
    tree.value[...] = [[[0.5, 0.5]]]  # all leaves alike
    graph = to_onnx(fitted, width=1).graph
    smaller = merged(graph, 0.0)
    assert len(smaller) < len(graph)
    assert (answers(smaller, x) == answers(graph, x)).all()


def test_every_forest_of_a_graph_is_cut_by_the_same_share():
    x, y = rows_of(2)
    fitted = VotingClassifier(
        [
            ("one", RandomForestClassifier(10, random_state=0)),
            ("other", lgb.LGBMClassifier(n_estimators=20, verbose=-1)),
        ],
        voting="soft",
    ).fit(x, y)
    graph = to_onnx(fitted, width=6).graph
    smaller = first_rounds(graph, 10, of=20, reweighted=False)
    one = np.mean([tree.predict_proba(x) for tree in fitted.estimators_[0].estimators_[:5]], axis=0)
    other = fitted.estimators_[1].predict_proba(x, num_iteration=10)
    assert np.abs(answers(smaller, x) - (one + other) / 2).max() <= 1e-9


def test_a_graph_without_trees_is_told_so():
    x, y = rows_of(2)
    with np.errstate(all="ignore"):
        fitted = MLPClassifier((4,), max_iter=2000, random_state=0, tol=1e-2).fit(x, y)
    with pytest.raises(NotApplicable, match="no trees"):
        rounds_of(to_onnx(fitted, width=6).graph)


@given(st.integers(1, 300), st.data())
def test_the_smallest_number_that_holds_is_found(most, data):
    limit = data.draw(st.integers(1, most))
    assert smallest(most, lambda kept: kept >= limit) == limit


@pytest.mark.parametrize("kind", ["boosting", "forest"])
def test_pruning_keeps_what_holds_and_sees_whether_trees_are_averaged(kind):
    x, y = rows_of(0)
    model = (
        lgb.LGBMRegressor(n_estimators=40, verbose=-1)
        if kind == "boosting"
        # LightGBM's own forest: a sum, divided by a constant.
        else lgb.LGBMRegressor(n_estimators=40, boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, verbose=-1)
    ).fit(x, y)
    graph = to_onnx(model, width=6).graph
    truth = answers(graph, x)

    def ask(smaller: bytes) -> Answers:
        return Answers(values=answers(smaller, x)[:, 0])

    def holds(found: Answers) -> bool:
        assert found.values is not None
        return float(np.sqrt(np.mean((found.values - truth[:, 0]) ** 2))) <= 0.1

    found = pruned(graph, ask, holds)
    assert holds(ask(found.graph))
    assert found.rounds < found.of == 40
    assert len(found.graph) < len(graph)
    if kind == "forest":  # as many trees cut without a weight would be far off
        assert not holds(ask(first_rounds(graph, found.rounds, of=40, reweighted=False)))
