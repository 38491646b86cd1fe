"""Where the versions of deployments run: brought to this machine, admitted, then inside the workers or in hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mainstay.errors import MachineError, MainstayError
from mainstay.models.package import Package
from mainstay.models.signing import NotSigned
from mainstay.registry.local import LocalCopies
from mainstay.registry.records import Deployment, Rollout, Version
from mainstay.serving.admission import Admission, NotAdmitted
from mainstay.serving.hosts import Hosts
from mainstay.serving.routing import IN_WORKER, Candidate, Placed, Route, Table

APART = ("probe", "split", "shadow")
"""The modes in which a candidate runs in a host, though it could run in the workers."""


class Packages(Protocol):
    """What is asked of the registry."""

    def version(self, ref: str) -> Version: ...
    def package(self, version: Version) -> Package: ...
    def rollout(self, model: str) -> Rollout | None: ...


class NoHost(MainstayError):
    """A version's host process could not be brought up."""


@dataclass
class Placing:
    """What a table is made of."""

    routes: dict[str, Route] = field(default_factory=dict)
    versions: dict[str, Placed] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    """By model, or of those beside by version, why what is deployed could not be placed."""
    hosted: set[str] = field(default_factory=set)
    """The versions that run in hosts, or are to, but for those that the operator does not admit."""
    pending: bool = False
    """Whether a host is still starting."""
    holds_back: bool = False
    """Whether one is of a version that answers, so that the first table waits for it."""


class Placer:
    """Places the versions of one machine."""

    def __init__(
        self,
        registry: Packages,
        copies: LocalCopies,
        hosts: Hosts,
        admission: Admission,
        *,
        lease: Callable[[str], int] = lambda rollout: -1,
    ) -> None:
        """`lease` gives the slot of the lease of a rollout's candidate."""
        self._registry, self._copies, self._hosts, self._admission = registry, copies, hosts, admission
        self._lease = lease

    def place(
        self, deployments: Iterable[Deployment], before: Table, aliases: Mapping[str, Mapping[str, str]]
    ) -> Placing:
        """Places all that is deployed; what cannot be leaves the others alone, and what answered before goes on.

        Args:
            before: the table that is followed now.
            aliases: by model, the version that each of its aliases names.

        Raises:
            MachineError: of the registry, not of a version.
        """
        done = Placing()
        for deployment in deployments:
            model = deployment.model
            route = before.routes.get(model, Route(stable=None))
            stable = self._tried(model, deployment.version, before, route.stable, done)
            beside = [
                self._tried(each.version.ref, each.version, before, each.version.ref, done)
                for each in deployment.beside
            ]
            placed = [each.version for each in beside if each is not None]
            done.holds_back = done.pending
            candidate = self._candidate(deployment, before, done)
            # Also where nothing could be placed: a model that is deployed is none that is unknown.
            done.routes[model] = Route(
                stable=None if stable is None else stable.version,
                beside=tuple(placed),
                aliases=dict(aliases.get(model, {})),
                candidate=candidate,
            )
        return done

    def _candidate(self, deployment: Deployment, before: Table, done: Placing) -> Candidate | None:
        """The candidate of a model's rollout, once it is placed.

        It runs in a host until it is to run in the stable version's place: its crash and its leak are its own.
        """
        wished = deployment.candidate
        if wished is None or wished.mode == "off":
            return None
        ref, sticky, checks = wished.version.ref, wished.plan.sticky, wished.plan.checks
        hosted, present = wished.mode in APART, before.versions.get(ref)
        earlier = None if present is None or (hosted and present.socket is None) else ref
        if self._tried(ref, wished.version, before, earlier, done, hosted=hosted) is None:
            return None
        # Of a blue-green rollout that has switched, the slot has the version before.
        judged = self._registry.rollout(deployment.model) if wished.mode == "warm" else None
        switched = judged is not None and judged.candidate.id == deployment.version.id
        return Candidate(
            rollout=wished.rollout,
            version=ref,
            mode="watch" if switched else wished.mode,
            share=wished.share,
            step=wished.step,
            header=None if sticky is None else sticky.header,
            field=None if sticky is None else sticky.field,
            slowdown=checks.slowdown,
            slack=checks.slack,
            lease=self._lease(wished.rollout),
        )

    def _tried(
        self,
        called: str,
        version: Version,
        before: Table,
        earlier: str | None,
        done: Placing,
        *,
        hosted: bool = False,
    ) -> Placed | None:
        """Where a version runs (`hosted`: in a host, whatever it is), else where the `earlier` one goes on that was in
        its place."""
        placed: Placed | None = None
        hosted = hosted or version.format != IN_WORKER
        if hosted:
            done.hosted.add(version.ref)
        present = before.versions.get(version.ref)
        if present is not None and (present.socket is not None) != hosted:
            present = None  # it is to run elsewhere
        try:
            placed = self._placed(version, present, hosted=hosted)
            done.pending |= placed is None
        except MachineError:
            raise
        except MainstayError as error:
            done.errors[called] = str(error)
            if isinstance(error, NotSigned | NotAdmitted):
                done.hosted.discard(version.ref)
        if placed is None and earlier is not None and earlier in before.versions:
            placed = self._goes_on(before.versions[earlier])
        if placed is not None:
            done.versions[placed.version] = placed
        return placed

    def _placed(self, version: Version, present: Placed | None, *, hosted: bool) -> Placed | None:
        """Where a version runs; None while its host is starting.

        Raises:
            NoHost: its host process cannot be brought up, and why.
            PackageCorrupt: its list of files is damaged.
            NotSigned, NotAdmitted: the operator asks for a signature that it does not have, or cannot be understood.
            UntrustedCode: it is a Python class, and the operator does not trust its code.
        """
        if present is not None and self._admission.admitted(version.ref):
            return present
        package = self._registry.package(version)
        self._admission.check(package, version)
        if present is not None:
            return present
        self._copies.bring(package)
        manifest = package.manifest
        if not hosted:
            return Placed(version=version.ref, manifest=manifest)
        state, told = self._hosts.ensure(version.ref, manifest)
        if state == "failed":
            raise NoHost(told)
        return None if state == "starting" else Placed(version=version.ref, manifest=manifest, socket=told)

    def _goes_on(self, placed: Placed) -> Placed | None:
        """The version that has answered until now, unless the operator has stopped admitting it."""
        if not self._admission.admitted(placed.version):
            version = self._registry.version(placed.version)
            try:
                self._admission.check(self._registry.package(version), version)
            except NotSigned:
                return None
            except NotAdmitted:
                pass  # what cannot be understood ends nothing that was admitted
        return placed
