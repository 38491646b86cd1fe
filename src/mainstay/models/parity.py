"""The proof that a package answers as the native model does.

A converter is never trusted: what it made is run beside the native model on held-out rows, on rows that sit on each
threshold of a tree and one unit in the last place to each side of it, on missing and unseen values, and row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.encoder import Affine, Block, Encoder, Impute, Scale, Select, Single, Step
from mainstay.models.golden import TOLERANCE, largest_difference
from mainstay.models.signature import UNSEEN, Cells, Floats, InputError, Signature
from mainstay.models.tensors import Array
from mainstay.models.text import TextTerms

BOUNDARY_ROWS = 20_000
"""At most so many rows on thresholds, features and cells each: a forest has a million of them."""
BOUNDARY_NUMBERS = 16_000_000
"""And at most so many numbers in them (128 MB): features of text are wide."""
OTHER_ROWS = 64
"""Rows with a missing value, and with an unseen one, for each column; and rows asked one at a time."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How far one model's answers are from another's, over `rows` rows.

    `largest_difference` is max |a - b| / max(1, |b|) over every probability and value, b the native one; None
    where an answer is missing, has another shape, or is NaN where the other is not.
    """

    rows: int = 0
    label_disagreements: int = 0
    largest_difference: float | None = 0.0

    @property
    def holds(self) -> bool:
        """Whether every label agrees and every number is within the tolerance."""
        return (
            self.label_disagreements == 0
            and self.largest_difference is not None
            and self.largest_difference <= TOLERANCE
        )

    def told(self) -> str:
        """What differs, as part of a sentence."""
        if self.label_disagreements:
            return f"{self.label_disagreements} of {self.rows} labels differ"
        if self.largest_difference is None:
            return f"an answer of {self.rows} rows is missing or not a number on one side only"
        return f"an answer of {self.rows} rows differs by {self.largest_difference:.2g}"

    def joined(self, other: Compared) -> Compared:
        """Both comparisons as one."""
        a, b = self.largest_difference, other.largest_difference
        return Compared(
            rows=self.rows + other.rows,
            label_disagreements=self.label_disagreements + other.label_disagreements,
            largest_difference=None if a is None or b is None else max(a, b),
        )


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """The parity document of a package: the held-out rows, then the rows made to catch a converter out."""

    rows: int
    label_disagreements: int
    largest_difference: float | None
    boundary: Compared = Compared()
    """Rows on a tree's thresholds and one unit in the last place to each side, as features and as cells."""
    missing: Compared = Compared()
    unseen: Compared = Compared()
    single: Compared = Compared()
    """Rows asked one at a time, against the same rows asked together."""
    tolerance: float = TOLERANCE
    against: str = ""
    """What it was held against, where that is not the native model: a version that it was compressed from, and differs
    from by design, so that only its own answers to rows asked alone must hold."""

    @property
    def parts(self) -> dict[str, Compared]:
        """Each comparison that has to hold, by the words that name its rows."""
        if self.against:
            return {"rows asked one at a time": self.single}
        held_out = Compared(
            rows=self.rows,
            label_disagreements=self.label_disagreements,
            largest_difference=self.largest_difference,
        )
        return {
            "held-out rows": held_out,
            "rows on thresholds": self.boundary,
            "rows with missing values": self.missing,
            "rows with unseen values": self.unseen,
            "rows asked one at a time": self.single,
        }

    @property
    def holds(self) -> bool:
        return all(part.holds for part in self.parts.values())

    def told(self) -> str:
        """What does not hold, as a clause; empty where all holds."""
        return "; ".join(f"on {where}, {part.told()}" for where, part in self.parts.items() if not part.holds)


def compare(found: Answers, native: Answers) -> Compared:
    """How far `found` is from `native`, answers for the same rows.

    A native model that gives no probabilities asks none of the other; one that gives them does.
    """
    worst: float | None = 0.0
    for a, b in ((found.probabilities, native.probabilities), (found.values, native.values)):
        if b is None:
            continue
        difference = float("inf") if a is None else largest_difference(a, b)
        worst = None if worst is None or not np.isfinite(difference) else max(worst, difference)
    for name, expected in (native.outputs or {}).items():
        difference = _apart((found.outputs or {}).get(name), expected)
        worst = None if worst is None or not np.isfinite(difference) else max(worst, difference)
    disagreements = 0
    if native.labels is not None:
        if found.labels is None or found.labels.shape != native.labels.shape:
            disagreements = len(native)
        else:
            disagreements = int(np.sum(found.labels != native.labels))
    return Compared(rows=len(native), label_disagreements=disagreements, largest_difference=worst)


