"""From typed columns to features: an encoder fitted on the rows that it is given, and on no others.

Two kinds. "linear" is for what sums or measures distances (linear models, support vectors, networks): imputed,
flagged, scaled, one-hot. "tree" is for what splits: numbers as they are. A tree family that takes categories and
missing values itself is given them (`native`); the others get imputed numbers and small categories one-hot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.errors import MainstayError
from mainstay.models.encoder import (
    Block,
    Clip,
    DatePart,
    DateParts,
    Encoder,
    Impute,
    Lookup,
    Match,
    MissingFlag,
    OneHot,
    Scale,
    Select,
    Step,
    compiled,
)
from mainstay.models.signature import Cells, Floats, Signature
from mainstay.models.text import TextTerms
from mainstay.project import Cleaning
from mainstay.training.text_features import TextPlan, fit_terms, width_for

Kind = Literal["linear", "tree"]

NATIVE_CATEGORIES = 250
"""A category with more values than this is ranked by frequency even where the estimator takes categories:
scikit-learn's histogram boosting has 255 bins."""
ONE_HOT_CATEGORIES = 64
"""A category with more values than this is ranked by frequency for trees that take no categories."""

CYCLIC: tuple[DatePart, ...] = ("month", "weekday", "hour")
"""Parts of a date-time that a linear model gets one-hot: December is as near to January as to November."""
LINEAR_PARTS: tuple[DatePart, ...] = ("days", "day", "minute", *CYCLIC)
TREE_PARTS: tuple[DatePart, ...] = ("days", "year", "month", "day", "day_of_year", "weekday", "hour", "minute")


class FeatureError(MainstayError):
    """The rows cannot be made into features as the project says."""


class Recipe(msgspec.Struct, frozen=True, omit_defaults=True):
    """How features are made for an estimator: two estimators of one recipe get the same features."""

    kind: Kind
    native: bool = False
    """Whether the estimator itself takes missing values and category codes (for the kind "tree")."""
    text: str = "words"
    """The terms of free text: a name of `text_features.PLANS`."""


@dataclass(frozen=True)
class Features:
    """A fitted encoder, and which of its features are category codes (by index; native recipes only)."""

    encoder: Encoder
    categorical: tuple[int, ...] = ()


def fit_encoder(
    cells: Cells,
    signature: Signature,
    cleaning: Cleaning,
    kind: Kind,
    *,
    y: npt.NDArray[Any] | None = None,
    native: bool = False,
) -> Encoder:
    """The encoder of a kind, fitted on these rows. Arguments and errors as `fit_features`."""
    return fit_features(cells, signature, cleaning, Recipe(kind, native), y=y).encoder


def fit_features(
    cells: Cells, signature: Signature, cleaning: Cleaning, recipe: Recipe, *, y: npt.NDArray[Any] | None = None
) -> Features:
    """Features by a recipe, fitted on these rows alone.

    Args:
        cells: the training rows, n of them.
        signature: what they fit.
        cleaning: what the project file says of imputation, clipping and rare categories.
        recipe: for which sort of estimator.
        y: label indices of shape (n,), int64, where text terms are to be chosen by how well they tell the classes
            apart; None or float64 values: by how often they occur.

    Raises:
        FeatureError: a number is missing where the project says "refuse"; or no column has anything to learn from.
    """
    blocks: list[Block | TextTerms] = []
    _refuse_missing(cells, signature, cleaning)
    by_type: dict[str, list[int]] = {}
    for index, column in enumerate(signature.inputs):
        by_type.setdefault(column.type, []).append(index)
    make = _Linear(cells, signature, cleaning) if recipe.kind == "linear" else _Tree(cells, signature, cleaning, recipe)
    blocks += make.numbers(by_type.get("number", []))
    blocks += make.booleans(by_type.get("boolean", []))
    blocks += make.dates(by_type.get("datetime", []))
    start = Encoder(tuple(blocks)).width
    category_blocks, codes = make.categories(by_type.get("category", []))
    blocks += category_blocks
    plan = TextPlan.named(recipe.text)
    texts = by_type.get("text", [])
    width = width_for(rows=len(cells), columns=len(texts), kind=recipe.kind)
    blocks += [
        terms for index in texts if (terms := fit_terms(cells.texts[index], index, plan, width=width, y=y)).vocabulary
    ]
    encoder = Encoder(tuple(blocks))
    if encoder.width == 0:
        raise FeatureError(
            "No input column has anything to learn from: every text is empty and every category is missing or rare. "
            "Name other columns in [columns]."
        )
    return Features(encoder, tuple(range(start, start + codes)))


