"""From cells that fit a signature to the numbers that an estimator takes.

One piece of code for training, serving, monitoring and batch scoring: a short list of exact operations in
double precision, cast to the estimator's precision at the very end. `Encoder` is the document kept in the
package; `compiled` makes the function from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.models.signature import Cells, Floats
from mainstay.models.text import TextTerms

DatePart = Literal["year", "month", "day", "weekday", "hour", "minute", "day_of_year", "days"]
"""Parts of a UTC date-time; weekday 0 is Monday; `days` are days since 1970-01-01, with their fraction."""

Numbers = tuple[float, ...]
Bounds = tuple[float | None, ...]


class Impute(msgspec.Struct, frozen=True, tag="impute", tag_field="step"):
    """NaN becomes the column's value."""

    values: Numbers


class MissingFlag(msgspec.Struct, frozen=True, tag="missing_flag", tag_field="step"):
    """1 where the value is NaN, else 0."""


class Clip(msgspec.Struct, frozen=True, tag="clip", tag_field="step"):
    """Values are held between the bounds of their column; None is no bound; NaN stays."""

    low: Bounds
    high: Bounds


class Scale(msgspec.Struct, frozen=True, tag="scale", tag_field="step"):
    """(x - center) / divisor, as scikit-learn's StandardScaler and RobustScaler do."""

    center: Numbers
    divisor: Numbers


class Affine(msgspec.Struct, frozen=True, tag="affine", tag_field="step"):
    """x * factor + offset, as scikit-learn's MinMaxScaler does."""

    factor: Numbers
    offset: Numbers


class Match(msgspec.Struct, frozen=True, tag="match", tag_field="step"):
    """The position of the value in its column's list, -1 where it is not in it; NaN stays."""

    values: tuple[Numbers, ...]


class Lookup(msgspec.Struct, frozen=True, tag="lookup", tag_field="step"):
    """Code c becomes the column's table[c]; other codes `unseen`, NaN `missing`. None stands for NaN."""

    tables: tuple[Bounds, ...]
    unseen: Bounds
    missing: Bounds


class OneHot(msgspec.Struct, frozen=True, tag="one_hot", tag_field="step"):
    """Code c of a column of size s becomes s numbers, 1 at c; all zero where unseen or missing."""

    sizes: tuple[int, ...]


class Bins(msgspec.Struct, frozen=True, tag="bins", tag_field="step"):
    """The number of its column's edges (ascending) that are at most the value, as KBinsDiscretizer; NaN stays."""

    edges: tuple[Numbers, ...]


class DateParts(msgspec.Struct, frozen=True, tag="date_parts", tag_field="step"):
    """Seconds since 1970-01-01 UTC become calendar parts, part by part within each column; NaN stays."""

    parts: tuple[DatePart, ...]


class Function(msgspec.Struct, frozen=True, tag="function", tag_field="step"):
    """A NumPy function of one value."""

    name: Literal["log", "log1p", "log2", "log10", "sqrt", "square", "abs", "exp", "expm1"]


class Single(msgspec.Struct, frozen=True, tag="single", tag_field="step"):
    """Rounded to single precision and back, as a column of that type holds its values."""


class Select(msgspec.Struct, frozen=True, tag="select", tag_field="step"):
    """Keeps some of the columns, in this order."""

    kept: tuple[int, ...]


Step = (
    Impute
    | MissingFlag
    | Clip
    | Scale
    | Affine
    | Match
    | Lookup
    | OneHot
    | Bins
    | DateParts
    | Function
    | Single
    | Select
)


class Block(msgspec.Struct, frozen=True, tag="block", tag_field="kind"):
    """Some input columns (by index), taken through steps one after the other."""

    columns: tuple[int, ...]
    steps: tuple[Step, ...] = ()


