"""The outbox: what webhooks have not been told yet, written in the transaction of the event itself.

A webhook is told of each event at least once: who tells it and dies before the answer was written down is followed by
somebody who tells it again, under the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mainstay.registry import schema
from mainstay.registry.ids import new_id
from mainstay.registry.records import Event
from mainstay.registry.transactions import Transactions

GIVEN_UP = "webhook_given_up"
"""The one kind of event that no webhook is told of: it is about a webhook that cannot be told."""
State = Literal["pending", "delivered", "given_up", "dropped"]
"""Dropped: its webhook was taken out of the project file first."""

KEPT = timedelta(days=30)
"""How long a delivery stays listed after it was taken or dropped."""
GIVEN_UP_KEPT = timedelta(days=90)
"""How long one that was given up can be tried again."""

_W, _O, _E, _L = schema.webhook.c, schema.outbox.c, schema.event.c, schema.lease.c
_ACTIVE = select(_W.id, _W.kinds).where(_W.active)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A webhook as the project file has it."""

    url: str
    """With its ${NAME} unexpanded; one a project."""
    kinds: tuple[str, ...] = ()
    """Of events; none of them: all."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An event that a webhook is to be told of."""

    id: str
    """The same at every attempt."""
    url: str
    event: Event
    attempts: int
    """Those that failed."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far the telling of a webhook has come."""

    url: str
    kinds: tuple[str, ...]
    counts: dict[State, int]
    error: str
    """Of the latest failed attempt among what is pending or given up."""


