"""LightGBM and XGBoost, exported: parity on data, at thresholds, with missing values and categories."""

from __future__ import annotations

import json

import lightgbm
import numpy as np
import pytest
import xgboost
from exporting import TREES, answers, assert_close, assert_parity, boundary_rows, data
from packaging.version import Version

from mainstay.models.formats.export import CannotExport, to_onnx

QUIET = {"n_estimators": 12, "verbose": -1, "n_jobs": 1, "min_child_samples": 8}
FOREST = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
ONE = {"n_estimators": 12, "n_jobs": 1, "max_depth": 4}
SINGLE = 1e-6
"""XGBoost computes in single precision."""

LIGHTGBM = [{}, {"zero_as_missing": True}, {"use_missing": False}, FOREST, {"boosting_type": "dart", "drop_rate": 0.5}]
DROPS_BY_ITSELF = Version(xgboost.__version__) >= Version("3.3")
"""Whether XGBoost's trees take the options of DART without being told booster="dart"."""
XGBOOST = [
    {},
    {"booster": "dart", "rate_drop": 0.4},
    {"rate_drop": 0.4, "normalize_type": "forest"} | ({} if DROPS_BY_ITSELF else {"booster": "dart"}),
    {"num_parallel_tree": 3, "subsample": 0.7},
    {"grow_policy": "lossguide", "base_score": 0.3},
]


# XGBoost goes on to train what these warn of, so its answers must stay right.
old_dart = pytest.mark.filterwarnings(r"ignore:[\s\S]*`booster=dart` is deprecated:UserWarning")
old_linear = pytest.mark.filterwarnings(r"ignore:[\s\S]*`booster=gblinear` is deprecated:UserWarning")
old_forests = pytest.mark.filterwarnings(r"ignore:`XGBRF\w+` is deprecated:FutureWarning")


def lgbm(task, **options):
    kind = lightgbm.LGBMRegressor if task == "regression" else lightgbm.LGBMClassifier
    return kind(**(QUIET | options))


def xgb(task, **options):
    kind = xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier
    return kind(**(ONE | options))


def hard_rows(exported, X):
    """The data, boundary rows, and rows with missing values, infinities and numbers around 0."""
    random = np.random.default_rng(1)
    small = float(np.float32(1e-35))
    odd = (np.nan, np.inf, -np.inf, 0.0, small, -small, np.nextafter(small, 1), -np.nextafter(small, 1), 1e-310)
    return np.concatenate(
        [X, boundary_rows(exported, X)] + [np.where(random.random(X.shape) < 0.2, value, X) for value in odd]
    )


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("options", LIGHTGBM, ids=str)
def test_lightgbm_answers_as_native(options, task, missing):
    X, y = data(task, missing=missing)
    estimator = lgbm(task, **options).fit(X, y)
    exported = to_onnx(estimator, width=X.shape[1])
    assert exported.dtype == "float64"
    assert_parity(estimator, hard_rows(exported, X), bound=TREES, exported=exported)


@old_dart
@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("options", XGBOOST, ids=str)
def test_xgboost_answers_as_native(options, task, missing):
    X, y = data(task, missing=missing)
    options = {**options, "base_score": None} if task == "multiclass" and "base_score" in options else options
    estimator = xgb(task, **options).fit(X, y)
    exported = to_onnx(estimator, width=X.shape[1])
    assert exported.dtype == "float32"
    assert_parity(estimator, hard_rows(exported, X), bound=SINGLE, exported=exported)


@pytest.mark.parametrize(
    "objective", ["regression_l1", "huber", "fair", "quantile", "mape", "poisson", "gamma", "tweedie"]
)
def test_lightgbm_objectives_of_a_regression(objective):
    X, y = data("regression")
    assert_parity(lgbm("regression", objective=objective).fit(X, y), X, bound=TREES)


def test_lightgbm_that_learnt_the_square_root():
    X, y = data("regression")
    assert_parity(lgbm("regression", reg_sqrt=True).fit(X, y - y.mean()), X, bound=TREES)


