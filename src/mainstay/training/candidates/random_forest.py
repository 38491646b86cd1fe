"""Many trees on draws of the rows, averaged."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from mainstay.training.candidates.base import Family, Params, Real, Setting, Whole, number
from mainstay.training.features import Recipe


def _build(params: Params, setting: Setting) -> Any:
    make = RandomForestClassifier if setting.classifies else RandomForestRegressor
    return make(**params, n_jobs=setting.threads, random_state=setting.seed)


FAMILY = Family(
    name="random_forest",
    recipe=Recipe("tree"),
    starts=({"n_estimators": 150, "min_samples_leaf": 2, "max_features": 0.3},),
    space={
        "n_estimators": Whole(50, 300, log=True),
        "min_samples_leaf": Whole(1, 30, log=True),
        "max_features": Real(0.05, 1.0),
    },
    build=_build,
    effort=lambda p: number(p, "n_estimators") * (0.2 + number(p, "max_features")),
    growth=1.1,
)
