"""A table as it was read: raw values, not yet typed, with where they came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.signature import Floats
from mainstay.training.kinds import canonical, number, plain

Positions = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class DataError(MainstayError):
    """The data cannot be read, or is not what the project says it is."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the rows came from; kept as a version's lineage. Holds no credentials."""

    files: dict[str, str]
    """SHA-256 of each file as it is stored, by name; of the rows of an answer, for a query."""
    rows: int
    columns: int
    format: str
    separator: str | None = None
    quote: str | None = None
    url: str | None = None
    """As the project file has it, with ${NAME} unexpanded."""
    query: str | None = None


@dataclass(frozen=True)
class Factor:
    """A column as codes of its distinct values.

    `codes` is of shape (rows,), -1 where the value is missing; `values` are the distinct values, in the order
    of their first appearance.
    """

    codes: Positions
    values: Sequence[Any]

    @cached_property
    def counts(self) -> Positions:
        """How many rows have each value, shape (len(values),)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values)).astype(np.intp)

    @cached_property
    def missing(self) -> Mask:
        """Which rows have no value, shape (rows,)."""
        return np.asarray(self.codes < 0)

    def take(self, by_value: npt.NDArray[Any], missing: Any) -> npt.NDArray[Any]:
        """A number for each row from one for each distinct value, `missing` where there is none."""
        padded = np.append(by_value, np.array([missing], dtype=by_value.dtype))
        return padded[self.codes]

    @cached_property
    def numbers(self) -> Floats:
        """Each distinct value as a number, NaN where it is none (see `kinds.number`), shape (len(values),)."""
        return np.array([number(value) for value in self.values], dtype=np.float64)  # None becomes NaN

    @cached_property
    def canonical(self) -> list[str]:
        """The canonical text of each distinct value."""
        return [
            canonical(value) if math.isnan(read) else plain(read)
            for value, read in zip(self.values, self.numbers.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Table:
    """Rows of raw values.

    A column of `frame` is object (text, numbers, booleans, date-times, None), int64, float64 or bool. Text is
    exactly as the file has it.
    """

    frame: pd.DataFrame
    provenance: Provenance
    missing: tuple[str, ...] = ()
    """Texts that mean a missing value."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it was read, a sentence each."""
    nameless: tuple[str, ...] = ()
    """Columns without a name in the file, under the names they were given."""
    _factors: dict[str, Factor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self.frame.columns)

    def factor(self, name: str) -> Factor:
        """The column's distinct values and codes, with missing ones as -1; kept for the next call.

        Raises:
            DataError: no such column.
        """
        if name not in self._factors:
            if name not in self.frame.columns:
                raise DataError(
                    f"The data has no column {name!r}."
                    + (did_you_mean(name, self.names) or f" It has {', '.join(map(repr, self.names[:20]))}.")
                )
            self._factors[name] = _factor(self.frame[name], frozenset(self.missing))
        return self._factors[name]

    def rows(self, chosen: Mask | Positions) -> Table:
        """The chosen rows (a mask of shape (rows,), or positions), with the provenance of the whole."""
        positions = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        frame = self.frame.iloc[positions].reset_index(drop=True)
        return Table(frame, self.provenance, self.missing, self.notes, self.nameless)

    def tokens_seen(self) -> dict[str, int]:
        """How often each text for a missing value stands in the table."""
        tokens = frozenset(self.missing)
        seen: dict[str, int] = {}
        for name in self.names:
            if self.factor(name).missing.any() and self.frame[name].dtype == object:
                values = self.frame[name].to_numpy()
                for row in np.flatnonzero(self.factor(name).missing):
                    if isinstance(values[row], str) and values[row] in tokens:
                        seen[values[row]] = seen.get(values[row], 0) + 1
        return seen


def from_columns(
    columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]],
    provenance: Provenance,
    *,
    missing: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    nameless: tuple[str, ...] = (),
) -> Table:
    """A table of columns of one length. A list becomes an object column, an array keeps its dtype."""
    arrays = {name: _as_array(values) for name, values in columns.items()}
    # The dtype is said, since pandas would make its own string type of text.
    series = {name: pd.Series(array, dtype=array.dtype) for name, array in arrays.items()}
    return Table(pd.DataFrame(series), provenance, missing, notes, nameless)


def from_frame(frame: pd.DataFrame, *, missing: tuple[str, ...] = (), source: str = "a data frame") -> Table:
    """A table of a frame that somebody has in memory.

    Raises:
        DataError: a column's name is no text, or stands twice.
    """
    for name in frame.columns:
        if not isinstance(name, str):
            raise DataError(f"The frame has a column named {name!r}, which is no text: rename it.")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"The frame has two columns named {twice!r}: rename one of them.")
    columns = {str(name): _plain_array(frame[name]) for name in frame.columns}
    provenance = Provenance(files={}, rows=len(frame), columns=len(columns), format=source)
    return from_columns(columns, provenance, missing=missing)


def _plain_array(series: pd.Series[Any]) -> npt.NDArray[Any]:
    """The series' values as int64, float64, bool or Python objects, with None where missing."""
    kind = series.dtype
    if isinstance(kind, np.dtype) and kind.kind in "iufb":
        if kind.kind == "b":
            return series.to_numpy()
        if kind.kind == "u":
            return _as_array(series.tolist())
        return series.to_numpy(dtype=np.int64 if kind.kind == "i" else np.float64)
    gone = series.isna().to_numpy()
    return _as_array([None if absent else value for value, absent in zip(series.tolist(), gone, strict=True)])


def _as_array(values: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _factor(series: pd.Series[Any], tokens: frozenset[str]) -> Factor:
    values = series.to_numpy()
    if values.dtype != object:
        codes, distinct = pd.factorize(values)
        return Factor(codes, _listed(distinct))
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) > 1:
        return _mixed_factor(values, tokens)
    codes, distinct = pd.factorize(values)
    found = _listed(distinct)
    if kinds == {str} and not tokens.isdisjoint(found):
        keep = np.array([value not in tokens for value in found], dtype=np.bool_)
        renumbered = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1)
        return Factor(renumbered[codes], [value for value, kept in zip(found, keep, strict=True) if kept])
    return Factor(codes, found)


def _mixed_factor(values: npt.NDArray[Any], tokens: frozenset[str]) -> Factor:
    """As above for values of several types, where 1, 1.0 and True are equal to a hash table but are not the same."""
    known: dict[tuple[type, Any], int] = {}
    codes = np.empty(len(values), dtype=np.intp)
    for row, value in enumerate(values):
        absent = value is None or (isinstance(value, str) and value in tokens) or _is_nan(value)
        codes[row] = -1 if absent else known.setdefault((type(value), value), len(known))
    return Factor(codes, [value for _, value in known])


def _listed(distinct: Any) -> list[Any]:
    values: list[Any] = distinct.tolist()
    return values


def _is_nan(value: Any) -> bool:
    return bool(value != value)  # noqa: PLR0124  NaN and NaT are what is not equal to itself
