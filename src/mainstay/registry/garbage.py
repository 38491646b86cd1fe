"""Removes the blobs that nothing names, while others go on registering.

A registration keeps its blobs first, and names them in a transaction after that. What is removed between the two would
be missing for ever, so blobs are removed only while this process is alone in writing to the database, and only what is
named by nothing then. What is left is a registration that found a blob there, or put it, just before it was removed:

- A store that is `guarded` (a folder) keeps puts and removals apart itself, and never removes what was put lately.
- With one that is not (a bucket, which knows no condition by which a put of the same bytes could be told), the row "gc"
  of the table of leases says that blobs are being removed, before the first one goes and until after the last. A
  registration looks at it before it puts, and again in its own transaction, when nothing can be removed: where it has
  changed, or said so at first, the registration looks which of its blobs are still there, and puts the others again.

Killed anywhere, the row still says that blobs are being removed: registrations then look at their blobs, which costs
a question each, until the next removal has ended. What this does not hold against: on PostgreSQL, a process that is
suspended for more than a minute between asking whether it is still alone and sending the one request that removes a
blob, while a registration puts these very bytes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from mainstay.errors import MachineError
from mainstay.registry import contents, schema, versions
from mainstay.registry.blobs import Blobs, Listed
from mainstay.registry.ids import new_id

if TYPE_CHECKING:
    from mainstay.registry.store import Registry

_LEASE = "gc"
_REMOVING, _DONE = "removes", "has removed"
HOLD = timedelta(minutes=1)
"""How long one that was killed keeps the next one from beginning."""
AT_ONCE = 1.0
"""Seconds of removals before others may write."""
PAUSE = 0.05
"""Seconds in which they may."""

_L = schema.lease.c


class CollectorRuns(MachineError):
    """Another process removes blobs."""

    def __init__(self, until: datetime) -> None:
        super().__init__(
            f"Another mainstay gc is removing files, or was ended in the middle: try again after {until:%H:%M:%S} UTC."
        )


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What nothing names."""

    removed: Sequence[Listed]
    """Or what would be, of a dry run."""
    young: Sequence[Listed]
    kept: int
    """Blobs that are named."""


def sweep(registry: Registry, *, before: datetime, dry_run: bool) -> Swept:
    """Removes the blobs that nothing names, and that nobody has put since a time.

    Raises:
        PackageCorrupt: the list of a version's files is damaged or gone, so that not all names are known; nothing was
            removed.
        CollectorRuns.
    """
    database, names = registry._database, _Names(registry)  # noqa: SLF001 - of the same package
    # Listed first: whatever is registered after this is either named below, or was put after this.
    listed = list(registry.blobs.listed())
    with database.read() as connection:
        named = names.read(connection)
    unnamed = [each for each in listed if each.sha not in named]
    old = [each for each in unnamed if each.put_at < before]
    removed = old if dry_run else _remove(registry, names, old, before)
    if not dry_run:
        registry.blobs.sweep()
    return Swept(
        removed=removed,
        young=[each for each in unnamed if each.put_at >= before],
        kept=len(listed) - len(unnamed),
    )


def seen(connection: Connection) -> str:
    """What is known of removals; looked at before blobs are put."""
    return connection.execute(select(_L.holder).where(_L.name == _LEASE)).scalar() or ""


def restore(connection: Connection, blobs: Blobs, before: str, data: Mapping[str, bytes]) -> None:
    """Puts what may have been removed since `before` was seen; in a transaction that is alone in writing.

    Args:
        data: what the transaction is going to name, by SHA-256.
    """
    if may_have_removed(connection, blobs, before):
        for sha, each in data.items():
            if not blobs.has(sha):
                blobs.put(each)


def may_have_removed(connection: Connection, blobs: Blobs, before: str) -> bool:
    """Whether a blob that was there, or was put, after `before` was seen may be gone."""
    return not blobs.guarded and (before.endswith(_REMOVING) or seen(connection) != before)


class _Names:
    """The blobs that versions and attestations name; asked again, it reads the lists of new versions only."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lists: dict[str, set[str]] = {}

    def read(self, connection: Connection) -> set[str]:
        lists, named = versions.blobs_named(connection)
        for ref, content_id in lists:
            if content_id not in self._lists:
                found = contents.listed(self._registry.blobs, ref, content_id)
                self._lists[content_id] = {content_id, *(entry.sha256 for entry in found.values())}
            named |= self._lists[content_id]
        return named


def _remove(registry: Registry, names: _Names, old: Sequence[Listed], before: datetime) -> list[Listed]:
    """Removes what is still unnamed, a second's worth at a time, in which nobody else writes."""
    left, removed, me = deque(old), list[Listed](), new_id(registry._clock())  # noqa: SLF001 - of the same package
    while left:
        if removed:
            time.sleep(PAUSE)
        removed += _some(registry, names, left, before, name=f"{me} {len(left)}")
    return removed


def _some(registry: Registry, names: _Names, left: deque[Listed], before: datetime, *, name: str) -> list[Listed]:
    database, blobs, clock = registry._database, registry.blobs, registry._clock  # noqa: SLF001
    removed = []
    if not blobs.guarded:
        with database.write() as connection:
            _tell(connection, name, _REMOVING, at=clock())
    with database.write() as connection:
        named, until = names.read(connection), time.monotonic() + AT_ONCE
        while left and time.monotonic() < until:
            each = left.popleft()
            if not blobs.guarded:
                connection.exec_driver_sql("SELECT 1")  # fails where this process is not alone any more
            if each.sha not in named and blobs.discard(each.sha, before=before):
                removed.append(each)
        if not blobs.guarded:
            _tell(connection, name, _DONE, at=clock())
    return removed


def _tell(connection: Connection, name: str, what: str, *, at: datetime) -> None:
    """Says that removals begin, or have ended. Raises CollectorRuns."""
    row = {"holder": f"{name} {what}", "until": at + HOLD if what == _REMOVING else at}
    found = connection.execute(select(_L.holder, _L.until).where(_L.name == _LEASE)).first()
    if found is None:
        connection.execute(insert(schema.lease), {"name": _LEASE, **row})
        return
    mine = found.holder.startswith(name.partition(" ")[0])
    if not mine and found.holder.endswith(_REMOVING) and found.until > at:
        raise CollectorRuns(found.until)
    connection.execute(update(schema.lease).where(_L.name == _LEASE).values(row))
