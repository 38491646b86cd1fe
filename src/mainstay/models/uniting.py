"""The signatures of several models as one: what a blend of them takes, and what each of them sees of it.

Whatever a row holds, each part gets what it would get alone: its own columns, its own codes of categories, with those
that it does not know unseen, and what means a missing value to it missing. A row that one part would refuse, the blend
refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.signature import UNSEEN, Cells, Column, Floats, InputError, Label, Signature, epoch_seconds
from mainstay.models.tensors import Tensor

UNNAMED = "prediction"
"""The target of a model that nobody named one for."""


class CannotBlend(MainstayError):
    """Models that cannot be one: they contradict each other, or the method asks of them what they do not give."""


@dataclass(frozen=True)
class Spelling:
    """How texts become the codes of a category."""

    name: str
    codes: Mapping[str, float]
    closed: bool

    def read(self, texts: Sequence[str | None]) -> Floats:
        """The codes (n,). Raises InputError: the category is closed, and a text is none of it."""
        for row, text in enumerate(texts):
            if self.closed and text is not None and text not in self.codes:
                where = f"row {row}, " if len(texts) > 1 else ""
                known = ", ".join(map(repr, self.codes))
                raise InputError(
                    f"{where}column {self.name!r}: got {text!r}, expected one of {known}.", column=self.name, row=row
                )
        return np.array([np.nan if text is None else self.codes.get(text, UNSEEN) for text in texts], dtype=np.float64)


@dataclass(frozen=True)
class View:
    """What one part sees of rows that fit the united signature, and where its answers stand."""

    columns: tuple[int, ...]
    """For each input of the part, its place in the united signature."""
    codes: Mapping[int, tuple[float | None, ...]]
    """By input of the part: its own code for each united category, None where that is missing to it. Only where the
    two lists differ."""
    spelled: Mapping[int, Spelling]
    """By input of the part that is a category to it and a text to another."""
    missing: Mapping[int, frozenset[str]]
    """By input of the part: texts that are missing to it, though not to all."""
    tensors: tuple[str, ...]
    order: tuple[int, ...]
    """For each united label, its place among the part's own."""

    def cells(self, cells: Cells) -> Cells:
        """The part's cells of rows that the united signature has read.

        Raises:
            InputError: a text is a category to the part, which takes none but its own.
        """
        numbers = cells.numbers[:, list(self.columns)]
        for index, table in self.codes.items():
            numbers[:, index] = _recoded(numbers[:, index], table)
        for index, spelling in self.spelled.items():
            numbers[:, index] = spelling.read(cells.texts[self.columns[index]])
        texts = {
            index: self._texts(index, cells.texts[column])
            for index, column in enumerate(self.columns)
            if column in cells.texts and index not in self.spelled
        }
        return Cells(numbers, texts, {name: cells.tensors[name] for name in self.tensors})

    def answers(self, answers: Answers) -> Answers:
        """The part's answers, with labels in the united order."""
        if not self.order or self.order == tuple(range(len(self.order))):
            return answers
        labels = None if answers.labels is None else np.argsort(self.order)[answers.labels].astype(np.int64)
        probabilities = None if answers.probabilities is None else answers.probabilities[:, list(self.order)]
        return Answers(labels=labels, probabilities=probabilities)

    def _texts(self, index: int, texts: Sequence[str | None]) -> Sequence[str | None]:
        gone = self.missing.get(index)
        return [None if text in gone else text for text in texts] if gone else texts


def united(parts: Sequence[tuple[str, Signature]], *, target: str | None = None) -> Signature:
    """The signature of a blend.

    Args:
        parts: the name and the signature of each.
        target: what is predicted, where the parts call it by several names.

    Raises:
        CannotBlend: they contradict each other; the message names the parts, and the column or the label.
    """
    (first_name, first), *others = parts
    for name, signature in parts:
        if signature.task not in ("binary", "multiclass", "regression"):
            raise CannotBlend(f"{name} is a {signature.task} model: only classifiers and regressions can be blended.")
    for name, signature in others:
        if signature.task != first.task:
            raise CannotBlend(f"{first_name} is a {first.task} model and {name} a {signature.task} one.")
        _check_labels(first_name, first.labels, name, signature.labels)
    users: dict[str, list[tuple[str, Signature, Column]]] = {}
    for name, signature in parts:
        for column in signature.inputs:
            users.setdefault(column.name, []).append((name, signature, column))
    common = [token for token in first.missing_tokens if all(token in each.missing_tokens for _, each in others)]
    inputs = tuple(_joined(each, common) for each in users.values())
    tensors = _tensors(parts)
    if clash := users.keys() & {tensor.name for tensor in tensors}:
        raise CannotBlend(f"{min(clash)!r} is a column of one part and a tensor of another.")
    taken = {*users, *(tensor.name for tensor in tensors)}
    aside = dict.fromkeys(column for _, signature in parts for column in signature.set_aside if column not in taken)
    return Signature(
        inputs=inputs,
        tensors=tensors,
        task=first.task,
        target=target or _target(parts),
        labels=first.labels,
        set_aside=tuple(aside),
        missing_tokens=tuple(common),
    ).checked()


