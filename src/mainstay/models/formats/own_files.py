"""Boosted trees kept as their own library writes them: what the three libraries' modules have in common.

Such a file holds numbers and names and no code, so nothing in it needs an operator's trust. It is still read by C++
that was not written for hostile input: a crafted file may crash the process that loads it. That process is the host of
its own version (or a person's own shell), never a worker that answers for others.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any, Literal, Protocol, cast

import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.formats.faces import behind
from mainstay.models.formats.frames import FRAME, FrameSpec, frame_of, native
from mainstay.models.package import Package, PackageCorrupt
from mainstay.models.signature import Cells, InputError, Signature

_HERE = "mainstay.models.formats"
MODULES = {
    "lightgbm": "lightgbm_native",
    "xgboost": "xgboost_native",
    "catboost": "catboost_native",
}
"""The module of each library's own file, by the name of the format, which is the name of the library too."""


class OwnFile(Protocol):
    """A module for the own file of one library."""

    FORMAT: Literal["lightgbm", "xgboost", "catboost"]
    FILE: str
    TAKES_TABLES: bool
    """Whether the runner asks the library with the native table, where there is no encoder."""

    KINDS: tuple[str, ...]
    """The classes whose answers follow from the file alone, by name."""

    def save(self, estimator: Any) -> bytes:
        """The file of a fitted estimator or booster of one of these kinds."""


def own_file_of(estimator: Any) -> OwnFile | None:
    """The module that keeps an estimator; None where none does."""
    kind = type(behind(estimator))
    family = kind.__module__.partition(".")[0]
    if family not in MODULES:
        return None
    module = cast("OwnFile", importlib.import_module(f"{_HERE}.{MODULES[family]}"))
    return module if kind.__name__ in module.KINDS else None


def label_only(booster: Any) -> bool:
    """Whether a booster names the class of a row and no probability: XGBoost with multi:softmax."""
    if not type(booster).__module__.startswith("xgboost."):
        return False
    return bool(json.loads(booster.save_config())["learner"]["objective"]["name"] == "multi:softmax")


class OwnFileRunner:
    """A booster behind an encoder, or one that takes its own table."""

    def __init__(
        self,
        predict: Callable[[Any], Any],
        package: Package,
        *,
        width: int,
        refusals: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> None:
        """Args:
            predict: the library's answers for features (n, width) in double precision, or for its own table: (n,)
                values, probabilities of the second class, or numbers of the classes of three or more; or (n, labels)
                probabilities.
            width: how many features the booster takes.
            refusals: what the library raises for a table that it does not take.

        Raises:
            PackageCorrupt: the booster is not of the width that the package has features for.
        """
        self._predict, self._refusals = predict, refusals
        self._signature = package.signature
        self._frame = package.document(FRAME, FrameSpec) if FRAME in package else None
        encoder = package.encoder
        given = len(self._frame.columns) if self._frame else None if encoder is None else encoder.width
        if given != width:
            raise PackageCorrupt(f"The model takes {width} features, and its package gives it {given or 'none'}.")

    def run(self, cells: Cells, features: Any | None) -> Answers:
        """Scores of n rows.

        Raises:
            InputError: the library refuses the rows.
        """
        if features is None:
            assert self._frame is not None
            features = native(frame_of(cells, self._signature, self._frame), self._frame)
        try:
            found = self._predict(features)
        except self._refusals as error:
            said = (str(error).splitlines() or [""])[-1]
            raise InputError(f"The model itself refuses these rows: {said}") from error
        return scored(found, self._signature, len(cells))


def scored(found: Any, signature: Signature, rows: int) -> Answers:
    """A booster's own answers, as values or probabilities.

    Raises:
        MainstayError: they are neither one value a row nor one probability a label.
    """
    numbers = np.asarray(found, dtype=np.float64)
    if not signature.labels:
        if numbers.size != rows:
            raise MainstayError(f"The model gives {numbers.shape} values for {rows} rows, not one a row.")
        return Answers(values=numbers.reshape(rows))
    if len(signature.labels) == 2 and numbers.size == rows:
        positive = numbers.reshape(rows)
        numbers = np.stack([1 - positive, positive], axis=1)
    elif numbers.shape == (rows,) and np.isin(numbers, np.arange(len(signature.labels))).all():
        return Answers(labels=numbers.astype(np.int64))  # the library names the class, and no probability
    if numbers.shape != (rows, len(signature.labels)):
        raise MainstayError(
            f"The model gives {numbers.shape} numbers for {rows} rows, not a probability for each of "
            f"{len(signature.labels)} labels."
        )
    return Answers(probabilities=numbers)
