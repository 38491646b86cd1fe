"""What a server needs to begin, read from a registry's own database without what reads and writes all of it.

SQLAlchemy takes as long to load as a small server does to start. So the few facts of the ordinary case are read here in
plain SQL, of one state of the database; the registry is opened once they are served, and from then on is what is
followed. Whatever is not ordinary (another schema, a rollout that runs, a database that is away) goes that way at once,
which has the messages.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.package import FileEntry, Manifest
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.contents import listed
from mainstay.registry.disk import BLOBS, DATABASE
from mainstay.registry.migrations import HEAD, TABLE
from mainstay.registry.mounts import refuse_network
from mainstay.registry.records import ApiKey
from mainstay.registry.refs import CHAMPION

_PATIENCE = 0.2
"""Seconds that it waits for others; who is in the way for longer is waited for by the long way."""
_VERSIONS = """
    SELECT model.name AS model, version.number, version.id, version.content_id, version.format
    FROM {served} JOIN version ON version.id = {served}.version_id JOIN model ON model.id = version.model_id
    ORDER BY model.name, version.number"""
_DEPLOYED, _BESIDE = _VERSIONS.format(served="deployment"), _VERSIONS.format(served="beside")
_ALIASES = """
    SELECT model.name AS model, alias.name AS alias, version.number
    FROM alias JOIN version ON version.id = alias.version_id JOIN model ON model.id = alias.model_id"""
_ATTESTED = "SELECT name, sha256, size FROM attestation WHERE version_id = ? ORDER BY name"
_TIMES = ("previous_until", "expires_at", "created_at", "revoked_at")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A version that is to answer."""

    model: str
    ref: str
    format: str
    manifest: Manifest


@dataclass(frozen=True, kw_only=True)
class Glance:
    """One state of a registry, as far as a server needs it to begin; no rollout runs."""

    generation: int
    blobs: Path
    """The folder of all files."""
    models: tuple[str, ...]
    """All that are known, by name."""
    deployed: tuple[Served, ...]
    """What takes the traffic, by model."""
    beside: tuple[Served, ...]
    """What answers beside it, by model and number."""
    aliases: dict[str, dict[str, str]]
    """Of what is deployed, by model: the versions that its aliases name."""
    keys: tuple[ApiKey, ...]
    """As `Keys.all` has them."""


def glance(root: Path) -> Glance | None:
    """The facts of the registry in a folder; None: they are for `Registry` to tell."""
    try:
        refuse_network(root)
        at = f"{(root / DATABASE).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(at, uri=True, timeout=_PATIENCE, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            return _seen(connection, root.absolute() / BLOBS)
    except (sqlite3.Error, OSError, MainstayError, ValueError, KeyError):
        return None


def _seen(connection: sqlite3.Connection, blobs: Path) -> Glance | None:
    """As `glance`; raises what cannot be read."""
    (revision,) = connection.execute(f"SELECT version_num FROM {TABLE}").fetchone()  # noqa: S608 - a constant
    (running,) = connection.execute("SELECT count(*) FROM rollout WHERE ended_at IS NULL").fetchone()
    if revision != HEAD or running:
        return None
    (generation,) = connection.execute("SELECT value FROM counter WHERE name = 'generation'").fetchone()
    deployed = tuple(_served(connection, row, blobs) for row in connection.execute(_DEPLOYED))
    aliases = {each.model: {CHAMPION: each.ref} for each in deployed}
    for row in connection.execute(_ALIASES):
        if row["model"] in aliases:
            aliases[row["model"]][row["alias"]] = f"{row['model']}:{row['number']}"
    return Glance(
        generation=generation,
        blobs=blobs,
        models=tuple(name for (name,) in connection.execute("SELECT name FROM model ORDER BY name")),
        deployed=deployed,
        beside=tuple(_served(connection, row, blobs) for row in connection.execute(_BESIDE)),
        aliases=aliases,
        keys=tuple(map(_key, connection.execute("SELECT * FROM api_key ORDER BY created_at, id"))),
    )


def _served(connection: sqlite3.Connection, row: sqlite3.Row, blobs: Path) -> Served:
    ref = f"{row['model']}:{row['number']}"
    content = listed(FolderBlobs(blobs), ref, row["content_id"])
    attested = {name: FileEntry(sha, size) for name, sha, size in connection.execute(_ATTESTED, [row["id"]])}
    return Served(model=row["model"], ref=ref, format=row["format"], manifest=Manifest(content, attested))


def _key(row: sqlite3.Row) -> ApiKey:
    facts: dict[str, Any] = dict(row)
    lists = {name: tuple(msgspec.json.decode(facts[name])) for name in ("models", "verbs")}
    # As `schema.Utc` keeps them: without their zone, which is UTC.
    times = {name: datetime.fromisoformat(facts[name]).replace(tzinfo=UTC) for name in _TIMES if facts[name]}
    return ApiKey(**{**facts, **lists, **times})
