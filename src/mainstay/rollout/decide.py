"""What a rollout does next: a function of what it is, how the servers stand, and what was measured.

Going back needs one reason, and comes before all else. Going forward needs every reason there is: no evidence is none
to go on. Time is what a controller saw pass; no date is compared with another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from mainstay.registry.changes import Change
from mainstay.registry.evidence import Evidence
from mainstay.registry.records import FINAL, Rollout, RolloutState, Version
from mainstay.rollout.results import Analysis
from mainstay.rollout.states import Cause, held_to_table
from mainstay.rollout.strategies import asked, at_last, expected, has_steps, switched
from mainstay.rollout.verdict import answer_of

LONGEST_LOOK = 10.0
"""Seconds between two looks that count as held at most: whoever was away for longer saw nothing of the rest."""
DEATHS = 3
"""Of processes with the candidate in them, after which it is no accident."""
ERRORS = 5
"""Measurements that fail one after the other, after which a person is asked."""
LAGGING = "servers that still follow"
_ERRORS_KEY, _SINCE_KEY = "errors_in_a_row", "since_revision"
CONCLUDED = "concluded"
"""Where the verdict that an A/B test ended with is kept: what is seen later does not change it."""


@dataclass(frozen=True, kw_only=True)
class World:
    """How things stand around a rollout."""

    elapsed: float
    """Seconds since `held` was written, by the controller's own clock, which only goes forward; 0 where it was not
    there."""
    frozen: str | None
    """The freeze window that is open."""
    acknowledged: bool
    """Whether every server that lives follows the registry as it is; false where none lives."""
    servers: int
    """That live."""
    stable_is: Version | None
    """The version that takes the model's traffic; None: it is not deployed."""
    evidence: Evidence
    errors: Mapping[str, str] = field(default_factory=dict)
    """By server, why it cannot bring up the rollout's other version."""

    @property
    def workers(self) -> int:
        """Of a server; the largest number of them where they differ."""
        return max((probe.workers for probe in self.evidence.probes), default=1)


class Decision(NamedTuple):
    """A move, with what it rests on."""

    cause: Cause
    change: Change
    why: str
    """For people."""
    evidence: dict[str, Any]


class Note(NamedTuple):
    """What is kept of a look that moved nothing."""

    held: float
    verdict: dict[str, Any]


def decide(rollout: Rollout, world: World, analysis: Analysis) -> Decision | None:
    """The move that is due; None: none is."""
    outlook = _outlook(rollout, world, analysis)
    return outlook if isinstance(outlook, Decision) else None


def noted(rollout: Rollout, world: World, analysis: Analysis) -> Note:
    """What the registry is to keep where `decide` found no move: the time held, and what the rollout waits for."""
    outlook = _outlook(rollout, world, analysis)
    if rollout.state == "paused" and rollout.verdict.get("result") == "inconclusive":
        analysis = _inconclusive(analysis)  # until a person has it go on
    errors = (
        {_ERRORS_KEY: _errors(rollout, analysis), _SINCE_KEY: rollout.revision} if analysis.result == "error" else {}
    )
    waits_for = {} if isinstance(outlook, Decision) else {"waits_for": outlook}
    goes_on = rollout.state == "progressing" or CONCLUDED not in rollout.verdict
    concluded = {} if goes_on else {CONCLUDED: rollout.verdict[CONCLUDED]}
    return Note(_held(rollout, world), {**msgspec.to_builtins(analysis), **errors, **waits_for, **concluded})


