"""Members: the serving agents that follow the registry, known by their beats."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from mainstay.registry import schema
from mainstay.registry.records import Member

FORGOTTEN = timedelta(days=1)
"""A member that was not heard of for this long is removed: it is of no use even to a person who looks for it."""

_M = schema.member.c


def beat(connection: Connection, member: Member, *, at: datetime) -> None:
    """Records that the member lives, and what it serves."""
    row = {**asdict(member), "beat_at": at}
    beaten = connection.execute(update(schema.member).where(_M.id == member.id).values(row))
    if beaten.rowcount == 0:
        connection.execute(delete(schema.member).where(_M.beat_at < at - FORGOTTEN))
        connection.execute(insert(schema.member), row)


def leave(connection: Connection, member_id: str) -> None:
    """Forgets a member that ends in order."""
    connection.execute(delete(schema.member).where(_M.id == member_id))


def heard_since(connection: Connection, since: datetime) -> list[Member]:
    """The members that were heard of at or after a time, the longest running first."""
    query = select(schema.member).where(_M.beat_at >= since).order_by(_M.started_at, _M.id)
    return [Member(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 — SQLAlchemy's public name
