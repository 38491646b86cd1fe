"""XGBoost's own files, JSON and UBJSON: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html.

The old binary format is not read: XGBoost itself no longer does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mainstay.errors import MissingExtra
from mainstay.models.formats.categories import xgboost_categories
from mainstay.models.formats.foreign.boosting import MOST, of_booster
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, content_of
from mainstay.models.formats.xgboost import classes_of
from mainstay.models.signature import Floats

NAME = "XGBoost"
NATIVE_READER = True


def detect(path: Path, head: bytes) -> bool:
    if path.suffix == ".ubj":
        return True
    # Keys are sorted or not, and a long "feature_names" may come first: "learner" is always at the top.
    return head[:1] == b"{" and b"learner" in head


def draft(path: Path, told: Told) -> Imported:
    try:
        import xgboost  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("An XGBoost file", "train", "xgboost") from error
    content = content_of(path, MOST)
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(content))
        bytes(booster.save_raw("json")).decode("utf-8")
    except UnicodeDecodeError as error:  # a name in it, or a part of it in XGBoost's own words
        raise CannotImport(f"{path.name} is no sound model of XGBoost: it holds bytes that are no UTF-8.") from error
    except xgboost.core.XGBoostError as error:
        said = str(error).strip().splitlines()
        raise CannotImport(f"{path.name} is no model that XGBoost reads: {said[-1] if said else error}.") from error
    notes: list[str] = []
    best = booster.attr("best_iteration")
    if best is not None and booster.attr("scikit_learn") is not None:
        # XGBClassifier and XGBRegressor answer with the trees up to the best one; a plain Booster with all.
        booster = booster[: int(best) + 1]
        notes.append(
            f"Early stopping found iteration {best} best: the trees up to it answer, as in XGBoost's estimators."
        )
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = learner["objective"]["name"]
    width = booster.num_features()
    categories: dict[int, tuple[str, ...]] = {}
    if "c" in (booster.feature_types or ()):
        listed, booster = xgboost_categories(booster)
        categories = {index: _texts(index, values) for index, values in enumerate(listed) if values is not None}

    def predict(features: Floats) -> Any:
        matrix = xgboost.DMatrix(
            features.astype("float32"), feature_names=booster.feature_names, feature_types=booster.feature_types
        )
        return booster.predict(matrix)

    built = of_booster(
        booster,
        told=told,
        names=told.names(booster.feature_names or (), width),
        labels=told.classes(range(classes_of(learner))),
        predict=predict,
        categories=categories,
        closed=True,  # XGBoost refuses what it has not seen
    )
    return Imported(built, f"XGBoost {objective}", tuple(notes))


def _texts(index: int, values: list[Any]) -> tuple[str, ...]:
    if any(not isinstance(value, str | int) for value in values):
        raise CannotImport(
            f"The categories of feature {index} are neither texts nor whole numbers: train it on texts or on codes."
        )
    return tuple(str(value) for value in values)
