"""Slices: the groups of rows that a column's values make, each evaluated on its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mainstay.errors import did_you_mean
from mainstay.models.signature import UNSEEN, Cells, Column, Floats, Signature, epoch_seconds
from mainstay.training.metrics import EvaluationError

FEW = 30
"""Fewer rows than this say little: such values are merged, or flagged where they stand alone."""
AT_MOST = 12
"""Values of one column that are shown by themselves, the most frequent ones."""
DISTINCT_NUMBERS = 10
"""A number column with more distinct values than this is cut into quarters of the rows."""

MISSING, UNSEEN_VALUE, OTHER = "(missing)", "(unseen)", "(other)"
RANGE = ".."
"""Between the bounds of a range: "18..30" holds 18 and not 30; "..18" and "30.." are open."""


@dataclass(frozen=True)
class Group:
    """The rows of one slice."""

    value: str
    rows: npt.NDArray[np.intp]
    """Positions, (n,)."""
    merged: int = 0
    """How many rare values stand together in it."""


def groups(values: Sequence[Any], keep: Collection[str] = ()) -> list[Group]:
    """The slices that a column makes: a group per value, or per quarter of the rows for numbers and times.

    Rare values (fewer than `FEW` rows, or beyond the `AT_MOST` most frequent) are merged into "(other)".

    Args:
        values: one a row: str, bool, number, date-time (or its ISO 8601 text), or None (or NaN) where missing.
        keep: values, or ranges such as "18..30", that must stand by themselves, since a gate names them.

    Returns:
        Groups with at least one row each, in the order of their values.
    """
    present = [value for value in values if not _missing(value)]
    if present and all(_is_number(value) for value in present):
        numbers = np.array([math.nan if _missing(value) else float(value) for value in values])
        if len(np.unique(numbers[np.isfinite(numbers)])) > DISTINCT_NUMBERS:
            return _ranges(numbers, keep, times=False)
        texts = [MISSING if math.isnan(number) else f"{number:g}" for number in numbers]
        return _by_value(texts, keep, sorted_as=_number_first) + _named_ranges(numbers, keep, times=False)
    if present and all(isinstance(value, date) for value in present):
        moments = np.array([math.nan if _missing(value) else epoch_seconds(value) for value in values])
        return _ranges(moments, keep, times=True)
    texts = [_text(value) for value in values]
    if (dates := _moments(texts)) is not None:
        return _ranges(dates, keep, times=True)
    return _by_value(texts, keep)


def column_values(cells: Cells, signature: Signature, names: Collection[str]) -> dict[str, list[Any]]:
    """The values of input columns, one a row, as `groups` takes them.

    Args:
        cells: n rows.
        signature: what the cells fit.
        names: input columns.

    Raises:
        EvaluationError: no such input, or a column of free text, which makes no slices.
    """
    by_name = {column.name: (index, column) for index, column in enumerate(signature.inputs)}
    found: dict[str, list[Any]] = {}
    for name in names:
        if name not in by_name:
            raise EvaluationError(f"There is no column {name!r} to slice by.{did_you_mean(name, by_name)}")
        index, column = by_name[name]
        if column.type == "text":
            raise EvaluationError(f"Column {name!r} is free text, which makes no slices: choose another column.")
        found[name] = [_value(column, code) for code in cells.numbers[:, index].tolist()]
    return found


def sliced(columns: Mapping[str, Sequence[Any]], keep: Mapping[str, Collection[str]]) -> list[tuple[str, Group]]:
    """The groups of every column, with the column's name."""
    return [(name, group) for name, values in columns.items() for group in groups(values, keep.get(name, ()))]


def _value(column: Column, code: float) -> Any:
    if math.isnan(code):
        return None
    if column.type == "category":
        return UNSEEN_VALUE if code == UNSEEN else column.categories[int(code)]
    if column.type == "boolean":
        return bool(code)
    return datetime.fromtimestamp(code, tz=UTC) if column.type == "datetime" else code


