"""API keys: who may ask servers for what. Their secrets are never here, only the hashes of them."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, get_args

from sqlalchemy import Connection, Row, delete, insert, select, update

from mainstay.errors import MainstayError, did_you_mean
from mainstay.registry import events, key_text, schema
from mainstay.registry.key_models import EVERY
from mainstay.registry.records import ApiKey, KeyVerb
from mainstay.registry.transactions import Transactions

VERBS: tuple[KeyVerb, ...] = get_args(KeyVerb)
_EDITION = "keys"
_K, _C = schema.api_key.c, schema.counter.c
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_PATTERN = re.compile(r"[a-z0-9_*-]{1,63}")


class BadKeyScope(MainstayError):
    """What a key is to be cannot be meant."""


class KeyExists(MainstayError):
    """There is a key of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"There is a key {name!r} already: give it a new secret with mainstay keys rotate {name}, end it with "
            f"mainstay keys revoke {name}, or choose another name."
        )


class KeyNotFound(MainstayError):
    """There is no such key that is not revoked."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        self.name = name
        super().__init__(f"There is no key {name!r} here.{did_you_mean(name, known) or ' See mainstay keys list.'}")


class Keys:
    """The API keys of a registry. Each call is atomic, and what it changes is told by an event."""

    def __init__(self, database: Transactions, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock

    def create(
        self,
        key_id: str,
        name: str,
        *,
        sha256: str,
        models: Collection[str] = (EVERY,),
        verbs: Collection[KeyVerb] = ("predict", "read"),
        expires_at: datetime | None = None,
        rate: float | None = None,
        burst: int | None = None,
        actor: str,
    ) -> ApiKey:
        """Keeps a new key. From the first one on, servers answer nobody without one, whatever becomes of it.

        Args:
            key_id: as `key_text.new_id` makes it.
            name: who has it, as events call him; of the keys that are not revoked, each has another.
            sha256: of its text; see `key_text.hashed`.
            models: names of models, in which "*" stands for any characters.
            rate: requests a second that a server answers; None: as many as it can.
            burst: of them, how many at once; by default, those of a second.

        Raises:
            BadKeyScope; KeyExists.
        """
        _refuse(name, models, verbs, rate, burst)
        with self._database.write() as connection:
            at = self._clock()
            if expires_at is not None and expires_at <= at:
                raise BadKeyScope(f"The key {name!r} would have expired at {expires_at:%Y-%m-%d %H:%M}: give it time.")
            if _named(connection, name) is not None:
                raise KeyExists(name)
            row = {
                "id": key_id,
                "name": name,
                "sha256": sha256,
                "models": sorted(set(models)),
                "verbs": [verb for verb in VERBS if verb in verbs],
                "rate": rate,
                "burst": None if rate is None else burst or max(1, round(rate)),
                "expires_at": expires_at,
                "actor": actor,
                "created_at": at,
            }
            connection.execute(insert(schema.api_key), row)
            key = _of(connection, key_id)
            told: dict[str, Any] = {each: row[each] for each in ("models", "verbs", "rate", "burst")}
            told["expires"] = _text(expires_at)
            self._tell(connection, events.KEY_CREATED, key, at=at, actor=actor, **told)
            return key

    def rotate(self, key: ApiKey, *, sha256: str, grace: timedelta, actor: str) -> ApiKey:
        """Gives a key a new secret; the one before it goes on for `grace`, and one before that ends now.

        Raises:
            KeyNotFound: it was revoked.
        """
        with self._database.write() as connection:
            at, found = self._clock(), _expect(connection, key.name)
            if found.id != key.id:  # another one has the name now, and the new text would not be its
                raise KeyNotFound(key.name, ())
            key = found
            until = at + grace
            changed = {"sha256": sha256, "previous_sha256": key.sha256, "previous_until": until}
            connection.execute(update(schema.api_key).where(_K.id == key.id).values(changed))
            self._tell(connection, events.KEY_ROTATED, key, at=at, actor=actor, previous_until=_text(until))
            return _of(connection, key.id)

    def revoke(self, name: str, *, actor: str, reason: str = "") -> ApiKey:
        """Ends a key for good. Raises KeyNotFound."""
        with self._database.write() as connection:
            at, key = self._clock(), _expect(connection, name)
            connection.execute(update(schema.api_key).where(_K.id == key.id).values(revoked_at=at))
            self._tell(connection, events.KEY_REVOKED, key, at=at, actor=actor, reason=reason)
            return _of(connection, key.id)

    def forget(self, name: str, *, actor: str) -> int:
        """Removes the revoked keys of a name, and gives how many keys are left.

        Where none is, servers answer everybody again, which is why revoking alone does not do it.

        Raises:
            KeyNotFound: none of this name is revoked.
        """
        with self._database.write() as connection:
            at, known = self._clock(), _all(connection)
            gone = [key for key in known if key.name == name and key.revoked_at is not None]
            if not gone:
                raise KeyNotFound(name, {key.name for key in known if key.revoked_at is not None})
            connection.execute(delete(schema.api_key).where(_K.id.in_([key.id for key in gone])))
            left = len(known) - len(gone)
            for key in gone:
                self._tell(connection, events.KEY_FORGOTTEN, key, at=at, actor=actor, left=left)
            return left

    def named(self, name: str) -> ApiKey:
        """The key of a name that is not revoked. Raises KeyNotFound."""
        with self._database.read() as connection:
            return _expect(connection, name)

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, the oldest first."""
        with self._database.read() as connection:
            return _all(connection)

    def edition(self) -> int:
        """A number that grows with every change of a key, and with nothing else."""
        with self._database.read() as connection:
            return int(connection.execute(_READ_EDITION).scalar_one())

    def _tell(
        self,
        connection: Connection,
        kind: str,
        key: ApiKey,
        *,
        at: datetime,
        actor: str,
        reason: str = "",
        **evidence: Any,
    ) -> None:
        connection.execute(update(schema.counter).where(_C.name == _EDITION).values(value=_C.value + 1))
        evidence = {"key": key.id, "name": key.name, **evidence}
        events.write(connection, kind, at=at, actor=actor, reason=reason, evidence=evidence)


