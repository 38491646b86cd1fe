"""Estimators that hold a whole pipeline: the one of a transformed target, of a threshold, of a vote.

Where it holds one alone, that pipeline's steps are walked as if they stood before it. Where that cannot be, and it
picks its columns by name, it takes the table that it was fitted on, and no features of an encoder.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

_HOLDS = {
    "TransformedTargetRegressor": "regressor_",
    "FixedThresholdClassifier": "estimator_",
    "TunedThresholdClassifierCV": "estimator_",
}
"""Which attribute holds the one fitted estimator that is asked."""
_DEEPEST = 12
"""Estimators in estimators that are looked into; none that people fit is deeper."""


def inner_pipeline(model: Any) -> Pipeline | None:
    """The one fitted pipeline that a wrapper of scikit-learn asks; None for anything else."""
    name = _HOLDS.get(type(model).__name__)
    if name is None or not type(model).__module__.startswith("sklearn."):
        return None
    inner = getattr(model, name, None)
    inner = getattr(inner, "best_estimator_", inner)
    return inner if isinstance(inner, Pipeline) else None


def around(model: Any, inner: Any) -> Any:
    """A copy of a wrapper that asks `inner` in place of its pipeline: what stands at the pipeline's end."""
    outer = copy.copy(model)
    setattr(outer, _HOLDS[type(model).__name__], inner)
    outer.__dict__.pop("feature_names_in_", None)
    if "n_features_in_" in outer.__dict__:
        outer.n_features_in_ = inner.n_features_in_
    return outer


def picks_by_name(estimator: Any) -> bool:
    """Whether an estimator, or one within it, picks its columns by name, which features of an encoder do not have."""
    return any(isinstance(part, ColumnTransformer) and takes_names(part) for part in _parts(estimator, _DEEPEST))


def takes_names(step: ColumnTransformer) -> bool:
    """Whether a fitted transformer of columns names any of them."""
    return any(_has_text(columns) for _, _, columns in step.transformers_)


def _has_text(columns: Any) -> bool:
    return isinstance(columns, str) or (
        not isinstance(columns, slice | int) and any(isinstance(column, str) for column in np.ravel(columns))
    )


def _parts(held: Any, deep: int) -> Iterator[Any]:
    """An estimator and those fitted within it."""
    if not deep:
        return
    if isinstance(held, BaseEstimator):
        # What ends in an underline was fitted; a pipeline's steps are, though their name does not say so.
        inside = [value for name, value in vars(held).items() if name.endswith("_") or name == "steps"]
        if not isinstance(held, ColumnTransformer) or hasattr(held, "transformers_"):
            yield held
    elif isinstance(held, list | tuple):
        inside = list(held)
    elif isinstance(held, dict):
        inside = list(held.values())
    else:
        # Such as the calibrated members of CalibratedClassifierCV, which are no estimators themselves.
        inside = [held.estimator] if isinstance(getattr(held, "estimator", None), BaseEstimator) else []
    for each in inside:
        yield from _parts(each, deep - 1)
