"""Support vector machines, with calibrated probabilities."""

from __future__ import annotations

from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC, SVR

from mainstay.training.candidates.base import Family, OneOf, Params, Real, Setting, number
from mainstay.training.features import Recipe

_MOST_ROWS = 10_000
_MOST_PRODUCTS = 3e10
"""rows * rows * features: kernel values times their cost; about half a minute."""


def _build(params: Params, setting: Setting) -> Any:
    kernel, strength = params["kernel"], number(params, "C")
    if setting.classifies:
        # One machine on all rows, and its scores out of three folds for the calibration: a third of the size.
        return CalibratedClassifierCV(
            SVC(kernel=kernel, C=strength, random_state=setting.seed), cv=3, ensemble=False, method="sigmoid"
        )
    # C and epsilon in units of the target's spread, as if the target had been scaled.
    return SVR(kernel=kernel, C=strength * setting.spread, epsilon=number(params, "epsilon") * setting.spread)


def _refuses(setting: Setting) -> str | None:
    if setting.rows > _MOST_ROWS:
        return f"{setting.rows} rows are more than the {_MOST_ROWS} that a support vector machine is fitted on here"
    if setting.rows * setting.rows * setting.width > _MOST_PRODUCTS:
        return f"{setting.rows} rows of {setting.width} features take a support vector machine too long"
    return None


FAMILY = Family(
    name="svm",
    recipe=Recipe("linear"),
    starts=({"kernel": "rbf", "C": 1.0, "epsilon": 0.1}, {"kernel": "linear", "C": 0.3, "epsilon": 0.1}),
    space={
        "kernel": OneOf(("rbf", "linear")),
        "C": Real(0.01, 100.0, log=True),
        "epsilon": Real(0.01, 0.5, log=True),
    },
    build=_build,
    refuses=_refuses,
    growth=2.0,
)