def _apart(found: Array | None, expected: Array) -> float:
    """The largest difference of two arrays; of texts and bytes, none or infinity."""
    if found is None or found.shape != expected.shape:
        return float("inf")
    if "O" in (expected.dtype.kind, found.dtype.kind):
        return 0.0 if bool(np.all(found == expected)) else float("inf")
    return largest_difference(found, expected)


def one_at_a_time(ask: Callable[[Cells], Answers], cells: Cells) -> Compared:
    """How far a model's answers to rows asked one at a time are from its answers to them together."""
    together, found = ask(cells), Compared()
    for row in range(len(cells)):
        part = slice(row, row + 1)
        found = found.joined(compare(ask(cells.rows(part)), together.rows(part)))
    return found


def compared(found: Callable[[Cells], Answers], native: Callable[[Cells], Answers], cells: Cells) -> Compared:
    """How far two models are apart for rows of our making; rows that both refuse say nothing."""
    if not len(cells):
        return Compared()
    a, b = asked(found, cells), asked(native, cells)
    if a is None or b is None:
        return Compared() if a is b else Compared(rows=len(cells), largest_difference=None)
    return compare(a, b)


def asked(ask: Callable[[Cells], Answers], cells: Cells) -> Answers | None:
    """Answers, or None where the model refuses such rows (ValueError is scikit-learn's word for it)."""
    try:
        return ask(cells)
    except (ValueError, InputError):
        return None


def around(value: float) -> tuple[float, float, float]:
    """The value, and one unit in the last place below and above it."""
    return value, float(np.nextafter(value, -np.inf)), float(np.nextafter(value, np.inf))


def boundary_features(base: Floats, thresholds: dict[int, Floats], *, limit: int, seed: int) -> Floats:
    """Rows of features, each with one feature on a threshold or one unit in the last place beside it.

    Args:
        base: features of real or synthetic rows, shape (n, width), n > 0.
        thresholds: split points by feature index.
        limit: at most so many rows; beyond, thresholds are drawn by the seed.
    """
    spots = [(feature, value) for feature, values in sorted(thresholds.items()) for value in np.unique(values).tolist()]
    return _moved(base, _thinned(spots, limit, seed), seed)


def boundary_cells(
    base: Cells, paths: Sequence[Lineage | None], thresholds: dict[int, Floats], *, limit: int, seed: int
) -> Cells:
    """Rows of cells that reach a threshold through the encoder, and one unit in the last place beside.

    Where steps lie between cell and threshold, three units to each side: rounding may shift the place.
    """
    spots: list[tuple[int, float]] = []
    for feature, values in sorted(thresholds.items()):
        path = paths[feature] if feature < len(paths) else None
        if path is None:
            continue
        for value in np.unique(values).tolist():
            origin = path.back(value)
            if not np.isfinite(origin):
                continue
            spots.append((path.column, origin))
            if path.factors:
                low, high = around(origin)[1:]
                lower, higher = around(low)[1], around(high)[2]
                spots += [(path.column, beside) for beside in (lower, around(lower)[1], higher, around(higher)[2])]
    chosen = _thinned(spots, limit, seed)
    if not chosen or not len(base):
        return base.rows(slice(0, 0))
    picked = np.random.default_rng(seed).integers(0, len(base), size=3 * len(chosen))
    rows = base.rows(picked.astype(np.intp))
    return Cells(_set(rows.numbers, chosen), rows.texts, rows.tensors)