def encode(features: Features, cells: Cells) -> Floats:
    """The features of rows: float64 of shape (n, width)."""
    encoded: Floats = compiled(features.encoder)(cells)
    return encoded


def _refuse_missing(cells: Cells, signature: Signature, cleaning: Cleaning) -> None:
    if cleaning.impute != "refuse":
        return
    for index, column in enumerate(signature.inputs):
        if column.type == "number" and (count := int(np.isnan(cells.numbers[:, index]).sum())):
            raise FeatureError(
                f'Column {column.name!r} has no number in {count} training rows, and [cleaning] impute = "refuse": '
                "drop those rows, or choose median, mean or zero."
            )


class _Maker:
    """What both kinds share: the statistics of the training rows."""

    def __init__(self, cells: Cells, signature: Signature, cleaning: Cleaning) -> None:
        self.cells = cells
        self.inputs = signature.inputs
        self.cleaning = cleaning

    def values(self, columns: Sequence[int]) -> Floats:
        chosen: Floats = self.cells.numbers[:, list(columns)]
        return chosen

    def had_missing(self, columns: Sequence[int]) -> list[int]:
        return [column for column in columns if bool(np.isnan(self.cells.numbers[:, column]).any())]

    def cleaned(self, columns: Sequence[int], *, impute: bool) -> tuple[list[Step], Floats]:
        """Steps that clip and impute numbers, and the values after them."""
        x = self.values(columns)
        steps: list[Step] = []
        if self.cleaning.clip is not None:
            bounds = [_quantiles(x[:, i], self.cleaning.clip) for i in range(x.shape[1])]
            steps.append(Clip(tuple(low for low, _ in bounds), tuple(high for _, high in bounds)))
            x = compiled(Encoder((Block(tuple(range(x.shape[1])), (steps[-1],)),)))(Cells(x, {}))
        if impute and bool(np.isnan(x).any()):
            filling = tuple(_filling(x[:, i], self.cleaning.impute) for i in range(x.shape[1]))
            steps.append(Impute(filling))
            x = np.where(np.isnan(x), np.array(filling), x)
        return steps, x

    def kept_codes(self, column: int) -> tuple[int, list[int]]:
        """How many categories the signature has, and the codes seen often enough in these rows."""
        size = len(self.inputs[column].categories)
        codes = self.cells.numbers[:, column]
        counts = np.bincount(codes[codes >= 0].astype(np.intp), minlength=size)
        least = max(1, self.cleaning.rare)
        return size, [code for code in range(size) if counts[code] >= least]

    def one_hot(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        """Each category seen often enough as a number of its own; other categories are all zero."""
        sizes, kept, at, offset = [], [], [], 0
        for column in columns:
            size, codes = self.kept_codes(column)
            if codes:
                at.append(column)
                sizes.append(size)
                kept += [offset + code for code in codes]
                offset += size
        if not at:
            return []
        hot: tuple[Step, ...] = (OneHot(tuple(sizes)),)
        return [Block(tuple(at), hot if len(kept) == offset else (*hot, Select(tuple(kept))))]

    def flags(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        missing = self.had_missing(columns)
        return [Block(tuple(missing), (MissingFlag(),))] if missing else []

    def varying(self, column: int, parts: Sequence[DatePart]) -> dict[DatePart, Floats]:
        """The parts of a date-time that take more than one value in these rows, each with its values."""
        x = compiled(Encoder((Block((0,), (DateParts(tuple(parts)),)),)))(Cells(self.values([column]), {}))
        found = {part: _present(x[:, i]) for i, part in enumerate(parts)}
        return {part: values for part, values in found.items() if len(values) > 1 and values.min() < values.max()}


class _Linear(_Maker):
    def numbers(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        if not columns:
            return []
        steps, x = self.cleaned(columns, impute=True)
        return [Block(tuple(columns), (*steps, _scale(x))), *self.flags(columns)]

    def booleans(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        if not columns:
            return []
        x = self.values(columns)
        most = tuple(float(2 * np.count_nonzero(x[:, i] == 1.0) > len(_present(x[:, i]))) for i in range(x.shape[1]))
        steps: tuple[Step, ...] = (Impute(most),) if self.had_missing(columns) else ()
        return [Block(tuple(columns), steps), *self.flags(columns)]

    def dates(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        blocks: list[Block | TextTerms] = []
        for column in columns:
            varying = self.varying(column, LINEAR_PARTS)
            if scaled := {part: v for part, v in varying.items() if part not in CYCLIC}:
                steps: list[Step] = [DateParts(tuple(scaled))]
                if self.had_missing([column]):
                    steps.append(Impute(tuple(float(np.median(v)) for v in scaled.values())))
                steps.append(
                    Scale(
                        tuple(float(v.mean()) for v in scaled.values()), tuple(float(v.std()) for v in scaled.values())
                    )
                )
                blocks.append(Block((column,), tuple(steps)))
            if cyclic := {part: v for part, v in varying.items() if part in CYCLIC}:
                values = tuple(tuple(np.unique(v).tolist()) for v in cyclic.values())
                sizes = tuple(len(known) for known in values)
                blocks.append(Block((column,), (DateParts(tuple(cyclic)), Match(values), OneHot(sizes))))
        return [*blocks, *self.flags(columns)]

    def categories(self, columns: Sequence[int]) -> tuple[list[Block | TextTerms], int]:
        return [*self.one_hot(columns), *self.flags(columns)], 0


class _Tree(_Maker):
    def __init__(self, cells: Cells, signature: Signature, cleaning: Cleaning, recipe: Recipe) -> None:
        super().__init__(cells, signature, cleaning)
        self.native = recipe.native

    def numbers(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        if not columns:
            return []
        steps, _ = self.cleaned(columns, impute=not self.native)
        return [Block(tuple(columns), tuple(steps)), *self._flags(columns)]

    def booleans(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        if not columns:
            return []
        # A missing boolean stands between false and true, where two splits can tell it from both.
        fill: tuple[Step, ...] = () if self.native else (Impute((0.5,) * len(columns)),)
        return [Block(tuple(columns), fill)]

    def dates(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        blocks: list[Block | TextTerms] = []
        for column in columns:
            if varying := self.varying(column, TREE_PARTS):
                steps: list[Step] = [DateParts(tuple(varying))]
                if not self.native and self.had_missing([column]):
                    steps.append(Impute(tuple(float(np.median(v)) for v in varying.values())))
                blocks.append(Block((column,), tuple(steps)))
        return [*blocks, *self._flags(columns)]

    def categories(self, columns: Sequence[int]) -> tuple[list[Block | TextTerms], int]:
        largest = NATIVE_CATEGORIES if self.native else ONE_HOT_CATEGORIES
        small = [column for column in columns if len(self.inputs[column].categories) <= largest]
        large = [column for column in columns if column not in small]
        coded = [self._codes(column) for column in small] if self.native else []
        blocks = [block for block in coded if block is not None]
        ranked: list[Block | TextTerms] = [self._ranks(column) for column in large]
        if self.native:
            return [*blocks, *ranked], len(blocks)
        return [*self.one_hot(small), *self._flags(small), *ranked], 0

    def _flags(self, columns: Sequence[int]) -> list[Block | TextTerms]:
        return [] if self.native else self.flags(columns)

    def _codes(self, column: int) -> Block | None:
        """Category codes as they are; a missing value is a category of its own where training had one."""
        size, kept = self.kept_codes(column)
        missing = float(size) if self.had_missing([column]) else None
        if not kept and missing is None:
            return None
        table = tuple(float(code) if code in set(kept) else None for code in range(size))
        return Block((column,), (Lookup((table,), unseen=(None,), missing=(missing,)),))

    def _ranks(self, column: int) -> Block:
        """The more frequent a category in these rows, the higher its number; 0 unseen or rare, -1 missing."""
        size, kept = self.kept_codes(column)
        codes = self.cells.numbers[:, column]
        counts = np.bincount(codes[codes >= 0].astype(np.intp), minlength=size)
        order = sorted(kept, key=lambda code: (counts[code], code))
        rank = {code: float(position + 1) for position, code in enumerate(order)}
        table = tuple(rank.get(code, 0.0) for code in range(size))
        return Block((column,), (Lookup((table,), unseen=(0.0,), missing=(-1.0,)),))


def _present(x: Floats) -> Floats:
    present: Floats = x[~np.isnan(x)]
    return present


def _filling(x: Floats, how: str) -> float:
    present = _present(x)
    if how == "zero" or len(present) == 0:
        return 0.0
    return float(np.median(present) if how == "median" else np.mean(present))


def _quantiles(x: Floats, share: tuple[float, float]) -> tuple[float | None, float | None]:
    present = _present(x)
    if len(present) == 0:
        return None, None
    low, high = np.quantile(present, share)
    return float(low), float(high)


def _scale(x: Floats) -> Scale:
    """To mean 0 and standard deviation 1, as scikit-learn's StandardScaler; a constant column becomes 0."""
    center = x.mean(axis=0)
    deviation = x.std(axis=0)
    # A deviation that is rounding error alone would blow noise up to the size of a signal.
    constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(center) * len(x) ** 0.5
    return Scale(tuple(center.tolist()), tuple(np.where(constant, 1.0, deviation).tolist()))
