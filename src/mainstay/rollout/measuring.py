"""The measures that hold a candidate against the stable version, or against a limit: each one's evidence and words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mainstay.registry.evidence import SCORES, SECONDS, Arm, Evidence, Seen
from mainstay.registry.plans import WHOLE, Plan
from mainstay.rollout import wording
from mainstay.rollout.betting import (
    Floats,
    least,
    log_evidence,
    log_evidence_of_shift,
    log_evidence_of_shift_in_pairs,
    log_mean,
    most,
)
from mainstay.rollout.comparing import Compared, alone, compared, comparison, counted_as, counting, slower_than
from mainstay.rollout.results import Measured, Result

WEIGHTS = {
    "errors": 3,
    "computing time": 3,
    "quality": 2,
    "refusals": 1,
    "changed": 1,
    "scores": 1,
    "error limit": 1,
    "better in errors": 3,
    "better in computing time": 3,
    "better in quality": 2,
}
"""How the allowed false alarms are split over the measures that a plan can bring."""
BETTER = tuple(name for name in WEIGHTS if name.startswith("better"))
"""Those of an A/B test alone, which looks at both sides: `verdict` has them."""
SUSPECT = 0.1
"""Part of its limit from which a measure's evidence holds a step until there is more."""
NO_TIME = "no computing time of the candidate is known: only what was not computed together with others' rows has one"
MOST_EVIDENCE = 1e300
"""Beyond it, an e-value is not told from another: JSON has no infinity."""


@dataclass(frozen=True)
class Happening:
    """Something bad that a request can bring: how many did, of how many."""

    name: str
    verb: str
    hits: Callable[[Arm], int]
    of: Callable[[Arm], int]
    what: str | None = None
    """None: requests, or callers."""


ERRORS = Happening("errors", "failed", lambda arm: arm.errors, lambda arm: arm.requests)
REFUSALS = Happening("refusals", "refused", lambda arm: arm.refused, lambda arm: arm.requests)
QUALITY = Happening("quality", "was wrong in", lambda arm: arm.wrong, lambda arm: arm.labelled, "labelled answers")


def limits(plan: Plan) -> dict[str, float]:
    """The e-value that is enough, of each measure that the plan brings: by Ville's inequality, and since the chances
    add up to `false_alarms`, that is how often at most a candidate that is no worse crosses any of them; in an A/B
    test, one that is no different, on either side."""
    kinds = {comparison(plan, step) for step in range(len(plan.steps))}
    names: set[str] = {"error limit"} if "alone" in kinds else set()
    if kinds != {"alone"}:
        names |= {"errors", "computing time", "quality", "refusals"}
        names |= {"changed"} if plan.checks.changed is not None else set()
        names |= {"scores"} if plan.checks.shift is not None else set()
        names |= set(BETTER) if plan.strategy == "ab" else set()
    total = sum(WEIGHTS[name] for name in names)
    return {name: total / (WEIGHTS[name] * plan.checks.false_alarms) for name in WEIGHTS if name in names}


def measured(plan: Plan, step: int, evidence: Evidence) -> list[Measured]:
    """All measures of which there is something to say. What they show is of the step, or of the last one that compares;
    their evidence is of all steps."""
    limit = limits(plan)
    both, single, servers = compared(plan, evidence), alone(plan, evidence), counting(plan, evidence)
    found: list[Measured] = []
    if both.seen:
        shown = next((seen for seen in both.seen if seen.step == step), both.seen[-1])
        before = "" if shown.step == step else f"at {wording.percent(plan.steps[shown.step] / WHOLE)} of the traffic "
        labelled = any(seen.candidate.labelled + seen.stable.labelled for seen in both.seen)
        happenings = (ERRORS, REFUSALS, QUALITY) if labelled else (ERRORS, REFUSALS)
        found += [_more_often(one, both, shown, before, limit=limit[one.name]) for one in happenings]
        found.append(_time(both, shown, before, limit["computing time"]))
        if plan.checks.changed is not None:
            found.append(_changed(plan, both.seen, limit["changed"], servers))
        if plan.checks.shift is not None:
            found.append(_scores(both, shown, before, plan.checks.shift, limit=limit["scores"]))
    if single:
        found.append(_error_limit(plan, single, limit["error limit"]))
    return found


def judged(value: float, limit: float) -> Result:
    """Of a measure of which there is enough evidence."""
    if value >= limit:
        return "failed"
    return "running" if value >= SUSPECT * limit else "successful"


def e_value(log: float) -> float:
    return min(math.exp(min(log, 700.0)), MOST_EVIDENCE)


