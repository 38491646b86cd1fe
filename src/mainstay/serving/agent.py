"""The agent of a machine: follows the registry, places versions, writes the routing table, and says what is served.

One step at a time, called every moment by the supervisor: nothing in it waits.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from mainstay.errors import MachineError, MainstayError
from mainstay.models.package import Manifest, Package
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.ids import new_id
from mainstay.registry.records import Deployment, Member, Version
from mainstay.serving.hosts import Hosts
from mainstay.serving.logs import Log
from mainstay.serving.routing import Placed, Route, Table, acknowledgements, write_table

BEAT_EVERY = 1.0
"""Seconds between two beats without news."""
IN_WORKER = "onnx"


class Facts(Protocol):
    """What the agent asks of the registry."""

    blobs: FolderBlobs

    def generation(self) -> int: ...
    def deployments(self) -> list[Deployment]: ...
    def package(self, version: Version) -> Package: ...
    def beat(self, member: Member) -> None: ...
    def leave(self, member_id: str) -> None: ...


class Agent:
    """Follows a registry for the workers of one server."""

    def __init__(self, registry: Facts, run: Path, *, url: str, trusted: Sequence[str], log: Log) -> None:
        self.registry, self.run, self.url, self.log = registry, run, url, log
        self.hosts = Hosts(registry.blobs.root, trusted=trusted, log=log)
        self.started_at = datetime.now(UTC)
        self.id = new_id(self.started_at)
        self.generation: int | None = None
        """The generation of the table that is written."""
        self._errors: dict[str, str] = {}
        self._placed: dict[str, Placed] = {}
        self._routes: dict[str, str] = {}
        self._said: tuple[int, dict[str, str]] | None = None
        self._beat_at = 0.0
        self._away = False

    def step(self, workers: Collection[int]) -> None:
        """Brings the table up to the registry, and the registry up to the workers (given by process id).

        A registry that cannot be reached stops nothing: the workers go on with the table they have.
        """
        self.hosts.look_after()
        try:
            self._follow()
            self._report(workers)
        except MachineError as error:
            if not self._away:
                self.log("registry_away", f"The registry cannot be reached; serving goes on: {error}", level="error")
            self._away = True
        else:
            self._away = False

    def serving(self) -> list[str]:
        """The versions of the table, in order."""
        return sorted(self._routes.values())

    def close(self) -> None:
        """Ends the hosts and leaves the registry."""
        self.hosts.close()
        try:
            self.registry.leave(self.id)
        except MachineError as error:
            self.log("registry_away", f"The registry was not told of the end: {error}", level="error")

    def _follow(self) -> None:
        generation = self.registry.generation()
        if generation == self.generation:
            return
        routes: dict[str, str] = {}
        placed: dict[str, Placed] = {}
        errors: dict[str, str] = {}
        for deployment in self.registry.deployments():
            version, model = deployment.version, deployment.model
            try:
                found = self._place(version)
            except MainstayError as error:
                errors[model] = str(error)
                present = self._routes.get(model)
                if present is not None:
                    routes[model], placed[present] = present, self._placed[present]
                continue
            if found is None:
                return  # a host is still starting: the table is written once it is ready, or has failed
            routes[model], placed[version.ref] = version.ref, found
        write_table(
            self.run,
            Table(
                generation=generation,
                blobs=str(self.registry.blobs.root),
                routes={model: Route(stable=ref) for model, ref in routes.items()},
                versions=placed,
            ),
        )
        self.hosts.keep({ref for ref, place in placed.items() if place.socket is not None})
        self.generation, self._routes, self._placed, self._errors = generation, routes, placed, errors
        self.log("routed", f"Generation {generation}: {', '.join(self.serving()) or 'nothing is deployed'}.")

    def _place(self, version: Version) -> Placed | None:
        """Where a version runs; None while its host is starting.

        Raises:
            MainstayError: it cannot run here, and why.
        """
        if version.ref in self._placed and version.ref in self._routes.values():
            return self._placed[version.ref]
        manifest: Manifest = self.registry.package(version).manifest
        if version.format == IN_WORKER:
            return Placed(version=version.ref, manifest=manifest)
        state, told = self.hosts.ensure(version.ref, manifest)
        if state == "failed":
            self.hosts.keep({ref for ref, place in self._placed.items() if place.socket is not None})
            raise MachineError(told)
        return None if state == "starting" else Placed(version=version.ref, manifest=manifest, socket=told)

    def _report(self, workers: Collection[int]) -> None:
        """Beats, with the newest generation that all workers serve, at once where that is news."""
        said = [each for each in acknowledgements(self.run) if each.pid in workers]
        generation = min((each.generation for each in said), default=0) if len(said) == len(workers) else 0
        errors = dict(self._errors)
        for each in said:
            errors |= each.errors
        now = time.monotonic()
        if self._said == (generation, errors) and now - self._beat_at < BEAT_EVERY:
            return
        self.registry.beat(
            Member(
                id=self.id,
                host=socket.gethostname(),
                pid=os.getpid(),
                url=self.url,
                started_at=self.started_at,
                generation=generation,
                errors=errors,
            )
        )
        self._said, self._beat_at = (generation, errors), now