class Encoder(msgspec.Struct, frozen=True):
    """Blocks side by side, then steps over all of them, then the estimator's precision."""

    blocks: tuple[Block | TextTerms, ...]
    steps: tuple[Step, ...] = ()
    dtype: Literal["float32", "float64"] = "float64"

    @property
    def width(self) -> int:
        """The number of features."""
        return _width(self.steps, sum(_block_width(block) for block in self.blocks))

    def feature_names(self, inputs: Sequence[str], categories: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """A readable name for each feature, `purpose=car` for a one-hot one.

        Args:
            inputs: the names of the signature's inputs.
            categories: their categories; an empty sequence where they are none.
        """
        names: list[str] = []
        for block in self.blocks:
            if isinstance(block, TextTerms):
                names += [f"{inputs[block.column]}~{term}" for term in block.vocabulary]
                continue
            at = [(inputs[c], tuple(categories[c])) for c in block.columns]
            names += [name for name, _ in _named(block.steps, at)]
        return tuple(name for name, _ in _named(self.steps, [(name, ()) for name in names]))


def compiled(encoder: Encoder) -> Callable[[Cells], npt.NDArray[Any]]:
    """The function of an encoder: cells of n rows to features of shape (n, width).

    The answer for a row does not depend on its neighbours.
    """
    blocks = [block for block in encoder.blocks if isinstance(block, Block)]
    in_place = len(blocks) == len(encoder.blocks) and all(_block_width(b) == len(b.columns) for b in blocks)
    joined = _in_place(blocks) if in_place else _side_by_side(encoder.blocks)
    after = [_compiled_step(step) for step in encoder.steps]
    dtype = np.dtype(encoder.dtype)

    def encode(cells: Cells) -> npt.NDArray[Any]:
        features = joined(cells)
        for step in after:
            features = step(features)
        return np.ascontiguousarray(features, dtype=dtype)

    return encode


def _side_by_side(blocks: Sequence[Block | TextTerms]) -> Callable[[Cells], Floats]:
    parts = [_compiled_block(block) for block in blocks]
    return lambda cells: np.concatenate([part(cells) for part in parts], axis=1) if len(parts) > 1 else parts[0](cells)


def _in_place(blocks: Sequence[Block]) -> Callable[[Cells], Floats]:
    """Blocks whose steps give a feature for each column: all columns are picked at once, and changed where they are."""
    columns = np.array([column for block in blocks for column in block.columns], dtype=np.intp)
    everything = bool(np.array_equal(columns, np.arange(len(columns))))
    changed: list[tuple[slice, list[Callable[[Floats], Floats]]]] = []
    begins = 0
    for block in blocks:
        if block.steps:
            changed.append((slice(begins, begins + len(block.columns)), list(map(_compiled_step, block.steps))))
        begins += len(block.columns)

    def run(cells: Cells) -> Floats:
        numbers = cells.numbers
        if everything and not changed and numbers.shape[1] == len(columns):
            return numbers
        features = numbers.take(columns, axis=1)
        for part, steps in changed:
            values = features[:, part]
            for step in steps:
                values = step(values)
            features[:, part] = values
        return features

    return run


def _compiled_block(block: Block | TextTerms) -> Callable[[Cells], Floats]:
    if isinstance(block, TextTerms):
        count = block.compiled()
        column = block.column
        return lambda cells: count(cells.texts[column])
    columns = np.array(block.columns, dtype=np.intp)
    steps = [_compiled_step(step) for step in block.steps]

    def run(cells: Cells) -> Floats:
        values = cells.numbers.take(columns, axis=1)
        for step in steps:
            values = step(values)
        return values

    return run


def _compiled_step(step: Step) -> Callable[[Floats], Floats]:  # noqa: PLR0911, PLR0912, C901 - one case a step
    match step:
        case Impute(values=values):
            fill = np.array(values)
            return lambda x: np.where(np.isnan(x), fill, x)
        case MissingFlag():
            return lambda x: np.isnan(x).astype(np.float64)
        case Clip(low=low, high=high):
            lowest, highest = _bounds(low, -math.inf), _bounds(high, math.inf)
            return lambda x: np.clip(x, lowest, highest)
        case Scale(center=center, divisor=divisor):
            c, d = np.array(center), np.array(divisor)
            return lambda x: (x - c) / d
        case Affine(factor=factor, offset=offset):
            f, o = np.array(factor), np.array(offset)
            return lambda x: x * f + o
        case Match(values=lists):
            return _match(lists)
        case Lookup():
            return _lookup(step)
        case OneHot(sizes=sizes):
            return _one_hot(sizes)
        case Bins(edges=edges):
            return _bins(edges)
        case DateParts(parts=parts):
            return lambda x: _date_parts(x, parts)
        case Function(name=name):
            function: Callable[[Floats], Floats] = getattr(np, name)
            return function
        case Single():
            return lambda x: x.astype(np.float32).astype(np.float64)
        case Select(kept=kept):
            chosen = np.array(kept, dtype=np.intp)
            return lambda x: x[:, chosen]


def _bounds(values: Bounds, otherwise: float) -> Floats:
    return np.array([otherwise if value is None else value for value in values], dtype=np.float64)


def _match(lists: tuple[Numbers, ...]) -> Callable[[Floats], Floats]:
    tables = [{value: float(position) for position, value in enumerate(values)} for values in lists]

    def run(x: Floats) -> Floats:
        found = np.empty_like(x)
        for column, table in enumerate(tables):
            found[:, column] = [v if math.isnan(v) else table.get(v, -1.0) for v in x[:, column].tolist()]
        return found

    return run


def _lookup(step: Lookup) -> Callable[[Floats], Floats]:
    # All tables in one row, each with an entry before it and two behind: what is below or beyond it was not seen, and
    # the last one is for what is missing.
    tables = [
        _bounds((unseen, *table, unseen, missing), math.nan)
        for table, unseen, missing in zip(step.tables, step.unseen, step.missing, strict=True)
    ]
    every: Floats = np.concatenate([np.empty(0), *tables])
    sizes = np.array([len(table) for table in tables], dtype=np.float64)
    begins = np.cumsum(sizes) - sizes + 1
    below, beyond, missing = np.array(-1.0), sizes - 3, sizes - 2

    def run(x: Floats) -> Floats:
        # NaN stays NaN but for the last of these, which prefers a number.
        position = np.fmin(np.minimum(np.maximum(x, below), beyond), missing)
        found: Floats = every.take((position + begins).astype(np.intp))
        return found

    return run


def _one_hot(sizes: tuple[int, ...]) -> Callable[[Floats], Floats]:
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.float64)
    limits, width = np.array(sizes, dtype=np.float64), int(sum(sizes))

    def run(x: Floats) -> Floats:
        hot = np.zeros((len(x), width))
        rows, columns = np.nonzero((x >= 0) & (x < limits))  # NaN and -1 are neither
        hot[rows, (x[rows, columns] + offsets[columns]).astype(np.intp)] = 1.0
        return hot

    return run


