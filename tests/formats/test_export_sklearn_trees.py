"""scikit-learn's trees, forests and boosting, exported: parity on data, at thresholds, and with missing values."""

from __future__ import annotations

import numpy as np
import pytest
from exporting import TREES, answers, assert_parity, boundary_rows, data
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from mainstay.models.formats.export import CannotExport, to_onnx

FEW = {"n_estimators": 12, "random_state": 0}
CLASSIFIERS = [
    DecisionTreeClassifier(max_depth=6),
    DecisionTreeClassifier(class_weight="balanced", min_samples_leaf=4),
    ExtraTreeClassifier(random_state=0),
    RandomForestClassifier(**FEW),
    RandomForestClassifier(min_samples_leaf=2, class_weight="balanced", **FEW),
    ExtraTreesClassifier(max_depth=8, **FEW),
    GradientBoostingClassifier(**FEW),
    GradientBoostingClassifier(init="zero", subsample=0.6, **FEW),
    HistGradientBoostingClassifier(max_iter=12),
    HistGradientBoostingClassifier(max_iter=12, categorical_features=[2], class_weight="balanced"),
]
REGRESSORS = [
    DecisionTreeRegressor(max_depth=6),
    ExtraTreeRegressor(random_state=0),
    RandomForestRegressor(**FEW),
    RandomForestRegressor(max_depth=3, criterion="absolute_error", **FEW),
    ExtraTreesRegressor(**FEW),
    GradientBoostingRegressor(**FEW),
    GradientBoostingRegressor(loss="quantile", init="zero", **FEW),
    HistGradientBoostingRegressor(max_iter=12),
    HistGradientBoostingRegressor(max_iter=12, categorical_features=[2], loss="absolute_error"),
    HistGradientBoostingRegressor(max_iter=12, loss="poisson"),
    HistGradientBoostingRegressor(max_iter=12, loss="gamma"),
    HistGradientBoostingRegressor(max_iter=12, loss="quantile", quantile=0.3),
]
CASES = [(e, task) for e in CLASSIFIERS for task in ("binary", "multiclass")] + [(e, "regression") for e in REGRESSORS]


@pytest.mark.parametrize(("estimator", "task"), CASES, ids=lambda case: str(case)[:60])
def test_trees_answer_as_native_on_data_and_at_their_thresholds(estimator, task):
    X, y = data(task)
    exported = to_onnx(estimator.fit(X, y), width=X.shape[1])
    rows = np.concatenate([X, boundary_rows(exported, X)])
    assert len(rows) > len(X)
    assert_parity(estimator, rows, bound=TREES, exported=exported)


TAKES_MISSING = [
    case
    for case in CASES
    if not isinstance(case[0], GradientBoostingClassifier | GradientBoostingRegressor)
    and "absolute" not in str(case[0])
]


@pytest.mark.parametrize(("estimator", "task"), TAKES_MISSING, ids=lambda case: str(case)[:60])
def test_missing_values_take_the_native_branch(estimator, task):
    X, y = data(task, missing=0.15)
    exported = to_onnx(estimator.fit(X, y), width=X.shape[1])
    rows = np.concatenate([X, boundary_rows(exported, X), np.full((1, X.shape[1]), np.nan)])
    assert_parity(estimator, rows, bound=TREES, exported=exported)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_hist_boosting_takes_infinities_and_values_missing_only_when_serving(task):
    X, y = data(task)
    estimator = (HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier)(max_iter=10)
    estimator.fit(X, y)
    rows = np.concatenate([np.where(np.random.default_rng(1).random(X.shape) < 0.2, v, X) for v in EDGES])
    assert_parity(estimator, rows, bound=TREES)


EDGES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, 1e300)


def categories(task, *, holes):
    """Rows whose columns 1 and 4 are categories, the first of many codes, with codes that training never saw."""
    random = np.random.default_rng(3)
    X, y = data(task, n=900)
    X[:, 1] = random.integers(0, 90, len(X)) * 2.0
    X[:, 4] = random.integers(0, 4, len(X))
    y = y + 4 * (X[:, 1] % 3 == 0) if task == "regression" else np.where(X[:, 1] % 3 == 0, 0, y)
    if holes:
        X[random.random(len(X)) < 0.2, 1] = np.nan
    served = X.copy()
    served[:, 1] = random.choice([-1, 3, 0.5, 3.6, 170, 400, np.nan, 0, 2, 64, 66, 128, 178, -0.5], len(X))
    served[:, 4] = random.choice([-1, 9, np.nan, 0, 3, 2.5], len(X))
    return X, y, np.concatenate([X, served])


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_hist_boosting_reads_seen_unseen_and_missing_categories(task, holes):
    X, y, served = categories(task, holes=holes)
    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    estimator = kind(max_iter=15, categorical_features=[1, 4], min_samples_leaf=5).fit(X, y)
    exported = to_onnx(estimator, width=X.shape[1])
    assert 1 in exported.thresholds
    assert_parity(estimator, np.concatenate([served, boundary_rows(exported, X)]), bound=TREES, exported=exported)


def test_categories_that_are_no_whole_numbers_are_refused():
    X, y = data("binary")
    X[:, 2] += 0.5
    estimator = HistGradientBoostingClassifier(max_iter=3, categorical_features=[2]).fit(X, y)
    with pytest.raises(CannotExport, match="not whole numbers"):
        to_onnx(estimator, width=X.shape[1])


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(max_depth=1, min_samples_leaf=400),
        RandomForestClassifier(n_estimators=3, min_samples_leaf=400),
        GradientBoostingClassifier(n_estimators=3, min_samples_leaf=400),
        HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=400),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_trees_of_a_single_leaf_answer_the_same_for_every_row(estimator):
    X, y = data("binary")
    assert_parity(estimator.fit(X, y), X, bound=TREES)
    assert to_onnx(estimator, width=X.shape[1]).thresholds == {}


def test_gradient_boosting_says_the_second_class_at_a_score_of_exactly_zero():
    X = np.zeros((10, 1))
    estimator = GradientBoostingClassifier(init="zero", n_estimators=2).fit(X, [0, 1] * 5)
    assert estimator.predict_proba(X[:1]).tolist() == [[0.5, 0.5]]
    assert answers(to_onnx(estimator, width=1), X[:1])["label"].tolist() == [estimator.predict(X[:1])[0]] == [1]


def test_gradient_boosting_that_starts_from_another_model_is_refused():
    X, y = data("binary")
    estimator = GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()).fit(X, y)
    with pytest.raises(CannotExport, match="starts from a fitted LogisticRegression"):
        to_onnx(estimator, width=X.shape[1])


def test_ties_between_classes_are_broken_as_natively():
    # Few trees with leaves of mixed classes: sums that are equal on paper, and differ in their last bit in fact.
    random = np.random.default_rng(0)
    X, y = random.integers(0, 4, (600, 3)).astype(float), random.integers(0, 3, 600)
    forest = RandomForestClassifier(n_estimators=6, min_samples_leaf=2, random_state=0).fit(X, y)
    exported = to_onnx(forest, width=3)
    grid = np.array(np.meshgrid(*[np.arange(4.0)] * 3)).reshape(3, -1).T
    assert np.array_equal(answers(exported, grid)["probabilities"], forest.predict_proba(grid))


def test_several_targets_are_refused():
    X, _ = data("regression")
    with pytest.raises(CannotExport, match="several targets"):
        to_onnx(RandomForestRegressor(n_estimators=2).fit(X, X[:, :2]), width=X.shape[1])
