"""Events: what happened, told in the transaction in which it happened."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from mainstay.registry import outbox, schema
from mainstay.registry.records import Event

REGISTERED = "registered"
REGISTERED_AGAIN = "registered_again"
ATTESTED = "attested"
ALIAS_MOVED = "alias_moved"
ALIAS_REMOVED = "alias_removed"
DEPLOYED = "deployed"
UNDEPLOYED = "undeployed"
DEPLOYED_BESIDE = "deployed_beside"
UNDEPLOYED_BESIDE = "undeployed_beside"
KEY_CREATED = "key_created"
KEY_ROTATED = "key_rotated"
KEY_REVOKED = "key_revoked"
KEY_FORGOTTEN = "key_forgotten"
ROLLOUT_STARTED = "rollout_started"
ROLLOUT_STEP = "rollout_step"
ROLLOUT_PAUSED = "rollout_paused"
ROLLOUT_RESUMED = "rollout_resumed"
ROLLOUT_PROMOTING = "rollout_promoting"
ROLLOUT_COMPLETED = "rollout_completed"
ROLLOUT_ROLLING_BACK = "rollout_rolling_back"
ROLLOUT_ROLLED_BACK = "rollout_rolled_back"
ROLLOUT_SUPERSEDED = "rollout_superseded"
ROLLOUT_APPROVED = "rollout_approved"
ROLLOUT_VERDICT = "rollout_verdict"

_COLUMNS = schema.event.c
_TELL = insert(schema.event).returning(_COLUMNS.id)


def write(
    connection: Connection,
    kind: str,
    *,
    at: datetime,
    actor: str,
    model: str | None = None,
    version: int | None = None,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> int:
    """Tells that something happened, and leaves it to be told to webhooks; the event's id."""
    row = {
        "at": at,
        "actor": actor,
        "kind": kind,
        "model": model,
        "version": version,
        "reason": reason,
        "evidence": dict(evidence or {}),
    }
    event_id = int(connection.execute(_TELL, row).scalar_one())
    outbox.enqueue(connection, event_id, kind, at=at)
    return event_id


def page(connection: Connection, *, model: str | None, after: int, limit: int) -> list[Event]:
    """The first `limit` events with an id above `after`, oldest first."""
    query = select(schema.event).where(_COLUMNS.id > after).order_by(_COLUMNS.id).limit(limit)
    if model is not None:
        query = query.where(_COLUMNS.model == model)
    return [_event(row) for row in connection.execute(query)]


def latest(
    connection: Connection,
    *,
    model: str | None,
    limit: int,
    kinds: Collection[str] | None = None,
    before: int | None = None,
) -> list[Event]:
    """The last `limit` events, newest first; only of some kinds, and with ids below `before`, where they are given."""
    query = select(schema.event).order_by(_COLUMNS.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_COLUMNS.id < before)
    if kinds is not None:
        query = query.where(_COLUMNS.kind.in_(kinds))
    if model is not None:
        query = query.where(_COLUMNS.model == model)
    return [_event(row) for row in connection.execute(query)]


def _event(row: Row[Any]) -> Event:
    return Event(**row._mapping)  # noqa: SLF001 — SQLAlchemy's public name for a row as a mapping
