"""Aliases: movable names, moved only from where the mover saw them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from mainstay.registry import deployments, events, schema, versions
from mainstay.registry.errors import AliasMoved
from mainstay.registry.records import Alias, Version
from mainstay.registry.refs import CHAMPION, BadName, alias_name

_A = schema.alias.c
_RESERVED = {
    CHAMPION: "it is the version that is deployed: move it with mainstay deploy",
    "latest": "a model's name alone is its latest version",
}


def point(
    connection: Connection,
    model: str,
    name: str,
    version: Version | None,
    *,
    expecting: Version | None,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Moves an alias to a version of its model, or removes it (None); `expecting` is where it is now.

    Raises:
        BadName, ModelNotFound, VersionNotFound, AliasMoved.
    """
    alias_name(name)
    if name in _RESERVED:
        raise BadName(f"{name!r} cannot be an alias: {_RESERVED[name]}.")
    model_id = versions.model_id(connection, model)
    for given in (version, expecting):
        if given is not None and given.model != model:
            raise BadName(f"{given.ref} is no version of {model}: an alias names a version of its own model.")
    if version is not None:
        versions.by_id(connection, version.id, ref=version.ref)
    found = _held(connection, model_id, name)
    if (found.version_id if found else None) != (expecting.id if expecting else None):
        raise AliasMoved(
            model,
            name,
            expected=expecting.ref if expecting else None,
            found=f"{model}:{found.number}" if found else None,
            by=found.actor if found else None,
        )
    if version is not None and found is not None and found.version_id == version.id:
        return  # nothing moved, so nothing happened
    if version is None and found is None:
        return
    here = (_A.model_id == model_id) & (_A.name == name)
    if version is None:
        connection.execute(delete(schema.alias).where(here))
    else:
        row = {"version_id": version.id, "actor": actor, "reason": reason, "since": at}
        if found is None:
            connection.execute(insert(schema.alias), {"model_id": model_id, "name": name, **row})
        else:
            connection.execute(update(schema.alias).where(here).values(row))
    events.write(
        connection,
        events.ALIAS_MOVED if version is not None else events.ALIAS_REMOVED,
        at=at,
        actor=actor,
        model=model,
        version=version.number if version is not None else None,
        reason=reason,
        evidence={"alias": name, "from": expecting.number if expecting else None},
    )


def of_model(connection: Connection, model: str) -> list[Alias]:
    """The aliases of a model by name, with the champion where it is deployed. Raises ModelNotFound."""
    model_id = versions.model_id(connection, model)
    found = [
        Alias(model=model, name=row.name, number=row.number, actor=row.actor, reason=row.reason, since=row.since)
        for row in connection.execute(
            select(_A.name, _A.actor, _A.reason, _A.since, schema.version.c.number)
            .join(schema.version, schema.version.c.id == _A.version_id)
            .where(_A.model_id == model_id)
        )
    ]
    champion = deployments.of_model(connection, model)
    if champion is not None:
        found.append(
            Alias(
                model=model,
                name=CHAMPION,
                number=champion.version.number,
                actor=champion.actor,
                reason=champion.reason,
                since=champion.since,
            )
        )
    return sorted(found, key=lambda alias: alias.name)


def _held(connection: Connection, model_id: str, name: str) -> Row[Any, Any, Any] | None:
    return connection.execute(
        select(_A.version_id, _A.actor, schema.version.c.number)
        .join(schema.version, schema.version.c.id == _A.version_id)
        .where(_A.model_id == model_id, _A.name == name)
        .with_for_update(of=schema.alias)
    ).first()
