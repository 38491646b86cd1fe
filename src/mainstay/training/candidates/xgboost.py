"""XGBoost, with categories and missing values as they are."""

from __future__ import annotations

from typing import Any

from xgboost import XGBClassifier, XGBRegressor

from mainstay.training.candidates.base import Family, Params, Real, Setting, Whole, number
from mainstay.training.features import Recipe


def _build(params: Params, setting: Setting) -> Any:
    make = XGBClassifier if setting.classifies else XGBRegressor
    categorical: dict[str, Any] = {}
    if setting.categorical:
        codes = set(setting.categorical)
        categorical = {
            "enable_categorical": True,
            "feature_types": ["c" if feature in codes else "q" for feature in range(setting.width)],
        }
    fixed = {"tree_method": "hist", "n_jobs": setting.threads, "random_state": setting.seed, "verbosity": 0}
    return make(**params, **categorical, **fixed)


FAMILY = Family(
    name="xgboost",
    recipe=Recipe("tree", native=True),
    starts=(
        {
            "n_estimators": 150,
            "learning_rate": 0.1,
            "max_depth": 5,
            "min_child_weight": 1.0,
            "subsample": 1.0,
            "colsample_bytree": 1.0,
            "reg_lambda": 1.0,
        },
        {
            "n_estimators": 300,
            "learning_rate": 0.04,
            "max_depth": 3,
            "min_child_weight": 3.0,
            "subsample": 0.8,
            "colsample_bytree": 0.6,
            "reg_lambda": 3.0,
        },
    ),
    space={
        "n_estimators": Whole(40, 600, log=True),
        "learning_rate": Real(0.01, 0.3, log=True),
        "max_depth": Whole(2, 9),
        "min_child_weight": Real(0.5, 30.0, log=True),
        "subsample": Real(0.5, 1.0),
        "colsample_bytree": Real(0.3, 1.0),
        "reg_lambda": Real(0.01, 30.0, log=True),
    },
    build=_build,
    effort=lambda p: number(p, "n_estimators") * 1.5 ** number(p, "max_depth"),
)
