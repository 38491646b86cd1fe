"""What a person asks of rollouts: start one, approve, promote, pause, resume, roll back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.operations.deploying import Deployed, acknowledged, check_expected, deploy_in, ready_here
from mainstay.operations.home import actor
from mainstay.operations.operator import admitted
from mainstay.operations.planning import Wishes, plan_of
from mainstay.operations.registries import opened
from mainstay.operations.remote import read_key
from mainstay.operations.standing import leader
from mainstay.operations.telling import subscribe
from mainstay.operations.validating import Validated, validated
from mainstay.project import FILE, load
from mainstay.project_rollout import RolloutTable
from mainstay.registry.errors import ModelNotFound, NoRollout, NotDeployed, RolloutMoved, TakesTraffic
from mainstay.registry.plans import Plan, percent
from mainstay.registry.records import Rollout, Version
from mainstay.registry.store import Registry
from mainstay.rollout import persons
from mainstay.rollout.decide import Decision, World, moved
from mainstay.rollout.windows import frozen
from mainstay.targets.local import Local

TRIES = 10
"""How often a way back is tried again that a controller's move came before."""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay deploy` answers where it starts a rollout."""

    version: str
    """The candidate."""
    stable: str
    rollout: str
    """Its id."""
    strategy: str
    steps: list[float]
    """Shares in percent."""
    superseded: str | None
    """The candidate of the rollout that this one ended."""
    validated: Validated
    approvers: list[str]
    urls: list[str]
    """Of running servers."""
    controlled: bool
    """Whether somebody moves rollouts: a controller has the lead."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What promote, pause, resume and rollback answer of a rollout."""

    model: str
    version: str
    """The candidate."""
    stable: str
    rollout: str
    state: str
    before: str
    """The state that it was in."""
    share: float
    """Percent."""
    urls: list[str]
    """Running servers, where they had to follow: all have."""


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay approve` answers."""

    model: str
    version: str
    """The candidate."""
    rollout: str
    approvals: list[str]
    """Names of the keys that approved."""


class NothingToStartFrom(MainstayError):
    """A rollout that has to be approved needs a version to start from."""

    def __init__(self, version: Version) -> None:
        super().__init__(
            f"{version.model} has no version yet that a rollout could start from, and {version.ref} would take all of "
            "the traffic without the approval and the freeze windows of [rollout]: give mainstay deploy --override "
            "and --reason."
        )


def deploy_as_planned(
    folder: Path,
    ref: str,
    wishes: Wishes,
    *,
    reason: str = "",
    override: bool = False,
    beside: bool = False,
    expecting: str | None = None,
    timeout: float = 60.0,
    told: Callable[[str], None] = lambda sentence: None,
    said: RolloutTable | None = None,
) -> Deployed | Started:
    """Deploys a version as the project's [rollout] and the words of the command have it: at once, or by a rollout,
    which a controller (`mainstay up`) then moves on.

    Args:
        told: hears what is going on.
        said: stands in for the project's [rollout].

    Raises:
        BadPlan, ProjectError: what was asked cannot be meant.
        NotValid: the version cannot serve; nothing was changed.
        NotDeployed: a strategy was asked for, and no version of the model takes the traffic.
        TakesTraffic: the version does already. And as `deploying.deploy`.
    """
    if said is None:
        said = rollout_table(folder)
    with opened(folder, create=False) as registry:
        version = registry.version(ref)
        found = registry.deployment(version.model)
        package = admitted(folder, registry, version)
        if beside and wishes != Wishes():
            raise MainstayError(
                "--beside leaves the traffic where it is, and a rollout moves it: leave one of them out."
            )
        # Who a caller is, is read as the version reads rows that answers them until now.
        reads = package if found is None or beside else registry.package(found.version)
        plan = None if beside else plan_of(said, wishes, [column.name for column in reads.signature.inputs])
        if plan is not None and found is None:
            _check_first(plan, wishes, version, override=override)
        if plan is None or found is None:
            return deploy_in(
                folder,
                registry,
                version,
                package,
                found,
                reason=reason,
                override=override,
                beside=beside,
                expecting=expecting,
                timeout=timeout,
            )
        if expecting is not None:
            check_expected(registry, expecting, version.model, found)
        if found.version.id == version.id:
            raise TakesTraffic(version.ref)
        subscribe(folder, registry)
        ready_here(folder, package)
        told(f"Trying {version.ref} in a process of its own, beside {found.version.ref}")
        tried = validated(folder, registry, found.version, version, package)
        before = registry.rollout(version.model)
        started = registry.start_rollout(
            version, plan, expecting=found.version, actor=actor(), reason=reason, override=override
        )
        return _started(registry, started, tried, before)


def rollout_table(folder: Path) -> RolloutTable:
    """What the project says of rollouts. Raises ProjectError."""
    return load(folder).rollout if (folder / FILE).exists() else RolloutTable()


def _check_first(plan: Plan, wishes: Wishes, version: Version, *, override: bool) -> None:
    """A model's first version has none to start from, and takes the traffic at once, if nothing is in its way."""
    if wishes.strategy is not None:
        raise NotDeployed(version.model)
    if (plan.approvers or plan.freeze) and not override:
        raise NothingToStartFrom(version)


def _started(registry: Registry, rollout: Rollout, tried: Validated, before: Rollout | None) -> Started:
    lead = registry.lead()
    return Started(
        version=rollout.candidate.ref,
        stable=rollout.stable.ref,
        rollout=rollout.id,
        strategy=rollout.plan.strategy,
        steps=[percent(step) for step in rollout.plan.steps],
        superseded=None if before is None else before.candidate.ref,
        validated=tried,
        approvers=list(rollout.plan.approvers),
        urls=[member.url for member in registry.members()],
        controlled=lead is not None and leader(lead.holder) is not None,
    )


def promote(folder: Path, model: str, *, reason: str = "", timeout: float = 60.0) -> Moved:
    """Makes the candidate of a model's rollout its deployed version, whatever steps are left, and waits for the
    servers; after a blue-green switch, ends the watch.

    Raises:
        NoRollout; NotToBePromoted: it is not validated, not approved or not ready, or a freeze window is open.
        RolloutMoved: the controller or somebody else was faster. IllegalMove: it is on its way back.
        NotAcknowledged: a server did not answer in time; it is promoted all the same.
    """
    why = reason or f"promoted by {actor()}"
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        rollout = _running(registry, model)
        decision = persons.promote(rollout, _world(registry, rollout), why)
        return _carried_out(registry, rollout, decision, timeout=timeout)


def pause(folder: Path, model: str, *, reason: str = "") -> Moved:
    """Leaves a model's rollout as it is, its share too, until somebody resumes it.

    Raises:
        NoRollout, IllegalMove, RolloutMoved.
    """
    return _moved(folder, model, lambda rollout: persons.pause(rollout, reason or f"paused by {actor()}"))


def resume(folder: Path, model: str, *, reason: str = "") -> Moved:
    """Has a paused rollout go on where it was.

    Raises:
        NoRollout, IllegalMove, RolloutMoved.
    """
    return _moved(folder, model, lambda rollout: persons.resume(rollout, reason or f"resumed by {actor()}"))


def approve(folder: Path, model: str, *, key_file: Path) -> Approved:
    """Approves of a model's rollout in the name of an API key, whose text is in a file that its owner alone can read.

    Raises:
        NoRollout; NotAnApprover: the key is not in force, or not of one who may approve. BadKeyFile.
    """
    text = read_key(key_file)
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        rollout = registry.approve(_running(registry, model), text)
    return Approved(
        model=model,
        version=rollout.candidate.ref,
        rollout=rollout.id,
        approvals=[approval.name for approval in rollout.approvals],
    )


def roll_back(registry: Registry, rollout: Rollout, *, reason: str, timeout: float) -> Moved:
    """Takes the candidate of a rollout out of the traffic at once, and waits for the servers.

    A controller that moves the rollout in the same moment does not win, unless the rollout has ended by that.

    Raises:
        RolloutMoved: it has ended, or was moved again and again. NotAcknowledged: a server did not answer in time.
    """
    why = reason or f"rolled back by {actor()}"
    for left in reversed(range(TRIES)):
        try:
            decision = None if rollout.state == "rolling_back" else persons.roll_back(rollout, why)
            done = _carried_out(registry, rollout, decision, timeout=timeout, acknowledge=True)
        except RolloutMoved:
            now = registry.rollout(rollout.model)
            if now is None or now.id != rollout.id or not left:
                raise
            rollout = now
            continue
        break
    _finish(registry, rollout)
    return done


def _finish(registry: Registry, seen: Rollout) -> None:
    """Says that the servers have let go, where no controller did yet."""
    rollout = registry.rollout(seen.model)
    if rollout is None or rollout.id != seen.id or rollout.state != "rolling_back":
        return
    decision = moved(rollout, "gone", "rolled_back", rollout.why)
    with suppress(RolloutMoved):
        registry.move_rollout(rollout, decision.change, actor=actor(), why=decision.why, evidence=decision.evidence)


def _running(registry: Registry, model: str) -> Rollout:
    """Raises ModelNotFound, NoRollout."""
    rollout = registry.rollout(model)
    if rollout is None:
        if model not in (known := registry.models()):
            raise ModelNotFound(model, known)
        raise NoRollout(model)
    return rollout


def _world(registry: Registry, rollout: Rollout) -> World:
    """How things stand around a rollout, for a person who asks once."""
    standing = Local(registry).standing(rollout)
    return World(
        elapsed=0.0,
        frozen=frozen(rollout.plan.freeze, datetime.now(UTC)),
        acknowledged=standing.acknowledged,
        servers=standing.servers,
        errors=standing.errors,
        stable_is=rollout.takes,
        evidence=registry.evidence(rollout.id),
    )


def _moved(folder: Path, model: str, decided: Callable[[Rollout], Decision]) -> Moved:
    """Moves the rollout that runs of a model, as is decided by what it is."""
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        rollout = _running(registry, model)
        return _carried_out(registry, rollout, decided(rollout))


def _carried_out(
    registry: Registry,
    rollout: Rollout,
    decision: Decision | None,
    *,
    timeout: float = 0.0,
    acknowledge: bool = False,
) -> Moved:
    """Writes a person's decision (None: it was written before), and waits for the servers where they have to follow."""
    after = rollout
    if decision is not None:
        after = registry.move_rollout(
            rollout, decision.change, actor=actor(), why=decision.why, evidence=decision.evidence
        )
    urls = []
    if acknowledge or after.mode != rollout.mode or (decision is not None and decision.change.traffic is not None):
        members = acknowledged(
            registry, registry.generation(), timeout, what=f"The rollout of {rollout.candidate.ref} is {after.state}"
        )
        urls = [member.url for member in members]
    return Moved(
        model=rollout.model,
        version=rollout.candidate.ref,
        stable=rollout.stable.ref,
        rollout=rollout.id,
        state=after.state,
        before=rollout.state,
        share=percent(after.share),
        urls=urls,
    )
