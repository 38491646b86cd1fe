"""Every classifier and regressor of scikit-learn, fitted on small plain data, and what is asked of its version."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from mainstay.errors import MainstayError
from mainstay.models.formats.objects import Given
from mainstay.models.formats.skops import UntrustedTypes
from mainstay.models.packaging import Built
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model

ROWS = 80
"""To be fitted on; as many again are held out."""
TASKS = {"classifier": ("binary", "multiclass"), "regressor": ("regression",)}
POSITIVE = ("CategoricalNB", "ComplementNB", "MultinomialNB")
TWO_TARGETS = (
    "ClassifierChain",
    "MultiOutputClassifier",
    "MultiOutputRegressor",
    "RegressorChain",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
)
"""Those that are there for several targets: with one they refuse to be fitted, or are pointless."""


@dataclass(frozen=True)
class Case:
    """An estimator for a task."""

    name: str
    task: str
    model: Any
    """Not fitted."""

    @property
    def id(self) -> str:
        return f"{self.name} {self.task}"


@dataclass(frozen=True)
class Found:
    """What became of a case."""

    served: str
    """"ONNX", "skops", or "refused"."""
    trust: tuple[str, ...] = ()
    why: str = ""


def cases() -> list[Case]:
    """All of scikit-learn's, then pipelines and searches."""
    found = [
        Case(name, task, _made(name, kind, of))
        for kind, tasks in TASKS.items()
        for name, of in all_estimators(type_filter=kind)
        for task in tasks
        if not (task == "multiclass" and "Threshold" in name)
    ]
    return found + list(_composed())


def _made(name: str, kind: str, of: Any) -> Any:
    inner = LogisticRegression() if kind == "classifier" else Ridge()
    other = GaussianNB() if kind == "classifier" else DecisionTreeRegressor(max_depth=3, random_state=0)
    given: dict[str, Any] = {}
    if name.startswith(("Stacking", "Voting")):
        given = {"estimators": [("one", inner), ("other", other)]}
    elif name in ("CCA", "PLSCanonical"):
        given = {"n_components": 1}
    elif name in (*TWO_TARGETS, "OneVsOneClassifier", "OneVsRestClassifier", "OutputCodeClassifier") or name in (
        "SelfTrainingClassifier", "FixedThresholdClassifier", "TunedThresholdClassifierCV"
    ):  # fmt: skip
        given = {} if name.startswith("MultiTask") else {"estimator": inner}
    elif name.startswith("RadiusNeighbors"):
        given = {"radius": 100.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a later version leaves out
        model = of(**given)
    return model.set_params(random_state=0) if "random_state" in model.get_params(deep=False) else model


def _composed() -> Iterator[Case]:
    for task in ("binary", "multiclass", "regression"):
        linear = LinearRegression() if task == "regression" else LogisticRegression()
        forest: Any = RandomForestRegressor if task == "regression" else RandomForestClassifier
        tree: Any = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
        grid = {"max_depth": [2, 3]}
        yield Case("Pipeline(StandardScaler, linear)", task, make_pipeline(StandardScaler(), linear))
        yield Case("Pipeline(PolynomialFeatures, linear)", task, make_pipeline(PolynomialFeatures(), linear))
        yield Case("Pipeline(PCA, linear)", task, make_pipeline(PCA(2), linear))
        yield Case("Pipeline(PCA, forest)", task, make_pipeline(PCA(2), forest(5, random_state=0)))
        yield Case("GridSearchCV", task, GridSearchCV(tree(random_state=0), grid, cv=2))
        yield Case("RandomizedSearchCV", task, RandomizedSearchCV(tree(random_state=0), grid, n_iter=2, cv=2))


def data(case: Case) -> tuple[Any, Any, Any, Any]:
    """X, y to be fitted on and X, y held out: four numbers a row, one for isotonic regression."""
    if case.task == "regression":
        X, y = make_regression(2 * ROWS, 4, noise=1.0, random_state=0)
        y = 1 + (y - y.min()) / 50
    else:
        classes = 2 if case.task == "binary" else 3
        X, y = make_classification(
            2 * ROWS, 4, n_informative=3, n_redundant=0, n_classes=classes, n_clusters_per_class=1, random_state=0
        )
    if case.name in POSITIVE:
        X = np.minimum(abs(X), 1).round() if case.name == "CategoricalNB" else abs(X)
    if case.name == "IsotonicRegression":
        X = X[:, :1]
    if case.name in TWO_TARGETS:
        y = np.column_stack([y, y[::-1]])
    return X[:ROWS], y[:ROWS], X[ROWS:], y[ROWS:]


def found(case: Case) -> Found:
    """Fits, registers, loads as a server does, and holds the answers for held-out rows against scikit-learn's.

    Raises:
        AssertionError: they differ.
    """
    X, y, X_test, y_test = data(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small data
        model = case.model.fit(X, y)
        native = model.predict(X_test)
    try:
        built, trust = _built(model, Given(X=X, X_test=X_test, y_test=y_test))
    except MainstayError as error:
        return Found("refused", why=str(error))
    served = Model.load(built.draft.package(), trusted=trust)
    served.check_golden()
    if case.task == "regression":
        np.testing.assert_allclose(served.predict(X_test), np.ravel(native), rtol=1e-6, atol=1e-6)
    else:
        assert served.predict(X_test) == native.tolist()
        if hasattr(model, "predict_proba"):
            np.testing.assert_allclose(served.predict_proba(X_test), model.predict_proba(X_test), atol=1e-6)
    return Found("ONNX" if built.format == "onnx" else built.format, trust, built.reason)


def _built(model: Any, given: Given) -> tuple[Built, tuple[str, ...]]:
    try:
        return draft_of(model, given).built, ()
    except UntrustedTypes as error:
        trust = error.types
    told = Given(X=given.X, X_test=given.X_test, y_test=given.y_test, trusted=trust)
    return draft_of(model, told).built, trust
