"""One decision tree: weak, but a person can read it."""

from __future__ import annotations

from typing import Any

from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mainstay.training.candidates.base import Family, Params, Setting, Whole
from mainstay.training.features import Recipe


def _build(params: Params, setting: Setting) -> Any:
    make = DecisionTreeClassifier if setting.classifies else DecisionTreeRegressor
    return make(**params, random_state=setting.seed)


FAMILY = Family(
    name="decision_tree",
    recipe=Recipe("tree"),
    starts=({"max_depth": 6, "min_samples_leaf": 10},),
    space={"max_depth": Whole(2, 16), "min_samples_leaf": Whole(1, 100, log=True)},
    build=_build,
)
