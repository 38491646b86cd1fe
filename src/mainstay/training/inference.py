"""What a table seems to be: the task, the columns' types, the order in time, and what had better be left out.

Pure functions of the table. Everything inferred goes into the project file, where a person sees and changes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mainstay.errors import CheckFailed
from mainstay.models.signature import ColumnType, Floats, Label, Task
from mainstay.project import Data, Project, Split
from mainstay.training import leaks
from mainstay.training.kinds import boolean, datetime_format, integer, moment, plain
from mainstay.training.table import DataError, Factor, Mask, Table
from mainstay.training.values import default_positive, labels_of

MOST_CLASSES = 20
"""Distinct integers in a target beyond which it is a quantity."""
ID_NAME = re.compile(r"(?:^|[_\s.-])(?:id|uuid|guid|key|index|nr|no|number)$|[a-z]Id$|^unnamed", re.IGNORECASE)
_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
FEW = 20
"""Distinct values up to which a text column is never free text or an identifier."""


@dataclass(frozen=True)
class Inferred:
    """What `infer` found; `columns` and `left_out` together are all columns but the target."""

    target: str
    task: Task
    columns: dict[str, ColumnType]
    left_out: dict[str, str]
    """With the reason of each."""
    time_order: str | None = None
    """The date-time column that the rows follow."""
    positive: Label | None = None
    tokens: dict[str, int] = field(default_factory=dict)
    """How often each text for a missing value was seen."""
    notes: list[str] = field(default_factory=list)
    """What a person should know, a sentence each."""


def infer(table: Table, target: str, *, task: Task | None = None) -> Inferred:
    """What the table seems to be; a given task is kept.

    Raises:
        DataError: no such target column.
        CheckFailed: no column is left to learn from.
    """
    goal = table.factor(target)
    if len(table.names) == 1:
        raise DataError(
            f"The data has only the column {target!r}, the target: there is nothing to predict it from. "
            "If there should be more columns, set separator under [data] (init: --separator)."
        )
    if not goal.values:
        raise DataError(f"The target {target!r} is missing in all {len(table)} rows.")
    task = task or _task(goal)
    notes = list(table.notes)
    columns: dict[str, ColumnType] = {}
    left_out: dict[str, str] = {}
    for name in table.names:
        if name != target:
            seen = look(table, name)
            if seen.reason is not None:
                left_out[name] = seen.reason
            else:
                columns[name] = seen.type
            notes += [seen.note] if seen.note else []
    leaky = suspects(table, target, task, columns)
    if len(leaky) == len(columns) and columns:
        notes += [f"Each input gives the target away: {name!r}, {reason}." for name, reason in leaky.items()]
    else:
        left_out |= {name: f"likely leak: {reason}" for name, reason in leaky.items()}
    columns = {name: kind for name, kind in columns.items() if name not in left_out}
    if not columns:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in list(left_out.items())[:10])
        raise CheckFailed(f"No column is left to predict {target!r} from ({reasons}).")
    for name, other in leaks.same_columns({name: table.factor(name) for name in columns}):
        notes.append(f"{name!r} repeats {other!r} in other words (one-to-one): either could be left out.")
    order = _time_order(table, columns)
    if order is not None:
        notes.append(f"The rows follow {order!r}: the latest are held out, and no fold looks into its future.")
    notes += _numeric_orders(table, columns) if order is None else []
    return Inferred(
        target=target,
        task=task,
        columns=columns,
        left_out={name: left_out[name] for name in table.names if name in left_out},
        time_order=order,
        positive=_positive(goal) if task == "binary" else None,
        tokens=table.tokens_seen(),
        notes=notes,
    )


def proposed(inferred: Inferred, *, name: str, data: Data) -> Project:
    """The project that was inferred, ready to be written."""
    order = inferred.time_order
    return Project(
        name=name,
        target=inferred.target,
        data=data,
        task=inferred.task,
        positive=inferred.positive,
        columns=inferred.columns,
        left_out=inferred.left_out,
        split=Split() if order is None else Split(kind="time", by=order),
    )


def _task(goal: Factor) -> Task:
    distinct, rows = len(goal.values), len(goal.codes)
    if distinct <= 2:
        return "binary"
    if np.isnan(goal.numbers).any():
        return "multiclass"
    whole = all(integer(value) is not None for value in goal.values)
    return "multiclass" if whole and distinct <= min(MOST_CLASSES, rows // 5) else "regression"


def _positive(goal: Factor) -> Label | None:
    labels = labels_of(goal)
    if len(labels) != 2:
        return None
    keys = [(integer if isinstance(labels[0], int) else plain)(value) for value in goal.values]
    if isinstance(labels[0], bool):
        keys = [boolean(value) for value in goal.values]
    counts = [sum(int(c) for key, c in zip(keys, goal.counts, strict=True) if key == label) for label in labels]
    return default_positive(labels, counts)


@dataclass(frozen=True)
class Look:
    """What one column looks like."""

    type: ColumnType
    code: Literal["", "all_missing", "constant", "identifier"] = ""
    reason: str | None = None
    """Why it had better be left out."""
    note: str | None = None


def look(table: Table, name: str) -> Look:
    """What one column looks like, from its values alone. Raises DataError where there is none of that name."""
    factor = table.factor(name)
    values = factor.values
    if not values:
        return Look("category", "all_missing", "every value is missing")
    if len(values) == 1 and not factor.missing.any():
        return Look("category", "constant", f"constant: every value is {_short(values[0])}")
    if all(boolean(value) is not None for value in values):
        return Look("boolean")
    readable = ~np.isnan(factor.numbers)
    if readable.all():
        reason = _number_identifier(table, name)
        return Look("number", "identifier" if reason else "", reason)
    if not readable.any() and (form := datetime_format(values)):
        return Look("datetime", note=_ambiguous(name, form, factor))
    kind, reason = _text(factor, len(table))
    return Look(kind, "identifier" if reason else "", reason, _nearly_numbers(name, factor, readable))


def _nearly_numbers(name: str, factor: Factor, readable: Mask) -> str | None:
    """A note on a column that a person would call numbers, and that is read as text."""
    values = factor.values
    share = float(factor.counts[readable].sum() / factor.counts.sum())
    if share >= 0.5:
        odd = _short(values[int(np.argmin(readable))])
        return (
            f"{name!r} is {100 * share:.1f} % numbers, but holds {odd} too: if that means a missing value, "
            "add it to [data] missing and make the column a number."
        )
    if all(isinstance(value, str) and _COMMA.fullmatch(value) for value in values):
        return f"{name!r} looks like numbers with a decimal comma, which are read as categories: write a point."
    return None


def _text(factor: Factor, rows: int) -> tuple[ColumnType, str | None]:
    """Category, free text, or an identifier with the reason."""
    texts = [plain(value) for value in factor.values]
    if all(integer(value) is not None for value in factor.values):
        return "category", None if len(texts) < rows / 2 else "identifier: integers beyond 2^53, which differ"
    present = int(factor.counts.sum())
    if len(texts) <= min(FEW, present / 2):
        return "category", None
    words = sum(len(text.split()) for text in texts) / len(texts)
    many = len(texts) > 0.1 * present
    if many and (words >= 3 or (words >= 2 and len(texts) > 1000)):
        return "text", None
    if (len(texts) == present and present >= FEW) or (len(texts) > 0.9 * present and present >= 100):
        return "category", f"identifier: {len(texts)} different values in {present} rows"
    return "category", None


def _number_identifier(table: Table, name: str) -> str | None:
    factor, rows = table.factor(name), len(table)
    if len(factor.values) != rows or rows < 3 or (factor.numbers != np.floor(factor.numbers)).any():
        return None
    known = [int(value) for value in factor.numbers]
    low, high = min(known), max(known)
    if high - low + 1 == rows and rows >= FEW:
        return f"row number: each integer from {low} to {high} once"
    if name in table.nameless:
        return f"row number: the column has no name, and its {rows} integers all differ"
    if ID_NAME.search(name):
        return f"identifier: its name says so, and its {rows} integers all differ"
    return None


def suspects(table: Table, target: str, task: Task, columns: dict[str, ColumnType]) -> dict[str, str]:
    """The inputs that give the target away, with the reason of each; see `leaks`."""
    goal = table.factor(target)
    has = ~goal.missing
    if task == "regression":
        if np.isnan(goal.numbers).any():
            return {}  # the checks say so
        y = goal.take(goal.numbers, np.nan)[has]
    else:
        y = goal.codes[has]
    numbers: dict[str, Floats] = {}
    factors: dict[str, Factor] = {}
    for name, kind in columns.items():
        factor = table.factor(name)
        if kind == "number":
            numbers[name] = factor.take(factor.numbers, np.nan)[has]
        elif kind != "text":
            factors[name] = Factor(factor.codes[has], factor.values)
    return leaks.find(target, y, numbers=numbers, factors=factors)


def _time_order(table: Table, columns: dict[str, ColumnType]) -> str | None:
    """The first date-time column, complete, that never steps back (or never forward) down the rows."""
    for name, kind in columns.items():
        factor = table.factor(name)
        if kind == "datetime" and not factor.missing.any() and len(factor.values) >= min(10, len(table)):
            form = datetime_format(factor.values) or "iso"
            steps = np.diff(np.array([moment(value, form) for value in factor.values], dtype=np.float64)[factor.codes])
            if (steps >= 0).all() or (steps <= 0).all():
                return name
    return None


def _numeric_orders(table: Table, columns: dict[str, ColumnType]) -> list[str]:
    """A note on the first number that hardly ever steps back: it may be a time."""
    for name, kind in columns.items():
        factor = table.factor(name)
        if kind != "number" or factor.missing.any() or len(factor.values) < 0.02 * len(table) or len(table) < 100:
            continue
        values = factor.numbers[factor.codes]
        back = int((np.diff(values) < 0).sum())
        if len(factor.values) >= 50 and back <= len(table) / 1000:
            how = f'set kind = "time" and by = "{name}" under [split]'
            return [f"The rows seem to follow {name!r} ({back} steps back): if it is a time, {how}."]
    return []


def _ambiguous(name: str, form: str, factor: Factor) -> str | None:
    """A note where day and month could be read either way round."""
    other = form.replace("%d", "%§").replace("%m", "%d").replace("%§", "%m")
    if form == "iso" or form.startswith("%Y") or other == form or "%b" in form or "%B" in form:
        return None
    if all(moment(value, other) is not None for value in factor.values):
        return f"{name!r} is read as {form}, but {other} would fit as well: say which by writing the dates as ISO 8601."
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
