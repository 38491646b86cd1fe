"""Native boosters: `lightgbm.Booster`, `xgboost.Booster` and a plain `CatBoost`, which know no names of classes.

They are given the interface of scikit-learn, and go its way: encoder and ONNX, else their own file.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from mainstay.models.formats import catboost_native, sklearn_object
from mainstay.models.formats.column_order import check_names, check_order
from mainstay.models.formats.faces import Face
from mainstay.models.formats.foreign.protocol import Imported
from mainstay.models.formats.objects import CannotRegister, Given, is_a
from mainstay.models.formats.own_files import label_only
from mainstay.models.signature import Label

NAME = "LightGBM, XGBoost or CatBoost"


def recognizes(model: Any) -> bool:
    return is_a(model, "Booster", "lightgbm", "xgboost") or (
        type(model).__name__ == "CatBoost" and type(model).__module__.startswith("catboost.")
    )


def draft(model: Any, given: Given) -> Imported:
    """The package of a booster. Its classes are 0, 1, … unless `labels` names them.

    Raises:
        CannotRegister: labels for a model that has other classes or none; columns in another order than it was
            trained on.
        SignatureError, InputError, ParityFailed: as `sklearn_object.draft` says.
    """
    if given.general or given.logits:
        raise CannotRegister("A booster says itself what it answers: leave general and logits out.")
    labels = _labels(model, given.labels)
    check_names(_names(model), given.columns)
    if (names := _names(model)) and isinstance(given.table, pd.DataFrame):
        check_order(names, list(given.table.columns))
    face = _Classifier(model, labels) if labels else _Regressor(model)
    described = f"{type(model).__module__.split('.', 1)[0]} {type(model).__name__}"
    return Imported(sklearn_object.draft(face, replace(given, labels=())).built, described)


class _Regressor(Face, RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn is not typed
    """A booster that gives one value a row."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any, y: Any) -> _Regressor:
        """Only there because every estimator has one."""
        raise CannotRegister("This booster is trained already.")

    def predict(self, X: Any) -> Any:
        return _answers(self.booster, X, probabilities=False)


class _Classifier(Face, ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn is not typed
    """A booster that gives a probability for each class, or the class alone."""

    def __init__(self, booster: Any, labels: tuple[Label, ...]) -> None:
        self.booster, self.labels = booster, labels

    @property
    def classes_(self) -> Any:
        return np.array(self.labels, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any, y: Any) -> _Classifier:
        """Only there because every estimator has one."""
        raise CannotRegister("This booster is trained already.")

    @available_if(lambda self: not label_only(self.booster))  # type: ignore[untyped-decorator] # as above
    def predict_proba(self, X: Any) -> Any:
        found = np.asarray(_answers(self.booster, X, probabilities=True), dtype=np.float64)
        return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found

    def predict(self, X: Any) -> Any:
        if label_only(self.booster):
            positions = np.asarray(_answers(self.booster, X, probabilities=False)).astype(np.int64)
        else:
            positions = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[positions]


def _answers(booster: Any, X: Any, *, probabilities: bool) -> Any:
    family = type(booster).__module__.split(".", 1)[0]
    if family == "lightgbm":
        return booster.predict(X, num_threads=1)
    if family == "catboost":
        kind = "Probability" if probabilities else catboost_native.prediction_type(booster)
        return booster.predict(X, prediction_type=kind, thread_count=1)
    from xgboost import DMatrix  # noqa: PLC0415 - whoever has such a booster has it

    if isinstance(X, pd.DataFrame):
        return booster.predict(DMatrix(X, enable_categorical=True, nthread=1))
    names, types = booster.feature_names, booster.feature_types
    return booster.predict(DMatrix(np.asarray(X), feature_names=names, feature_types=types, nthread=1))


def _names(booster: Any) -> tuple[str, ...]:
    """The names that it was trained with; none where it was given an array."""
    family = type(booster).__module__.split(".", 1)[0]
    if family == "lightgbm":
        names = tuple(booster.feature_name())
        return () if names == tuple(f"Column_{index}" for index in range(len(names))) else names
    if family == "xgboost":
        return tuple(booster.feature_names or ())
    names = tuple(str(name) for name in booster.feature_names_)
    return () if names == tuple(map(str, range(len(names)))) else names


def _labels(booster: Any, given: tuple[Label, ...]) -> tuple[Label, ...]:
    own = _own_labels(booster)
    if given and len(given) != len(own):
        what = f"{len(own)} classes" if own else "no classes: what it was trained for gives values"
        raise CannotRegister(f"{len(given)} labels are given, and the model has {what}.")
    return given or own


def _own_labels(booster: Any) -> tuple[Label, ...]:
    family = type(booster).__module__.split(".", 1)[0]
    if family == "catboost":
        return sklearn_object.labels_of(booster.classes_)
    if family == "lightgbm":
        from mainstay.models.formats.lightgbm import classes_of  # noqa: PLC0415 - only where there is such a model

        return tuple(range(classes_of(booster)))
    from mainstay.models.formats.xgboost import classes_of as xgboost_classes  # noqa: PLC0415 - as above

    return tuple(range(xgboost_classes(json.loads(booster.save_config())["learner"])))
