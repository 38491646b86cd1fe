"""`mainstay deploy`: has a version take the traffic, or answer beside it, and waits for the servers to say so."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from mainstay.errors import CheckFailed, MachineError
from mainstay.models.classes import FORMAT
from mainstay.models.package import Package
from mainstay.operations.expecting import expected
from mainstay.operations.home import actor
from mainstay.operations.operator import admitted, allowed_here
from mainstay.operations.registries import opened, place_of
from mainstay.operations.telling import subscribe
from mainstay.registry.errors import DeploymentMoved, NotDeployed
from mainstay.registry.records import Beside, Deployment, Member, Version
from mainstay.registry.store import Registry
from mainstay.serving.environments import Environments
from mainstay.serving.logs import logger

POLL = 0.1
"""Seconds between two looks at what the servers acknowledged."""


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay deploy` answers."""

    version: str
    before: str | None
    """What took the traffic until now."""
    beside: str | None = None
    """What takes the traffic, where the version answers beside it."""
    ended: str | None = None
    """The candidate of the rollout that was ended by it."""
    generation: int
    servers: int
    """Running servers, all of which have acknowledged."""
    urls: list[str]


class DidNotComeUp(CheckFailed):
    """A running server could not load the version, or got other answers than its golden ones."""


class NotAcknowledged(MachineError):
    """A running server did not say in time that it serves the version."""


def deploy(
    folder: Path,
    ref: str,
    *,
    reason: str = "",
    override: bool = False,
    beside: bool = False,
    expecting: str | None = None,
    timeout: float = 60.0,
) -> Deployed:
    """Deploys a version, and returns when every worker of every running server serves it.

    Where a server cannot bring it up, the version that was served before is deployed again; it never stopped
    answering.

    Args:
        beside: leave the traffic where it is: the version answers where it is asked for by number.
        override: deploy although it failed a gate; takes a reason, and is recorded.
        expecting: the version that has to take the traffic now, such as "credit:1", or "none"; by default any.
        timeout: seconds to wait for running servers.

    Raises:
        NotDeployable: it did not pass its gates.
        PackageCorrupt: a file of it was changed or lost.
        NotSigned: no key that the operator asks for has signed it. UntrustedCode: he does not trust a class's code.
        CannotInstall, IndexAway, MissingExtra: the environment of a class cannot be built here.
        DidNotComeUp: a server could not bring it up; nothing changed.
        NotAcknowledged: a server did not answer in time; the deployment stands.
        NotDeployed, TakesTraffic: it cannot be beside another version, for none takes the traffic, or it does itself.
        VersionNotFound and its like; DeploymentMoved: another version than the expected one takes the
            traffic, or somebody else deployed meanwhile.
    """
    with opened(folder, create=False) as registry:
        version = registry.version(ref)
        return deploy_in(
            folder,
            registry,
            version,
            admitted(folder, registry, version),
            registry.deployment(version.model),
            reason=reason,
            override=override,
            beside=beside,
            expecting=expecting,
            timeout=timeout,
        )


def deploy_in(
    folder: Path,
    registry: Registry,
    version: Version,
    package: Package,
    before: Deployment | None,
    *,
    reason: str,
    override: bool,
    beside: bool,
    expecting: str | None,
    timeout: float,
) -> Deployed:
    """As `deploy`, in an open registry: of a version with its package, admitted by the operator, in place of what was
    seen deployed."""
    subscribe(folder, registry)
    if expecting is not None:
        check_expected(registry, expecting, version.model, before)
    ready_here(folder, package)
    if beside:
        return put_beside(registry, version, before, reason=reason, override=override, timeout=timeout)
    return switch(registry, version, before, reason=reason, override=override, timeout=timeout)


def check_expected(registry: Registry, expecting: str, model: str, now: Deployment | None) -> None:
    """Raises DeploymentMoved where another version takes the traffic; BadName, VersionNotFound."""
    wanted, found = expected(registry, expecting, model), None if now is None else now.version.ref
    if wanted != found:
        raise DeploymentMoved(model, expected=wanted, found=found, by=now.actor if now else None)


def ready_here(folder: Path, package: Package) -> None:
    """Builds the environment of a class where its servers run on this machine, so that they need not wait for it.

    Raises:
        CannotInstall, IndexAway, MissingExtra, MachineError: it cannot be built.
    """
    if package.spec.format == FORMAT and isinstance(place_of(folder)[0], Path):
        log = logger(human=True)
        Environments(allowed_here(folder).environments).of(package, lambda told: log("environment", told))


