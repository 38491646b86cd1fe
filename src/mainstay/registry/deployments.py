"""Deployments: which versions of a model are served. Each change has a generation of its own, for those who follow."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from mainstay.errors import MainstayError
from mainstay.registry import beside, events, rollouts, schema, versions
from mainstay.registry.errors import DeploymentMoved, InRollout, NotBeside, NotDeployable, NotDeployed, TakesTraffic
from mainstay.registry.records import Beside, Candidate, Deployment, Version

_D, _M, _C = schema.deployment.c, schema.model.c, schema.counter.c
_HERE = "deployment_"
# Made once: making a statement takes longer than SQLite takes to run it, and controllers ask five times a second.
_ALL = versions.query_with(_HERE, _D.generation, _D.override, _D.actor, _D.reason, _D.since).where(
    _D.version_id.is_not(None)
)
_BY_NAME = _ALL.order_by(_M.name)
_OF_MODEL = _ALL.where(_M.name == bindparam("called"))


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
    version, overridden = deployable(connection, version, override=override, reason=reason)
    found = of_model(connection, version.model)
    compare(version.model, found, expecting)
    if found is not None and found.version.id == version.id:
        return found  # nothing changes, so nothing happens
    generation = next_generation(connection)
    if found is not None:
        why = f"{actor} deployed {version.ref}"
        _end_rollout(connection, version.model, why, generation, takes=version, actor=actor, at=at)
    switch(
        connection,
        version,
        found.version if found else None,
        generation=generation,
        override=overridden,
        actor=actor,
        reason=reason,
        at=at,
    )
    deployed = of_model(connection, version.model)
    assert deployed is not None
    return deployed


def switch(
    connection: Connection,
    version: Version,
    before: Version | None,
    *,
    generation: int,
    override: bool,
    actor: str,
    reason: str,
    at: datetime,
    rollout: str | None = None,
) -> None:
    """Gives a model's traffic to `version` from `before` (None: it had none), as a rollout's move or a person's."""
    row = {
        "version_id": version.id,
        "generation": generation,
        "override": override,
        "actor": actor,
        "reason": reason,
        "since": at,
    }
    model_id = versions.model_id(connection, version.model)
    if before is None:
        connection.execute(insert(schema.deployment), {"model_id": model_id, **row})
    else:
        connection.execute(update(schema.deployment).where(_D.model_id == model_id).values(row))
    beside.remove(connection, [version])  # what takes the traffic is not beside itself
    events.write(
        connection,
        events.DEPLOYED,
        at=at,
        actor=actor,
        model=version.model,
        version=version.number,
        reason=reason,
        evidence={
            "from": before.number if before else None,
            "generation": generation,
            "passed": version.passed,
            "override": override,
        }
        | ({} if rollout is None else {"rollout": rollout}),
    )


def undeploy(connection: Connection, model: str, *, expecting: Version, actor: str, reason: str, at: datetime) -> int:
    """Ends the serving of a model, and of what is beside; the generation that brought this.

    Raises:
        ModelNotFound, DeploymentMoved.
    """
    model_id = versions.model_id(connection, model)
    found = of_model(connection, model)
    compare(model, found, expecting)
    others = [] if found is None else [each.version for each in found.beside]
    beside.remove(connection, others)
    reached = next_generation(connection)
    _end_rollout(connection, model, f"{actor} undeployed {model}", reached, takes=None, actor=actor, at=at)
    connection.execute(delete(schema.deployment).where(_D.model_id == model_id))
    events.write(
        connection,
        events.UNDEPLOYED,
        at=at,
        actor=actor,
        model=model,
        version=expecting.number,
        reason=reason,
        evidence={"generation": reached} | ({"beside": [each.number for each in others]} if others else {}),
    )
    return reached


def deploy_beside(
    connection: Connection,
    version: Version,
    *,
    expecting: Version,
    actor: str,
    reason: str,
    override: bool,
    at: datetime,
) -> Beside:
    """Has `version` served beside `expecting`, the one that takes the traffic.

    Raises:
        NotDeployed: nothing takes the traffic. TakesTraffic: this one does.
        InRollout: a rollout takes it where it belongs.
        VersionNotFound, NotDeployable, DeploymentMoved; MainstayError: an override without a reason.
    """
    version, overridden = deployable(connection, version, override=override, reason=reason)
    found = of_model(connection, version.model)
    if found is None:
        raise NotDeployed(version.model)
    compare(version.model, found, expecting)
    if found.version.id == version.id:
        raise TakesTraffic(version.ref)
    running = rollouts.active(connection, version.model) if version.candidate else None
    if running is not None:
        raise InRollout(version.ref, running.id)
    if not version.beside:
        reached = next_generation(connection)
        beside.put(connection, version, generation=reached, override=overridden, actor=actor, reason=reason, at=at)
        events.write(
            connection,
            events.DEPLOYED_BESIDE,
            at=at,
            actor=actor,
            model=version.model,
            version=version.number,
            reason=reason,
            evidence={
                "beside": found.version.number,
                "generation": reached,
                "passed": version.passed,
                "override": overridden,
            },
        )
    return next(each for each in beside.of_model(connection, version.model) if each.version.id == version.id)


