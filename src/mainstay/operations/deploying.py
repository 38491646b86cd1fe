"""`mainstay deploy`: makes a version the one that is served, and waits for the servers to say so."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from mainstay.errors import CheckFailed, MachineError
from mainstay.models.classes import FORMAT
from mainstay.models.package import Package
from mainstay.operations.home import actor
from mainstay.operations.operator import admitted, allowed_here
from mainstay.operations.registries import opened, place_of
from mainstay.operations.telling import subscribe
from mainstay.registry.records import Deployment, Member, Version
from mainstay.registry.store import Registry
from mainstay.serving.environments import Environments
from mainstay.serving.logs import logger

POLL = 0.1
"""Seconds between two looks at what the servers acknowledged."""


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay deploy` answers."""

    version: str
    before: str | None
    """What was served until now."""
    generation: int
    servers: int
    """Running servers, all of which have acknowledged."""
    urls: list[str]


class DidNotComeUp(CheckFailed):
    """A running server could not load the version, or got other answers than its golden ones."""


class NotAcknowledged(MachineError):
    """A running server did not say in time that it serves the version."""


def deploy(folder: Path, ref: str, *, reason: str = "", override: bool = False, timeout: float = 60.0) -> Deployed:
    """Deploys a version, and returns when every worker of every running server serves it.

    Where a server cannot bring it up, the version that was served before is deployed again; it never stopped
    answering.

    Args:
        override: deploy although it failed a gate; takes a reason, and is recorded.
        timeout: seconds to wait for running servers.

    Raises:
        NotDeployable: it did not pass its gates.
        PackageCorrupt: a file of it was changed or lost.
        NotSigned: no key that the operator asks for has signed it. UntrustedCode: he does not trust a class's code.
        CannotInstall, IndexAway, MissingExtra: the environment of a class cannot be built here.
        DidNotComeUp: a server could not bring it up; nothing changed.
        NotAcknowledged: a server did not answer in time; the deployment stands.
        VersionNotFound and its like; DeploymentMoved: somebody else deployed meanwhile.
    """
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        version = registry.version(ref)
        ready_here(folder, admitted(folder, registry, version))
        before = registry.deployment(version.model)
        return switch(registry, version, before, reason=reason, override=override, timeout=timeout)


def ready_here(folder: Path, package: Package) -> None:
    """Builds the environment of a class where its servers run on this machine, so that they need not wait for it.

    Raises:
        CannotInstall, IndexAway, MissingExtra, MachineError: it cannot be built.
    """
    if package.spec.format == FORMAT and isinstance(place_of(folder)[0], Path):
        log = logger(human=True)
        Environments(allowed_here(folder).environments).of(package, lambda told: log("environment", told))


def switch(
    registry: Registry, version: Version, before: Deployment | None, *, reason: str, override: bool, timeout: float
) -> Deployed:
    """Deploys a version in place of what the caller saw deployed, and waits for the servers; see `deploy`."""
    _check_files(registry.package(version))
    deployment = registry.deploy(
        version,
        expecting=None if before is None else before.version,
        actor=actor(),
        reason=reason,
        override=override,
    )
    members = _acknowledged(registry, deployment, timeout)
    if troubles := {m.url: m.errors[version.model] for m in members if version.model in m.errors}:
        _undo(registry, deployment, before, troubles)
    return Deployed(
        version=version.ref,
        before=None if before is None or before.version.id == version.id else before.version.ref,
        generation=deployment.generation,
        servers=len(members),
        urls=[member.url for member in members],
    )


def _check_files(package: Package) -> None:
    """Raises PackageCorrupt where a file that decides the answers was changed or lost: no server could load it."""
    for name in package.manifest.content:
        package.read(name)


def _acknowledged(registry: Registry, deployment: Deployment, timeout: float) -> list[Member]:
    """The live servers, once each has followed the registry to this deployment. One that dies is not waited for."""
    until = time.monotonic() + timeout
    while True:
        members = registry.members()
        behind = [member for member in members if member.generation < deployment.generation]
        if not behind:
            return members
        if time.monotonic() >= until:
            who = ", ".join(f"{member.url} (process {member.pid})" for member in behind)
            raise NotAcknowledged(
                f"{deployment.version.ref} is deployed, but {who} did not acknowledge it within {timeout:g} s: "
                "look at that server's log."
            )
        time.sleep(POLL)


def _undo(registry: Registry, failed: Deployment, before: Deployment | None, troubles: dict[str, str]) -> None:
    url, trouble = next(iter(troubles.items()))
    why = f"{failed.version.ref} did not come up on {url}: {trouble}"
    if before is None:
        registry.undeploy(failed.model, expecting=failed.version, actor=actor(), reason=why)
        raise DidNotComeUp(f"{why} Nothing is deployed for {failed.model}.")
    if before.version.id != failed.version.id:
        registry.deploy(
            before.version, expecting=failed.version, actor=actor(), reason=why, override=not before.version.passed
        )
    raise DidNotComeUp(f"{why} {before.version.ref} goes on answering.")
