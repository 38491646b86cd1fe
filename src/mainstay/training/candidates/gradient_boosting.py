"""scikit-learn's gradient boosting: exact splits, so slow for many rows."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from mainstay.training.candidates.base import Family, Params, Real, Setting, Whole, number
from mainstay.training.features import Recipe


def _build(params: Params, setting: Setting) -> Any:
    make = GradientBoostingClassifier if setting.classifies else GradientBoostingRegressor
    return make(**params, random_state=setting.seed)


FAMILY = Family(
    name="gradient_boosting",
    recipe=Recipe("tree"),
    starts=({"n_estimators": 100, "learning_rate": 0.1, "max_depth": 3, "subsample": 1.0, "min_samples_leaf": 1},),
    space={
        "n_estimators": Whole(50, 400, log=True),
        "learning_rate": Real(0.01, 0.3, log=True),
        "max_depth": Whole(2, 7),
        "subsample": Real(0.5, 1.0),
        "min_samples_leaf": Whole(1, 30, log=True),
    },
    build=_build,
    effort=lambda p: number(p, "n_estimators") * number(p, "max_depth") * number(p, "subsample"),
    growth=1.1,
)
