"""The lines of the matrix for tables: scikit-learn, boosted trees, and the files of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from libraries import need
from lightgbm import LGBMClassifier, LGBMRegressor
from matrix import TASKS, Case, Made
from matrix_tables import messages, numbers, table
from skl2onnx import to_onnx
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.formats.mlflow_export import mlflow_of
from mainstay.models.formats.objects import Given
from mainstay.models.formats.pmml.writing import pmml_of
from mainstay.models.registering import draft_of

NEIGHBOURS = (
    "numpy.dtype",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
)
"""What an operator trusts for a search among neighbours."""
SMALL = {"n_estimators": 50}


def cases() -> Iterator[Case]:
    """Every line."""
    for task in TASKS:
        regression = task == "regression"
        estimators: dict[str, Any] = {
            "linear, mixed columns": LinearRegression() if regression else LogisticRegression(max_iter=500),
            "forest, mixed columns": (RandomForestRegressor if regression else RandomForestClassifier)(
                **SMALL, random_state=0
            ),
            "histogram boosting, mixed columns": (
                HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
            )(max_iter=50),
            "nearest neighbours, mixed columns": (KNeighborsRegressor if regression else KNeighborsClassifier)(),
        }
        for name, estimator in estimators.items():
            yield Case("scikit-learn", name, task, _mixed(estimator, task))
        yield Case("XGBoost", "estimator", task, _boosted(_xgboost(task), task))
        yield Case("XGBoost", "Booster", task, _xgboost_booster(task))
        yield Case("XGBoost", "file (.ubj)", task, _xgboost_file(task))
        yield Case("LightGBM", "estimator", task, _boosted(_lightgbm(task), task))
        yield Case("LightGBM", "Booster", task, _lightgbm_booster(task))
        yield Case("LightGBM", "file (.txt)", task, _lightgbm_file(task))
        yield Case("CatBoost", "estimator", task, _catboost(task))
        yield Case("CatBoost", "file (.cbm)", task, _catboost_file(task))
        yield Case("ONNX", "file", task, _onnx(task))
        yield Case("PMML", "file", task, _pmml(task))
        yield Case("MLflow", "folder", task, _mlflow(task))
    yield Case("scikit-learn", "terms of a text", "binary", _text)


def _ask(model: Any, task: str):
    return model.predict if task == "regression" else model.predict_proba


def _mixed(estimator: Any, task: str):
    def make(folder: Path) -> Made:
        del folder
        X, X_test, y = table(task)
        steps = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["purpose", "owner"]),
        )
        model = make_pipeline(steps, estimator).fit(X, y)
        trusted = NEIGHBOURS if isinstance(estimator, KNeighborsRegressor | KNeighborsClassifier) else ()
        return Made(model, Given(X=X, X_test=X_test, trusted=trusted), X_test, _ask(model, task), X_test)

    return make


def _xgboost(task: str) -> Any:
    return (XGBRegressor if task == "regression" else XGBClassifier)(**SMALL, n_jobs=1)


def _lightgbm(task: str) -> Any:
    return (LGBMRegressor if task == "regression" else LGBMClassifier)(**SMALL, verbose=-1, n_jobs=1)


def _boosted(model: Any, task: str):
    def make(folder: Path) -> Made:
        del folder
        X, X_test, y, _ = numbers(task)
        model.fit(X, y)
        return Made(model, Given(X=X, X_test=X_test), X_test, _ask(model, task), X_test)

    return make


def _labels(task: str) -> tuple[int, ...]:
    return () if task == "regression" else tuple(range(2 if task == "binary" else 3))


def _both(found: np.ndarray) -> np.ndarray:
    """A booster of two classes says the second's probability alone."""
    return np.column_stack([1 - found, found]) if found.ndim == 1 else found


def _xgboost_booster(task: str):
    def make(folder: Path) -> Made:
        import xgboost

        del folder
        X, X_test, y, _ = numbers(task)
        booster = _xgboost(task).fit(X, y).get_booster()

        def native(rows: np.ndarray) -> np.ndarray:
            said = booster.predict(xgboost.DMatrix(rows))
            return said if task == "regression" else _both(said)

        return Made(booster, Given(X=X, X_test=X_test, labels=_labels(task)), X_test, native, X_test)

    return make


