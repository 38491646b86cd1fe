"""Deployments: which version of a model is served. Each change has a generation of its own, for those who follow."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from mainstay.errors import MainstayError
from mainstay.registry import events, schema, versions
from mainstay.registry.errors import DeploymentMoved, NotDeployable
from mainstay.registry.records import Deployment, Version

_D, _M, _C = schema.deployment.c, schema.model.c, schema.counter.c
_HERE = "deployment_"


def deploy(
    connection: Connection,
    version: Version,
    *,
    expecting: Version | None,
    actor: str,
    reason: str,
    override: bool,
    at: datetime,
) -> Deployment:
    """Makes `version` the one that is served for its model; `expecting` is the one that is served now.

    Raises:
        VersionNotFound, NotDeployable, DeploymentMoved; MainstayError: an override without a reason.
    """
    # As it is in the database, not as the caller holds it.
    version = versions.by_id(connection, version.id, ref=version.ref)
    overridden = override and not version.passed
    if not version.passed and not override:
        raise NotDeployable(version.ref)
    if overridden and not reason.strip():
        raise MainstayError(f"{version.ref} did not pass its gates: an override needs a reason, which is recorded.")
    found = of_model(connection, version.model)
    _compare(version.model, found, expecting)
    if found is not None and found.version.id == version.id:
        return found  # nothing changes, so nothing happens
    row = {
        "version_id": version.id,
        "generation": _next_generation(connection),
        "override": overridden,
        "actor": actor,
        "reason": reason,
        "since": at,
    }
    model_id = versions.model_id(connection, version.model)
    if found is None:
        connection.execute(insert(schema.deployment), {"model_id": model_id, **row})
    else:
        connection.execute(update(schema.deployment).where(_D.model_id == model_id).values(row))
    events.write(
        connection,
        events.DEPLOYED,
        at=at,
        actor=actor,
        model=version.model,
        version=version.number,
        reason=reason,
        evidence={
            "from": found.version.number if found else None,
            "generation": row["generation"],
            "passed": version.passed,
            "override": overridden,
        },
    )
    deployed = of_model(connection, version.model)
    assert deployed is not None
    return deployed


def undeploy(connection: Connection, model: str, *, expecting: Version, actor: str, reason: str, at: datetime) -> int:
    """Ends the serving of a model; the generation that brought this.

    Raises:
        ModelNotFound, DeploymentMoved.
    """
    model_id = versions.model_id(connection, model)
    _compare(model, of_model(connection, model), expecting)
    connection.execute(delete(schema.deployment).where(_D.model_id == model_id))
    reached = _next_generation(connection)
    events.write(
        connection,
        events.UNDEPLOYED,
        at=at,
        actor=actor,
        model=model,
        version=expecting.number,
        reason=reason,
        evidence={"generation": reached},
    )
    return reached


def all_of_them(connection: Connection) -> list[Deployment]:
    """Every deployment, by the name of its model."""
    return [_deployment(row) for row in connection.execute(_deployments().order_by(_M.name))]


def of_model(connection: Connection, model: str) -> Deployment | None:
    row = connection.execute(_deployments().where(_M.name == model)).first()
    return _deployment(row) if row is not None else None


def generation(connection: Connection) -> int:
    """How many times a deployment was changed."""
    return int(connection.execute(select(_C.value).where(_C.name == "generation")).scalar_one())


def _next_generation(connection: Connection) -> int:
    counted = update(schema.counter).where(_C.name == "generation").values(value=_C.value + 1).returning(_C.value)
    return int(connection.execute(counted).scalar_one())


def _compare(model: str, found: Deployment | None, expecting: Version | None) -> None:
    if (found.version.id if found else None) != (expecting.id if expecting else None):
        raise DeploymentMoved(
            model,
            expected=expecting.ref if expecting else None,
            found=found.version.ref if found else None,
            by=found.actor if found else None,
        )


def _deployments() -> Select[Any]:
    columns = (_D.generation, _D.override, _D.actor, _D.reason, _D.since)
    return (
        versions.query()
        .add_columns(*(column.label(_HERE + column.name) for column in columns))
        .where(_D.version_id.is_not(None))
    )


def _deployment(row: Row[Any]) -> Deployment:
    mine, of_version = {}, {}
    for name, value in row._mapping.items():  # noqa: SLF001 — SQLAlchemy's public name for a row as a mapping
        if name.startswith(_HERE):
            mine[name.removeprefix(_HERE)] = value
        else:
            of_version[name] = value
    return Deployment(version=Version(**of_version), **mine)
