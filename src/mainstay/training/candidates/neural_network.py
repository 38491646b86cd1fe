"""A small network of one or two layers."""

from __future__ import annotations

from typing import Any

from sklearn.neural_network import MLPClassifier, MLPRegressor

from mainstay.training.candidates.base import Family, OneOf, Params, Real, Setting, number
from mainstay.training.features import Recipe

_ENOUGH_TO_STOP_EARLY = 1000
"""Rows from which a tenth of them tells when to stop."""


def _build(params: Params, setting: Setting) -> Any:
    make = MLPClassifier if setting.classifies else MLPRegressor
    return make(
        hidden_layer_sizes=_layers(params),
        alpha=number(params, "alpha"),
        learning_rate_init=number(params, "learning_rate_init"),
        max_iter=150,
        early_stopping=setting.rows >= _ENOUGH_TO_STOP_EARLY,
        random_state=setting.seed,
    )


def _layers(params: Params) -> tuple[int, ...]:
    return tuple(int(size) for size in str(params["layers"]).split("x"))


FAMILY = Family(
    name="neural_network",
    recipe=Recipe("linear"),
    starts=({"layers": "64", "alpha": 1e-3, "learning_rate_init": 3e-3},),
    space={
        "layers": OneOf(("16", "64", "128", "32x16", "64x32")),
        "alpha": Real(1e-5, 3.0, log=True),
        "learning_rate_init": Real(3e-4, 3e-2, log=True),
    },
    build=_build,
    effort=lambda p: 1.0 + sum(_layers(p)) / 64,
    sparse=True,
    text=True,
)
