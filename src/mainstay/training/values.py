"""From raw values to typed ones: the signature of a project's inputs, its cells, and the target.

What a text means here is what the same value means to the server's reader: tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mainstay.models.signature import UNSEEN, Cells, Column, ColumnType, Floats, InputError, Label, Signature
from mainstay.project import Project
from mainstay.training.kinds import boolean, datetime_format, integer, moment, plain
from mainstay.training.table import DataError, Factor, Mask, Positions, Table

Integers = npt.NDArray[np.int64]

EXPECTED: dict[ColumnType, str] = {
    "number": "a finite decimal number (an integer of at most 2^53)",
    "boolean": "true or false",
    "category": "a category",
    "datetime": "a date-time",
    "text": "a text",
}


@dataclass(frozen=True)
class Target:
    """What is to be predicted, a value a row.

    `y` is of shape (rows,): for a classification int64, the index into `labels`; for a regression float64.
    """

    y: Integers | Floats
    labels: tuple[Label, ...] = ()


def prepared(table: Table, project: Project) -> Table:
    """The rows that are trained and evaluated on.

    Left away are rows without a target; under `impute = "refuse"`, rows with a missing number; under
    `drop_duplicates`, all but the first of identical rows (inputs and target). `checks.check` counts them.
    """
    keep = ~table.factor(project.target).missing
    if project.cleaning.impute == "refuse":
        for name, kind in project.columns.items():
            if kind == "number":
                keep &= ~table.factor(name).missing
    if project.cleaning.drop_duplicates:
        keep &= ~repeated(table, (*project.columns, project.target))
    return table if keep.all() else table.rows(keep)


def row_ids(table: Table, names: Sequence[str]) -> Positions:
    """A number for each row, shape (rows,), from 0: the same for rows that are the same in all these columns."""
    ids = np.zeros(len(table), dtype=np.intp)
    for name in names:
        factor = table.factor(name)
        ids = pd.factorize(ids * (len(factor.values) + 1) + factor.codes + 1)[0]
    return ids


def repeated(table: Table, names: Sequence[str]) -> Mask:
    """Which rows are the same in these columns as an earlier one, shape (rows,)."""
    return pd.Series(row_ids(table, names)).duplicated().to_numpy()


def signature_of(table: Table, project: Project, rows: Mask | None = None) -> Signature:
    """The signature of a version trained on `rows` (a mask of shape (rows,); by default, all).

    Categories, ranges and middle values are of those rows. A column may be missing when serving if it is
    anywhere in the table, since rows held out must be answerable too.

    Raises:
        DataError: the table lacks a column, or the target's labels do not fit the task.
        InputError: a value is not of its column's type.
    """
    chosen = np.ones(len(table), dtype=np.bool_) if rows is None else rows
    inputs = tuple(_column(table, name, kind, project, chosen) for name, kind in project.columns.items())
    return Signature(
        inputs=inputs,
        task=project.task,
        target=project.target,
        labels=() if project.task == "regression" else labels_of(table.factor(project.target)),
        # The target may be sent too, so that a whole record of the data can be.
        set_aside=(*project.left_out, project.target),
        missing_tokens=project.data.missing,
    ).checked()


def cells_of(table: Table, signature: Signature) -> Cells:
    """The table's rows as the signature's cells, as the server would read them.

    Raises:
        DataError: the table lacks a column.
        InputError: a value is not of its column's type, or missing where training saw none missing.
    """
    numbers = np.full((len(table), len(signature.inputs)), np.nan)
    texts: dict[int, list[str | None]] = {}
    for index, column in enumerate(signature.inputs):
        factor = table.factor(column.name)
        if not column.nullable and factor.missing.any():
            row = int(np.argmax(factor.missing))
            raise InputError(
                f"row {row}, column {column.name!r}: the value is missing, and training saw no missing value here.",
                column=column.name,
                row=row,
            )
        if column.type == "text":
            spelled = [*map(plain, factor.values), None]
            texts[index] = [spelled[code] for code in factor.codes]
        else:
            numbers[:, index] = factor.take(_typed(column, factor), np.nan)
    return Cells(numbers, texts)


def target_of(table: Table, project: Project, labels: tuple[Label, ...] | None = None) -> Target:
    """The target of each row; `labels` are those of an existing version, by default what the table holds.

    Raises:
        DataError: a row has no target (see `prepared`), a label is not among `labels`, or no number for a regression.
    """
    factor = table.factor(project.target)
    if factor.missing.any():
        raise DataError(
            f"{int(factor.missing.sum())} rows have no {project.target!r}, the target: leave them out, or fill them in."
        )
    if project.task == "regression":
        return Target(y=factor.take(_numbers(project.target, factor), np.nan))
    known = labels_of(factor) if labels is None else labels
    index = {label_key(label): position for position, label in enumerate(known)}
    spelled = [label_key(label) for label in _spelled(factor, known)]
    for label in spelled:
        if label not in index:
            raise DataError(f"The target {project.target!r} holds {label[1]!r}, which is none of the labels {known}.")
    by_value = np.array([index[label] for label in spelled], dtype=np.int64)
    return Target(y=factor.take(by_value, -1), labels=known)


def labels_of(factor: Factor) -> tuple[Label, ...]:
    """The classes of a target column, sorted as scikit-learn sorts them.

    Booleans where all values are true or false, integers where all are integers in plain decimal, else text.
    """
    if factor.values and all(boolean(value) is not None for value in factor.values):
        return tuple(sorted({bool(boolean(value)) for value in factor.values}))
    if factor.values and all(integer(value) is not None for value in factor.values):
        return tuple(sorted({int(integer(value) or 0) for value in factor.values}))
    return tuple(sorted({plain(value) for value in factor.values}))


def label_key(label: Label) -> tuple[type, Label]:
    """What tells True from 1, which are equal to Python."""
    return type(label), label


def default_positive(labels: Sequence[Label], counts: Sequence[int]) -> Label:
    """The label whose probability a binary model is asked for: true, 1 or yes where there is one, else the rarer.

    `counts` are the rows of each label; of two equally frequent ones it is the last.
    """
    for label in labels:
        if label is True or (label == 1 and not isinstance(label, bool)):
            return label
        if isinstance(label, str) and label.lower() in {"yes", "y", "true", "1", "positive"}:
            return label
    return min(zip(counts, range(len(labels), 0, -1), labels, strict=True))[2]


def _spelled(factor: Factor, labels: tuple[Label, ...]) -> list[Label]:
    """The column's distinct values in the labels' own type, or as text where that cannot be."""
    kind = type(labels[0]) if labels else str
    spelled: list[Label] = []
    for value in factor.values:
        read: Label | None = boolean(value) if kind is bool else integer(value) if kind is int else None
        spelled.append(plain(value) if read is None else read)
    return spelled


def _column(table: Table, name: str, kind: ColumnType, project: Project, rows: Mask) -> Column:
    factor = table.factor(name)
    refuse = project.cleaning.impute == "refuse" and kind == "number"
    nullable = bool(factor.missing.any()) and not refuse
    seen = np.bincount(factor.codes[rows & ~factor.missing], minlength=len(factor.values))
    if kind == "category":
        counts: dict[str, int] = {}
        for value, count in zip(factor.values, seen, strict=True):
            if count:
                counts[plain(value)] = counts.get(plain(value), 0) + int(count)
        kept = sorted(text for text, count in counts.items() if count >= project.cleaning.rare)
        common = max(kept, key=lambda text: counts[text], default=None)
        return Column(name=name, type=kind, nullable=nullable, categories=tuple(kept), typical=common)
    if kind in ("boolean", "text"):
        return Column(name=name, type=kind, nullable=nullable)
    form = "iso"
    if kind == "datetime":
        found = datetime_format(factor.values)
        if found is None:
            _refuse_first(name, kind, factor, [moment(value) is not None for value in factor.values])
        form = found or form
    column = Column(name=name, type=kind, nullable=nullable, format=form)
    values = _typed(column, factor)
    here = factor.take(values, np.nan)[rows & ~factor.missing]
    if not len(here):
        return column
    middle = float(np.sort(here)[(len(here) - 1) // 2])  # a value that stands in the data, never an average
    return Column(
        name=name,
        type=kind,
        nullable=nullable,
        format=form,
        minimum=float(here.min()),
        maximum=float(here.max()),
        typical=middle,
    )


def _typed(column: Column, factor: Factor) -> Floats:
    """A number for each distinct value of the column."""
    if column.type == "number":
        return _numbers(column.name, factor)
    if column.type == "category":
        codes = {category: float(code) for code, category in enumerate(column.categories)}
        return np.array([codes.get(plain(value), UNSEEN) for value in factor.values], dtype=np.float64)
    if column.type == "boolean":
        read: list[Any] = [boolean(value) for value in factor.values]
    else:
        read = [moment(value, column.format) for value in factor.values]
    fits = [value is not None for value in read]
    if not all(fits):
        _refuse_first(column.name, column.type, factor, fits, column.format)
    return np.array(read, dtype=np.float64)


def _numbers(name: str, factor: Factor) -> Floats:
    fits = ~np.isnan(factor.numbers)
    if not fits.all():
        _refuse_first(name, "number", factor, fits)
    return factor.numbers


def _refuse_first(name: str, kind: ColumnType, factor: Factor, fits: Sequence[bool] | Mask, form: str = "iso") -> None:
    """Raises InputError for the first row whose value does not fit, with how many there are."""
    wrong = ~np.append(np.array(fits, dtype=np.bool_), True)[factor.codes]
    row, count = int(np.argmax(wrong)), int(wrong.sum())
    value = repr(factor.values[factor.codes[row]])
    more = f" ({count} such values)" if count > 1 else ""
    expected = EXPECTED[kind] + (f" like {form}" if kind == "datetime" and form != "iso" else "")
    raise InputError(
        f"row {row}, column {name!r}: {value if len(value) <= 60 else value[:57] + '...'} is not {expected}{more}. "
        "Correct it, add it to [data] missing, or change the column's type under [columns].",
        column=name,
        row=row,
    )