class Outbox:
    """What is to be told, and to whom; each call is atomic, and any number of threads may share one."""

    def __init__(self, database: Transactions, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock

    def subscribe(self, project: str, wanted: Sequence[Subscription]) -> None:
        """Makes these the webhooks of a project. One that is gone is told of nothing more, not even what is pending."""
        with self._database.read() as connection:
            if _subscriptions(connection, project) == {each.url: each.kinds for each in wanted}:
                return
        with self._database.write() as connection:
            _subscribe(connection, project, {each.url: each.kinds for each in wanted}, at=self._clock())

    def due(self, project: str, url: str, *, limit: int) -> list[Delivery]:
        """What a webhook is to be told now, the oldest event first."""
        query = (
            select(_O.id.label("delivery"), _O.attempts, _W.url, schema.event)
            .join(schema.webhook, _W.id == _O.webhook_id)
            .join(schema.event, _E.id == _O.event_id)
            .where(_W.project == project, _W.url == url, _O.due_at <= self._clock())
            .order_by(_O.event_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [
            Delivery(id=row.pop("delivery"), attempts=row.pop("attempts"), url=row.pop("url"), event=Event(**row))
            for row in rows
        ]

    def delivered(self, delivery: Delivery) -> None:
        """The webhook has taken it."""
        self._end(delivery, "delivered", error="")

    def failed(self, delivery: Delivery, error: str, *, again_at: datetime) -> None:
        """The webhook did not take it; it is due again at a later time."""
        row = {"attempts": delivery.attempts + 1, "due_at": again_at, "error": error}
        with self._database.write() as connection:
            connection.execute(update(schema.outbox).where(_O.id == delivery.id, _O.state == "pending").values(row))

    def give_up(self, delivery: Delivery, error: str, *, actor: str) -> None:
        """The webhook did not take it, and is not asked again; an event says so."""
        self._end(delivery, "given_up", error=error, actor=actor)

    def retry(self, project: str) -> int:
        """Makes all that was given up due now, as if it had never been tried; how many that are."""
        mine = select(_W.id).where(_W.project == project, _W.active)
        row = {"state": "pending", "attempts": 0, "due_at": self._clock(), "ended_at": None}
        again = update(schema.outbox).where(_O.webhook_id.in_(mine), _O.state == "given_up").values(row)
        with self._database.write() as connection:
            return connection.execute(again).rowcount

    def prune(self) -> int:
        """Forgets the deliveries, of every project, that ended long ago, as KEPT and GIVEN_UP_KEPT say; how many. The
        events themselves stay, and none of them is told again."""
        now = self._clock()
        over = (_O.state.in_(("delivered", "dropped")) & (_O.ended_at < now - KEPT)) | (
            (_O.state == "given_up") & (_O.ended_at < now - GIVEN_UP_KEPT)
        )
        with self._database.write() as connection:
            return connection.execute(delete(schema.outbox).where(over)).rowcount

    def standings(self, project: str) -> list[Standing]:
        """Each active webhook of a project by its URL."""
        with self._database.read() as connection:
            found = connection.execute(
                select(_W.id, _W.url, _W.kinds).where(_W.project == project, _W.active).order_by(_W.url)
            ).all()
            return [
                Standing(
                    url=row.url,
                    kinds=tuple(row.kinds),
                    counts=_counts(connection, row.id),
                    error=_last_error(connection, row.id),
                )
                for row in found
            ]

    def hold(self, name: str, holder: str, *, seconds: float) -> bool:
        """Takes or keeps a lease for a time from now on; False where another holder has it."""
        now = self._clock()
        row = {"holder": holder, "until": now + timedelta(seconds=seconds)}
        free = (_L.holder == holder) | (_L.until < now)
        with self._database.write() as connection:
            if connection.execute(update(schema.lease).where(_L.name == name, free).values(row)).rowcount:
                return True
            if connection.execute(select(_L.name).where(_L.name == name)).first() is not None:
                return False
            try:
                with connection.begin_nested():
                    connection.execute(insert(schema.lease), {"name": name, **row})
            except IntegrityError:  # taken in this very moment, where writers do not wait for each other
                return False
            return True

    def release(self, name: str, holder: str) -> None:
        """Gives a lease back, if it is still held."""
        with self._database.write() as connection:
            connection.execute(delete(schema.lease).where(_L.name == name, _L.holder == holder))

    def _end(self, delivery: Delivery, state: State, *, error: str, actor: str = "") -> None:
        at = self._clock()
        row = {"state": state, "attempts": delivery.attempts + 1, "due_at": None, "ended_at": at, "error": error}
        with self._database.write() as connection:
            ended = connection.execute(
                update(schema.outbox).where(_O.id == delivery.id, _O.state == "pending").values(row)
            )
            if state != "given_up" or not ended.rowcount:
                return
            told = delivery.event
            evidence = {"url": delivery.url, "event": told.id, "attempts": delivery.attempts + 1, "error": error}
            event = {"at": at, "actor": actor, "kind": GIVEN_UP, "reason": error, "evidence": evidence}
            connection.execute(insert(schema.event), {**event, "model": told.model, "version": told.version})


def enqueue(connection: Connection, event_id: int, kind: str, *, at: datetime) -> None:
    """Writes down that each webhook that wants this kind is to be told of an event, in the event's own transaction."""
    rows = [
        {
            "id": new_id(at),
            "webhook_id": row.id,
            "event_id": event_id,
            "state": "pending",
            "attempts": 0,
            "due_at": at,
            "error": "",
        }
        for row in connection.execute(_ACTIVE)
        if _wanted(kind, row.kinds)
    ]
    if rows:
        connection.execute(insert(schema.outbox), rows)


def _wanted(kind: str, kinds: Collection[str]) -> bool:
    return kind != GIVEN_UP and (not kinds or kind in kinds)


def _subscriptions(connection: Connection, project: str) -> dict[str, tuple[str, ...]]:
    found = connection.execute(select(_W.url, _W.kinds).where(_W.project == project, _W.active))
    return {row.url: tuple(row.kinds) for row in found}


def _subscribe(connection: Connection, project: str, wanted: dict[str, tuple[str, ...]], *, at: datetime) -> None:
    known = {row.url: row.id for row in connection.execute(select(_W.url, _W.id).where(_W.project == project))}
    for url, kinds in wanted.items():
        if url in known:
            row = {"kinds": list(kinds), "active": True}
            connection.execute(update(schema.webhook).where(_W.id == known[url]).values(row))
        else:
            row = {"project": project, "url": url, "kinds": list(kinds), "active": True}
            connection.execute(insert(schema.webhook), {"id": new_id(at), "created_at": at, **row})
    gone = [known[url] for url in known.keys() - wanted.keys()]
    connection.execute(update(schema.webhook).where(_W.id.in_(gone)).values(active=False))
    dropped = {"state": "dropped", "due_at": None, "ended_at": at}
    connection.execute(update(schema.outbox).where(_O.webhook_id.in_(gone), _O.state == "pending").values(dropped))


def _counts(connection: Connection, webhook_id: str) -> dict[State, int]:
    counted = connection.execute(select(_O.state, func.count()).where(_O.webhook_id == webhook_id).group_by(_O.state))
    found = {state: int(number) for state, number in counted}
    return {state: found.get(state, 0) for state in get_args(State)}


def _last_error(connection: Connection, webhook_id: str) -> str:
    troubled = (_O.webhook_id == webhook_id) & _O.state.in_(("pending", "given_up")) & (_O.error != "")
    found = connection.execute(select(_O.error).where(troubled).order_by(_O.event_id.desc()).limit(1)).scalar()
    return found or ""
