"""Logistic regression for classes, ridge regression for numbers."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge

from mainstay.training.candidates.base import Family, Params, Real, Setting, number
from mainstay.training.features import Recipe


def _build(params: Params, setting: Setting) -> Any:
    strength = number(params, "strength")
    if setting.classifies:
        return LogisticRegression(C=1.0 / strength, max_iter=1000, random_state=setting.seed)
    return Ridge(alpha=strength, random_state=setting.seed)


FAMILY = Family(
    name="linear",
    recipe=Recipe("linear"),
    starts=({"strength": 1.0}, {"strength": 0.1}, {"strength": 10.0}),
    space={"strength": Real(1e-3, 1e3, log=True)},
    build=_build,
    sparse=True,
    text=True,
)