def undeploy_beside(connection: Connection, expecting: Beside, *, actor: str, reason: str, at: datetime) -> int:
    """Ends the serving of one that is beside, if it is the one that was seen; the generation that brought this.

    Raises:
        NotBeside, TakesTraffic.
    """
    version = expecting.version
    others = beside.of_model(connection, version.model)
    if beside.generation_of(connection, version) != expecting.generation:
        found = of_model(connection, version.model)
        if found is not None and found.version.id == version.id:
            raise TakesTraffic(version.ref)
        raise NotBeside(version.ref, [each.version.ref for each in others])
    beside.remove(connection, [version])
    reached = next_generation(connection)
    events.write(
        connection,
        events.UNDEPLOYED_BESIDE,
        at=at,
        actor=actor,
        model=version.model,
        version=version.number,
        reason=reason,
        evidence={"generation": reached},
    )
    return reached


def all_of_them(connection: Connection) -> list[Deployment]:
    """Every deployment, by the name of its model."""
    others, candidates = beside.of_all(connection), rollouts.candidates(connection)
    rows = connection.execute(_BY_NAME)
    return [_deployment(row, others.get(row.model, ()), candidates.get(row.model)) for row in rows]


def of_model(connection: Connection, model: str) -> Deployment | None:
    row = connection.execute(_OF_MODEL, {"called": model}).first()
    if row is None:
        return None
    return _deployment(row, beside.of_model(connection, model), rollouts.candidate(connection, model))


def generation(connection: Connection) -> int:
    """How many times a deployment was changed."""
    return int(connection.execute(select(_C.value).where(_C.name == "generation")).scalar_one())


def mark(connection: Connection) -> tuple[int, int]:
    """The generation, and the id of the newest event (0: none)."""
    newest = select(func.max(schema.event.c.id)).scalar_subquery()
    reached, event = connection.execute(select(_C.value, newest).where(_C.name == "generation")).one()
    return int(reached), int(event or 0)


def deployable(connection: Connection, version: Version, *, override: bool, reason: str) -> tuple[Version, bool]:
    """A version as it is in the database, not as the caller holds it, and whether its gates are overridden.

    Raises:
        VersionNotFound, NotDeployable; MainstayError: an override without a reason.
    """
    version = versions.by_id(connection, version.id, ref=version.ref)
    if not version.passed and not override:
        raise NotDeployable(version.ref)
    overridden = override and not version.passed
    if overridden and not reason.strip():
        raise MainstayError(f"{version.ref} did not pass its gates: an override needs a reason, which is recorded.")
    return version, overridden


def next_generation(connection: Connection) -> int:
    counted = update(schema.counter).where(_C.name == "generation").values(value=_C.value + 1).returning(_C.value)
    return int(connection.execute(counted).scalar_one())


def compare(model: str, found: Deployment | None, expecting: Version | None) -> None:
    if (found.version.id if found else None) != (expecting.id if expecting else None):
        raise DeploymentMoved(
            model,
            expected=expecting.ref if expecting else None,
            found=found.version.ref if found else None,
            by=found.actor if found else None,
        )


def _deployment(row: Row[Any], others: tuple[Beside, ...], candidate: Candidate | None) -> Deployment:
    version, mine = versions.parted(row, _HERE)
    return Deployment(version=version, beside=others, candidate=candidate, **mine)


def _end_rollout(
    connection: Connection, model: str, why: str, generation: int, *, takes: Version | None, actor: str, at: datetime
) -> None:
    """What a person does to a deployment by hand ends the rollout that runs of it."""
    running = rollouts.active(connection, model)
    if running is not None:
        kind = events.ROLLOUT_ROLLED_BACK
        rollouts.end(connection, running, takes=takes, kind=kind, generation=generation, actor=actor, why=why, at=at)
