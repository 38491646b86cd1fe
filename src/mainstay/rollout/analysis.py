"""What a rollout's evidence says: a pure function of the plan, the step and the counts.

The counts may be looked at after each request: `betting` says why that does no harm. Of a candidate that is no worse
than the stable version, the probability that any measure ever fails is `false_alarms` at most, over the whole rollout.
"""

from __future__ import annotations

from collections.abc import Iterable

from mainstay.registry.evidence import Arm, Evidence, Seen
from mainstay.registry.plans import Plan
from mainstay.rollout import wording
from mainstay.rollout.betting import log_evidence
from mainstay.rollout.comparing import compared, counted_as
from mainstay.rollout.measuring import e_value, measured
from mainstay.rollout.results import Analysis, Measured, Result
from mainstay.rollout.verdict import with_verdict

RACE = 16
"""By how many requests counts that are read while they grow may be ahead of each other."""
IMPOSSIBLE = 1e9
"""How far beyond chance the candidate's number of requests must be before the split is said to be broken."""
GRAVITY: tuple[Result, ...] = ("error", "failed", "pending", "running", "successful")
"""The gravest result of any measure is the result of all. Failed goes before pending: who fails at once is caught at
once, however few requests there were."""


def analyse(plan: Plan, step: int, evidence: Evidence) -> Analysis:
    """The result in a step of the plan (from 0), with each measure's words and numbers.

    error: the counts contradict each other. failed: a measure's evidence crossed its limit. pending: fewer requests,
    labels or compared rows than the plan wants. running: enough, and some measure's evidence is near its limit: nothing
    is decided before it crossed it or went. successful: enough, and nothing speaks against the candidate; the words say
    how much worse it could still be. That a step took too long is for who knows the time.

    Of an A/B test, successful: there is enough, and the candidate is better; running: there is no verdict yet;
    inconclusive: there is none after as many requests as the plan has at most.
    """
    if wrong := list(contradictions(plan, evidence)):
        measures = tuple(Measured(name="counts", result="error", words=words) for words in wrong)
        return Analysis(result="error", words="; ".join(wrong), measures=measures)
    here = next((seen for seen in evidence.steps if seen.step == step), Seen(step=step))
    measures = (*_amounts(plan, here), *measured(plan, step, evidence), *_told(evidence))
    result = next(result for result in GRAVITY if any(one.result == result for one in measures))
    telling = [f"{one.name}: {one.words}" for one in measures if one.result == result and one.name != "process"]
    if result == "successful":
        first = next((one for one in measures if one.e_value is not None), measures[0])
        telling = [f"enough evidence, and nothing speaks against the candidate; {first.name}: {first.words}"]
    found = Analysis(result=result, words="; ".join(telling), measures=measures)
    return with_verdict(plan, evidence, found) if plan.strategy == "ab" else found


def contradictions(plan: Plan, evidence: Evidence) -> Iterable[str]:
    """What cannot be, in words."""
    for seen in evidence.steps:
        if not 0 <= seen.step < len(plan.steps):
            yield f"there are counts of step {seen.step + 1} of a plan with {len(plan.steps)} steps"
            return
        for name, arm in (("the candidate", seen.candidate), ("stable", seen.stable)):
            yield from _of_an_arm(name, arm)
        if seen.changed > seen.compared + RACE:
            yield f"{seen.changed:,} answers changed of {seen.compared:,} that were compared"
    both = compared(plan, evidence)
    if both.seen:
        requests = both.counted(lambda arm: (arm.requests,))[0]
        drawn, of = requests[:, 1], requests.sum(axis=-1)
        unlikely = e_value(float(both.together(lambda at: log_evidence(drawn[at], of[at], both.chances[at]))))
        if unlikely >= IMPOSSIBLE:
            shares = ", ".join(
                f"{wording.of(seen.candidate.requests, seen.candidate.requests + seen.stable.requests)} requests at"
                f" {wording.percent(chance)}"
                for seen, chance in zip(both.seen, both.chances, strict=True)
            )
            yield f"the candidate got more than its share, which makes any comparison unfair: {shares}"


def _of_an_arm(name: str, arm: Arm) -> Iterable[str]:
    # A caller who is counted as one may have met both.
    if max(arm.errors, arm.refused) > arm.requests + RACE:
        yield f"{name} failed {arm.errors:,} and refused {arm.refused:,} of {arm.requests:,} requests"
    if sum(arm.seconds) > arm.requests + RACE:
        yield f"{name} has {sum(arm.seconds):,} computing times of {arm.requests:,} requests"
    if arm.wrong > arm.labelled + RACE:
        yield f"{name} was wrong in {arm.wrong:,} of {arm.labelled:,} labelled answers"


def _amounts(plan: Plan, here: Seen) -> Iterable[Measured]:
    """Whether there is enough to judge by."""
    candidate, what = here.candidate, counted_as(plan, here.step)
    yield _amount("requests", f"{what} that the candidate is to answer", candidate.requests, plan.checks.least)
    if plan.checks.least_labels:
        yield _amount(
            "labels",
            "requests of the candidate's that are to have a label",
            candidate.labelled,
            plan.checks.least_labels,
        )


def _amount(name: str, what: str, found: int, least: int) -> Measured:
    return Measured(
        name=name,
        result="successful" if found >= least else "pending",
        words=f"{found:,} of the {least:,} {what} in this step",
        numbers={"found": found, "least": least},
    )


def _told(evidence: Evidence) -> Iterable[Measured]:
    """What is only told: a process that dies again and again is judged where processes are started."""
    if evidence.deaths or evidence.memory:
        died = f"died {evidence.deaths} times" if evidence.deaths != 1 else "died once"
        memory = f" and takes {evidence.memory / 1e6:,.0f} MB" if evidence.memory else ""
        numbers = {"deaths": float(evidence.deaths), "memory": float(evidence.memory)}
        yield Measured(name="process", result="successful", words=f"its process {died}{memory}", numbers=numbers)
