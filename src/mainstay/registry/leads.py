"""The lead: which controller moves rollouts. A number, the fence, grows with each taking; what an earlier holder still
writes carries an older one, and is refused in the very transaction that would write it.

No clock of one machine is compared with that of another: who wants the lead of somebody else waits, by a monotonic
clock of its own, until the beat has not grown for long enough, and takes it from just what it saw.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from mainstay.registry import schema
from mainstay.registry.errors import NotLeading
from mainstay.registry.records import Lead

_NAME = "rollouts"
_C = schema.controller.c
_READ = select(_C.holder, _C.fence, _C.beat).where(_C.name == _NAME)
_WRITE = update(schema.controller).where(_C.name == _NAME)


def now(connection: Connection) -> Lead | None:
    """Who has it; None: nobody ever had."""
    row = connection.execute(_READ).first()
    return None if row is None else Lead(holder=row.holder, fence=int(row.fence), beat=int(row.beat))


def take(connection: Connection, holder: str, *, seen: Lead | None) -> Lead:
    """Gives the lead to `holder`, if it is as it was seen. Raises NotLeading."""
    found = now(connection)
    if found != seen:
        raise NotLeading(found.holder if found else None, found.fence if found else 0, None)
    lead = Lead(holder=holder, fence=1 + (found.fence if found else 0), beat=0)
    row = {"holder": lead.holder, "fence": lead.fence, "beat": lead.beat}
    if found is None:
        connection.execute(insert(schema.controller), {"name": _NAME, **row})
    else:
        connection.execute(_WRITE.values(row))
    return lead


def keep(connection: Connection, lead: Lead) -> Lead:
    """Tells that the holder lives. Raises NotLeading: it is not the holder any more."""
    kept = expect(connection, lead.fence)
    beaten = Lead(holder=kept.holder, fence=kept.fence, beat=kept.beat + 1)
    connection.execute(_WRITE.values(beat=beaten.beat))
    return beaten


def leave(connection: Connection, lead: Lead) -> None:
    """Gives the lead back, so that the next one need not wait; of one that was lost, nothing is to be given."""
    found = now(connection)
    if found is not None and found.fence == lead.fence:
        connection.execute(_WRITE.values(holder=""))


def expect(connection: Connection, fence: int) -> Lead:
    """The lead, if it is the one with this fence, and was not given back. Raises NotLeading."""
    found = now(connection)
    if found is None or found.fence != fence or not found.holder:
        raise NotLeading(found.holder if found else None, found.fence if found else 0, fence)
    return found
