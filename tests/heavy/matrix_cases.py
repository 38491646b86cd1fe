"""The lines of the matrix for tables: scikit-learn, boosted trees, and the files of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter, methodcaller
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
from mainstay.models.package import Package
from mainstay.models.registering import draft_of

NEIGHBOURS = (
    "numpy.dtype",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
)
"""What an operator trusts for a search among neighbours."""
SMALL = {"n_estimators": 50}
Fitted = Callable[[str], Any]
"""A task to a fitted estimator."""


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
        for library, fitted in {"XGBoost": _xgboost, "LightGBM": _lightgbm, "CatBoost": _catboost}.items():
            yield Case(library, "estimator", task, _estimator(fitted, task))
        yield Case("XGBoost", "Booster", task, _booster(_xgboost, task, methodcaller("get_booster"), _ask_xgboost))
        yield Case("LightGBM", "Booster", task, _booster(_lightgbm, task, attrgetter("booster_"), _ask_lightgbm))
        yield Case("XGBoost", "file (.ubj)", task, _file(_xgboost, task, "model.ubj", _save, told=False))
        yield Case("LightGBM", "file (.txt)", task, _file(_lightgbm, task, "model.txt", _save_booster))
        yield Case("CatBoost", "file (.cbm)", task, _file(_catboost, task, "model.cbm", _save))
        yield Case("ONNX", "file", task, _onnx(task))
        yield Case("PMML", "file", task, _written(task, _pmml, "model.pmml"))
        yield Case("MLflow", "folder", task, _written(task, _mlflow, "m"))
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
    return _fitted((XGBRegressor if task == "regression" else XGBClassifier)(**SMALL, n_jobs=1), task)


def _lightgbm(task: str) -> Any:
    return _fitted((LGBMRegressor if task == "regression" else LGBMClassifier)(**SMALL, verbose=-1, n_jobs=1), task)


def _catboost(task: str) -> Any:
    catboost = need("catboost")
    kind = catboost.CatBoostRegressor if task == "regression" else catboost.CatBoostClassifier
    return _fitted(kind(iterations=50, depth=4, verbose=False, thread_count=1, allow_writing_files=False), task)


def _fitted(model: Any, task: str) -> Any:
    X, _, y, _ = numbers(task)
    return model.fit(X, y)


def _estimator(fitted: Fitted, task: str):
    def make(folder: Path) -> Made:
        del folder
        X, X_test, _, _ = numbers(task)
        model = fitted(task)
        return Made(model, Given(X=X, X_test=X_test), X_test, _ask(model, task), X_test)

    return make


def _booster(fitted: Fitted, task: str, of: Callable[[Any], Any], asked: Callable[[Any, np.ndarray], np.ndarray]):
    """The native booster of an estimator, which knows no labels."""

    def make(folder: Path) -> Made:
        del folder
        X, X_test, _, _ = numbers(task)
        booster = of(fitted(task))

        def native(rows: np.ndarray) -> np.ndarray:
            said = asked(booster, rows)
            return said if task == "regression" else _both(said)

        return Made(booster, Given(X=X, X_test=X_test, labels=_labels(task)), X_test, native, X_test)

    return make


def _file(fitted: Fitted, task: str, name: str, save: Callable[[Any, str], Any], *, told: bool = True):
    """A file of a library's own; `told`: whether the names of its columns are."""

    def make(folder: Path) -> Made:
        X, X_test, _, _ = numbers(task)
        model, path = fitted(task), folder / name
        save(model, str(path))
        names = Told(columns=_names(X)) if told else Told()
        return Made(path, names, _by_name(X_test), _ask(model, task), X_test)

    return make


def _labels(task: str) -> tuple[int, ...]:
    return () if task == "regression" else tuple(range(2 if task == "binary" else 3))


def _both(found: np.ndarray) -> np.ndarray:
    """A booster of two classes says the second's probability alone."""
    return np.column_stack([1 - found, found]) if found.ndim == 1 else found


def _ask_xgboost(booster: Any, rows: np.ndarray) -> np.ndarray:
    import xgboost

    return booster.predict(xgboost.DMatrix(rows))


def _ask_lightgbm(booster: Any, rows: np.ndarray) -> np.ndarray:
    return np.asarray(booster.predict(rows))


def _save(model: Any, path: str) -> None:
    model.save_model(path)


def _save_booster(model: Any, path: str) -> None:
    model.booster_.save_model(path)


def _names(X: np.ndarray) -> tuple[str, ...]:
    return tuple(f"x{index}" for index in range(X.shape[1]))


def _by_name(X: np.ndarray) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in zip(_names(X), X.T, strict=True)}


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


def _written(task: str, files: Callable[[Package], Mapping[str, bytes]], name: str):
    """What Mainstay itself wrote of a version, read again: `files` by their paths, of which `name` is imported."""

    def make(folder: Path) -> Made:
        X, X_test, y, _ = numbers(task)
        frame = pd.DataFrame(X, columns=_names(X))
        model = _lightgbm(task).fit(frame, y)
        for path, data in files(draft_of(model, Given(X=frame)).built.draft.package()).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        rows = pd.DataFrame(X_test, columns=frame.columns)
        return Made(folder / name, Told(), _by_name(X_test), _ask(model, task), rows)

    return make


def _pmml(package: Package) -> Mapping[str, bytes]:
    return {"model.pmml": pmml_of(package)}


def _mlflow(package: Package) -> Mapping[str, bytes]:
    return {f"m/{name}": data for name, data in mlflow_of(package).items()}


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