def slowness(both: Compared) -> tuple[Floats, Floats]:
    """How many of the candidate's times, and of both versions', were over each bound: shape (bounds, steps).

    What the stable version did not answer at all was not answered in any time: who answers it is no slower by that.
    """
    counts = both.counted(lambda arm: slower_than(arm.seconds))
    return counts[..., 1], counts.sum(axis=-1) + unanswered(both)[:, 0]


def unanswered(both: Compared) -> Floats:
    """Requests that brought no answer, of each step: shape (steps, 2)."""
    counts: Floats = both.counted(lambda arm: (arm.errors + arm.refused,))[0]
    return counts


def _more_often(happening: Happening, both: Compared, shown: Seen, before: str, *, limit: float) -> Measured:
    """Whether something happens to the candidate more often than to the stable version."""
    hits, of = happening.hits, happening.of
    counts = both.counted(lambda arm: (hits(arm),))[0]
    theirs, all_of_them = counts[:, 1], counts.sum(axis=-1)
    value = e_value(float(both.together(lambda at: log_evidence(theirs[at], all_of_them[at], both.chances[at]))))
    low, high, still = times_as_often(both, theirs, all_of_them, both.plan.checks.false_alarms)
    what = happening.what or counted_as(both.plan, shown.step)
    candidate, stable = (wording.of(hits(arm), of(arm), what) for arm in (shown.candidate, shown.stable))
    return Measured(
        name=happening.name,
        result=judged(value, limit),
        words=f"{before}the candidate {happening.verb} {candidate}, stable {stable}; {wording.against(value, limit)};"
        f" {still}",
        numbers=finite(
            candidate=hits(shown.candidate),
            candidate_of=of(shown.candidate),
            stable=hits(shown.stable),
            stable_of=of(shown.stable),
            at_least=low,
            at_most=high,
            limit=limit,
        ),
        e_value=value,
    )


def times_as_often(
    both: Compared, theirs: Floats, all_of_them: Floats, doubt: float, *, tests: int = 1
) -> tuple[float, float, str]:
    """The ends of the confidence sequence of how many times as often something happens to the candidate, and words."""
    part = doubt / 2 / tests
    low = both.edge(lambda at, some: least(theirs[at], all_of_them[at], both.chances[at], some), part, max)
    high = both.edge(lambda at, some: most(theirs[at], all_of_them[at], both.chances[at], some), part, min)
    return low, high, wording.possible(low, high, doubt, any_seen=bool(all_of_them.any()))


def _time(both: Compared, shown: Seen, before: str, limit: float) -> Measured:
    """Whether the candidate's times are over a bound more often than what the stable version's are with the allowance:
    the wealth is spread over all bounds."""
    if not any(sum(seen.candidate.seconds) for seen in both.seen):
        return Measured(name="computing time", result="pending", words=NO_TIME)
    theirs, all_of_them = slowness(both)
    logs = both.together(lambda at: log_evidence(theirs[:, at], all_of_them[:, at], both.chances[at]))
    value, checks = e_value(float(log_mean(logs))), both.plan.checks
    # The bound that speaks most against the candidate; where none does, what one stable answer in ten is over.
    worst = int(np.argmax(logs)) if value > 1 else quantile_bound(shown.stable.seconds, 0.9)
    low, high, still = times_as_often(both, theirs[worst], all_of_them[worst], checks.false_alarms, tests=len(SECONDS))
    arms = (shown.candidate.seconds, shown.stable.seconds)
    candidate, stable = (wording.of(slower_than(seconds)[worst], sum(seconds)) for seconds in arms)
    return Measured(
        name="computing time",
        result=judged(value, limit),
        words=f"{before}the candidate took longer than {wording.milliseconds(SECONDS[worst])} in {candidate}, stable"
        f" with what is allowed (x {checks.slowdown:g} + {wording.milliseconds(checks.slack)}) in {stable};"
        f" {wording.against(value, limit)}; {still}",
        numbers=finite(
            bound=SECONDS[worst],
            candidate_median=SECONDS[quantile_bound(arms[0], 0.5)],
            stable_median_allowed=SECONDS[quantile_bound(arms[1], 0.5)],
            candidate_p99=SECONDS[quantile_bound(arms[0], 0.99)],
            stable_p99_allowed=SECONDS[quantile_bound(arms[1], 0.99)],
            at_least=low,
            at_most=high,
            limit=limit,
        ),
        e_value=value,
    )


def quantile_bound(seconds: Sequence[int], part: float) -> int:
    """The index of the smallest of `SECONDS` that so large a part of the times is not over; the last where none is."""
    counts = np.cumsum(np.array(seconds or (0,), dtype=np.int64))
    return min(int(np.searchsorted(counts, part * counts[-1])), len(SECONDS) - 1)


