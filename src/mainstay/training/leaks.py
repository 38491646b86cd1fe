"""Columns that give the target away: copies of it, parts that add up to it, or a near-perfect single predictor.

Suspicions with a reason, from the data alone; whether such a value is known when an answer is asked for, only
a person knows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mainstay.models.signature import Floats
from mainstay.training.table import Factor

ENOUGH = 100
"""Rows below which a perfect predictor may be chance."""
SAMPLE = 4_000
AUC = 0.999
RECALL = 0.998
"""Mean recall of all classes, from this one column, on rows it was not learned from."""
CORRELATION = 0.9999
"""Between the ranks, or between the values, of a column and a numeric target."""
NOT_RARE = 10
"""Rows that the rarest class needs before a perfect predictor of it is a suspicion."""

Codes = npt.NDArray[np.intp]


def find(
    target: str,
    y: Floats | Codes,
    *,
    numbers: Mapping[str, Floats],
    factors: Mapping[str, Factor],
    seed: int = 0,
) -> dict[str, str]:
    """The suspicious columns, each with a sentence's worth of reason.

    `y` is the target, shape (rows,): floats for a regression, else class codes from 0. `numbers` are the numeric
    columns' values (NaN where missing), `factors` all others'. No row lacks its target.
    """
    rows = len(y)
    if rows < ENOUGH:
        return {}
    chosen = np.sort(np.random.default_rng(seed).choice(rows, size=min(rows, SAMPLE), replace=False))
    if y.dtype.kind == "f":
        found = _sums(target, np.asarray(y, dtype=np.float64), numbers)
        for name, values in numbers.items():
            if name not in found and (reason := _follows(target, values[chosen], y[chosen].astype(np.float64))):
                found[name] = reason
        return found
    classes = y[chosen].astype(np.intp)
    sizes = np.unique(classes, return_counts=True)[1]
    if len(sizes) < 2 or sizes.min() < NOT_RARE:
        return {}
    found = {}
    for name, values in numbers.items():
        if reason := _separates(target, values[chosen], classes):
            found[name] = reason
    for name, factor in factors.items():
        if reason := _names(target, factor.codes[chosen], classes):
            found[name] = reason
    return found


def _sums(target: str, y: Floats, numbers: Mapping[str, Floats]) -> dict[str, str]:
    """Copies of the target, and pairs of columns whose sum or difference it is.

    Each column is boiled down to one number (a random projection); a pair adds up only where the projections do,
    so that all pairs are looked at in the time of a sort. What is found is verified on every row.
    """
    names = [name for name, values in numbers.items() if not np.isnan(values).any()]
    weights = np.random.default_rng(1).standard_normal(len(y))
    aim = float(weights @ y)
    tolerance = 1e-9 * float(np.abs(weights) @ np.abs(y)) + 1e-12
    found = {name: f"a copy of the target {target!r}" for name in names if np.array_equal(numbers[name], y)}
    left = [name for name in names if name not in found and numbers[name].any()]
    shadows = np.array([float(weights @ numbers[name]) for name in left])
    order = np.argsort(shadows)
    ordered = shadows[order]
    for first, shadow in zip(left, shadows, strict=True):
        for wanted, sign in ((aim - shadow, 1), (shadow - aim, -1)):
            low, high = np.searchsorted(ordered, [wanted - tolerance, wanted + tolerance])
            for position in order[low:high]:
                second = left[position]
                if second == first:
                    continue
                if np.allclose(numbers[first] + sign * numbers[second], y, rtol=1e-9, atol=1e-12):
                    if sign == 1:
                        reason = "adds up with {!r} to the target {!r} in every row"
                        found.setdefault(first, reason.format(second, target))
                        found.setdefault(second, reason.format(first, target))
                    else:
                        found.setdefault(first, f"the target {target!r} is it less {second!r} in every row")
                        found.setdefault(second, f"the target {target!r} is {first!r} less it in every row")
    return found


def _follows(target: str, values: Floats, y: Floats) -> str | None:
    present = ~np.isnan(values)
    if present.sum() < ENOUGH:
        return None
    values, y = values[present], y[present]
    if np.ptp(values) == 0 or np.ptp(y) == 0:
        return None
    if abs(_correlation(values, y)) >= CORRELATION:
        return f"a linear function of it is nearly the target {target!r} itself"
    if abs(_correlation(_ranks(values), _ranks(y))) >= CORRELATION:
        return f"it orders the rows as the target {target!r} does"
    return None


def _separates(target: str, values: Floats, classes: Codes) -> str | None:
    """Whether thresholds on one number tell the classes apart, its being missing counting as a value."""
    absent = np.isnan(values)
    if absent.any() and (reason := _names(target, np.where(absent, 1, 0).astype(np.intp), classes)):
        return reason.replace("its value tells", "whether it is missing tells")
    labels = np.unique(classes)
    if len(labels) == 2:
        positive = classes[~absent] == labels[1]
        if positive.sum() < NOT_RARE or (~positive).sum() < NOT_RARE or absent.mean() > 0.5:
            return None
        area = _area(values[~absent], positive)
        if max(area, 1 - area) >= AUC:
            return f"it alone tells the target {target!r} (ROC AUC {max(area, 1 - area):.4f})"
        return None
    return _nearest(target, values[~absent], classes[~absent])


def _names(target: str, codes: Codes, classes: Codes) -> str | None:
    """Whether the commonest class of each value, learned from every second row, is right on the others."""
    sizes = (int(codes.max()) + 2, int(classes.max()) + 1)
    learn, test = slice(None, None, 2), slice(1, None, 2)
    order = np.random.default_rng(2).permutation(len(codes))  # rows may be sorted by class
    codes, classes = codes[order] + 1, classes[order]
    counts = np.zeros(sizes, dtype=np.intp)
    np.add.at(counts, (codes[learn], classes[learn]), 1)
    guess = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), -1)[codes[test]]
    return _told(target, guess, classes[test])


def _nearest(target: str, values: Floats, classes: Codes) -> str | None:
    """As `_names`, by the class of the nearest value learned."""
    if len(values) < ENOUGH or len(np.unique(classes)) < 2:
        return None
    order = np.random.default_rng(2).permutation(len(values))
    values, classes = values[order], classes[order]
    learn = np.argsort(values[::2], kind="stable")
    known, known_classes, asked = values[::2][learn], classes[::2][learn], values[1::2]
    above = np.clip(np.searchsorted(known, asked), 1, len(known) - 1)
    below = above - 1
    nearest = np.where(asked - known[below] <= known[above] - asked, below, above)
    return _told(target, known_classes[nearest], classes[1::2])


def _told(target: str, guess: Codes, classes: Codes) -> str | None:
    recall = float(np.mean([(guess[classes == label] == label).mean() for label in np.unique(classes)]))
    if recall < RECALL:
        return None
    return f"its value tells the target {target!r} (right for {100 * recall:.1f} % of each class)"


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts).astype(np.float64)
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks


def _area(values: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """ROC AUC of one number, by the Mann–Whitney statistic."""
    ups, downs = int(positive.sum()), int((~positive).sum())
    return float((_ranks(values)[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def same_columns(factors: Mapping[str, Factor]) -> list[tuple[str, str]]:
    """Pairs of columns with three values or more that are one-to-one: each repeats an earlier one in other words."""
    known: dict[bytes, str] = {}
    pairs: list[tuple[str, str]] = []
    for name, factor in factors.items():
        # Where nearly every row differs, any two columns are one-to-one: only true copies tell something.
        copied = len(factor.values) > len(factor.codes) / 2
        if len(factor.values) >= 3:
            # Codes are numbered by first appearance, so one-to-one columns have the same codes.
            key = factor.codes.tobytes()
            other = known.setdefault(key, name)
            if other != name and not (copied and factor.canonical != factors[other].canonical):
                pairs.append((name, other))
    return pairs
