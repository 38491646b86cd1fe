"""The named, typed inputs of a model and its answers; what wrong input is checked against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.errors import MainstayError, did_you_mean, nearest
from mainstay.models.refusing import InputError as InputError  # noqa: PLC0414 - what a reader raises is known from here
from mainstay.models.refusing import listed as _listed
from mainstay.models.refusing import place as _place
from mainstay.models.refusing import wrong
from mainstay.models.tensors import Array, Tensor, same_sizes
from mainstay.models.tensors import read as read_tensor

ColumnType = Literal["number", "boolean", "category", "datetime", "text"]
Task = Literal["binary", "multiclass", "regression"]
"""What can be trained and judged here."""
ModelTask = Literal[Task, "general"]
"""A general model answers named tensors, as they are."""
Label = bool | int | str
"""A class, as the target column spells it."""

Floats = npt.NDArray[np.float64]

UNSEEN = -1.0
"""The code of a category that training did not see. A missing value is NaN."""

MAX_EXACT_INTEGER = 2**53
"""Beyond this a double cannot hold every integer, so such a number is refused, not rounded."""


class SignatureError(MainstayError):
    """A signature that contradicts itself."""


class Column(msgspec.Struct, frozen=True, kw_only=True, tag="column", tag_field="kind", omit_defaults=True):
    """One named input: a cell a row."""

    name: str
    type: ColumnType
    nullable: bool = False
    """Whether a missing value is accepted: only where training saw one or the project says so."""
    categories: tuple[str, ...] = ()
    """For a category: the values seen in training, in the order of their codes. Others are `UNSEEN`."""
    closed: bool = False
    """For a category: whether others are refused, as an encoder that knows no unseen value does, not `UNSEEN`."""
    format: str = "iso"
    """For a date-time: "iso" (ISO 8601) or a strptime format."""
    minimum: float | None = None
    """The range seen in training: a hint for forms and golden rows, never a bound."""
    maximum: float | None = None
    typical: float | str | None = None
    """A middle value for forms: the median, or the most common category."""
    missing_tokens: tuple[str, ...] | None = None
    """Texts that mean a missing value here; None for those of the signature."""


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes in and what comes out.

    Raises:
        SignatureError: when built through `checked` with names that clash or labels that do not fit the task.
    """

    inputs: tuple[Column, ...]
    """The columns of a table; none for a model that takes tensors alone."""
    task: ModelTask
    tensors: tuple[Tensor, ...] = ()
    """Further inputs that are arrays."""
    target: str = "prediction"
    labels: tuple[Label, ...] = ()
    """The classes, in the order of the probabilities; empty for a regression."""
    outputs: tuple[Tensor, ...] = ()
    """What a general model answers; empty for every other task."""
    set_aside: tuple[str, ...] = ()
    """Columns that training left out: accepted and ignored, so that whole records can be sent."""
    missing_tokens: tuple[str, ...] = ()
    """Texts that mean a missing value, as in the training data."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs: the columns, then the tensors."""
        return (*(column.name for column in self.inputs), *(tensor.name for tensor in self.tensors))

    @property
    def judged(self) -> Task:
        """The task that its metrics are of.

        Raises:
            SignatureError: a general model has none.
        """
        if self.task == "general":
            raise SignatureError("A general model answers tensors as they are, which no metric here judges.")
        return self.task

    def tokens(self, column: Column) -> tuple[str, ...]:
        """The texts that mean a missing value in a column."""
        return self.missing_tokens if column.missing_tokens is None else column.missing_tokens

    def checked(self) -> Signature:
        """This signature, if it does not contradict itself."""
        names = self.names
        if not names:
            raise SignatureError("A model needs at least one input.")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise SignatureError(f"Column {repeated[0]!r} stands more than once in the signature: rename one of them.")
        if clash := set(names) & set(self.set_aside):
            raise SignatureError(f"Column {min(clash)!r} is both an input and set aside: choose one.")
        self._check_labels()
        if (self.task == "general") != bool(self.outputs):
            raise SignatureError("A general model has named outputs, and no other has.")
        given = [output.name for output in self.outputs]
        if twice := [name for name in given if given.count(name) > 1]:
            raise SignatureError(f"Output {twice[0]!r} stands more than once in the signature: rename one of them.")
        for tensor in (*self.tensors, *self.outputs):
            if any(size < 0 if isinstance(size, int) else not size for size in tensor.shape):
                raise SignatureError(f"Tensor {tensor.name!r} has a size that is none: {tensor.shape}.")
            image = tensor.image
            if image is not None and (
                len(tensor.shape) != len(image.layout) or any(isinstance(size, str) for size in tensor.shape)
            ):
                raise SignatureError(
                    f"Tensor {tensor.name!r} takes pictures {image.layout}, so its shape needs as many fixed sizes."
                )
        return self

    def _check_labels(self) -> None:
        if self.task in ("regression", "general") and self.labels:
            raise SignatureError(f"A {self.task} model has no labels.")
        spelled = [str(label) for label in self.labels]  # as the names of their probabilities
        if same := [text for text in spelled if spelled.count(text) > 1]:
            raise SignatureError(f"Label {same[0]!r} stands for two classes: give each a name of its own.")
        if self.task == "binary" and len(self.labels) != 2:
            raise SignatureError(f"A binary model has two labels, not {len(self.labels)}.")
        if self.task == "multiclass" and len(self.labels) < 2:
            raise SignatureError(f"A multiclass model has two labels or more, not {len(self.labels)}.")


