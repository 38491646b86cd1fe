"""Which of the two versions of an A/B test is better, as far as the evidence tells: looked at as often as one likes.

Worse is what failed: the measures of every rollout. Better is found by bets on the other side, which have parts of the
same `false_alarms`: the probability that a version which is no different is called either is that at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mainstay.registry.changes import Answer
from mainstay.registry.evidence import SECONDS, Evidence, Seen
from mainstay.registry.plans import Plan
from mainstay.registry.records import Rollout
from mainstay.rollout import wording
from mainstay.rollout.betting import Floats, log_evidence, log_mean
from mainstay.rollout.comparing import Compared, compared, counted_as, slower_than
from mainstay.rollout.measuring import ERRORS, QUALITY, Happening, e_value, finite, limits, times_as_often, unanswered
from mainstay.rollout.results import Analysis, Measured, Verdict
from mainstay.rollout.states import Cause

ENDS: dict[Cause, Answer] = {
    "failed": "worse",
    "asked": "better",
    "passed": "better",
    "inconclusive": "no difference found",
}
"""What ends an A/B test, and its verdict."""


def betterment(plan: Plan, evidence: Evidence) -> list[Measured]:
    """What would show that the candidate is better, each `successful` where it did, `running` until then.

    By the outcomes where there are labels, or where the plan waits for them; else by errors and computing times.
    """
    both, limit = compared(plan, evidence), limits(plan)
    if not any(seen.candidate.requests for seen in both.seen):
        return []
    if plan.checks.least_labels or any(seen.candidate.labelled and seen.stable.labelled for seen in both.seen):
        return [_less_often(QUALITY, both, limit["better in quality"])]
    return [_less_often(ERRORS, both, limit["better in errors"]), _faster(both, limit["better in computing time"])]


def verdict(measures: Sequence[Measured], better: Sequence[Measured]) -> Verdict:
    """Better or worse than the stable version, or no difference found, which is not the same as no difference. Who is
    worse in one thing is worse, whatever else is better."""
    if failed := [one for one in measures if one.result == "failed"]:
        return Verdict(answer="worse", words=f"worse: {_told(failed)}")
    if found := [one for one in better if one.result == "successful"]:
        return Verdict(answer="better", words=f"better: {_told(found)}")
    words = f"no difference found: {_told(better)}" if better else "no difference found: neither version was asked yet"
    return Verdict(answer="no difference found", words=words)


def answer_of(rollout: Rollout, cause: Cause) -> Answer | None:
    """The verdict that a move ends an A/B test with; None: the move does not, or the rollout is none."""
    tested = rollout.state == "progressing" or (rollout.state == "paused" and cause == "failed")
    return ENDS.get(cause) if rollout.plan.strategy == "ab" and tested else None


def enough_asked(plan: Plan, evidence: Evidence) -> bool:
    """Whether an A/B test had as many requests as it may have at most."""
    requests = sum(seen.candidate.requests + seen.stable.requests for seen in evidence.steps)
    return plan.checks.most is not None and requests >= plan.checks.most


def with_verdict(plan: Plan, evidence: Evidence, found: Analysis) -> Analysis:
    """The analysis of an A/B test: only "better" passes it, and no difference within its requests is for a person."""
    better = betterment(plan, evidence)
    said = verdict(found.measures, better)
    result, words = found.result, (said.words if found.result == "failed" else found.words)
    if result in ("running", "successful"):
        if enough_asked(plan, evidence) and (said.answer != "better" or result == "running"):
            result, words = "inconclusive", f"{said.words}; {plan.checks.most:,} requests were to be enough"
        elif result == "successful":
            result, words = ("successful" if said.answer == "better" else "running"), said.words
    return Analysis(result=result, words=words, measures=(*found.measures, *better), verdict=said)


def _told(measures: Sequence[Measured]) -> str:
    return "; ".join(f"{one.name}: {one.words}" for one in measures)


def _less_often(happening: Happening, both: Compared, limit: float) -> Measured:
    """Whether something bad happens to the stable version more often than to the candidate."""
    counts = both.counted(lambda arm: (happening.hits(arm),))[0]
    stable, candidate, events = counts[:, 0], counts[:, 1], counts.sum(axis=-1)
    value = e_value(float(both.together(lambda at: log_evidence(stable[at], events[at], 1.0 - both.chances[at]))))
    low, high, still = times_as_often(both, candidate, events, both.plan.checks.false_alarms)
    shown = both.seen[-1]
    what = happening.what or counted_as(both.plan, shown.step)
    theirs, its = (wording.of(happening.hits(arm), happening.of(arm), what) for arm in (shown.candidate, shown.stable))
    return _better(
        f"better in {happening.name}",
        f"the candidate {happening.verb} {theirs}, stable {its}; {wording.in_favour(value, limit)}; {still}",
        value,
        limit,
        at_least=low,
        at_most=high,
    )


def _faster(both: Compared, limit: float) -> Measured:
    """Whether the stable version's times, without the allowance that they were counted with, are over a bound more
    often than the candidate's.

    Its count at a bound b is of times over (b - slack) / slowdown. The candidate's is taken at the largest bound that
    is no larger: where it is counted as slower than it was, that speaks for no difference. What it did not answer at
    all was not answered in any time.
    """
    counts = both.counted(lambda arm: slower_than(arm.seconds))
    pairs = list(bare_bounds(both.plan))
    bounds, below = [bound for bound, _ in pairs], [at for _, at in pairs]
    stable = counts[bounds, :, 0]
    events = stable + counts[below, :, 1] + unanswered(both)[:, 1]
    logs: Floats = both.together(lambda at: log_evidence(stable[:, at], events[:, at], 1.0 - both.chances[at]))
    value = e_value(float(log_mean(logs)))
    best = int(np.argmax(logs))
    shown: Seen = both.seen[-1]
    slower = slower_than(shown.candidate.seconds)[below[best]], slower_than(shown.stable.seconds)[bounds[best]]
    return _better(
        "better in computing time",
        f"the candidate took longer than {wording.milliseconds(SECONDS[below[best]])} in"
        f" {wording.of(slower[0], sum(shown.candidate.seconds))}, stable in"
        f" {wording.of(slower[1], sum(shown.stable.seconds))}; {wording.in_favour(value, limit)}",
        value,
        limit,
    )


def bare_bounds(plan: Plan) -> Iterator[tuple[int, int]]:
    """Of each bound (an index of `SECONDS`) at which the stable version's allowed times are counted, the largest one
    that is no larger than the bare time that this means; those that mean none are left out."""
    bare = (np.array(SECONDS) - plan.checks.slack) / plan.checks.slowdown
    for bound, at in enumerate(np.searchsorted(np.array(SECONDS), bare, side="right") - 1):
        if at >= 0:
            yield bound, int(at)


def _better(name: str, words: str, value: float, limit: float, **numbers: float) -> Measured:
    return Measured(
        name=name,
        result="successful" if value >= limit else "running",
        words=words,
        numbers=finite(**numbers, limit=limit),
        e_value=value,
    )
