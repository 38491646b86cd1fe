"""Fewer trees, and merged leaves: the smallest model that somebody else still finds good enough.

Trees are left out from the end: those of boosting because each corrects the ones before it, those of a forest because
they are alike. Whether a sum is an average, whose remaining trees then weigh more, is seen from the answers: half the
trees are nearer to all of them in the one way or in the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.formats.compression.forests import first_rounds, merged, rounds_of

STEPS = 16
"""Shares of neighbouring leaves that are tried: multiples of 1 / STEPS."""

Ask = Callable[[bytes], Answers]


@dataclass(frozen=True)
class Pruned:
    """A graph with fewer trees."""

    graph: bytes
    rounds: int
    """Of boosting, or trees of a forest; of the largest one, where a graph has several."""
    of: int
    merged: float
    """The share of neighbouring leaves that were close enough to become one, beside those that were equal."""

    def told(self) -> str:
        trees = f"{self.rounds} of {self.of} rounds of trees" if self.rounds < self.of else f"all {self.of} rounds"
        return trees + (f", the closest {100 * self.merged:.0f} % of neighbouring leaves merged" if self.merged else "")


def pruned(graph: bytes, ask: Ask, holds: Callable[[Answers], bool]) -> Pruned:
    """The graph with as few rounds, and then as many merged leaves, as hold.

    Args:
        graph: that has trees.
        ask: the answers of a graph to rows that it may be chosen by.
        holds: whether such answers are good enough; those of the graph as it is are.

    Raises:
        NotApplicable: there are no trees.
    """
    most = rounds_of(graph)
    whole = merged(graph, 0.0)
    reweighted = most > 1 and _averages(graph, ask, most)

    def of(kept: int) -> bytes:
        return first_rounds(whole, kept, of=most, reweighted=reweighted)

    rounds = smallest(most, lambda kept: kept == most or holds(ask(of(kept))))
    fewer = whole if rounds == most else of(rounds)
    left = smallest(STEPS, lambda spared: spared == STEPS or holds(ask(merged(fewer, 1 - spared / STEPS))))
    share = 1 - left / STEPS
    return Pruned(merged(fewer, share), rounds, most, share)


def smallest(most: int, holds: Callable[[int], bool]) -> int:
    """A number from 1 to `most` that holds while the one below it does not, by bisection; `most` is known to hold."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _averages(graph: bytes, ask: Ask, most: int) -> bool:
    truth, half = ask(graph), most // 2
    return _away(ask(first_rounds(graph, half, of=most, reweighted=True)), truth) < _away(
        ask(first_rounds(graph, half, of=most, reweighted=False)), truth
    )


def _away(found: Answers, truth: Answers) -> float:
    """The mean distance between two models' answers."""
    for one, other in ((found.probabilities, truth.probabilities), (found.values, truth.values)):
        if one is not None and other is not None:
            return float(np.mean(np.abs(one - other)))
    assert found.labels is not None
    assert truth.labels is not None
    return float(np.mean(found.labels != truth.labels))