def view_of(whole: Signature, part: Signature) -> View:
    """What a part sees of a united signature that it belongs to."""
    place = {column.name: index for index, column in enumerate(whole.inputs)}
    columns = tuple(place[column.name] for column in part.inputs)
    codes: dict[int, tuple[float | None, ...]] = {}
    spelled: dict[int, Spelling] = {}
    missing: dict[int, frozenset[str]] = {}
    for index, column in enumerate(part.inputs):
        both = whole.inputs[columns[index]]
        tokens = frozenset(part.tokens(column))
        if column.type == "category" and both.type == "text":
            own = {category: float(code) for code, category in enumerate(column.categories)}
            spelled[index] = Spelling(column.name, {**own, **dict.fromkeys(tokens, np.nan)}, column.closed)
        elif column.type == "category":
            table = _codes(both, column, tokens)
            if table != tuple(range(len(column.categories))):
                codes[index] = table
        elif column.type == "text" and (gone := tokens - frozenset(whole.tokens(both))):
            missing[index] = gone
    known = {_key(label): position for position, label in enumerate(part.labels)}
    names = tuple(tensor.name for tensor in part.tensors)
    return View(columns, codes, spelled, missing, names, tuple(known[_key(label)] for label in whole.labels))


def _codes(both: Column, column: Column, tokens: frozenset[str]) -> tuple[float | None, ...]:
    own = {category: float(code) for code, category in enumerate(column.categories)}
    return tuple(None if category in tokens else own.get(category, UNSEEN) for category in both.categories)


def _recoded(codes: Floats, table: tuple[float | None, ...]) -> Floats:
    # Behind the categories stand what is unseen and what is missing.
    values = np.array([*(np.nan if value is None else value for value in table), UNSEEN, np.nan])
    place = np.where(np.isnan(codes), len(table) + 1, np.where(codes < 0, len(table), codes))
    found: Floats = values[place.astype(np.intp)]
    return found


def _check_labels(first: str, labels: Sequence[Label], other: str, theirs: Sequence[Label]) -> None:
    mine, others = {_key(label) for label in labels}, {_key(label) for label in theirs}
    if mine == others:
        return
    label = min(mine ^ others, key=str)
    has, lacks = (first, other) if label in mine else (other, first)
    raise CannotBlend(
        f"{has} answers {label[1]!r}, which {lacks} does not know: only models with the same labels can be blended "
        f"({_said(labels)} and {_said(theirs)})."
    )


def _tensors(parts: Sequence[tuple[str, Signature]]) -> tuple[Tensor, ...]:
    """The tensors of all parts: those of one name are one."""
    found: dict[str, tuple[str, Tensor]] = {}
    for name, signature in parts:
        for tensor in signature.tensors:
            first, known = found.setdefault(tensor.name, (name, tensor))
            if (known.dtype, known.shape, known.image) != (tensor.dtype, tensor.shape, tensor.image):
                pictures = "" if known.image == tensor.image else ", or takes other pictures"
                raise CannotBlend(
                    f"Tensor {tensor.name!r} is {known.told()} in {first} and {tensor.told()} in {name}{pictures}: "
                    "a blend can give it to both only if they agree."
                )
            lows = [each.minimum for each in (known, tensor) if each.minimum is not None]
            highs = [each.maximum for each in (known, tensor) if each.maximum is not None]
            joined = msgspec.structs.replace(known, minimum=min(lows, default=None), maximum=max(highs, default=None))
            found[tensor.name] = (first, joined)
    return tuple(tensor for _, tensor in found.values())


