"""Synthetic rows: drawn from a signature's ranges and categories and from an estimator's thresholds, by a seed.

Golden predictions are asked of these rows, so that no person's data is kept in an immutable package.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from mainstay.models.encoder import Encoder
from mainstay.models.parity import around
from mainstay.models.signature import MAX_EXACT_INTEGER, Cells, Column, Floats, Reader, Signature
from mainstay.models.tensors import Array, Tensor, plain
from mainstay.models.text import TextTerms

UNSEEN_TEXT = "(never seen)"
MISSING_SHARE = 0.15
UNSEEN_SHARE = 0.05
ROWS = 512
"""Of a proof without real rows."""
MOST_NUMBERS = 4_000_000
"""At most so many numbers in them: a row of pictures has a hundred thousand."""
LIKELY = 10.0
"""The range of a number column that shows none."""
COMMON = 5
"""A word is common, and so nobody's, from so many rows on."""
_EARLIEST, _LATEST = -62135596800.0, 253402300799.0  # years 1 to 9999, all that a date-time can say


def words_of(encoder: Encoder | None, cells: Cells) -> dict[int, tuple[str, ...]]:
    """Terms to make texts from, by input index.

    The vocabulary of an encoder's text block; for a text that no such block reads, the words that at least COMMON
    of the rows share.
    """
    found: dict[int, tuple[str, ...]] = {}
    for block in encoder.blocks if encoder else ():
        if isinstance(block, TextTerms):
            found[block.column] = tuple(term.strip() for term in block.vocabulary if term.strip())
    for index, texts in cells.texts.items():
        if index not in found:
            shared = Counter(word for text in texts if text for word in set(text.split()))
            found[index] = tuple(sorted(word for word, rows in shared.items() if rows >= COMMON))
    return found


def phrases_of(cells: Cells) -> dict[int, tuple[str, ...]]:
    """Whole texts that at least COMMON rows share, for text columns that hold little else: categories in effect."""
    found: dict[int, tuple[str, ...]] = {}
    for index, texts in cells.texts.items():
        present = Counter(text for text in texts if text is not None)
        shared = tuple(sorted(text for text, rows in present.items() if rows >= COMMON))
        if shared and sum(present[text] for text in shared) >= 0.9 * present.total():
            found[index] = shared
    return found