def _missing(value: Any) -> bool:
    return value is None or bool(value != value)  # noqa: PLR0124 - NaN and NaT are not equal to themselves


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if _missing(value):
        return MISSING
    return str(bool(value)).lower() if isinstance(value, bool | np.bool_) else str(value)


def _moments(texts: list[str]) -> Floats | None:
    """The times (n,), where more than a few different texts are all ISO 8601 dates; else None."""
    read: dict[str, float] = {MISSING: math.nan}
    different = set(texts) - {MISSING}
    if len(different) <= AT_MOST:
        return None
    for text in different:
        try:
            read[text] = epoch_seconds(text)
        except ValueError:
            return None
        if "-" not in text:  # Eight digits may be any code.
            return None
    return np.array([read[text] for text in texts])


def _number_first(value: str) -> tuple[bool, float]:
    return (True, 0.0) if value == MISSING else (False, float(value))


def _by_value(texts: list[str], keep: Collection[str], sorted_as: Any = None) -> list[Group]:
    counts = Counter(texts)
    frequent = [value for value, _ in counts.most_common(AT_MOST)]
    alone = {value for value in counts if value in keep or (value in frequent and counts[value] >= FEW)}
    rare = [value for value in counts if value not in alone]
    if len(rare) == 1:
        # One value has nothing to be merged with.
        alone.add(rare.pop())
    array = np.array(texts, dtype=object)
    found = [Group(value, np.flatnonzero(array == value)) for value in sorted(alone, key=sorted_as)]
    if rare:
        found.append(Group(OTHER, np.flatnonzero(np.isin(array, rare)), merged=len(rare)))
    return found


def _ranges(numbers: Floats, keep: Collection[str], *, times: bool) -> list[Group]:
    """A group per quarter of the rows, each with its lower bound and without its upper one."""
    finite = numbers[np.isfinite(numbers)]
    quarters = [_rounded(bound, finite, times) for bound in np.quantile(finite, [0.25, 0.5, 0.75], method="lower")]
    edges = [-math.inf, *(bound for bound in sorted(set(quarters)) if bound > finite.min()), math.inf]
    names = [_range_name(low, high, times) for low, high in pairwise(edges)]
    found = [
        Group(name, np.flatnonzero((numbers >= low) & (numbers < high)))
        for name, (low, high) in zip(names, pairwise(edges), strict=True)
    ]
    missing = np.flatnonzero(~np.isfinite(numbers))
    rest = [Group(MISSING, missing)] if len(missing) else []
    named = [group for group in _named_ranges(numbers, keep, times=times) if group.value not in names]
    return [group for group in (*found, *rest, *named) if len(group.rows)]


def _rounded(bound: float, finite: Floats, times: bool) -> float:
    """A bound that can be written shortly, since its name is how a gate speaks of the range."""
    if times:
        step = 86400.0 if float(np.ptp(finite)) > 8 * 86400 else 1.0
        return math.floor(bound / step) * step
    return float(f"{bound:.4g}")


def _named_ranges(numbers: Floats, keep: Collection[str], *, times: bool) -> list[Group]:
    found = []
    for name in keep:
        bounds = _parsed(name, times)
        if bounds is not None:
            rows = np.flatnonzero((numbers >= bounds[0]) & (numbers < bounds[1]))
            if len(rows):
                found.append(Group(name, rows))
    return found


def _range_name(low: float, high: float, times: bool) -> str:
    def written(bound: float) -> str:
        if math.isinf(bound):
            return ""
        if not times:
            return f"{bound:.4g}" if abs(bound) < 1e4 else f"{bound:.0f}"
        moment = datetime.fromtimestamp(bound, tz=UTC).replace(tzinfo=None)
        return moment.date().isoformat() if bound % 86400 == 0 else moment.isoformat()

    return f"{written(low)}{RANGE}{written(high)}"


def _parsed(name: str, times: bool) -> tuple[float, float] | None:
    """The bounds of a range; None where the text is none."""
    low, between, high = name.partition(RANGE)
    if not between:
        return None
    read = epoch_seconds if times else float
    try:
        return (
            read(low) if low.strip() else -math.inf,
            read(high) if high.strip() else math.inf,
        )
    except ValueError:
        return None
