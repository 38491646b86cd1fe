"""Which of the two versions of an A/B test is better, as far as the evidence tells: looked at as often as one likes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec import Struct

from mainstay.registry.evidence import SECONDS, Evidence
from mainstay.registry.plans import Plan
from mainstay.rollout import wording
from mainstay.rollout.betting import Floats, log_evidence, log_mean
from mainstay.rollout.comparing import Compared, compared
from mainstay.rollout.measuring import ERRORS, QUALITY, Happening, e_value, slowness

Answer = Literal["better", "worse", "no difference found"]


class Verdict(Struct, frozen=True, kw_only=True):
    """What is said of the candidate."""

    answer: Answer
    words: str
    e_values: dict[str, float] = {}
    """By what was tested and on which side, such as "quality, better"; `limit` is what each is held against."""


def verdict(plan: Plan, evidence: Evidence) -> Verdict:
    """Better or worse than the stable version, or no difference found, which is not the same as no difference.

    By the outcomes where there are labels, or else by errors and computing times. The probability that a version which
    is no different is called better or worse is `false_alarms` at most, as it is split over what is tested and both
    sides. Where one test says better and the other one worse, nothing can be said.
    """
    both = compared(plan, evidence)
    sides = _quality(both) or _operation(both)
    if not sides:
        return Verdict(answer="no difference found", words="neither version was asked yet")
    limit = len(sides) / plan.checks.false_alarms
    values = {name: e_value(log) for name, log in sides.items()}
    found = {name: value for name, value in values.items() if value >= limit}
    answers = {name.rpartition(", ")[2] for name in found}
    answer: Answer = "no difference found"
    if answers == {"better"}:
        answer = "better"
    elif answers == {"worse"}:
        answer = "worse"
    told = found or values
    words = "; ".join(
        f"that it is {name.rpartition(', ')[2]} in {name.rpartition(', ')[0]}: evidence {wording.number(value)} times"
        f" what chance gives, limit {wording.number(limit)}"
        for name, value in told.items()
    )
    if len(answers) > 1:
        words = f"better in one thing and worse in another; {words}"
    return Verdict(answer=answer, words=f"{answer}: {words}", e_values=values | {"limit": limit})


def _quality(both: Compared) -> dict[str, float]:
    if not any(seen.candidate.labelled and seen.stable.labelled for seen in both.seen):
        return {}
    return _both_sides(both, QUALITY)


def _operation(both: Compared) -> dict[str, float]:
    if not any(seen.candidate.requests for seen in both.seen):
        return {}
    theirs, all_of_them = slowness(both)
    slower = both.together(lambda at: log_evidence(theirs[:, at], all_of_them[:, at], both.chances[at]))
    return {
        **_both_sides(both, ERRORS),
        "computing time, worse": float(log_mean(slower)),
        "computing time, better": _faster(both, theirs, all_of_them),
    }


def _both_sides(both: Compared, happening: Happening) -> dict[str, float]:
    counts = both.counted(lambda arm: (happening.hits(arm),))[0]
    stable, candidate = counts[:, 0], counts[:, 1]
    worse = both.together(lambda at: log_evidence(candidate[at], counts[at].sum(axis=-1), both.chances[at]))
    better = both.together(lambda at: log_evidence(stable[at], counts[at].sum(axis=-1), 1.0 - both.chances[at]))
    return {f"{happening.name}, worse": float(worse), f"{happening.name}, better": float(better)}


def _faster(both: Compared, theirs: Floats, all_of_them: Floats) -> float:
    """That the stable version's times, without the allowance that they were counted with, are over a bound more often.

    Its count at a bound b is of times over (b - slack) / slowdown. The candidate's is taken at the largest bound that
    is no larger: where it is counted as slower than it was, that speaks for no difference.
    """
    checks = both.plan.checks
    bare = (np.array(SECONDS) - checks.slack) / checks.slowdown
    at_or_below = np.searchsorted(np.array(SECONDS), bare, side="right") - 1
    usable = at_or_below >= 0
    if not usable.any():
        return 0.0
    stable = (all_of_them - theirs)[usable]
    candidate = theirs[at_or_below[usable]]
    logs = both.together(lambda at: log_evidence(stable[:, at], (stable + candidate)[:, at], 1.0 - both.chances[at]))
    return float(log_mean(logs))
