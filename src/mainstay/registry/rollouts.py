"""Rollouts: each attempt to move a deployment to another version, as it is now. Who moves them: `moving`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, bindparam, select, update

from mainstay.registry import events, reports, schema, versions
from mainstay.registry.changes import Change
from mainstay.registry.plans import WHOLE, Plan
from mainstay.registry.records import FINAL, Approval, Candidate, Rollout, Version

_R, _M, _A = schema.rollout.c, schema.model.c, schema.rollout_approval.c
_OWN = (
    _R.id,
    _R.stable_id,
    _R.candidate_id,
    _R.plan,
    _R.state,
    _R.step,
    _R.mode,
    _R.share,
    _R.held,
    _R.beat,
    _R.reason,
    _R.why,
    _R.actor,
    _R.verdict,
    _R.started_at,
    _R.since,
    _R.ended_at,
    _R.revision,
    _R.generation,
    _R.override,
)
_ALL: Select[Any] = select(*_OWN)
# Made once: making a statement takes longer than SQLite takes to run it.
_ACTIVE = _ALL.join(schema.model, _M.id == _R.model_id).where(_R.ended_at.is_(None))
_ACTIVE_OF = _ACTIVE.where(_M.name == bindparam("called"))
_BY_ID = _ALL.where(_R.id == bindparam("known"))
_VERSIONS = versions.query().where(schema.version.c.id.in_(bindparam("wanted", expanding=True)))
_APPROVALS = (
    select(schema.rollout_approval)
    .where(_A.rollout_id.in_(bindparam("wanted", expanding=True)))
    .order_by(_A.at, _A.name)
)
_BEATS = select(_R.id, _R.beat).where(_R.ended_at.is_(None))


def active(connection: Connection, model: str) -> Rollout | None:
    """The one that runs of a model; None: none, or no such model."""
    found = _read(connection, connection.execute(_ACTIVE_OF, {"called": model}).all())
    return found[0] if found else None


def by_id(connection: Connection, rollout_id: str) -> Rollout | None:
    found = _read(connection, connection.execute(_BY_ID, {"known": rollout_id}).all())
    return found[0] if found else None


def page(connection: Connection, *, model: str | None, running: bool | None, limit: int) -> list[Rollout]:
    """The last `limit` of them, newest first: of a model, and those that run (or have ended), where that is asked.

    Raises:
        ModelNotFound.
    """
    query = _ALL.order_by(_R.begun.desc()).limit(limit)
    if model is not None:
        query = query.where(_R.model_id == versions.model_id(connection, model))
    if running is not None:
        query = query.where(_R.ended_at.is_(None) if running else _R.ended_at.is_not(None))
    return _read(connection, connection.execute(query).all())


def beats(connection: Connection) -> dict[str, int]:
    """The beats of those that run, by their ids."""
    return {row.id: int(row.beat) for row in connection.execute(_BEATS)}


def candidates(connection: Connection) -> dict[str, Candidate]:
    """What servers are to do with the other version of each rollout that runs, by model."""
    running = _read(connection, connection.execute(_ACTIVE).all())
    return {each.model: slot for each in running if (slot := _slot(each)) is not None}


def candidate(connection: Connection, model: str) -> Candidate | None:
    """What servers are to do with the other version of the rollout that runs of a model."""
    running = active(connection, model)
    return None if running is None else _slot(running)


def end(
    connection: Connection,
    seen: Rollout,
    *,
    takes: Version | None,
    kind: str,
    generation: int,
    actor: str,
    why: str,
    at: datetime,
) -> None:
    """Ends one that runs: as completed where its candidate is the version that takes the traffic from the generation
    on, else as rolled back, which is told as an event of the `kind`."""
    change = Change(state="rolled_back", step=seen.step, mode="off", share=0)
    if takes is not None and takes.id == seen.candidate.id:
        kind, change = events.ROLLOUT_COMPLETED, Change(state="completed", step=seen.step, mode="off", share=WHOLE)
    put(connection, seen, change, generation=generation, why=why, at=at)
    tell(connection, kind, seen, change, generation=generation, actor=actor, why=why, at=at)


def put(connection: Connection, seen: Rollout, change: Change, *, generation: int, why: str, at: datetime) -> None:
    """Writes where one that was read in this very transaction goes."""
    row: dict[str, Any] = {
        "state": change.state,
        "step": change.step,
        "mode": change.mode,
        "share": change.share,
        "held": change.held,
        "why": why,
        "generation": generation,
        "revision": seen.revision + 1,
    }
    if (change.state, change.step) != (seen.state, seen.step):
        row["since"] = at
    if change.verdict is not None:
        row["verdict"] = change.verdict
    if change.state in FINAL:
        row["ended_at"] = at
    connection.execute(update(schema.rollout).where(_R.id == seen.id).values(row))


def tell(
    connection: Connection,
    kind: str,
    before: Rollout,
    change: Change,
    *,
    generation: int,
    actor: str,
    why: str,
    at: datetime,
    given: Mapping[str, Any] | None = None,
) -> None:
    """Tells of a move, with what was given as its evidence, and what servers had seen by then."""
    told: dict[str, Any] = {
        **(given or {}),
        "rollout": before.id,
        "stable": before.stable.number,
        "strategy": before.plan.strategy,
        "before": before.state,
        "state": change.state,
        "step": change.step,
        "mode": change.mode,
        "share": change.share,
        "revision": before.revision + 1,
        "generation": generation,
    }
    if kind != events.ROLLOUT_APPROVED:
        told["seen"] = reports.summary(reports.total(connection, before.id))
    events.write(
        connection,
        kind,
        at=at,
        actor=actor,
        model=before.model,
        version=before.candidate.number,
        reason=why,
        evidence=told,
    )


def _slot(rollout: Rollout) -> Candidate | None:
    if rollout.mode == "off":
        return None
    switched = rollout.candidate.deployed
    return Candidate(
        rollout=rollout.id,
        version=rollout.stable if switched else rollout.candidate,
        mode=rollout.mode,
        share=rollout.share,
        step=rollout.step,
        plan=rollout.plan,
    )


def _read(connection: Connection, rows: Iterable[Row[Any]]) -> list[Rollout]:
    rows = list(rows)
    if not rows:
        return []
    wanted = sorted({name for row in rows for name in (row.stable_id, row.candidate_id)})
    chosen = connection.execute(_VERSIONS, {"wanted": wanted})
    known: dict[str, Version] = {version.id: version for version in map(versions.record, chosen)}
    approvals = _approvals(connection, [row.id for row in rows])
    return [_rollout(row, known, approvals.get(row.id, ())) for row in rows]


def _approvals(connection: Connection, ids: list[str]) -> dict[str, tuple[Approval, ...]]:
    found: dict[str, tuple[Approval, ...]] = {}
    for row in connection.execute(_APPROVALS, {"wanted": ids}):
        found[row.rollout_id] = (*found.get(row.rollout_id, ()), Approval(name=row.name, at=row.at))
    return found


def _rollout(row: Row[Any], known: Mapping[str, Version], approvals: tuple[Approval, ...]) -> Rollout:
    facts = dict(row._mapping)  # noqa: SLF001 — SQLAlchemy's public name for a row as a mapping
    stable, candidate = known[facts.pop("stable_id")], known[facts.pop("candidate_id")]
    plan = msgspec.convert(facts.pop("plan"), Plan)
    return Rollout(**facts, stable=stable, candidate=candidate, plan=plan, approvals=approvals)
