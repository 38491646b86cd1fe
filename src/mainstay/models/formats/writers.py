"""Which module writes which estimator."""

from __future__ import annotations

import importlib
from typing import Any

from mainstay.models.formats.faces import behind
from mainstay.models.formats.graph import CannotExport, Features, Graph, Precision, Scores

_HERE = "mainstay.models.formats"
_MODULES: dict[tuple[str, Precision], str] = {
    ("sklearn_trees", "float32"): """
        DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor
        RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor
        GradientBoostingClassifier GradientBoostingRegressor""",
    ("hist_trees", "float64"): "HistGradientBoostingClassifier HistGradientBoostingRegressor",
    ("linear", "float64"): """
        LinearRegression Ridge RidgeCV Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC Lars LarsCV ElasticNet
        ElasticNetCV BayesianRidge ARDRegression HuberRegressor TheilSenRegressor QuantileRegressor
        OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV SGDRegressor LinearSVR PassiveAggressiveRegressor
        PoissonRegressor GammaRegressor TweedieRegressor
        LogisticRegression LogisticRegressionCV SGDClassifier LinearSVC Perceptron PassiveAggressiveClassifier
        RidgeClassifier RidgeClassifierCV LinearDiscriminantAnalysis""",
    ("bayes", "float64"): "GaussianNB MultinomialNB BernoulliNB",
    ("networks", "float64"): "MLPClassifier MLPRegressor",
    ("support_vectors", "float64"): "SVC NuSVC SVR NuSVR",
    ("ensembles", "float64"): """
        VotingClassifier VotingRegressor StackingClassifier StackingRegressor BaggingClassifier BaggingRegressor
        CalibratedClassifierCV FrozenEstimator Pipeline""",
    ("wrapped", "float64"): """
        AdaBoostClassifier FixedThresholdClassifier TunedThresholdClassifierCV TransformedTargetRegressor
        RANSACRegressor SelfTrainingClassifier""",
    ("constants", "float64"): "DummyClassifier DummyRegressor",
}
_WRITERS: dict[str, tuple[str, Precision]] = {
    f"sklearn.{name}": entry for entry, names in _MODULES.items() for name in names.split()
} | {
    "lightgbm.LGBMClassifier": ("lightgbm", "float64"),
    "lightgbm.LGBMRegressor": ("lightgbm", "float64"),
    "lightgbm.Booster": ("lightgbm", "float64"),
    "xgboost.XGBClassifier": ("xgboost", "float32"),
    "xgboost.XGBRegressor": ("xgboost", "float32"),
    "xgboost.XGBRFClassifier": ("xgboost", "float32"),
    "xgboost.XGBRFRegressor": ("xgboost", "float32"),
    "xgboost.Booster": ("xgboost", "float32"),
    "catboost.CatBoostClassifier": ("catboost", "float32"),
    "catboost.CatBoostRegressor": ("catboost", "float32"),
    "catboost.CatBoost": ("catboost", "float32"),
}


def precision(estimator: Any) -> Precision:
    """The precision in which the estimator reads its features.

    Raises:
        CannotExport: no module writes such an estimator.
    """
    return _entry(behind(estimator))[1]


def write_estimator(graph: Graph, features: Features, estimator: Any) -> Scores:
    """Adds the nodes of a fitted estimator, which takes the given features.

    Raises:
        CannotExport: it cannot be written so that it answers as the estimator does.
    """
    estimator = behind(estimator)
    module = importlib.import_module(f"{_HERE}.{_entry(estimator)[0]}")
    expected = _width(estimator)
    if expected is not None and expected != features.width:
        raise CannotExport(f"{type(estimator).__name__} takes {expected} features, not {features.width}.")
    scores: Scores = module.write(graph, features, estimator)
    return scores


def _width(estimator: Any) -> int | None:
    if type(estimator).__module__.startswith("catboost."):
        return len(estimator.feature_names_)  # n_features_in_ is 0 for a model that was read from a file
    for name in ("n_features_in_", "num_feature", "num_features"):
        found = getattr(estimator, name, None)  # the last two are methods of native boosters
        if found is not None:
            return int(found() if callable(found) else found)
    return None


def _entry(estimator: Any) -> tuple[str, Precision]:
    kind = type(estimator)
    name = f"{kind.__module__.split('.')[0]}.{kind.__qualname__}"
    if kind.__name__.startswith("KNeighbors"):
        raise CannotExport("A search for nearest neighbours takes ten times as long in ONNX as in scikit-learn.")
    if name not in _WRITERS:
        raise CannotExport(
            f"{name} is not among the estimators that are written as ONNX: it can be served natively, or replaced."
        )
    return _WRITERS[name]
