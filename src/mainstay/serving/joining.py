"""Several requests as one table, and its answers taken apart again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from msgspec import structs

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.golden import largest_difference
from mainstay.models.signature import Cells, Signature
from mainstay.models.tensors import Array

CLOSE = 1e-6
"""|a - b| / max(1, |b|) at most between the answer to a row among others, and to the same row alone."""


class NotByRow(MainstayError):
    """A model was asked several rows and did not give an answer for each."""


def form(cells: Cells) -> Hashable:
    """What tables must have in common to be joined: the types and sizes of their tensors' rows."""
    return tuple((name, array.dtype.str, array.shape[1:]) for name, array in cells.tensors.items())


def weight(cells: Cells) -> int:
    """Bytes of a table's values."""
    texts = sum(len(text) for values in cells.texts.values() for text in values if text)
    return cells.numbers.nbytes + texts + sum(map(_bytes, cells.tensors.values()))


def joined(tables: Sequence[Cells]) -> Cells:
    """Tables of one form as one, in their order; at least one."""
    first = tables[0]
    if len(tables) == 1:
        return first
    return Cells(
        np.concatenate([table.numbers for table in tables]),
        {index: [text for table in tables for text in table.texts[index]] for index in first.texts},
        {name: np.concatenate([table.tensors[name] for table in tables]) for name in first.tensors},
    )


def parted(answers: Answers, rows: Sequence[int]) -> list[Answers]:
    """The answers of each table; `rows` says how many it has.

    Raises:
        NotByRow: there are more answers than rows, or fewer.
    """
    if len(rows) == 1:
        return [answers]
    total, parts, at = sum(rows), list[Answers](), 0
    arrays = (answers.values, answers.labels, answers.probabilities, *(answers.outputs or {}).values())
    for array in arrays:
        if array is not None and len(array) != total:
            raise NotByRow(f"The model gave {len(array)} answers for {total} rows.")
    shared = structs.replace(answers, alone=False)
    for count in rows:
        parts.append(shared.rows(slice(at, at + count)))
        at += count
    return parts


def by_row(signature: Signature) -> bool:
    """Whether the size of an answer is told by the row alone.

    An output whose sizes are not those of an input may be as long as the longest of a batch needs: there, a row's
    answer would depend on who was asked beside it.
    """
    given = {size for tensor in signature.tensors for size in tensor.shape if isinstance(size, str)}
    return all(isinstance(size, int) or size in given for output in signature.outputs for size in output.shape)


def agree(together: Answers, apart: Sequence[Answers]) -> bool:
    """Whether rows have the same answers among others as alone: labels are equal, numbers within `CLOSE`."""
    try:
        parts = parted(together, [len(each) for each in apart])
    except NotByRow:
        return False
    return all(map(_same, parts, apart))


def _same(one: Answers, other: Answers) -> bool:
    if one.labels is not None and not np.array_equal(one.labels, other.labels if other.labels is not None else ()):
        return False
    pairs = [(one.values, other.values), (one.probabilities, other.probabilities)]
    theirs = other.outputs or {}
    pairs += [(array, theirs.get(name)) for name, array in (one.outputs or {}).items()]
    return all(_alike(a, b) for a, b in pairs)


def _alike(a: Array | None, b: Array | None) -> bool:
    if a is None or b is None:
        return a is b
    if object in (a.dtype, b.dtype):
        return a.shape == b.shape and a.tolist() == b.tolist()
    return largest_difference(a, b) <= CLOSE


def _bytes(array: Array) -> int:
    return sum(map(len, array.reshape(-1).tolist())) if array.dtype == object else array.nbytes