def boundary_limit(width: int) -> int:
    """How many rows on thresholds are made for features of this width."""
    return max(3, min(BOUNDARY_ROWS, BOUNDARY_NUMBERS // max(1, width)))


def missing_cells(base: Cells, signature: Signature) -> Cells:
    """Rows with one missing value each, in each column that may be missing; and one row that misses them all."""
    nullable = [index for index, column in enumerate(signature.inputs) if column.nullable]
    groups = [[index] for index in nullable] + ([nullable] if len(nullable) > 1 else [])
    return _blanked(base, groups, np.nan)


def unseen_cells(base: Cells, signature: Signature) -> Cells:
    """Rows with one category that training did not see, in each column that takes one; and one with all."""
    open_ = [i for i, column in enumerate(signature.inputs) if column.type == "category" and not column.closed]
    groups = [[index] for index in open_] + ([open_] if len(open_) > 1 else [])
    return _blanked(base, groups, UNSEEN)


class Lineage(msgspec.Struct, frozen=True):
    """The input column that a feature is made from by steps that can be undone, and those steps."""

    column: int
    factors: tuple[tuple[str, float, float], ...] = ()
    """In order: ("scale", center, divisor) or ("affine", factor, offset)."""

    def back(self, value: float) -> float:
        """The cell that the steps take close to `value`."""
        with np.errstate(all="ignore"):
            for kind, a, b in reversed(self.factors):
                value = value * b + a if kind == "scale" else (value - b) / a if a else float("nan")
        return value


def lineage(encoder: Encoder | None, signature: Signature) -> tuple[Lineage | None, ...]:
    """Where each feature comes from: None for one that no number column gives by steps that can be undone."""
    if encoder is None:
        return ()
    features: list[Lineage | None] = []
    for block in encoder.blocks:
        if isinstance(block, TextTerms):
            features += [None] * len(block.vocabulary)
            continue
        features += _through(block, signature)
    for step in encoder.steps:
        features = _stepped(features, step)
    return tuple(features)


def _through(block: Block, signature: Signature) -> list[Lineage | None]:
    at: list[Lineage | None] = [
        Lineage(column) if signature.inputs[column].type in ("number", "datetime") else None for column in block.columns
    ]
    for step in block.steps:
        at = _stepped(at, step)
    width = Encoder(blocks=(block,)).width
    return at if len(at) == width else [None] * width


def _stepped(at: list[Lineage | None], step: Step) -> list[Lineage | None]:
    match step:
        case Impute() | Single():
            return at
        case Scale(center=first, divisor=second):
            return [_further(path, "scale", a, b) for path, a, b in zip(at, first, second, strict=True)]
        case Affine(factor=first, offset=second):
            return [_further(path, "affine", a, b) for path, a, b in zip(at, first, second, strict=True)]
        case Select(kept=kept):
            return [at[index] for index in kept]
        case _:
            return [None] * Encoder(blocks=(Block(tuple(range(len(at))), (step,)),)).width


def _further(path: Lineage | None, kind: str, a: float, b: float) -> Lineage | None:
    return None if path is None else Lineage(path.column, (*path.factors, (kind, a, b)))


def _thinned(spots: list[tuple[int, float]], limit: int, seed: int) -> list[tuple[int, float]]:
    """At most `limit` // 3 of the spots, each of which makes three rows."""
    spots = list(dict.fromkeys(spots))
    if len(spots) <= limit // 3:
        return spots
    chosen = np.random.default_rng(seed).choice(len(spots), size=limit // 3, replace=False)
    return [spots[index] for index in np.sort(chosen).tolist()]


def _moved(base: Floats, spots: list[tuple[int, float]], seed: int) -> Floats:
    if not spots or not len(base):
        return base[:0]
    return _set(base[np.random.default_rng(seed).integers(0, len(base), size=3 * len(spots))], spots)


def _set(rows: Floats, spots: list[tuple[int, float]]) -> Floats:
    """Three rows a spot: the value itself, one unit in the last place below, one above."""
    rows = rows.copy()
    columns = np.repeat(np.array([column for column, _ in spots], dtype=np.intp), 3)
    rows[np.arange(len(rows)), columns] = [near for _, value in spots for near in around(value)]
    return rows


def _blanked(base: Cells, groups: list[list[int]], value: float) -> Cells:
    """For each group of columns, up to OTHER_ROWS rows in which they hold `value` (None for a text)."""
    each = min(len(base), OTHER_ROWS)
    if not groups or not each:
        return base.rows(slice(0, 0))
    rows = base.rows(np.tile(np.arange(each), len(groups)).astype(np.intp))
    numbers = rows.numbers.copy()
    texts = {index: list(values) for index, values in rows.texts.items()}
    for number, group in enumerate(groups):
        part = slice(number * each, (number + 1) * each)
        numbers[part, group] = value
        for index in group:
            if index in texts:
                texts[index][part] = [None] * each
    return Cells(numbers, texts, rows.tensors)
