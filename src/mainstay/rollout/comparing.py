"""Which steps of a rollout compare what with what, and the counts of those that do, as arrays to bet on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mainstay.registry.evidence import SECONDS, Arm, Evidence, Seen
from mainstay.registry.plans import WHOLE, Plan
from mainstay.rollout.betting import Floats

Comparison = Literal["drawn", "paired", "alone"]
"""drawn: each request is the candidate's with the step's share as its probability. paired: both versions were asked.
alone: no stable version answers at the same time, or which requests the candidate gets is no matter of chance."""


def comparison(plan: Plan, step: int) -> Comparison:
    """What one of the plan's steps can compare."""
    if plan.strategy == "shadow":
        return "paired"
    if plan.strategy in {"canary", "ab"} and plan.steps[step] < WHOLE:
        return "drawn"
    return "alone"


def counted_as(plan: Plan, step: int) -> Literal["requests", "callers"]:
    """What the counts of a step are of. Where a caller's requests are drawn for a version all together, he is counted
    once, with the worst that he met."""
    return "callers" if plan.sticky is not None and comparison(plan, step) == "drawn" else "requests"


def chance(plan: Plan, step: int) -> float:
    """The probability at most that an event of this step is the candidate's if it is no worse.

    Drawn: the step's share p, as an event of a request is the candidate's with p e / (p e + (1 - p) s), and e <= s.
    Paired: one half. Of requests on which the two differ, the candidate is the worse one with one half at most. Where
    both fail, a bet is won and one lost: r / m^2 with m = (1 + r) / 2, which is never more than 1. Where copies were
    left out, or the stable version's other requests were counted too, the candidate's part is smaller still.
    """
    return 0.5 if plan.strategy == "shadow" else plan.steps[step] / WHOLE


@dataclass(frozen=True)
class Compared:
    """The steps that compare the two versions, and how their evidence adds up."""

    plan: Plan
    seen: tuple[Seen, ...]
    chances: Floats
    apart: int
    """0: wealth is carried on from step to step. Of a sticky rollout, in how many parts false alarms are split: the
    keys of a step come back in the next, so that what they did once must not be won twice; each step stands for
    itself, with its part."""

    servers: int
    """Of a sticky rollout, by how many a caller may be counted; else 1. He has the same version everywhere, so that
    what he meets on each is one piece of evidence. What each server's counts win is won in a fair game; the geometric
    mean is no more than that, however they hang together (Hölder's inequality, for each bet), and it is what all
    counts win once they are divided by the number of servers."""

    def counted(self, of: Callable[[Arm], Sequence[int]]) -> Floats:
        """What `of` tells of both arms of each step, as it counts for evidence, with the shape (values, steps, 2):
        stable, candidate."""
        arms = [[list(of(seen.stable)), list(of(seen.candidate))] for seen in self.seen]
        counts: Floats = np.array(arms, dtype=float).transpose(2, 0, 1) / self.servers
        return counts

    def together(self, log_evidence: Callable[[slice], Floats]) -> Floats:
        """The evidence of all steps, of a function of some of them."""
        if not self.apart:
            return log_evidence(slice(None))
        each = [log_evidence(slice(at, at + 1)) for at in range(len(self.seen))]
        together: Floats = np.max(each, axis=0) - np.log(self.apart)
        return together

    def edge(self, bound: Callable[[slice, float], float], doubt: float, pick: Callable[[list[float]], float]) -> float:
        """The end of a confidence sequence over all steps, of a function of some of them and a probability."""
        if not self.apart:
            return bound(slice(None), doubt)
        return pick([bound(slice(at, at + 1), doubt / self.apart) for at in range(len(self.seen))])


def compared(plan: Plan, evidence: Evidence) -> Compared:
    """The steps of the evidence that compare; maybe none."""
    seen = tuple(seen for seen in evidence.steps if comparison(plan, seen.step) != "alone")
    apart = sum(comparison(plan, step) != "alone" for step in range(len(plan.steps))) if plan.sticky else 0
    chances = np.array([chance(plan, one.step) for one in seen], dtype=float)
    apart = 0 if plan.strategy == "shadow" or apart == 1 else apart
    return Compared(plan, seen, chances, apart, counting(plan, evidence))


def counting(plan: Plan, evidence: Evidence) -> int:
    """By how many servers what is one piece of evidence may have been counted."""
    return evidence.servers if plan.sticky else 1


def alone(plan: Plan, evidence: Evidence) -> tuple[Seen, ...]:
    """The steps in which the candidate can only be held against a limit."""
    return tuple(seen for seen in evidence.steps if comparison(plan, seen.step) == "alone")


def slower_than(seconds: Sequence[int]) -> list[int]:
    """How many times were over each of `SECONDS`, of a histogram that may be empty."""
    if not seconds:
        return [0] * len(SECONDS)
    return [int(count) for count in np.cumsum(list(seconds)[::-1])[::-1][1:]]
