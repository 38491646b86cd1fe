"""LightGBM, with categories and missing values as they are."""

from __future__ import annotations

from typing import Any

from lightgbm import LGBMClassifier, LGBMRegressor

from mainstay.training.candidates.base import Family, Params, Real, Setting, Whole, number
from mainstay.training.features import Recipe


def _build(params: Params, setting: Setting) -> Any:
    make: Any = LGBMClassifier if setting.classifies else LGBMRegressor
    # `cat_feature` is the alias of `categorical_feature` that the library accepts here without a warning.
    categorical = {"cat_feature": list(setting.categorical)} if setting.categorical else {}
    return make(
        **params,
        **categorical,
        subsample_freq=1,
        deterministic=True,
        force_row_wise=True,
        n_jobs=setting.threads,
        random_state=setting.seed,
        verbosity=-1,
    )


def _start(n_estimators: int, learning_rate: float, num_leaves: int, **others: float) -> Params:
    return {
        "n_estimators": n_estimators,
        "learning_rate": learning_rate,
        "num_leaves": num_leaves,
        "min_child_samples": 20,
        "subsample": 1.0,
        "colsample_bytree": 1.0,
        "reg_lambda": 0.001,
        **others,
    }


FAMILY = Family(
    name="lightgbm",
    recipe=Recipe("tree", native=True),
    starts=(
        _start(150, 0.08, 31),
        _start(250, 0.03, 8, subsample=0.8, colsample_bytree=0.6, reg_lambda=1.0),
        _start(500, 0.05, 31, subsample=0.8, colsample_bytree=0.7, reg_lambda=1.0),
    ),
    space={
        "n_estimators": Whole(40, 800, log=True),
        "learning_rate": Real(0.01, 0.3, log=True),
        "num_leaves": Whole(4, 96, log=True),
        "min_child_samples": Whole(5, 100, log=True),
        "subsample": Real(0.5, 1.0),
        "colsample_bytree": Real(0.3, 1.0),
        "reg_lambda": Real(1e-3, 30.0, log=True),
    },
    build=_build,
    effort=lambda p: number(p, "n_estimators") * number(p, "num_leaves") ** 0.7,
)
