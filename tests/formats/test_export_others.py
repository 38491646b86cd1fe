"""Linear models, networks, support vectors, Bayes, baselines and ensembles of them, exported in double precision."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
import xgboost
from exporting import assert_parity, boundary_rows, data
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC

from mainstay.models.formats.export import CannotExport, to_onnx

TIGHT = 1e-11
FEW = {"n_estimators": 8, "random_state": 0}
LIGHT = {"n_estimators": 8, "verbose": -1, "n_jobs": 1}
XGB = {"n_estimators": 8, "n_jobs": 1}

CLASSIFIERS = [
    LogisticRegression(),
    LogisticRegression(class_weight="balanced", C=100, max_iter=500),
    SGDClassifier(random_state=0),
    SGDClassifier(loss="log_loss", random_state=0),
    SGDClassifier(loss="modified_huber", random_state=0),
    LinearSVC(),
    RidgeClassifier(),
    LinearDiscriminantAnalysis(),
    GaussianNB(),
    BernoulliNB(),
    MLPClassifier((8, 4), max_iter=3000, tol=1e-2, random_state=0),
    MLPClassifier(6, activation="tanh", max_iter=3000, tol=1e-2, random_state=0),
    SVC(),
    SVC(kernel="poly", degree=2),
    SVC(kernel="linear", decision_function_shape="ovo"),
    SVC(kernel="sigmoid", break_ties=True, class_weight="balanced"),
    NuSVC(nu=0.3),
    DummyClassifier(),
    DummyClassifier(strategy="most_frequent"),
    CalibratedClassifierCV(LinearSVC(), cv=3),
    CalibratedClassifierCV(SVC(), ensemble=False, cv=3),
    CalibratedClassifierCV(SVC(decision_function_shape="ovr"), method="isotonic", cv=3),
    CalibratedClassifierCV(RandomForestClassifier(**FEW), method="isotonic", cv=3),
    CalibratedClassifierCV(lightgbm.LGBMClassifier(**LIGHT), cv=3),
    CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=8), method="temperature", cv=3),
    CalibratedClassifierCV(RandomForestClassifier(**FEW), method="temperature", cv=3),
    VotingClassifier(
        [
            ("a", make_pipeline(StandardScaler(), LogisticRegression())),
            ("b", RandomForestClassifier(**FEW)),
            ("c", lightgbm.LGBMClassifier(**LIGHT)),
            ("d", "drop"),
            ("e", HistGradientBoostingClassifier(max_iter=8)),
        ],
        voting="soft",
        weights=[1, 2, 3, 1, 0.5],
    ),
    VotingClassifier([("a", LogisticRegression()), ("b", SVC()), ("c", GradientBoostingClassifier(**FEW))]),
    StackingClassifier(
        [
            ("a", make_pipeline(RobustScaler(), LogisticRegression())),
            ("b", RandomForestClassifier(**FEW)),
            ("c", lightgbm.LGBMClassifier(**LIGHT)),
            ("s", SVC()),
            ("r", RidgeClassifier()),
        ],
        cv=3,
    ),
    StackingClassifier(
        [("a", LogisticRegression()), ("b", RandomForestClassifier(**FEW))],
        final_estimator=GradientBoostingClassifier(**FEW),
        passthrough=True,
        cv=3,
    ),
    StackingClassifier([("a", LogisticRegression()), ("s", SVC())], stack_method="predict", cv=3),
    BaggingClassifier(GradientBoostingClassifier(n_estimators=3), n_estimators=4, max_features=0.6, random_state=0),
]
REGRESSORS = [
    LinearRegression(),
    Ridge(),
    Lasso(0.01),
    ElasticNet(0.01),
    SGDRegressor(random_state=0),
    HuberRegressor(),
    PoissonRegressor(),
    TweedieRegressor(power=1.5),
    TweedieRegressor(power=0),
    LinearSVR(),
    SVR(),
    MLPRegressor(hidden_layer_sizes=(8,), max_iter=3000, tol=1e-2, random_state=0),
    DummyRegressor(strategy="median"),
    VotingRegressor([("a", Ridge()), ("b", RandomForestRegressor(**FEW))], weights=[1, 2]),
    StackingRegressor(
        [("a", make_pipeline(SimpleImputer(), MinMaxScaler(), Ridge())), ("b", RandomForestRegressor(**FEW))], cv=3
    ),
    BaggingRegressor(n_estimators=4, max_features=3, random_state=0),
    make_pipeline(MaxAbsScaler(), RandomForestRegressor(**FEW)),
]
CASES = [(e, task) for e in CLASSIFIERS for task in ("binary", "multiclass")] + [(e, "regression") for e in REGRESSORS]


@pytest.mark.parametrize(("estimator", "task"), CASES, ids=lambda case: " ".join(str(case).split())[:70])
def test_double_precision_answers_as_native(estimator, task):
    X, y = data(task, n=240)
    exported = to_onnx(estimator.fit(X, y), width=X.shape[1])
    assert exported.dtype == "float64"
    assert_parity(estimator, np.concatenate([X, boundary_rows(exported, X)]), bound=TIGHT, exported=exported)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_an_ensemble_with_a_single_precision_member(task):
    X, y = data(task, n=240)
    members = [("a", LogisticRegression()), ("x", xgboost.XGBClassifier(**XGB))]
    for estimator in (VotingClassifier(members, voting="soft"), StackingClassifier(members, cv=3)):
        exported = to_onnx(estimator.fit(X, y), width=X.shape[1])
        assert_parity(estimator, np.concatenate([X, boundary_rows(exported, X)]), bound=1e-6, exported=exported)


def test_a_frozen_estimator_that_was_calibrated_afterwards():
    X, y = data("binary")
    forest = RandomForestClassifier(**FEW).fit(X[:200], y[:200])
    assert_parity(CalibratedClassifierCV(FrozenEstimator(forest)).fit(X[200:], y[200:]), X, bound=TIGHT)


def test_multinomial_bayes_on_counts():
    random = np.random.default_rng(0)
    X = random.poisson(2.0, size=(200, 5)).astype(float)
    assert_parity(MultinomialNB().fit(X, (X[:, 0] > X[:, 1]).astype(int)), X, bound=TIGHT)


def test_thresholds_behind_a_scaler_are_told_in_the_values_before_it():
    X, y = data("regression")
    X = X * 1000 + 5000
    scaled = make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=5)).fit(X, y)
    plain = HistGradientBoostingRegressor(max_iter=5).fit(X, y)
    found, expected = to_onnx(scaled, width=6).thresholds, to_onnx(plain, width=6).thresholds
    assert found.keys() == expected.keys()
    for column in found:
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (DummyClassifier(strategy="uniform"), "at random"),
        (make_pipeline(FunctionTransformer(np.tanh), LogisticRegression()), "FunctionTransformer"),
        (BaggingClassifier(RidgeClassifier(), n_estimators=2), "no probabilities"),
    ],
    ids=["random", "step", "bagging"],
)
def test_what_cannot_be_written_says_why(estimator, reason):
    X, y = data("binary")
    with pytest.raises(CannotExport, match=reason):
        to_onnx(estimator.fit(X, y), width=X.shape[1])
