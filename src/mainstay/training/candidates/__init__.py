"""Families of estimators that the search tries: one module each, with its defaults and its search space.

A family's libraries are imported when it is first asked for. Only plain library classes are built, so that
every winner can be exported.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from mainstay.training.candidates.base import Family

CHEAP_FIRST = (
    "linear",
    "decision_tree",
    "lightgbm",
    "hist_gradient_boosting",
    "xgboost",
    "random_forest",
    "gradient_boosting",
    "neural_network",
    "svm",
)
"""Every family, those that cost least and promise most first."""


def family(name: str) -> Family:
    """The family of a name of `CHEAP_FIRST`."""
    module = importlib.import_module(f"{__name__}.{name}")
    found: Family = module.FAMILY
    return found


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """Names of families, cheap first, each once."""
    wanted = set(names)
    return tuple(name for name in CHEAP_FIRST if name in wanted)
