"""Rollouts moved: each move compares what was seen with what is there, and tells its event in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from mainstay.errors import MainstayError
from mainstay.registry import beside, deployments, events, keys, leads, reports, rollouts, schema, versions
from mainstay.registry.changes import Change
from mainstay.registry.errors import NotAnApprover, NotDeployed, RolloutMoved, TakesTraffic, UnknownRollout
from mainstay.registry.ids import new_id
from mainstay.registry.key_models import covers
from mainstay.registry.plans import WHOLE, Plan
from mainstay.registry.records import FINAL, Rollout, RolloutState, Version

_R = schema.rollout.c
_KINDS: dict[RolloutState, str] = {
    "paused": events.ROLLOUT_PAUSED,
    "promoting": events.ROLLOUT_PROMOTING,
    "completed": events.ROLLOUT_COMPLETED,
    "rolling_back": events.ROLLOUT_ROLLING_BACK,
    "rolled_back": events.ROLLOUT_ROLLED_BACK,
}


def start(
    connection: Connection,
    candidate: Version,
    plan: Plan,
    *,
    expecting: Version,
    actor: str,
    reason: str,
    override: bool,
    at: datetime,
) -> Rollout:
    """Starts a rollout from `expecting`, the deployed version, to `candidate`; one that runs is superseded.

    Raises:
        NotDeployed, TakesTraffic, VersionNotFound, NotDeployable, DeploymentMoved; MainstayError: an override without a
            reason, or a plan without steps.
    """
    if not plan.steps or any(not 0 <= step <= WHOLE for step in plan.steps):
        raise MainstayError(f"A rollout in steps of {plan.steps} cannot be meant: write shares from 0 to {WHOLE}.")
    candidate, overridden = deployments.deployable(connection, candidate, override=override, reason=reason)
    found = deployments.of_model(connection, candidate.model)
    if found is None:
        raise NotDeployed(candidate.model)
    deployments.compare(candidate.model, found, expecting)
    if found.version.id == candidate.id:
        raise TakesTraffic(candidate.ref)
    generation = deployments.next_generation(connection)
    before = rollouts.active(connection, candidate.model)
    if before is not None:
        rollouts.end(
            connection,
            before,
            takes=found.version,
            kind=events.ROLLOUT_SUPERSEDED,
            generation=generation,
            actor=actor,
            why=f"superseded by a rollout of {candidate.ref}",
            at=at,
        )
    beside.remove(connection, [candidate])
    reports.prune(connection, at=at)  # only here anything is added
    rollout_id = new_id(at)
    row: dict[str, Any] = {
        "id": rollout_id,
        "model_id": versions.model_id(connection, candidate.model),
        "stable_id": found.version.id,
        "candidate_id": candidate.id,
        "plan": plan,
        "override": overridden,
        "state": "validating",
        "step": 0,
        "mode": "probe",
        "share": 0,
        "held": 0.0,
        "beat": 0,
        "reason": reason,
        "why": "started",
        "actor": actor,
        "verdict": {},
        "begun": generation,
        "generation": generation,
        "revision": 1,
        "started_at": at,
        "since": at,
    }
    connection.execute(insert(schema.rollout), row)
    told = {
        "rollout": rollout_id,
        "stable": found.version.number,
        "strategy": plan.strategy,
        "steps": plan.steps,
        "state": "validating",
        "step": 0,
        "mode": "probe",
        "share": 0,
        "revision": 1,
        "generation": generation,
        "passed": candidate.passed,
        "override": overridden,
        "superseded": None if before is None else before.id,
    }
    events.write(
        connection,
        events.ROLLOUT_STARTED,
        at=at,
        actor=actor,
        model=candidate.model,
        version=candidate.number,
        reason=reason,
        evidence=told,
    )
    return _there(connection, rollout_id)


def move(
    connection: Connection,
    seen: Rollout,
    change: Change,
    *,
    actor: str,
    why: str,
    evidence: Mapping[str, Any],
    fence: int | None,
    at: datetime,
) -> Rollout:
    """Moves a rollout that is as it was seen; with a fence, if its holder still has the lead.

    Raises:
        RolloutMoved, NotLeading; MainstayError: a change that cannot be meant.
    """
    found = _expect(connection, seen, fence)
    _refuse(found, change)
    generation = found.generation
    onto, off = (found.candidate, found.stable) if change.traffic == "candidate" else (found.stable, found.candidate)
    switches = change.traffic is not None and not onto.deployed
    if switches or (change.mode, change.share, change.step) != (found.mode, found.share, found.step):
        generation = deployments.next_generation(connection)
    # Before the deployment: that one's `candidate` follows from it.
    rollouts.put(connection, found, change, generation=generation, why=why, at=at)
    given = evidence if fence is None else {**evidence, "fence": fence}
    if change.answer is not None:
        given = {**given, "verdict": change.answer}
    for kind in [events.ROLLOUT_VERDICT] * (change.answer is not None) + [_kind(found, change)]:
        rollouts.tell(
            connection,
            kind,
            found,
            change,
            generation=generation,
            actor=actor,
            why=why,
            at=at,
            given=given,
        )
    if switches:
        deployments.switch(
            connection,
            onto,
            off,
            generation=generation,
            override=not onto.passed,
            actor=actor,
            reason=why,
            rollout=found.id,
            at=at,
        )
    return _there(connection, found.id)


def note(
    connection: Connection, seen: Rollout, *, held: float, verdict: Mapping[str, Any], fence: int | None
) -> Rollout:
    """Tells that a controller looks after a rollout that is as it was seen, and what it found.

    Raises:
        RolloutMoved, NotLeading.
    """
    found = _expect(connection, seen, fence)
    row = {"held": held, "verdict": dict(verdict), "beat": found.beat + 1}
    connection.execute(update(schema.rollout).where(_R.id == found.id).values(row))
    return _there(connection, found.id)


def approve(connection: Connection, rollout: Rollout, text: str, *, at: datetime) -> Rollout:
    """Approves of a rollout by the text of an API key, in the name of who has it; twice is once.

    Raises:
        NotAnApprover: no key in force has this text, its name is not among the plan's approvers, or it is for other
            models.
        RolloutMoved: it has ended.
    """
    found = _running(connection, rollout)
    key = keys.whose(connection, text, at=at)
    if key is None or key.name not in found.plan.approvers or not covers(key.models, found.candidate.model):
        raise NotAnApprover(found.candidate.ref, key.name if key else None, found.plan.approvers)
    if key.name in (approval.name for approval in found.approvals):
        return found
    connection.execute(insert(schema.rollout_approval), {"rollout_id": found.id, "name": key.name, "at": at})
    # Whoever decides on what was lacking until now has to look again.
    waited = {"why": f"approved by {key.name}"} if found.state == "waiting" else {}
    connection.execute(update(schema.rollout).where(_R.id == found.id).values(revision=found.revision + 1, **waited))
    stays = Change(state=found.state, step=found.step, mode=found.mode, share=found.share)
    rollouts.tell(
        connection,
        events.ROLLOUT_APPROVED,
        found,
        stays,
        generation=found.generation,
        actor=key.name,
        why=f"approved by {key.name}",
        at=at,
        given={"key": key.id},
    )
    return _there(connection, found.id)


def _expect(connection: Connection, seen: Rollout, fence: int | None) -> Rollout:
    if fence is not None:
        leads.expect(connection, fence)
    found = _running(connection, seen)
    if found.revision != seen.revision:
        raise _moved(seen, found)
    return found


def _running(connection: Connection, seen: Rollout) -> Rollout:
    found = _there(connection, seen.id)
    if not found.active:
        raise _moved(seen, found)
    return found


def _moved(seen: Rollout, found: Rollout) -> RolloutMoved:
    ref = found.candidate.ref
    return RolloutMoved(ref, expected=seen.revision, found=found.revision, state=found.state, why=found.why)


def _there(connection: Connection, rollout_id: str) -> Rollout:
    found = rollouts.by_id(connection, rollout_id)
    if found is None:
        raise UnknownRollout(rollout_id)
    return found


def _refuse(found: Rollout, change: Change) -> None:
    """Raises MainstayError: what no table of states could want."""
    if change.state in FINAL and change.mode != "off":
        raise MainstayError(f"A rollout that is {change.state} has no candidate: its mode is off, not {change.mode}.")
    if not 0 <= change.step < len(found.plan.steps):
        raise MainstayError(f"The rollout of {found.candidate.ref} has no step {change.step} (from 0).")
    if not 0 <= change.share <= WHOLE:
        raise MainstayError(f"A share of {change.share} cannot be meant: it is from 0 to {WHOLE}.")
    takes = found.candidate.deployed if change.traffic is None else change.traffic == "candidate"
    if change.state in FINAL and takes != (change.state == "completed"):
        one = "stable" if change.state == "completed" else "candidate"
        raise MainstayError(f"A rollout cannot be {change.state} while its {one} version takes the traffic.")


def _kind(found: Rollout, change: Change) -> str:
    if change.state in _KINDS:
        return _KINDS[change.state]
    return events.ROLLOUT_RESUMED if found.state == "paused" else events.ROLLOUT_STEP