class Cells(msgspec.Struct, frozen=True, eq=False):  # made for each request: a dataclass takes six times as long
    """Rows that fit a signature, ready for its encoder.

    `numbers` is float64 of shape (rows, inputs): a number as it is, a boolean as 0 or 1, a category as its
    code, a date-time as seconds since 1970-01-01 UTC, NaN where missing. `texts` holds the free-text columns,
    by input index; their column in `numbers` is NaN. `tensors` holds the arrays, by name, each of shape (rows, …).
    """

    numbers: Floats
    texts: Mapping[int, Sequence[str | None]]
    tensors: Mapping[str, Array] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, chosen: slice | npt.NDArray[np.intp]) -> Cells:
        """The chosen rows (a slice, or integer positions of shape (n,))."""
        texts = {
            index: values[chosen] if isinstance(chosen, slice) else [values[i] for i in chosen]
            for index, values in self.texts.items()
        }
        return Cells(self.numbers[chosen], texts, {name: array[chosen] for name, array in self.tensors.items()})


class Reader:
    """Reads cells that fit a signature, or says exactly which does not.

    Made once per model: the code tables are built here, so that a row costs little.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._names = signature.names
        self._known = frozenset(self._names)
        self._ignored = frozenset(signature.set_aside)
        self._missing = {column.name: frozenset(signature.tokens(column)) for column in signature.inputs}
        self._codes = {
            column.name: {category: float(code) for code, category in enumerate(column.categories)}
            for column in signature.inputs
            if column.type == "category"
        }
        numbers = not signature.tensors and all(column.type == "number" for column in signature.inputs)
        self._may_miss = np.array([column.nullable for column in signature.inputs]) if numbers else None
        """Of each column, where all of them are numbers."""

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> Cells:
        """Cells of records, each a mapping from column name to value.

        Raises:
            InputError: a column is missing or unknown, or a value does not fit.
        """
        for number, row in enumerate(rows):
            if row.keys() != self._known:
                self._check_names(row, number, of=len(rows))
        return self._columns([[row[name] for row in rows] for name in self._names], len(rows))

    def columns(self, table: Mapping[str, Sequence[Any] | Array]) -> Cells:
        """Cells of a table given by column, all of one length.

        Raises:
            InputError: a column is missing, unknown or of another length, or a value does not fit.
        """
        if table.keys() != self._known:
            self._check_names(table, None, of=1)
        lengths = {name: len(table[name]) for name in self._names}
        rows = lengths[self._names[0]]
        for name, length in lengths.items():
            if length != rows:
                raise InputError(
                    f"Column {name!r} has {length} values, but column {self._names[0]!r} has {rows}: "
                    "all columns need the same number.",
                    column=name,
                )
        return self._columns([table[name] for name in self._names], rows)

    def matrix(self, rows: Sequence[Sequence[Any]]) -> Cells:
        """Cells of rows whose values stand in the order of the signature.

        Raises:
            InputError: a row has another width, or a value does not fit.
        """
        width = len(self._names)
        for number, row in enumerate(rows):
            if len(row) != width:
                raise InputError(
                    f"{_place(number, len(rows))}got {len(row)} values, expected {width}: {_listed(self._names)}.",
                    row=number,
                )
        return self._columns([[row[i] for row in rows] for i in range(width)], len(rows))

    def array(self, rows: Array) -> Cells:
        """Cells of an array of shape (rows, inputs) whose columns stand in the order of the signature.

        Raises:
            InputError: another width, or a value that does not fit.
        """
        cells = self.whole(rows)
        return self.matrix(rows.tolist()) if cells is None else cells

    def whole(self, rows: Array) -> Cells | None:
        """As `array`, of a table of numbers that all fit; None where a value needs a look, which takes far longer."""
        if self._may_miss is None or rows.ndim != 2 or rows.shape[1] != len(self._names):
            return None
        numbers = _whole(rows, self._may_miss)
        return None if numbers is None else Cells(numbers, {})

    def _check_names(self, given: Iterable[str], row: int | None, *, of: int) -> None:
        given = list(given)
        where = "" if row is None else _place(row, of)
        for name in given:
            if name not in self._known and name not in self._ignored:
                raise InputError(
                    f"{where}unknown column {name!r}."
                    + (did_you_mean(str(name), self._known) or f" The model takes {_listed(self._names)}."),
                    column=str(name),
                    row=row,
                )
        present = set(given)
        for name in self._names:
            if name not in present:
                raise InputError(f"{where}column {name!r} is missing.", column=name, row=row)

    def _columns(self, columns: Sequence[Sequence[Any] | Array], rows: int) -> Cells:
        inputs, arrays = self.signature.inputs, self.signature.tensors
        numbers = np.empty((rows, len(inputs)), dtype=np.float64)
        texts: dict[int, list[str | None]] = {}
        for index, (column, values) in enumerate(zip(inputs, columns[: len(inputs)], strict=True)):
            if column.type == "text":
                texts[index] = self._texts(column, values)
                numbers[:, index] = np.nan
            else:
                numbers[:, index] = self._numbers(column, values)
        if not arrays:
            return Cells(numbers, texts)
        given = zip(arrays, columns[len(inputs) :], strict=True)
        read = {tensor.name: read_tensor(tensor, values) for tensor, values in given}
        same_sizes(arrays, read)
        return Cells(numbers, texts, read)

    def _numbers(self, column: Column, values: Sequence[Any] | Array) -> list[float] | Floats:
        if column.type == "number" and isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
            whole = _whole(values, column.nullable)
            if whole is not None:
                return whole
            values = values.tolist()  # one of them needs a look: it is missing, or does not fit
        read = {
            "number": self._number,
            "boolean": self._boolean,
            "category": self._category,
            "datetime": self._datetime,
        }[column.type]
        return [
            value
            if type(value) is float and column.type == "number" and math.isfinite(value)
            else read(column, value, row, len(values))
            for row, value in enumerate(values)
        ]

    def _texts(self, column: Column, values: Sequence[Any] | Array) -> list[str | None]:
        read: list[str | None] = []
        for row, value in enumerate(values):
            if self._is_missing(column, value):
                self._refuse_missing(column, value, row, len(values), "text")
                read.append(None)
            elif isinstance(value, str):
                read.append(value)
            else:
                raise wrong(column.name, value, row, len(values), "text")
        return read

    def _is_missing(self, column: Column, value: Any) -> bool:
        if value is None:
            return True
        if isinstance(value, str):
            return value in self._missing[column.name]
        if isinstance(value, float):
            return math.isnan(value)
        return type(value).__name__ == "NAType"  # pandas.NA, known by name: what serves does not import pandas

    def _refuse_missing(self, column: Column, value: Any, row: int, rows: int, expected: str) -> None:
        if not column.nullable:
            raise wrong(column.name, value, row, rows, f"{expected} (training saw no missing value here)")

    def _number(self, column: Column, value: Any, row: int, rows: int) -> float:
        if self._is_missing(column, value):
            self._refuse_missing(column, value, row, rows, "a number")
            return math.nan
        if isinstance(value, bool | np.bool_):
            raise wrong(column.name, value, row, rows, "a number")
        if isinstance(value, int | np.integer):
            if abs(int(value)) > MAX_EXACT_INTEGER:
                raise wrong(column.name, value, row, rows, "a number that a double holds exactly (at most 2^53)")
            return float(value)
        if isinstance(value, float | np.floating):
            if not math.isfinite(value):
                raise wrong(column.name, value, row, rows, "a finite number")
            return float(value)
        raise wrong(column.name, value, row, rows, "a number")

    def _boolean(self, column: Column, value: Any, row: int, rows: int) -> float:
        if isinstance(value, bool | np.bool_):
            return float(value)
        if self._is_missing(column, value):
            self._refuse_missing(column, value, row, rows, "true or false")
            return math.nan
        raise wrong(column.name, value, row, rows, "true or false")

    def _category(self, column: Column, value: Any, row: int, rows: int) -> float:
        if self._is_missing(column, value):
            self._refuse_missing(column, value, row, rows, "a category, as text")
            return math.nan
        if isinstance(value, str):
            text = value
        # A category that looks like an integer may be sent as one: its decimal text is exact.
        elif isinstance(value, int | np.integer) and not isinstance(value, bool):
            text = str(int(value))
        else:
            raise wrong(column.name, value, row, rows, "a category, as text")
        code = self._codes[column.name].get(text, UNSEEN)
        if code == UNSEEN and column.closed:
            close = nearest(text, column.categories)
            meant = f" (did you mean {close!r}?)" if close else ""
            raise wrong(column.name, value, row, rows, f"one of {_listed(column.categories)}{meant}")
        return code

    def _datetime(self, column: Column, value: Any, row: int, rows: int) -> float:
        expected = "a date-time in ISO 8601" if column.format == "iso" else f"a date-time like {column.format}"
        if self._is_missing(column, value) or str(value) == "NaT":  # pandas' missing date-time
            self._refuse_missing(column, value, row, rows, expected)
            return math.nan
        try:
            return epoch_seconds(value, column.format)
        except (ValueError, TypeError, OverflowError):
            raise wrong(column.name, value, row, rows, expected) from None


def _whole(values: Array, may_miss: bool | npt.NDArray[np.bool_]) -> Floats | None:
    """Numbers as doubles, where each is finite and held exactly, or NaN where one may be missing; else None.

    Args:
        may_miss: of all of them, or of each column of rows (n, columns).
    """
    if values.dtype.kind not in "iuf":
        return None
    if values.dtype.kind != "f" and values.dtype.itemsize == 8:
        outside = (values > MAX_EXACT_INTEGER) | (values < -MAX_EXACT_INTEGER)
        if outside.any():
            return None
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    return numbers if finite.all() or (finite | (np.isnan(numbers) & may_miss)).all() else None


def epoch_seconds(value: str | date, form: str = "iso") -> float:
    """Seconds since 1970-01-01 UTC; a time without a zone is taken as UTC.

    Raises:
        ValueError: the text is not in the format.
        TypeError: neither text nor a date.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value) if form == "iso" else datetime.strptime(value, form)  # noqa: DTZ007 - the zone is set below
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        raise TypeError(f"not a date-time: {type(value).__name__}")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86400.0 + delta.seconds + delta.microseconds / 1e6