def _bins(edges: tuple[Numbers, ...]) -> Callable[[Floats], Floats]:
    tables = [np.array(column, dtype=np.float64) for column in edges]

    def run(x: Floats) -> Floats:
        counted = np.empty_like(x)
        for column, table in enumerate(tables):
            values = x[:, column]
            counted[:, column] = np.where(np.isnan(values), np.nan, np.searchsorted(table, values, side="right"))
        return counted

    return run


def _date_parts(x: Floats, parts: tuple[DatePart, ...]) -> Floats:
    seconds = np.floor(x)
    missing = np.isnan(x)
    whole = np.where(missing, 0.0, seconds).astype(np.int64)
    moment = whole.astype("datetime64[s]")
    day, year = moment.astype("datetime64[D]"), moment.astype("datetime64[Y]")
    month = moment.astype("datetime64[M]")
    values: dict[DatePart, Any] = {
        "year": year.astype(np.int64) + 1970,
        "month": month.astype(np.int64) % 12 + 1,
        "day": (day - month.astype("datetime64[D]")).astype(np.int64) + 1,
        "weekday": (day.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday
        "hour": whole % 86400 // 3600,
        "minute": whole % 3600 // 60,
        "day_of_year": (day - year.astype("datetime64[D]")).astype(np.int64) + 1,
        "days": x / 86400.0,
    }
    stacked = np.stack([np.where(missing, np.nan, values[part]) for part in parts], axis=2)
    return stacked.reshape(len(x), x.shape[1] * len(parts))


def _block_width(block: Block | TextTerms) -> int:
    if isinstance(block, TextTerms):
        return len(block.vocabulary)
    return _width(block.steps, len(block.columns))


def _width(steps: Sequence[Step], width: int) -> int:
    for step in steps:
        match step:
            case OneHot(sizes=sizes):
                width = sum(sizes)
            case DateParts(parts=parts):
                width *= len(parts)
            case Select(kept=kept):
                width = len(kept)
    return width


def _named(steps: Sequence[Step], at: list[tuple[str, tuple[str, ...]]]) -> list[tuple[str, tuple[str, ...]]]:
    for step in steps:
        match step:
            case OneHot(sizes=sizes):
                at = [
                    (f"{name}={known[code] if code < len(known) else code}", ())
                    for (name, known), size in zip(at, sizes, strict=True)
                    for code in range(size)
                ]
            case DateParts(parts=parts):
                at = [(f"{name}.{part}", ()) for name, _ in at for part in parts]
            case Select(kept=kept):
                at = [at[i] for i in kept]
            case MissingFlag():
                at = [(f"{name} is missing", ()) for name, _ in at]
            case Match(values=lists):
                at = [(name, tuple(f"{v:g}" for v in values)) for (name, _), values in zip(at, lists, strict=True)]
            case _:
                pass
    return at
