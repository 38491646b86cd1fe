"""Who may ask for what: values and decisions. `guard` holds requests to them.

As soon as one key exists, whoever has none is refused everything but the health of the server. Without any key,
everybody may predict and read, and nobody may manage.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from mainstay.registry.key_models import EVERY, covers
from mainstay.registry.key_text import PREFIX, hashed, id_of
from mainstay.registry.records import ApiKey, KeyVerb
from mainstay.serving.protocols.codec import AGAIN, SERVER, Headers, Need, Problem
from mainstay.serving.routing import replace

FILE = "keys.json"
_CHALLENGE: Headers = [("www-authenticate", 'Bearer realm="mainstay"')]


class Caller(NamedTuple):
    """Who asks; the name is what events call him."""

    name: str
    key: str
    """The id of the key."""


class Secret(msgspec.Struct, frozen=True):
    """One text that a key is known by."""

    sha256: str
    until: float | None = None
    """Seconds since 1970."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key opens, as workers know it: of its secret, the hash alone."""

    id: str
    name: str
    secrets: tuple[Secret, ...]
    models: tuple[str, ...]
    verbs: tuple[KeyVerb, ...]
    until: float | None = None
    """Seconds since 1970."""
    rate: float | None = None
    """Requests a second."""
    burst: int = 1
    slot: int = 0
    """Where its rate is kept; see `rates`."""

    @property
    def caller(self) -> Caller:
        return Caller(self.name, self.id)


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a worker knows of keys."""

    closed: bool
    """Whether there is a key at all, be it revoked: then nobody is answered without one."""
    grants: dict[str, Grant] = {}
    """By the key's id; of those that are not revoked."""


NOBODY = Grants(closed=True)
"""Before a worker knows better."""


def grants_of(keys: Iterable[ApiKey], slots: Mapping[str, int]) -> Grants:
    """What workers are told of the registry's keys; `slots` says of each key with a rate where that is kept."""
    known = list(keys)
    return Grants(
        closed=bool(known),
        grants={key.id: _grant(key, slots.get(key.id, 0)) for key in known if key.revoked_at is None},
    )


def denies(new: Grants, old: Grants) -> bool:
    """Whether something may be open to somebody no more: a key is the first, or one was changed or revoked."""
    return (new.closed and not old.closed) or any(new.grants.get(each.id) != each for each in old.grants.values())


def _grant(key: ApiKey, slot: int) -> Grant:
    secrets = [Secret(key.sha256)]
    if key.previous_sha256 is not None and key.previous_until is not None:
        secrets.append(Secret(key.previous_sha256, key.previous_until.timestamp()))
    return Grant(
        id=key.id,
        name=key.name,
        secrets=tuple(secrets),
        models=key.models,
        verbs=key.verbs,
        until=None if key.expires_at is None else key.expires_at.timestamp(),
        rate=key.rate,
        burst=key.burst or 1,
        slot=slot,
    )


def write_grants(run: Path, grants: Grants) -> None:
    """Replaces what workers know, in one step; the file is readable by its owner alone."""
    replace(run / FILE, msgspec.json.encode(grants))


def read_grants(run: Path) -> Grants:
    """What the agent wrote last. Raises FileNotFoundError before the first time."""
    return msgspec.json.decode((run / FILE).read_bytes(), type=Grants)


def key_in(authorization: str | None, x_api_key: str | None) -> str | None:
    """The text that a caller shows as his key: `Authorization: Bearer KEY`, `X-API-Key: KEY`, or the password of
    `Authorization: Basic`, which browsers ask a person for and `curl -u` sends. None: he shows none.

    An `Authorization` that holds no key of ours is another's, such as a proxy's.
    """
    if authorization is not None:
        scheme, _, given = authorization.strip().partition(" ")
        text = given.strip()
        if scheme.lower() == "basic":
            text = _password(text)
        elif scheme.lower() != "bearer":
            text = ""
        if text.startswith(PREFIX) or (text and x_api_key is None):
            return text
    return None if x_api_key is None else x_api_key.strip()


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:  # no base64, or no UTF-8 in it
        return ""


def known(grants: Grants, text: str) -> tuple[Grant, Secret] | None:
    """The key that a text is of, and which of its secrets; None: of none. Its time may be over."""
    key_id = id_of(text)
    grant = None if key_id is None else grants.grants.get(key_id)
    if grant is None:
        return None
    sha = hashed(text)
    # Each is compared, and in constant time: how long it takes tells nothing of what would have been right.
    found = [secret for secret in grant.secrets if hmac.compare_digest(secret.sha256, sha)]
    return (grant, found[0]) if found else None


def good_until(grant: Grant, secret: Secret) -> float:
    """When a secret of a key ends, seconds since 1970; infinity: never."""
    return min(until for until in (grant.until, secret.until, float("inf")) if until is not None)


def allows(grant: Grant, need: Need) -> bool:
    """Whether a key opens what is needed."""
    if need.verb not in grant.verbs:
        return False
    if need.model is None:
        return EVERY in grant.models
    return need.model == SERVER or covers(grant.models, need.model)


def no_key(need: Need, grants: Grants) -> Problem:
    """The refusal of a caller who shows no key."""
    if not grants.closed:
        said = "Managing takes an API key with the verb manage, and there is none: make one with mainstay keys create."
    else:
        said = "This server takes an API key: send it as Authorization: Bearer KEY, or as X-API-Key."
    return Problem(401, said, headers=_CHALLENGE)


def wrong_key() -> Problem:
    """The refusal of one whose key is none, or is revoked: which, he is not told."""
    return Problem(401, "The API key is not known here.", headers=_invalid())


def withheld() -> Problem:
    """The refusal of everybody while the keys cannot be written."""
    said = "What keys there are could not be written here, so that nobody is let in: the server's disk may be full."
    return Problem(503, said, headers=[AGAIN])


def expired(grant: Grant) -> Problem:
    """The refusal of one whose key is right, and whose time is over."""
    return Problem(401, f"The API key {grant.name!r} has expired: ask for its new secret.", headers=_invalid())


def not_allowed(grant: Grant, need: Need) -> Problem:
    """The refusal of one whose key opens other things; it tells of his own key alone, not of what is here."""
    if need.verb not in grant.verbs:
        said = f"The API key {grant.name!r} may {' and '.join(grant.verbs)}, not {need.verb}."
    elif need.model is None:
        said = f"This tells of every model, and the API key {grant.name!r} is for {', '.join(grant.models)} alone."
    else:
        said = f"The API key {grant.name!r} is not for model {need.model[:100]!r}."
    return Problem(403, said)


def _invalid() -> Headers:
    return [(name, f'{value}, error="invalid_token"') for name, value in _CHALLENGE]
