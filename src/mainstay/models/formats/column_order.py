"""Whether a table has the columns that a model was fitted on, where the model's library does not look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from mainstay.models.formats.objects import CannotRegister

_MADE_UP = re.compile(r"Column_\d+")


def check_order(own: Sequence[str], columns: Sequence[Any]) -> None:
    """Compares names place by place: LightGBM writes a space as `_`, and asks its trees by the place alone.

    Raises:
        CannotRegister: a name is another one than the model's own in its place.
    """
    for place, (found, name) in enumerate(zip(columns, own, strict=False)):
        if _spelled(found) != _spelled(name):
            raise CannotRegister(
                f"Column {place + 1} of X is {found!r}, and the model was trained on {str(name)!r} there: "
                "give the columns in the order that it was trained on."
            )
    if len(columns) != len(own):
        raise CannotRegister(f"X has {len(columns)} columns, and the model was trained on {len(own)}.")


def check_names(own: Sequence[Any], columns: Sequence[str]) -> None:
    """The names that a person gives must be those that the model was fitted on, where it knows any.

    Args:
        own: the model's; those that LightGBM makes up for an array count as none.
        columns: what the person says; empty where he says nothing.

    Raises:
        CannotRegister: they are others, or in another order.
    """
    known = [str(name) for name in own]
    if not columns or not known or all(_MADE_UP.fullmatch(name) for name in known):
        return
    if [_spelled(name) for name in columns] != [_spelled(name) for name in known]:
        raise CannotRegister(
            f"The model was fitted on columns of its own names, {', '.join(map(repr, known))}: leave columns out, or "
            "give these, in their order."
        )


def is_lightgbm_first(model: Any) -> bool:
    """Whether a model's columns come to a LightGBM estimator as they are, through whatever stands around it."""
    while True:
        if isinstance(model, Pipeline):
            model = model.steps[0][1]
        elif isinstance(inner := getattr(model, "estimators_", None), list) and inner:  # of votes and stacks
            model = inner[0]
        elif inner := getattr(model, "calibrated_classifiers_", None):
            model = inner[0].estimator
        else:
            return type(model).__module__.startswith("lightgbm.")


def _spelled(name: Any) -> str:
    return str(name).replace(" ", "_")