def whose(connection: Connection, text: str, *, at: datetime) -> ApiKey | None:
    """The key in force at a time that this is the text of; None: there is none."""
    key_id = key_text.id_of(text)
    row = None if key_id is None else connection.execute(select(schema.api_key).where(_K.id == key_id)).first()
    if row is None:
        return None
    key, sha = _key(row), key_text.hashed(text)
    right = hmac.compare_digest(key.sha256, sha)
    if key.previous_sha256 is not None and key.previous_until is not None and key.previous_until > at:
        right |= hmac.compare_digest(key.previous_sha256, sha)
    return key if right and key.status(at) == "active" else None


_READ_EDITION = select(_C.value).where(_C.name == _EDITION)


def _refuse(name: str, models: Collection[str], verbs: Collection[str], rate: float | None, burst: int | None) -> None:
    """Raises BadKeyScope."""
    if not _NAME.fullmatch(name):
        raise BadKeyScope(
            f"{name!r} cannot be the name of a key: use letters, digits, '.', '_', '@' and '-', at most 63."
        )
    for pattern in models:
        if not _PATTERN.fullmatch(pattern):
            raise BadKeyScope(f"{pattern!r} names no model: write names such as credit, or credit-*, or * for all.")
    for verb in verbs:
        if verb not in VERBS:
            raise BadKeyScope(f"{verb!r} is no verb.{did_you_mean(verb, VERBS)} Known: {', '.join(VERBS)}.")
    if not models or not verbs:
        raise BadKeyScope("A key for no model, or for no verb, opens nothing: name one.")
    if rate is not None and not 0 < rate <= 1e9:
        raise BadKeyScope(f"A rate of {rate:g} requests a second cannot be meant: write more than 0, such as 100.")
    if burst is not None and (rate is None or burst < 1):
        raise BadKeyScope("A burst is a number of requests, at least 1, and takes a rate.")


def _named(connection: Connection, name: str) -> ApiKey | None:
    row = connection.execute(select(schema.api_key).where(_K.name == name, _K.revoked_at.is_(None))).first()
    return None if row is None else _key(row)


def _expect(connection: Connection, name: str) -> ApiKey:
    found = _named(connection, name)
    if found is None:
        raise KeyNotFound(name, {key.name for key in _all(connection) if key.revoked_at is None})
    return found


def _of(connection: Connection, key_id: str) -> ApiKey:
    return _key(connection.execute(select(schema.api_key).where(_K.id == key_id)).one())


def _all(connection: Connection) -> list[ApiKey]:
    query = select(schema.api_key).order_by(_K.created_at, _K.id)
    return [_key(row) for row in connection.execute(query)]


def _key(row: Row[Any]) -> ApiKey:
    facts = dict(row._mapping)  # noqa: SLF001 — SQLAlchemy's public name for a row as a mapping
    return ApiKey(**{**facts, "models": tuple(facts["models"]), "verbs": tuple(facts["verbs"])})


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