def _changed(plan: Plan, seen: Sequence[Seen], limit: float, servers: int) -> Measured:
    rows, changed = sum(one.compared for one in seen), sum(one.changed for one in seen)
    allowed, doubt = plan.checks.changed or 0.0, plan.checks.false_alarms
    value, possible = _rate(changed / servers, rows / servers, allowed, doubt)
    words = (
        f"the candidate answers {wording.of(changed, rows, 'rows')} otherwise than stable, where"
        f" {wording.percent(allowed)} may be; {wording.against(value, limit)}; {wording.percent(possible)} at most,"
        f" with {wording.percent(1 - doubt)} certainty"
    )
    return Measured(
        name="changed",
        result=_wanting(judged(value, limit), rows, plan.checks.least),
        words=words if rows >= plan.checks.least else f"{words}; {plan.checks.least:,} rows are wanted",
        numbers={"compared": rows, "changed": changed, "allowed": allowed, "at_most": possible, "limit": limit},
        e_value=value,
    )


def _wanting(result: Result, found: int, wanted: int) -> Result:
    """What failed has failed, however little there is; all else waits for enough."""
    return "pending" if found < wanted and result != "failed" else result


def _scores(both: Compared, shown: Seen, before: str, allowed: float, *, limit: float) -> Measured:
    """How far apart the cumulative distributions are: the wealth is spread over all cuts and both sides."""
    answered, wanted = sum(sum(seen.candidate.scores) for seen in both.seen), both.plan.checks.least
    below = both.counted(lambda arm: [int(count) for count in np.cumsum(arm.scores or [0] * SCORES)[:-1]])
    of = np.broadcast_to(both.counted(lambda arm: (sum(arm.scores),)), below.shape)

    def log(at: slice) -> Floats:
        sides = []
        for counts in (below[:, at], (of - below)[:, at]):
            if both.plan.strategy == "shadow":
                sides.append(log_evidence_of_shift_in_pairs(counts, of[:, at], allowed))
            else:
                sides.append(log_evidence_of_shift(counts, of[:, at], both.chances[at], allowed))
        return log_mean(np.concatenate(sides))

    value = e_value(float(both.together(log)))
    distance = _distance(shown.stable.scores, shown.candidate.scores)
    words = (
        f"{before}the distribution of the candidate's scores is {distance:.2g} away from stable's (0: the same,"
        f" 1: nothing in common), where {allowed:g} may be; {wording.against(value, limit)}"
    )
    return Measured(
        name="scores",
        result=_wanting(judged(value, limit), answered, wanted),
        words=words if answered >= wanted else f"{words}; {answered:,} of the {wanted:,} scores wanted are known",
        numbers={"scores": answered, "distance": distance, "allowed": allowed, "limit": limit},
        e_value=value,
    )


def _distance(stable: Sequence[int], candidate: Sequence[int]) -> float:
    """The largest difference of two cumulative distributions (Kolmogorov's)."""
    if not sum(stable) or not sum(candidate):
        return 0.0
    one, other = (np.cumsum(scores) / sum(scores) for scores in (stable, candidate))
    return float(np.abs(one - other).max())


def _error_limit(plan: Plan, seen: Sequence[Seen], limit: float) -> Measured:
    requests, errors = sum(one.candidate.requests for one in seen), sum(one.candidate.errors for one in seen)
    allowed, doubt = plan.checks.error_limit, plan.checks.false_alarms
    value, possible = _rate(errors, requests, allowed, doubt)
    return Measured(
        name="error limit",
        result=judged(value, limit),
        words=f"the candidate failed {wording.of(errors, requests)}, where {wording.percent(allowed)} may;"
        f" {wording.against(value, limit)}; {wording.percent(possible)} at most, with {wording.percent(1 - doubt)}"
        " certainty",
        numbers={"errors": errors, "requests": requests, "allowed": allowed, "at_most": possible, "limit": limit},
        e_value=value,
    )


def _rate(hits: float, of: float, allowed: float, doubt: float) -> tuple[float, float]:
    """The evidence against "the rate is what is allowed at most", and how high it can be. The bet is the same: that a
    request is hit is a coin that lands so with the allowed probability at most."""
    value = e_value(float(log_evidence([hits], [of], [min(allowed, 1.0)])))
    odds = most([hits], [of], [0.5], doubt)
    return value, 1.0 if math.isinf(odds) else odds / (1 + odds)


def finite(**numbers: float) -> dict[str, float]:
    """Those that JSON can tell."""
    return {name: float(number) for name, number in numbers.items() if math.isfinite(number)}
