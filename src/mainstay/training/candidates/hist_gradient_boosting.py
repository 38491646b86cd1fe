"""scikit-learn's histogram boosting, with categories and missing values as they are."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from mainstay.training.candidates.base import Family, Params, Real, Setting, Whole, number
from mainstay.training.features import Recipe


def _build(params: Params, setting: Setting) -> Any:
    make = HistGradientBoostingClassifier if setting.classifies else HistGradientBoostingRegressor
    return make(
        **params,
        early_stopping=False,
        categorical_features=list(setting.categorical) or None,
        random_state=setting.seed,
    )


FAMILY = Family(
    name="hist_gradient_boosting",
    recipe=Recipe("tree", native=True),
    starts=(
        {"max_iter": 150, "learning_rate": 0.08, "max_leaf_nodes": 31, "min_samples_leaf": 20, "l2_regularization": 0},
        {"max_iter": 200, "learning_rate": 0.04, "max_leaf_nodes": 8, "min_samples_leaf": 20, "l2_regularization": 1},
    ),
    space={
        "max_iter": Whole(40, 500, log=True),
        "learning_rate": Real(0.01, 0.3, log=True),
        "max_leaf_nodes": Whole(4, 96, log=True),
        "min_samples_leaf": Whole(5, 100, log=True),
        "l2_regularization": Real(0, 10),
    },
    build=_build,
    effort=lambda p: number(p, "max_iter") * number(p, "max_leaf_nodes") ** 0.7,
)