def switch(
    registry: Registry,
    version: Version,
    before: Deployment | None,
    *,
    reason: str,
    override: bool,
    timeout: float,
    by: str = "",
) -> Deployed:
    """Deploys a version in place of what the caller saw deployed, and waits for the servers; see `deploy`.

    Args:
        by: who does it; by default, whose process this is.
    """
    who = by or actor()
    _check_files(registry.package(version))
    running = registry.rollout(version.model)
    deployment = registry.deploy(
        version,
        expecting=None if before is None else before.version,
        actor=who,
        reason=reason,
        override=override,
    )
    now = registry.rollout(version.model)
    members = acknowledged(registry, deployment.generation, timeout, what=f"{version.ref} is deployed")
    if troubles := {m.url: m.errors[version.model] for m in members if version.model in m.errors}:
        _undo(registry, deployment, before, troubles, who)
    return Deployed(
        version=version.ref,
        before=None if before is None or before.version.id == version.id else before.version.ref,
        ended=running.candidate.ref if running is not None and (now is None or now.id != running.id) else None,
        generation=deployment.generation,
        servers=len(members),
        urls=[member.url for member in members],
    )


def put_beside(
    registry: Registry, version: Version, before: Deployment | None, *, reason: str, override: bool, timeout: float
) -> Deployed:
    """Deploys a version beside what the caller saw deployed, and waits for the servers; see `deploy`."""
    _check_files(registry.package(version))
    if before is None:
        raise NotDeployed(version.model)
    placed = registry.deploy_beside(version, expecting=before.version, actor=actor(), reason=reason, override=override)
    members = acknowledged(registry, placed.generation, timeout, what=f"{version.ref} is deployed")
    if troubles := {m.url: m.errors[version.ref] for m in members if version.ref in m.errors}:
        _undo_beside(registry, placed, before, troubles)
    return Deployed(
        version=version.ref,
        before=None,
        beside=before.version.ref,
        generation=placed.generation,
        servers=len(members),
        urls=[member.url for member in members],
    )


def _check_files(package: Package) -> None:
    """Raises PackageCorrupt where a file that decides the answers was changed or lost: no server could load it."""
    for name in package.manifest.content:
        package.read(name)


def acknowledged(registry: Registry, generation: int, timeout: float, *, what: str) -> list[Member]:
    """The live servers, once each has followed the registry to a generation. One that dies is not waited for.

    Args:
        timeout: seconds.
        what: what this generation brought, in words.

    Raises:
        NotAcknowledged: one did not in time.
    """
    until = time.monotonic() + timeout
    while True:
        members = registry.members()
        behind = [member for member in members if member.generation < generation]
        if not behind:
            return members
        if time.monotonic() >= until:
            who = ", ".join(f"{member.url} (process {member.pid})" for member in behind)
            raise NotAcknowledged(
                f"{what}, but {who} did not acknowledge it within {timeout:g} s: look at that server's log."
            )
        time.sleep(POLL)


def _undo(
    registry: Registry, failed: Deployment, before: Deployment | None, troubles: dict[str, str], who: str
) -> None:
    why = _told(failed.version, troubles)
    if before is None:
        registry.undeploy(failed.model, expecting=failed.version, actor=who, reason=why)
        raise DidNotComeUp(f"{why} Nothing is deployed for {failed.model}.")
    if before.version.id != failed.version.id:
        registry.deploy(
            before.version, expecting=failed.version, actor=who, reason=why, override=not before.version.passed
        )
    raise DidNotComeUp(f"{why} {before.version.ref} goes on answering.")


def _undo_beside(registry: Registry, failed: Beside, before: Deployment, troubles: dict[str, str]) -> None:
    """Takes a version away again, unless it was there before this was asked for."""
    why = _told(failed.version, troubles)
    if failed.version.ref not in before.refs:
        registry.undeploy_beside(failed, actor=actor(), reason=why)
    raise DidNotComeUp(f"{why} {before.version.ref} goes on answering.")


def _told(failed: Version, troubles: dict[str, str]) -> str:
    url, trouble = next(iter(troubles.items()))
    return f"{failed.ref} did not come up on {url}: {trouble}"