def _xgboost_file(task: str):
    def make(folder: Path) -> Made:
        X, X_test, y, _ = numbers(task)
        model = _xgboost(task).fit(X, y)
        model.save_model(folder / "model.ubj")
        return Made(folder / "model.ubj", Told(), _by_name(X_test), _ask(model, task), X_test)

    return make


def _by_name(X: np.ndarray) -> dict[str, list[float]]:
    return {f"x{index}": column.tolist() for index, column in enumerate(X.T)}


def _lightgbm_booster(task: str):
    def make(folder: Path) -> Made:
        del folder
        X, X_test, y, _ = numbers(task)
        booster = _lightgbm(task).fit(X, y).booster_

        def native(rows: np.ndarray) -> np.ndarray:
            said = np.asarray(booster.predict(rows))
            return said if task == "regression" else _both(said)

        return Made(booster, Given(X=X, X_test=X_test, labels=_labels(task)), X_test, native, X_test)

    return make


def _lightgbm_file(task: str):
    def make(folder: Path) -> Made:
        X, X_test, y, _ = numbers(task)
        model = _lightgbm(task).fit(X, y)
        model.booster_.save_model(folder / "model.txt")
        names = tuple(f"x{index}" for index in range(X.shape[1]))
        return Made(folder / "model.txt", Told(columns=names), _by_name(X_test), _ask(model, task), X_test)

    return make


def _catboost_model(task: str) -> Any:
    catboost = need("catboost")
    kind = catboost.CatBoostRegressor if task == "regression" else catboost.CatBoostClassifier
    X, _, y, _ = numbers(task)
    return kind(iterations=50, depth=4, verbose=False, thread_count=1, allow_writing_files=False).fit(X, y)


def _catboost(task: str):
    def make(folder: Path) -> Made:
        del folder
        X, X_test, _, _ = numbers(task)
        model = _catboost_model(task)
        return Made(model, Given(X=X, X_test=X_test), X_test, _ask(model, task), X_test)

    return make


def _catboost_file(task: str):
    def make(folder: Path) -> Made:
        X, X_test, _, _ = numbers(task)
        model = _catboost_model(task)
        model.save_model(str(folder / "model.cbm"))
        names = tuple(f"x{index}" for index in range(X.shape[1]))
        return Made(folder / "model.cbm", Told(columns=names), _by_name(X_test), _ask(model, task), X_test)

    return make


def _onnx(task: str):
    def make(folder: Path) -> Made:
        X, X_test, y, _ = numbers(task)
        model = (LinearRegression() if task == "regression" else LogisticRegression(max_iter=5000)).fit(X, y)
        options = {} if task == "regression" else {"options": {"zipmap": False}}
        graph = to_onnx(model, X[:1], **options)  # in double precision, as the model itself
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        return Made(
            folder / "model.onnx",
            Told(labels=tuple(map(str, _labels(task)))),
            _by_name(X_test),
            _ask(model, task),
            X_test,
        )

    return make


def _pmml(task: str):
    def make(folder: Path) -> Made:
        X, X_test, y, _ = numbers(task)
        frame = pd.DataFrame(X, columns=[f"x{index}" for index in range(X.shape[1])])
        model = _lightgbm(task).fit(frame, y)
        package = draft_of(model, Given(X=frame)).built.draft.package()
        (folder / "model.pmml").write_bytes(pmml_of(package))
        names = pd.DataFrame(X_test, columns=frame.columns)
        return Made(folder / "model.pmml", Told(), _by_name(X_test), _ask(model, task), names)

    return make


def _mlflow(task: str):
    def make(folder: Path) -> Made:
        X, X_test, y, _ = numbers(task)
        frame = pd.DataFrame(X, columns=[f"x{index}" for index in range(X.shape[1])])
        model = _lightgbm(task).fit(frame, y)
        package = draft_of(model, Given(X=frame)).built.draft.package()
        for name, data in mlflow_of(package).items():
            (folder / "m" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "m" / name).write_bytes(data)
        names = pd.DataFrame(X_test, columns=frame.columns)
        return Made(folder / "m", Told(), _by_name(X_test), _ask(model, task), names)

    return make


def _text(folder: Path) -> Made:
    del folder
    X, X_test, y = messages()
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(X, y)
    return Made(
        model,
        Given(X=pd.Series(X, name="text"), X_test=pd.Series(X_test, name="text")),
        {"text": X_test},
        model.predict_proba,
        X_test,
    )