def synthetic_rows(
    signature: Signature,
    rows: int,
    *,
    reference: Cells,
    thresholds: Mapping[int, Floats] | None = None,
    words: Mapping[int, Sequence[str]] | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Rows that fit the signature, with values that JSON keeps as they are; none of them stands in `reference`.

    Where the columns are so few that nearly every combination stands there, fewer rows come back: at least one,
    which then says nothing of anybody.

    Args:
        signature: what the rows fit.
        rows: how many are wished for.
        reference: training rows; which columns hold integers and how their missing values lie is taken from them.
        thresholds: values of interest by input index: half of the numbers are drawn from them, or beside them.
        words: terms by input index, for texts.
        seed: the same seed gives the same rows.
    """
    random = np.random.default_rng(seed)
    thresholds, words, phrases = thresholds or {}, words or {}, phrases_of(reference)
    read = Reader(signature)
    real = {_key(reference, row) for row in range(len(reference))}
    whole = _integral(reference)
    # Sizes that differ from request to request: one each, for all rows are asked together.
    names = sorted({size for tensor in signature.tensors for size in tensor.shape if isinstance(size, str)})
    sizes = {name: int(random.integers(2, 6)) for name in names}
    found: list[dict[str, Any]] = []
    spare: dict[str, Any] = {}
    for _ in range(20 * rows):
        row = {
            column.name: _value(
                column,
                random,
                whole=whole[index],
                near=thresholds.get(index),
                words=words.get(index, ()),
                phrases=phrases.get(index, ()),
            )
            for index, column in enumerate(signature.inputs)
        }
        row.update({tensor.name: plain(_array(tensor, random, sizes)) for tensor in signature.tensors})
        if _key(read.rows([row]), 0) in real:
            spare = row
            continue
        found.append(row)
        if len(found) == rows:
            break
    return found or [spare]


def wide(signature: Signature, reach: float = LIKELY) -> Signature:
    """The signature with some range for each column of numbers that has none, for synthetic rows alone."""
    inputs = tuple(
        msgspec.structs.replace(column, minimum=-reach, maximum=reach)
        if column.type == "number" and column.minimum is None
        else column
        for column in signature.inputs
    )
    return msgspec.structs.replace(signature, inputs=inputs)


def rows_for(signature: Signature) -> int:
    """How many rows a proof without real ones is made of."""
    each = sum(math.prod(size for size in tensor.shape if isinstance(size, int)) for tensor in signature.tensors)
    return max(8, min(ROWS, MOST_NUMBERS // max(1, each)))


def _value(  # noqa: PLR0911 - one answer a type
    column: Column,
    random: np.random.Generator,
    *,
    whole: bool,
    near: Floats | None,
    words: Sequence[str],
    phrases: Sequence[str],
) -> Any:
    if column.nullable and random.random() < MISSING_SHARE:
        return None
    match column.type:
        case "boolean":
            return bool(random.integers(0, 2))
        case "category":
            if not column.categories or (not column.closed and random.random() < UNSEEN_SHARE):
                return UNSEEN_TEXT
            return column.categories[int(random.integers(0, len(column.categories)))]
        case "text":
            return _text(random, words, phrases)
        case "datetime":
            seconds = _number(column, random, whole=True, near=None)
            moment = datetime.fromtimestamp(min(max(seconds, _EARLIEST), _LATEST), tz=UTC).replace(tzinfo=None)
            return moment.isoformat() if column.format == "iso" else moment.strftime(column.format)
    return _number(column, random, whole=whole, near=near)


def _number(column: Column, random: np.random.Generator, *, whole: bool, near: Floats | None) -> float | int:
    low = 0.0 if column.minimum is None else column.minimum
    high = low if column.maximum is None else column.maximum
    value = float(low + (high - low) * random.random())
    if near is not None and len(near) and random.random() < 0.5:
        value = around(float(near[int(random.integers(0, len(near)))]))[int(random.integers(0, 3))]
    if not np.isfinite(value):
        value = float(low)
    if whole and abs(value) < MAX_EXACT_INTEGER:
        return round(value)
    # A double of integral value beyond 2^53 would be read as an integer, and refused.
    return value


def _array(tensor: Tensor, random: np.random.Generator, sizes: Mapping[str, int]) -> Array:
    """A tensor of one row, between the ends of its range; without one, of small numbers that any model takes."""
    shape = tuple(size if isinstance(size, int) else sizes[size] for size in tensor.shape)
    if tensor.dtype in ("text", "bytes"):
        array = np.empty(shape, dtype=object)
        array[...] = UNSEEN_TEXT if tensor.dtype == "text" else UNSEEN_TEXT.encode()
        return array
    if tensor.dtype == "bool":
        return random.integers(0, 2, size=shape).astype(np.bool_)
    low = 0.0 if tensor.minimum is None else tensor.minimum
    high = 1.0 if tensor.maximum is None else tensor.maximum
    if tensor.numpy.kind in "iu":
        return random.integers(int(low), int(high), size=shape, endpoint=True).astype(tensor.numpy)
    return (low + (high - low) * random.random(size=shape)).astype(tensor.numpy)


def _text(random: np.random.Generator, words: Sequence[str], phrases: Sequence[str]) -> str:
    if phrases:
        return phrases[int(random.integers(0, len(phrases)))]
    if not words:
        return UNSEEN_TEXT
    chosen = random.integers(0, len(words), size=int(random.integers(1, 12)))
    return " ".join(words[i] for i in chosen.tolist())


def _integral(cells: Cells) -> list[bool]:
    """Which columns of numbers hold integers alone."""
    whole: list[bool] = []
    for column in cells.numbers.T:
        present = column[~np.isnan(column)]
        whole.append(bool(len(present)) and bool(np.all(present == np.floor(present))))
    return whole


def _key(cells: Cells, row: int) -> tuple[Any, ...]:
    # repr tells NaN from NaN by nothing, as it should be here.
    texts = (cells.texts[index][row] for index in sorted(cells.texts))
    arrays = (_digest(cells.tensors[name][row]) for name in sorted(cells.tensors))
    return (*map(repr, cells.numbers[row].tolist()), *texts, *arrays)


def _digest(array: Array) -> bytes:
    data = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
    return hashlib.sha256(data).digest()
