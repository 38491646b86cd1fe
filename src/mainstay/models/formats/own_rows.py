"""Rows that somebody gives beside a model: those that it was fitted on, those that test it, and their truth."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mainstay.models.formats.objects import CannotRegister


def why_not(test: pd.DataFrame, fitted: pd.DataFrame, error: Exception) -> str:
    """Why a model refuses test rows: the first column of another type than it was fitted on, else its own words."""
    for name in fitted.columns:
        found, known = test[name].dtype, fitted[name].dtype
        if pd.api.types.is_numeric_dtype(found) != pd.api.types.is_numeric_dtype(known):
            return f"column {name!r} is of type {found} there, and of type {known} in X"
    said = " ".join(str(error).split()) or type(error).__name__
    return said[:300].rstrip(".")


def check_pairs(X_test: Any, y_test: Any) -> None:
    """True answers stand beside rows by their place, so an index must not say otherwise.

    Args:
        X_test: rows; of a table or a series, with an index.
        y_test: their true answers, likewise.

    Raises:
        CannotRegister: both have an index, and not the same row in the same place.
    """
    if not isinstance(X_test, pd.DataFrame | pd.Series) or not isinstance(y_test, pd.DataFrame | pd.Series):
        return
    rows, truth = X_test.index, y_test.index
    if len(rows) != len(truth) or rows.equals(truth):
        return
    same = bool(rows.isin(truth).all() and truth.isin(rows).all())
    # Who counts anew from 0 has dropped the names of the rows, and pairs by place.
    if not same and (_counted(rows) or _counted(truth)):
        return
    what = "the same rows in another order" if same else "other rows"
    raise CannotRegister(
        f"The index of y_test names {what} than that of X_test, so which answer belongs to which row is not known: "
        "give them in one order, for example y_test.loc[X_test.index], or without their index."
    )


def _counted(index: pd.Index[Any]) -> bool:
    """Whether an index is the one that pandas makes up: 0, 1, 2, …"""
    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
