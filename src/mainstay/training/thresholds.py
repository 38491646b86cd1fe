"""The threshold from which a binary model answers "positive": a number, or chosen on validation folds."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mainstay.errors import MainstayError
from mainstay.models.signature import Floats

_COST = re.compile(r"cost\(\s*([0-9.eE+-]+)\s*,\s*([0-9.eE+-]+)\s*\)")


class ThresholdError(MainstayError):
    """`threshold` of the project file cannot be understood."""

    def __init__(self, found: object) -> None:
        super().__init__(
            f"threshold = {found!r} cannot be understood: write a probability such as 0.5, "
            '"max_f1", or "cost(5, 1)" (of a missed positive, of a false alarm; both more than 0).'
        )


@dataclass(frozen=True)
class Fixed:
    """Positive from this probability on."""

    value: float


@dataclass(frozen=True)
class MaxF1:
    """Where F1 = 2 TP / (2 TP + FP + FN) is largest."""


@dataclass(frozen=True)
class Cost:
    """Where missed * FN + alarm * FP is smallest."""

    missed: float
    alarm: float


Rule = Fixed | MaxF1 | Cost


def parse(text: float | str) -> Rule:
    """The rule that the project file names.

    Raises:
        ThresholdError: neither a probability from 0 to 1, nor "max_f1", nor "cost(missed, alarm)".
    """
    if isinstance(text, int | float):
        value: float | None = float(text)
    else:
        if text.strip() == "max_f1":
            return MaxF1()
        if found := _COST.fullmatch(text.strip()):
            missed, alarm = (_number(part) for part in found.groups())
            if missed is None or alarm is None or missed <= 0 or alarm <= 0:
                raise ThresholdError(text)
            return Cost(missed, alarm)
        value = _number(text)
    if value is None or not 0 <= value <= 1:
        raise ThresholdError(text)
    return Fixed(value)


def choose(rule: Rule, probabilities: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """The threshold by a rule; a row is positive where its probability is at least the threshold.

    All cuts between neighbouring probabilities are weighed, and "nobody" and "everybody" too. A cut lies in the
    middle between two probabilities, so that a rounding in the last place moves no row across it. Of cuts equally
    good, the one nearest to where theory puts it: alarm / (alarm + missed) for a cost (Elkan, The Foundations of
    Cost-Sensitive Learning, 2001), 0.5 for F1.

    Args:
        rule: how to choose.
        probabilities: of the positive label on rows that the model was not fitted on, of shape (n,), n > 0.
        positive: whether each row is positive, of shape (n,).
    """
    if isinstance(rule, Fixed):
        return rule.value
    cuts = _cuts(probabilities)
    ordered = np.sort(probabilities)
    # Rows at or above each cut, and the positives among them.
    above = len(ordered) - np.searchsorted(ordered, cuts, side="left")
    hits_ordered = np.sort(probabilities[positive])
    hits = len(hits_ordered) - np.searchsorted(hits_ordered, cuts, side="left")
    alarms, missed = above - hits, len(hits_ordered) - hits
    if isinstance(rule, MaxF1):
        worth = 2 * hits / np.maximum(1, 2 * hits + alarms + missed)
        expected = 0.5
    else:
        worth = -(rule.missed * missed + rule.alarm * alarms)
        expected = rule.alarm / (rule.alarm + rule.missed)
    best = cuts[np.isclose(worth, worth.max(), rtol=1e-12, atol=0.0)]
    return float(best[np.argmin(np.abs(best - expected))])


def _cuts(probabilities: Floats) -> Floats:
    """A cut below all, one between each two neighbours, and one above all."""
    distinct = np.unique(probabilities)
    middle = distinct[:-1] + (distinct[1:] - distinct[:-1]) / 2
    between = np.where(middle > distinct[:-1], middle, distinct[1:])
    top = float(distinct[-1])
    nobody = (top + 1) / 2 if top < 1 else math.nextafter(top, math.inf)
    if nobody <= top:
        nobody = math.nextafter(top, math.inf)
    return np.concatenate([[min(0.0, float(distinct[0]))], between, [nobody]])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