def moved(
    rollout: Rollout,
    cause: Cause,
    target: RolloutState,
    why: str,
    *,
    held: float = 0.0,
    step: int | None = None,
    workers: int = 1,
    analysis: Analysis | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Decision:
    """The move to a state, as the table and the strategy have it.

    Raises:
        IllegalMove: the table has no such move.
    """
    held_to_table(rollout.candidate.ref, rollout.state, cause, target)
    step = rollout.step if step is None else step
    if "paused" in (rollout.state, target) and target in ("paused", "validating", "progressing", "watching"):
        mode, share = rollout.mode, rollout.share  # a pause changes nothing for callers, nor does its end
    else:
        mode, share = asked(rollout.plan, target, step, before=rollout.share, workers=workers)
    answer = answer_of(rollout, cause)
    concluded = {} if answer is None else {CONCLUDED: {"answer": answer, "words": why}}
    change = Change(
        state=target,
        step=step,
        mode=mode,
        share=share,
        held=held,
        verdict=None if analysis is None else {**msgspec.to_builtins(analysis), **concluded},
        answer=answer,
        traffic="candidate" if target == "promoting" else "stable" if _back_from_switch(rollout, target) else None,
    )
    return Decision(cause, change, why, {"cause": cause, "from": rollout.state, **(facts or {})})


def validation(evidence: Evidence, servers: int) -> str | None:
    """What is still lacking before the candidate may have traffic; None: nothing is."""
    if not servers:
        return "no server is there to try it"
    answered = sum(probe.problem is None for probe in evidence.probes)
    return f"{answered} of {servers} servers have tried it" if answered < servers else None


def held_up(rollout: Rollout, frozen: str | None) -> str | None:
    """What keeps a valid candidate from any more traffic; None: nothing does."""
    approvers = rollout.plan.approvers
    if approvers and not any(approval.name in approvers for approval in rollout.approvals):
        return f"{' or '.join(approvers)} has to approve it"
    return f"nothing goes forward in the freeze window {frozen}" if frozen is not None else None


def _outlook(rollout: Rollout, world: World, analysis: Analysis) -> Decision | str:
    """The move that is due, or what is waited for."""
    if rollout.state in FINAL:
        return "nothing: it has ended"
    if rollout.state == "rolling_back":
        if world.acknowledged or not world.servers:
            return moved(rollout, "gone", "rolled_back", rollout.why)
        return LAGGING
    return _back(rollout, world, analysis) or _forward(rollout, world, analysis)


def _back(rollout: Rollout, world: World, analysis: Analysis) -> Decision | None:
    one = expected(rollout)
    if world.stable_is is None or world.stable_is.id != one.id:
        now = f"{world.stable_is.ref} takes the traffic" if world.stable_is else f"{rollout.model} is not deployed"
        by_hand = moved(rollout, "moved", "rolling_back", f"{now}, not {one.ref}: somebody changed it by hand")
        # What somebody has just deployed stays.
        return by_hand._replace(change=msgspec.structs.replace(by_hand.change, traffic=None))
    problem = next((probe.problem for probe in world.evidence.probes if probe.problem is not None), None)
    if problem is not None:
        return moved(rollout, "refused", "rolling_back", problem, analysis=analysis)
    if world.errors:
        server, error = min(world.errors.items())
        why, refused = f"{server}: {error}", {"errors": dict(world.errors)}
        return moved(rollout, "refused", "rolling_back", why, analysis=analysis, facts=refused)
    if world.evidence.deaths >= DEATHS:
        why = f"its process died {world.evidence.deaths} times"
        facts = {"deaths": world.evidence.deaths}
        return moved(rollout, "crashed", "rolling_back", why, analysis=analysis, facts=facts)
    if analysis.result == "failed":
        return moved(rollout, "failed", "rolling_back", analysis.words, analysis=analysis)
    return None


def _forward(rollout: Rollout, world: World, analysis: Analysis) -> Decision | str:
    match rollout.state:
        case "validating" | "waiting":
            return _validated(rollout, world, analysis)
        case "progressing":
            return _undecided(rollout, world, analysis) or _stepped(rollout, world, analysis)
        case "promoting":
            return _followed(rollout, world)
        case "watching":
            return _undecided(rollout, world, analysis) or _watched(rollout, world, analysis)
        case _:
            return "a person: mainstay resume, promote or rollback"


def _validated(rollout: Rollout, world: World, analysis: Analysis) -> Decision | str:
    lacking = validation(world.evidence, world.servers) or (None if world.acknowledged else LAGGING)
    held_back = held_up(rollout, world.frozen)
    if rollout.state == "waiting":
        return lacking or held_back or _let_go(rollout, "released", "may go on", world)
    if lacking is not None:
        return _undecided(rollout, world, analysis) or lacking
    if held_back is not None:
        return moved(rollout, "valid", "waiting", f"it is valid; {held_back}")
    return _let_go(rollout, "valid", "is valid on every server", world)


def _followed(rollout: Rollout, world: World) -> Decision | str:
    if not world.acknowledged:
        return LAGGING
    target: RolloutState = "watching" if rollout.mode == "warm" else "completed"
    return moved(rollout, "ready", target, f"every server answers with {rollout.candidate.ref}")


def _let_go(rollout: Rollout, cause: Cause, words: str, world: World) -> Decision:
    target: RolloutState = "progressing" if has_steps(rollout.plan) else "promoting"
    return moved(rollout, cause, target, f"{rollout.candidate.ref} {words}", step=0, workers=world.workers)


def _stepped(rollout: Rollout, world: World, analysis: Analysis) -> Decision | str:
    """From a step to the next one, or to the promotion after the last."""
    plan = rollout.plan
    if _silent(rollout):
        lacking, why = (None if world.acknowledged else LAGGING), "it is ready on every server"
    else:
        lacking, why = _unproven(rollout, world, analysis, plan.hold), analysis.words
    lacking = lacking or held_up(rollout, world.frozen)
    if lacking is not None:
        return lacking
    if not at_last(rollout):
        step = rollout.step if plan.strategy == "rolling" else rollout.step + 1
        return moved(rollout, "passed", "progressing", why, step=step, workers=world.workers, analysis=analysis)
    if plan.at_end == "ask":
        why = f"{why}; mainstay promote {rollout.model} makes it the stable version"
        return moved(rollout, "asked", "paused", why, held=_held(rollout, world), analysis=analysis)
    return moved(rollout, "passed", "promoting", why, analysis=analysis)


def _watched(rollout: Rollout, world: World, analysis: Analysis) -> Decision | str:
    # A freeze window also keeps the instant way back.
    lacking = held_up(rollout, world.frozen) or _unproven(rollout, world, analysis, rollout.plan.warm)
    return lacking or moved(rollout, "kept", "completed", analysis.words, analysis=analysis)


def _undecided(rollout: Rollout, world: World, analysis: Analysis) -> Decision | None:
    """To a pause, where a person has to look."""
    held = _held(rollout, world)
    if analysis.result == "inconclusive":
        why = analysis.words if analysis.verdict is None else f"{analysis.words}; {_by_a_person(rollout)}"
        return moved(rollout, "inconclusive", "paused", why, held=held, analysis=analysis)
    if analysis.result == "error" and (errors := _errors(rollout, analysis)) >= ERRORS:
        why = f"it could not be measured {errors} times one after the other: {analysis.words}"
        return moved(rollout, "unmeasured", "paused", why, held=held, analysis=analysis, facts={_ERRORS_KEY: errors})
    proven = analysis.result == "successful" and rollout.state != "validating"
    if held >= max(rollout.plan.patience, _least(rollout)) and not proven and not _silent(rollout):
        why = f"evidence lacks after {held:.0f} s: {analysis.words}"
        if analysis.verdict is not None and rollout.state == "progressing":
            lacking = "" if analysis.result == "running" else f"; {analysis.words}"
            why = f"no difference found in {held:.0f} s: {analysis.verdict.words}{lacking}; {_by_a_person(rollout)}"
        return moved(rollout, "inconclusive", "paused", why, held=held, analysis=_inconclusive(analysis))
    return None


def _inconclusive(analysis: Analysis) -> Analysis:
    """An analysis that nobody waits for any more: what it lacked it lacks."""
    lacks = analysis.result in ("pending", "running")
    return msgspec.structs.replace(analysis, result="inconclusive") if lacks else analysis


def _by_a_person(rollout: Rollout) -> str:
    return f"mainstay promote or rollback {rollout.model} ends it"


def _silent(rollout: Rollout) -> bool:
    """Whether the candidate is ready and has no traffic that could say anything: blue-green, before its switch."""
    return rollout.state == "progressing" and rollout.mode == "warm"


def _unproven(rollout: Rollout, world: World, analysis: Analysis, least: float) -> str | None:
    if not world.acknowledged:
        return LAGGING
    if analysis.result != "successful":
        return analysis.words
    held = _held(rollout, world)
    return f"{held:.0f} of {least:.0f} s have passed" if held < least else None


def _held(rollout: Rollout, world: World) -> float:
    """Seconds that count: servers that do not follow yet, or a pause, hold nothing."""
    counts = rollout.state == "validating" or (rollout.state in ("progressing", "watching") and world.acknowledged)
    passed = world.elapsed if counts and math.isfinite(world.elapsed) else 0.0
    return rollout.held + min(max(passed, 0.0), LONGEST_LOOK)


def _least(rollout: Rollout) -> float:
    return rollout.plan.warm if rollout.state == "watching" else rollout.plan.hold


def _errors(rollout: Rollout, analysis: Analysis) -> int:
    """Measurements that failed one after the other since the last move, this one included."""
    if analysis.result != "error":
        return 0
    return 1 + int(rollout.verdict.get(_ERRORS_KEY, 0) if rollout.verdict.get(_SINCE_KEY) == rollout.revision else 0)


def _back_from_switch(rollout: Rollout, target: RolloutState) -> bool:
    return target == "rolling_back" and switched(rollout)