def _target(parts: Sequence[tuple[str, Signature]]) -> str:
    named = {signature.target: name for name, signature in parts if signature.target != UNNAMED}
    if len(named) > 1:
        (one, first), (other, second) = list(named.items())[:2]
        raise CannotBlend(
            f"{first} predicts {one!r} and {second} predicts {other!r}: if these are the same thing, name it with "
            "--target."
        )
    return next(iter(named), UNNAMED)


def _joined(users: Sequence[tuple[str, Signature, Column]], common: Sequence[str]) -> Column:
    """One column of all parts that take it."""
    first_name, _, first = users[0]
    if {column.type for *_, column in users} == {"category", "text"}:
        return _text(users, common)
    for name, _, column in users[1:]:
        if column.type != first.type:
            raise CannotBlend(
                f"Column {first.name!r} is a {first.type} in {first_name} and a {column.type} in {name}: "
                "a blend can give it to both only if they agree."
            )
        if column.format != first.format:
            raise CannotBlend(
                f"Column {first.name!r} is a date-time like {first.format} in {first_name} and like {column.format} in "
                f"{name}: a blend can give it to both only if they agree."
            )
    tokens = _tokens(users)
    categories, closed = _categories(users, tokens) if first.type == "category" else ((), False)
    lows = [column.minimum for *_, column in users if column.minimum is not None]
    highs = [column.maximum for *_, column in users if column.maximum is not None]
    typical = [column.typical for *_, column in users if column.typical is not None]
    if first.type == "category":
        typical = [value for value in typical if value in categories]
    return msgspec.structs.replace(
        first,
        nullable=all(column.nullable for *_, column in users),
        categories=categories,
        closed=closed,
        minimum=min(lows, default=None),
        maximum=max(highs, default=None),
        typical=next(iter(typical), None),
        missing_tokens=None if set(tokens) == set(common) else tokens,
    )


def _text(users: Sequence[tuple[str, Signature, Column]], common: Sequence[str]) -> Column:
    """A column that is a text to some parts and a category to the others, whose codes are read of the text."""
    tokens = _tokens(users)
    return Column(
        name=users[0][2].name,
        type="text",
        nullable=all(column.nullable for *_, column in users),
        missing_tokens=None if set(tokens) == set(common) else tokens,
    )


def _tokens(users: Sequence[tuple[str, Signature, Column]]) -> tuple[str, ...]:
    """The texts that mean a missing value to the blend: to all parts, or to one that then refuses the row."""
    column = users[0][2]
    every = dict.fromkeys(token for _, signature, each in users for token in signature.tokens(each))
    kept: list[str] = []
    for token in every:
        knowing = [(name, each) for name, signature, each in users if token in signature.tokens(each)]
        others = [name for name, signature, each in users if token not in signature.tokens(each)]
        if not others:
            kept.append(token)
        elif column.type == "datetime" and _is_moment(token, column.format):
            raise CannotBlend(
                f"{token!r} in column {column.name!r} is a missing value to {knowing[0][0]} and a date to {others[0]}."
            )
        elif column.type in ("category", "text") and not all(each.nullable for _, each in knowing):
            kept.append(token)
    return tuple(kept)


def _categories(users: Sequence[tuple[str, Signature, Column]], tokens: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The categories of the blend, and whether others are refused.

    A text that is missing to some parts alone is among them, so that the others can tell it from a missing value.
    """
    closed = [(name, signature, column) for name, signature, column in users if column.closed]
    every = dict.fromkeys(category for *_, column in users for category in column.categories)
    every.update(dict.fromkeys(token for _, signature, column in users for token in signature.tokens(column)))
    found = tuple(
        category
        for category in every
        if category not in tokens
        and all(
            category in column.categories or category in signature.tokens(column) for _, signature, column in closed
        )
    )
    if closed and not found:
        names = " and ".join(dict.fromkeys(name for name, *_ in users))
        raise CannotBlend(f"Column {users[0][2].name!r} has no category that {names} all take.")
    return found, bool(closed)


def _is_moment(text: str, form: str) -> bool:
    try:
        epoch_seconds(text, form)
    except ValueError:
        return False
    return True


def _key(label: Label) -> tuple[str, Label]:
    """What tells True from 1, which are equal to Python."""
    return type(label).__name__, label


def _said(labels: Sequence[Label]) -> str:
    return ", ".join(map(repr, labels))
