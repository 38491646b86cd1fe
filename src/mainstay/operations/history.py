"""Where the names of a model pointed, when, by whom and why; and the step back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.operations import rollout_history
from mainstay.operations.deploying import Deployed, check_expected, ready_here, switch
from mainstay.operations.expecting import expected
from mainstay.operations.home import actor
from mainstay.operations.operator import admitted
from mainstay.operations.registries import opened
from mainstay.operations.rollout_history import RolloutMove
from mainstay.operations.rollouts import Moved, roll_back
from mainstay.operations.telling import subscribe
from mainstay.registry import events
from mainstay.registry.errors import AliasMoved, AliasNotFound, DeploymentMoved, ModelNotFound
from mainstay.registry.records import Event
from mainstay.registry.refs import CHAMPION, alias_name
from mainstay.registry.store import Registry

KINDS = (events.DEPLOYED, events.UNDEPLOYED, events.ALIAS_MOVED, events.ALIAS_REMOVED)
AT_ONCE = 200
"""Moves that are read at once."""
LOOKED_AT = 10_000
"""The newest moves from which a step back is told; older ones change nothing about it but in a row of undoings."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A name began to mean another version."""

    at: datetime
    actor: str
    name: str
    """The alias; "champion" is the deployed version."""
    before: str | None
    """The version it meant until then, such as "credit:1"; None: it did not exist."""
    after: str | None
    """None: it was removed, or the model undeployed."""
    reason: str
    override: bool = False
    """Whether the version was deployed although it had failed a gate."""
    event: int = 0
    """The id of the event that tells of it."""
    rollout: RolloutMove | None = None
    """Where it is a move of a rollout from `before`, the stable version, to `after`; no name means another version by
    that, unless a move of "champion" says so."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The moves of a model's names and rollouts, the newest first."""

    model: str
    moves: list[Move]
    next: int | None
    """The event of the last of them, where there may be older ones: the next page is what comes before it."""


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay rollback` answers."""

    name: str
    version: str
    before: str | None
    """What it meant until now; None: nothing."""
    deployed: Deployed | None
    """What the servers said, where the deployment was rolled back."""
    rollout: Moved | None = None
    """The rollout that was rolled back: the version before took the traffic, or the greater part of it, until now."""


class NothingBefore(MainstayError):
    """The name never meant another version before, or what it meant was undone since."""


@dataclass(frozen=True)
class Step:
    """The version that a name means, and the one that a step back brings (None: there is none)."""

    now: str | None
    previous: str | None


def history(
    folder: Path, model: str, *, alias: str | None = None, limit: int = 50, before: int | None = None
) -> History:
    """The last moves of a model's aliases, deployment and rollouts, the newest first; of one alias, where it is named
    (rollouts go with "champion"), and before an event, where its id is given.

    Raises:
        NoRegistry, ModelNotFound, BadName; AliasNotFound: there is none of this name, and never was.
    """
    if alias is not None:
        alias_name(alias)
    with opened(folder, create=False) as registry:
        moves = _all(registry, model, before)
        chosen = list(islice((move for move in moves if alias in (None, move.name)), limit + 1))
        if not chosen and before is None and alias not in (None, CHAMPION):
            raise AliasNotFound(model, str(alias), [found.name for found in registry.aliases(model)])
    return History(model=model, moves=chosen[:limit], next=chosen[limit - 1].event if len(chosen) > limit else None)


def rollback(
    folder: Path,
    model: str,
    *,
    alias: str = CHAMPION,
    reason: str = "",
    expecting: str | None = None,
    timeout: float = 60.0,
) -> RolledBack:
    """Brings back the version that a name meant before: by deploying it, and waiting for the servers as `deploy`
    does; or, with another alias than "champion", by pointing the alias at it. Where a rollout of the model runs, it is
    what is rolled back: its candidate is out of the traffic at once, and the stable version stays.

    A step back is itself a move that is kept, and is not stepped back to: from 1, 2, 3, two of them lead to 1.
    A version that had failed a gate, and was deployed by an override once, is deployed by an override again.

    Args:
        reason: why; by default, that it is a rollback, and from where.
        expecting: the version that the name has to mean now, such as "credit:2", or "none"; by default any.
        timeout: seconds to wait for running servers.

    Raises:
        NothingBefore: there is no version to go back to.
        DidNotComeUp, NotAcknowledged, NotSigned: as `deploy`.
        DeploymentMoved, AliasMoved: somebody else was faster.
        NoRegistry, ModelNotFound, AliasNotFound, BadName.
    """
    alias_name(alias)
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        if alias == CHAMPION and (running := registry.rollout(model)) is not None:
            if expecting is not None:
                check_expected(registry, expecting, model, registry.deployment(model))
            done = roll_back(registry, running, reason=reason, timeout=timeout)
            return RolledBack(name=alias, version=done.stable, before=done.version, deployed=None, rollout=done)
        moves = [move for move in moves_of(registry, model, limit=LOOKED_AT) if move.name == alias]
        step = step_back(list(reversed(moves)))
        if expecting is not None and (wanted := expected(registry, expecting, model)) != step.now:
            by = moves[0].actor if moves else None
            if alias == CHAMPION:
                raise DeploymentMoved(model, expected=wanted, found=step.now, by=by)
            raise AliasMoved(model, alias, expected=wanted, found=step.now, by=by)
        if step.previous is None:
            if not moves and alias != CHAMPION:
                raise AliasNotFound(model, alias, [found.name for found in registry.aliases(model)])
            raise NothingBefore(_nothing(model, alias, step, moves))
        why = reason or f"rollback from {step.now or 'nothing'}"
        version = registry.version(step.previous)
        if alias == CHAMPION:
            ready_here(folder, admitted(folder, registry, version))
            deployed = registry.deployment(model)
            found = None if deployed is None else deployed.version.ref
            if found != step.now:  # moved since its events were read
                raise DeploymentMoved(model, expected=step.now, found=found, by=deployed.actor if deployed else None)
            again = switch(registry, version, deployed, reason=why, override=not version.passed, timeout=timeout)
            return RolledBack(name=alias, version=version.ref, before=step.now, deployed=again)
        now = None if step.now is None else registry.version(step.now)
        registry.point(model, alias, version, expecting=now, actor=actor(), reason=why)
    return RolledBack(name=alias, version=version.ref, before=step.now, deployed=None)


def moves_of(registry: Registry, model: str, *, limit: int) -> list[Move]:
    """The last moves of a model's names, the newest first. Raises ModelNotFound."""
    known = registry.models()
    if model not in known:
        raise ModelNotFound(model, known)
    return list(moves_told(registry.latest_events(model, limit=limit, kinds=KINDS)))


def _all(registry: Registry, model: str, before: int | None) -> Iterator[Move]:
    """All moves of a model's names and rollouts, the newest first, read as they are asked for. Raises ModelNotFound."""
    known = registry.models()
    if model not in known:
        raise ModelNotFound(model, known)
    while told := registry.latest_events(model, limit=AT_ONCE, kinds=(*KINDS, *rollout_history.KINDS), before=before):
        for event in told:
            yield _of_rollout(event) if event.kind in rollout_history.KINDS else next(moves_told([event]))
        before = told[-1].id


def _of_rollout(event: Event) -> Move:
    return Move(
        at=event.at,
        actor=event.actor,
        name=CHAMPION,
        before=f"{event.model}:{event.evidence['stable']}",
        after=f"{event.model}:{event.version}",
        reason=event.reason,
        override=bool(event.evidence.get("override", False)),
        event=event.id,
        rollout=rollout_history.told(event),
    )


def moves_told(told: Iterable[Event]) -> Iterator[Move]:
    """The moves that events of KINDS tell of, in the events' order."""
    for event in told:
        this = None if event.version is None else f"{event.model}:{event.version}"
        came_from = event.evidence.get("from")
        before = None if came_from is None else f"{event.model}:{came_from}"
        yield Move(
            at=event.at,
            actor=event.actor,
            name=event.evidence.get("alias", CHAMPION),
            before=this if event.kind == events.UNDEPLOYED else before,
            after=None if event.kind in (events.UNDEPLOYED, events.ALIAS_REMOVED) else this,
            reason=event.reason,
            override=bool(event.evidence.get("override", False)),
            event=event.id,
        )


def step_back(moves: Sequence[Move]) -> Step:
    """What one name means, and meant before, from its moves, the oldest first.

    A move to what the name meant just before undoes the move between, so that both are forgotten: a rollback, and the
    end of a deployment that did not come up, lead back, and never to what was left for a reason.
    """
    trail: list[str | None] = [moves[0].before if moves else None]
    for move in moves:
        if len(trail) > 1 and trail[-2] == move.after:
            trail.pop()
        else:
            trail.append(move.after)
    return Step(now=trail[-1], previous=trail[-2] if len(trail) > 1 else None)


def _nothing(model: str, alias: str, step: Step, moves: Sequence[Move]) -> str:
    """Why there is no step back, and what can be done; `moves` are the newest first."""
    others = [version for move in moves for version in (move.after, move.before) if version not in (None, step.now)]
    command = "deploy {}" if alias == CHAMPION else f"alias {{}} {alias}"
    way = (
        f"to go to {others[0]}, run mainstay {command.format(others[0])}" if others else f"see mainstay history {model}"
    )
    what = f"{model}@{alias}" if alias != CHAMPION else f"The deployment of {model}"
    at = f"is at {step.now}, and there is nothing before it" if step.now else "is at nothing, and was at nothing before"
    return f"{what} {at}: {way}."