@pytest.mark.parametrize("objective", ["cross_entropy", "cross_entropy_lambda"])
def test_lightgbm_cross_entropy_on_a_booster(objective):
    X, y = data("binary")
    booster = lightgbm.train({"objective": objective, "verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, y), 10)
    assert_close(answers(to_onnx(booster, width=6), X)["value"].ravel(), booster.predict(X), TREES)


def test_lightgbm_one_against_all_does_not_sum_to_one():
    X, y = data("multiclass")
    estimator = lgbm("multiclass", objective="multiclassova", sigmoid=0.7).fit(X, y)
    assert np.ptp(estimator.predict_proba(X).sum(axis=1)) > 0.01
    assert_parity(estimator, X, bound=TREES)


@pytest.mark.parametrize(
    "objective", ["reg:absoluteerror", "reg:pseudohubererror", "reg:gamma", "reg:tweedie", "count:poisson"]
)
def test_xgboost_objectives_of_a_regression(objective):
    X, y = data("regression")
    assert_parity(xgb("regression", objective=objective).fit(X, y), X, bound=SINGLE)


def test_xgboost_logistic_regression_gives_values():
    X, y = data("binary")
    assert_parity(xgb("regression", objective="reg:logistic").fit(X, y), X, bound=SINGLE)


@old_forests
@pytest.mark.parametrize("kind", [xgboost.XGBRFClassifier, xgboost.XGBRFRegressor])
def test_xgboost_forests(kind):
    X, y = data("binary")
    assert_parity(kind(n_estimators=10, n_jobs=1).fit(X, y), X, bound=SINGLE)


def test_xgboost_with_a_missing_value_of_its_own():
    X, y = data("binary")
    X[X[:, 2] == 3, 0] = -999
    estimator = xgb("binary", missing=-999.0).fit(X, y)
    assert_parity(estimator, np.concatenate([X, np.where(X > 1, np.nan, X)]), bound=SINGLE)


def test_early_stopping_keeps_the_best_iteration():
    X, y = data("binary")
    boosted = xgb("binary", n_estimators=60, early_stopping_rounds=3).fit(
        X[:300], y[:300], eval_set=[(X[300:], y[300:])], verbose=False
    )
    assert boosted.best_iteration < 59
    assert_parity(boosted, X, bound=SINGLE)
    first, rest = lightgbm.Dataset(X[:300], y[:300]), lightgbm.Dataset(X[300:], y[300:])
    options = {"objective": "binary", "learning_rate": 0.5, "verbose": -1, "num_threads": 1}
    stop = lightgbm.early_stopping(3, verbose=False)
    light = lightgbm.train(options, first, 60, valid_sets=[rest], callbacks=[stop], keep_training_booster=True)
    assert light.best_iteration < light.current_iteration()
    assert_close(answers(to_onnx(light, width=6), X)["probabilities"][:, 1], light.predict(X), TREES)


@old_dart
def test_early_stopping_keeps_the_weights_of_dropped_trees():
    X, y = data("regression")
    boosted = xgb("regression", n_estimators=60, booster="dart", rate_drop=0.4, early_stopping_rounds=3)
    boosted.fit(X[:300], y[:300], eval_set=[(X[300:], y[300:])], verbose=False)
    assert boosted.best_iteration < 59
    assert_parity(boosted, X, bound=SINGLE)


def test_native_boosters():
    X, y = data("multiclass")
    light = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, y), 8
    )
    assert_close(answers(to_onnx(light, width=6), X)["probabilities"], light.predict(X), TREES)
    boosted = xgboost.train({"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(X, y), 8)
    assert_close(answers(to_onnx(boosted, width=6), X)["probabilities"], boosted.predict(xgboost.DMatrix(X)), SINGLE)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_categories_seen_unseen_and_missing(library, task, holes):
    random = np.random.default_rng(3)
    X, y = data(task, n=900)
    X[:, 1], X[:, 4] = random.integers(0, 90, len(X)), random.integers(0, 4, len(X))
    y = y + 4 * (X[:, 1] % 3 == 0) if task == "regression" else np.where(X[:, 1] % 3 == 0, 0, y)
    if holes:
        X[random.random(len(X)) < 0.2, 1] = np.nan
    if library == "lightgbm":
        estimator = lgbm(task, min_data_per_group=5, cat_smooth=1.0).fit(X, y, categorical_feature=[1, 4])
    else:
        kinds = ["q", "c", "q", "q", "c", "q"]
        estimator = xgb(task, feature_types=kinds, enable_categorical=True, max_cat_to_onehot=5).fit(X, y)
    exported = to_onnx(estimator, width=6)
    assert 1 in exported.thresholds
    served = X.copy()
    served[:, 1] = random.choice([-1, 400, 3.6, -0.5, 0.5, np.nan, 0, 1, 31, 32, 63, 64, 65, 66, 89, 90, 95], len(X))
    served[:, 4] = random.choice([-1, 9, np.nan, 0, 3, 2.5, 1e6], len(X))
    rows = np.concatenate([X, served, boundary_rows(exported, X)])
    assert_parity(estimator, rows, bound=TREES if library == "lightgbm" else SINGLE, exported=exported)


@old_linear
def test_what_cannot_be_exact_is_refused():
    X, y = data("regression")
    labels = (y > y.mean()).astype(int)
    third = np.digitize(y, np.quantile(y, [0.33, 0.66]))
    refused = [
        (lgbm("regression", linear_tree=True).fit(X, y), "linear trees"),
        (xgb("regression", booster="gblinear", max_depth=None).fit(X, y), "is linear"),
        (xgb("binary", objective="binary:hinge").fit(X, labels), "binary:hinge"),
        (xgb("multiclass", multi_strategy="multi_output_tree").fit(X, third), "several classes at once"),
        (xgb("regression").fit(X, np.stack([y, -y], axis=1)), "several targets"),
        (lgbm("regression", objective=lambda y, p: (p - y, np.ones_like(y))).fit(X, y), "custom"),
    ]
    for estimator, reason in refused:
        with pytest.raises(CannotExport, match=reason):
            to_onnx(estimator, width=6)


@pytest.mark.parametrize("version", [[2, 1, 4], [3, 5, 0], [4, 0, 0], None])
def test_the_format_of_another_release_of_xgboost_is_refused(version, monkeypatch):
    X, y = data("binary")
    estimator = xgb("binary").fit(X, y)
    save = xgboost.Booster.save_raw

    def other(booster, raw_format):
        document = json.loads(save(booster, raw_format)) | {"version": version}
        return json.dumps(document if version else {"learner": document["learner"]}).encode()

    monkeypatch.setattr(xgboost.Booster, "save_raw", other)
    with pytest.raises(CannotExport, match="before 1.0" if version is None else rf"XGBoost {version[0]}\.{version[1]}"):
        to_onnx(estimator, width=6)


def test_float32_callers_of_a_double_graph_get_the_native_answer_too():
    X, y = data("binary")
    estimator = lgbm("binary").fit(X, y)
    exported = to_onnx(estimator, width=6)
    rows = hard_rows(exported, X).astype(np.float32)
    assert_close(answers(exported, rows)["probabilities"], estimator.predict_proba(rows), TREES)
