"""Estimators that take columns of pandas categories themselves: the encoder counts them in their place.

Each of the three libraries keeps its own list of categories, and takes the place of a category in it. One that is
not in the list is missing to scikit-learn and LightGBM, and refused by XGBoost. What comes back is the same
estimator, ready to be given such places.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from mainstay.models.formats.catboost import takes_more_than_numbers
from mainstay.models.formats.faces import Face, behind
from mainstay.models.formats.lanes import CannotTranscribe, Facts, Lane, Table


def coded_categories(estimator: Any, lanes: list[Lane], facts: Facts) -> tuple[list[Lane], Any]:
    """Lanes of texts or categories as an estimator that takes such columns counts them; others stay as they are.

    Raises:
        CannotTranscribe: the estimator's way with them is its library's own.
    """
    family = type(behind(estimator)).__module__.partition(".")[0]
    if family == "catboost" and takes_more_than_numbers(behind(estimator)):
        raise CannotTranscribe("CatBoost hashes categories and texts itself, which no other program does")
    if not any(lane.raw for lane in lanes):
        return lanes, estimator
    if isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        lanes, estimator = _hist_gradient_boosting(estimator, lanes)
    elif family == "lightgbm":
        # A list for each column of categories, in the order of the table.
        booster = behind(estimator)
        listed = iter(getattr(booster, "booster_", booster).pandas_categorical or ())
        lanes = [_coded(lane, next(listed)) if lane.raw else lane for lane in lanes]
    elif family == "xgboost":
        lanes, estimator = _xgboost(estimator, lanes)
        facts.closed.update(lane.column for lane in lanes if lane.table is not None)  # it refuses what it has not seen
    for lane in lanes:
        if lane.table is not None:
            facts.know(lane.column, list(lane.table.known))
    return lanes, estimator


def _coded(lane: Lane, categories: Sequence[Any]) -> Lane:
    known = {str(category): float(place) for place, category in enumerate(categories)}
    return Lane(lane.column, table=Table(known, np.nan, np.nan))


def _xgboost(estimator: Any, lanes: list[Lane]) -> tuple[list[Lane], Any]:
    booster = behind(estimator)
    listed, bare_booster = xgboost_categories(booster.get_booster() if hasattr(booster, "get_booster") else booster)
    found = [
        _coded(lane, values) if lane.raw and values is not None else lane
        for lane, values in zip(lanes, listed, strict=True)
    ]
    bare = copy.copy(estimator)
    if isinstance(bare, Face):
        bare.booster = bare_booster
        return found, bare
    bare._Booster = bare_booster  # noqa: SLF001 - there is no public way to hand an estimator its booster
    return found, bare


def xgboost_categories(booster: Any) -> tuple[list[list[Any] | None], Any]:
    """XGBoost 3 and later: the list of categories of each column that has one, and the booster without these lists,
    which takes places as they are."""
    from xgboost import Booster  # noqa: PLC0415 - only where there is such a model

    listed = [
        None if values is None else values.to_pylist()
        for _, values in booster.get_categories(export_to_arrow=True).to_arrow()
    ]
    document = json.loads(booster.save_raw("json"))
    inner = document["learner"]["gradient_booster"]
    model = inner["gbtree"]["model"] if inner["name"] == "dart" else inner["model"]
    model["cats"] = {"enc": [], "feature_segments": [], "sorted_idx": []}
    bare = Booster()
    bare.load_model(bytearray(json.dumps(document).encode()))
    return listed, bare


def _hist_gradient_boosting(estimator: Any, lanes: list[Lane]) -> tuple[list[Lane], Any]:
    """The estimator with an inner encoder for places (scikit-learn 1.4 to 1.9, `_preprocessor`)."""
    inner = getattr(estimator, "_preprocessor", None)
    if inner is None:
        return lanes, estimator
    flags = np.asarray(estimator.is_categorical_)
    found, lists = list(lanes), []
    for index, values in zip(np.flatnonzero(flags), inner.named_transformers_["encoder"].categories_, strict=True):
        present = [value for value in np.asarray(values, dtype=object) if not pd.isna(value)]
        if lanes[index].raw:
            found[index] = _coded(lanes[index], present)
            lists.append(np.arange(len(present), dtype=np.float64))
        else:
            lists.append(np.asarray(present, dtype=np.float64))
    encoder = OrdinalEncoder(
        categories=lists, handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    coded = ColumnTransformer([("encoder", encoder, flags), ("numerical", FunctionTransformer(), ~flags)])
    bare = copy.copy(estimator)
    bare._preprocessor = coded.fit(np.zeros((1, len(flags))))  # noqa: SLF001 - it can be asked in no public way
    return found, bare
