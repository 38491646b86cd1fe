"""Versions that are served beside the one that takes a model's traffic: they answer where asked for by number."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from mainstay.registry import schema, versions
from mainstay.registry.records import Beside, Version

_B = schema.beside.c
_HERE = "beside_"
_ALL = (
    versions.query_with(_HERE, _B.generation, _B.override, _B.actor, _B.reason, _B.since)
    .where(_B.version_id.is_not(None))
    .order_by(schema.model.c.name, schema.version.c.number)
)
_OF_MODEL = _ALL.where(schema.model.c.name == bindparam("called"))


def of_all(connection: Connection) -> dict[str, tuple[Beside, ...]]:
    """By model, in the order of their numbers."""
    found: dict[str, tuple[Beside, ...]] = {}
    for each in map(_beside, connection.execute(_ALL)):
        found[each.version.model] = (*found.get(each.version.model, ()), each)
    return found


def of_model(connection: Connection, model: str) -> tuple[Beside, ...]:
    """In the order of their numbers."""
    return tuple(_beside(row) for row in connection.execute(_OF_MODEL, {"called": model}))


def put(
    connection: Connection,
    version: Version,
    *,
    generation: int,
    override: bool,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Has a version of a deployed model served beside."""
    row = {
        "model_id": versions.model_id(connection, version.model),
        "version_id": version.id,
        "generation": generation,
        "override": override,
        "actor": actor,
        "reason": reason,
        "since": at,
    }
    connection.execute(insert(schema.beside), row)


def remove(connection: Connection, gone: Iterable[Version]) -> None:
    """Has versions not served beside any more."""
    ids = [version.id for version in gone]
    if ids:
        connection.execute(delete(schema.beside).where(_B.version_id.in_(ids)))


def generation_of(connection: Connection, version: Version) -> int | None:
    """The generation that brought a version beside; None: it is not served so."""
    found = connection.execute(select(_B.generation).where(_B.version_id == version.id)).scalar_one_or_none()
    return None if found is None else int(found)


def _beside(row: Row[Any]) -> Beside:
    version, mine = versions.parted(row, _HERE)
    return Beside(version=version, **mine)
