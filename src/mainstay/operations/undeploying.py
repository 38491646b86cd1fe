"""`mainstay undeploy`: ends the serving of a model, or of one version beside, and waits for the servers to say so."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mainstay.operations.deploying import acknowledged
from mainstay.operations.home import actor
from mainstay.operations.registries import opened
from mainstay.operations.telling import subscribe
from mainstay.registry import refs
from mainstay.registry.errors import ModelNotFound, NotBeside, NotDeployed, TakesTraffic
from mainstay.registry.records import Deployment
from mainstay.registry.store import Registry


class Undeployed(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay undeploy` answers."""

    versions: list[str]
    """Those that are not served any more."""
    serving: list[str]
    """The versions of the model that still are, the one that takes the traffic first."""
    generation: int
    servers: int
    """Running servers, all of which have acknowledged."""
    urls: list[str]


def undeploy(folder: Path, ref: str, *, reason: str = "", timeout: float = 60.0) -> Undeployed:
    """Ends the serving of a model by its name, "credit"; or of one version beside another, "credit:2". Returns when
    every worker of every running server has let go of it.

    Args:
        timeout: seconds to wait for running servers.

    Raises:
        NotDeployed: nothing of the model is served. NotBeside: this version is not.
        TakesTraffic: the version takes the traffic: another one has to take its place, or the whole model goes.
        NotAcknowledged: a server did not answer in time; it is undeployed all the same.
        DeploymentMoved: somebody else changed it meanwhile.
        NoRegistry, ModelNotFound, VersionNotFound and its like.
    """
    parsed = refs.parse(ref)
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        if parsed.model not in (known := registry.models()):
            raise ModelNotFound(parsed.model, known)
        deployment = registry.deployment(parsed.model)
        if deployment is None:
            raise NotDeployed(parsed.model)
        if parsed.number is None and parsed.alias is None:
            return end(registry, deployment, reason=reason, timeout=timeout)
        return _take_away(registry, deployment, registry.version(ref).ref, reason=reason, timeout=timeout)


def end(registry: Registry, deployment: Deployment, *, reason: str, timeout: float, by: str = "") -> Undeployed:
    """Ends the serving of a model as the caller saw it, and waits for the servers; see `undeploy`.

    Args:
        by: who does it; by default, whose process this is.
    """
    reached = registry.undeploy(deployment.model, expecting=deployment.version, actor=by or actor(), reason=reason)
    members = acknowledged(registry, reached, timeout, what=f"{deployment.model} is undeployed")
    return Undeployed(
        versions=deployment.refs,
        serving=[],
        generation=reached,
        servers=len(members),
        urls=[member.url for member in members],
    )


def _take_away(registry: Registry, deployment: Deployment, ref: str, *, reason: str, timeout: float) -> Undeployed:
    if ref == deployment.version.ref:
        raise TakesTraffic(ref)
    seen = next((each for each in deployment.beside if each.version.ref == ref), None)
    if seen is None:
        raise NotBeside(ref, [each.version.ref for each in deployment.beside])
    reached = registry.undeploy_beside(seen, actor=actor(), reason=reason)
    members = acknowledged(registry, reached, timeout, what=f"{ref} is undeployed")
    return Undeployed(
        versions=[ref],
        serving=[other for other in deployment.refs if other != ref],
        generation=reached,
        servers=len(members),
        urls=[member.url for member in members],
    )
