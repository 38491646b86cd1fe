"""The registry: few verbs over the database and the blobs.

Each call is atomic: it happened, with its event, or it did not. No promise spans two calls, which is why whatever
moves something says where it expects it to be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mainstay.models.package import Draft, Manifest, Package, encoded
from mainstay.registry import aliases, deployments, events, garbage, members, places, refs, versions
from mainstay.registry.blobs import Blobs
from mainstay.registry.contents import listed
from mainstay.registry.errors import AttestationExists
from mainstay.registry.keys import Keys
from mainstay.registry.outbox import Outbox
from mainstay.registry.records import Alias, Beside, Deployment, Event, Member, Version
from mainstay.registry.rolling import Rolling
from mainstay.registry.transactions import Transactions

LIVE_WITHIN = 10.0
"""Seconds since its last beat in which a member counts as live; an agent beats every second or two."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Registry(Rolling):
    """The versions, aliases, deployments, rollouts and events of a project.

    Any number of threads may share one; each process opens its own.
    Beside the errors that a call names, each raises MachineError (DiskFull, NotWritable, RegistryBusy,
    RegistryCorrupt) where the machine says no.
    """

    def __init__(self, database: Transactions, blobs: Blobs, clock: Callable[[], datetime] = utc_now) -> None:
        self.blobs = blobs
        self._database = database
        self._clock = clock
        self.outbox = Outbox(database, clock)
        """What webhooks are to be told."""
        self.keys = Keys(database, clock)
        """Who may ask servers for what."""

    @classmethod
    def open(
        cls,
        location: Path | str,
        create: bool = True,
        *,
        blobs: Path | str | None = None,
        clock: Callable[[], datetime] = utc_now,
        where: str = "The registry's url",
    ) -> Registry:
        """The registry at a place, made or brought up to date if need be.

        Args:
            location: a folder (a project's `.mainstay`), with SQLite in it; or a PostgreSQL URL, in which ${NAME}
                comes from the environment, as a password must.
            blobs: a folder, or "s3://BUCKET/PREFIX"; by default, in the folder of `location`. A URL needs it.
            where: what `location` is called in errors.

        Raises:
            NoRegistry: there is none, and `create` is false.
            RegistryNewer: a newer Mainstay wrote it.
            BadUrl, BadBlobs; MissingExtra: a place takes a library that is not installed.
            NotARegistry, NetworkFolder, RegistryAway, BlobsAway, and as every call.
        """
        database, kept = places.opened(location, blobs, create=create, where=where)
        return cls(database, kept, clock)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Versions

    def add(self, model: str, draft: Draft, *, passed: bool, actor: str, summary: Mapping[str, Any]) -> Version:
        """Registers a draft under the model's next number, once its files are on the disk.

        The same content with the same attestations and verdict is the version that is there already: nothing is
        added but an event. The same content with other ones (a new evaluation, say) is a new version; its files are
        stored once all the same.

        Args:
            passed: whether it passed its gates; else it is kept, and cannot be deployed.
            summary: a JSON object for lists, such as the metrics.

        Raises:
            BadName, IncompletePackage, PackageCorrupt, SignatureError.
        """
        refs.model_name(model)
        manifest, kind = draft.manifest(), versions.format_of(draft)
        self.blobs.sweep()
        # The hash of the list of the content files is the content id.
        before, kept = self._put(*draft.content.values(), *draft.attestations.values(), encoded(manifest.content))
        with self._database.write() as connection:
            garbage.restore(connection, self.blobs, before, kept)
            return versions.add(
                connection,
                model,
                manifest,
                kind=kind,
                passed=passed,
                actor=actor,
                summary=summary,
                at=self._clock(),
            )

    def attest(self, version: Version, name: str, data: bytes, *, actor: str) -> None:
        """Adds a document about a version; one that is there never changes.

        Raises:
            VersionNotFound; AttestationExists: another one of this name is there; MainstayError: a bad file name.
        """
        entry = Draft(content={}, attestations={name: data}).manifest().attestations[name]
        before, kept = self._put(data)
        if name in listed(self.blobs, version.ref, version.content_id):
            raise AttestationExists(version.ref, name)
        with self._database.write() as connection:
            garbage.restore(connection, self.blobs, before, kept)
            versions.attest(connection, version, name, entry, actor=actor, at=self._clock())

    def version(self, ref: str) -> Version:
        """The version that "credit:1", "credit@champion" or "credit" (the latest) names now.

        Raises:
            BadName, ModelNotFound, VersionNotFound, AliasNotFound; NotDeployed: there is no champion.
        """
        parsed = refs.parse(ref)
        with self._database.read() as connection:
            return versions.find(connection, parsed)

    def versions(self, model: str | None = None, limit: int = 100, before: Version | None = None) -> list[Version]:
        """Versions, newest first: at most `limit`, older than `before`. Raises ModelNotFound."""
        with self._database.read() as connection:
            return versions.page(connection, model=model, limit=limit, before=before)

    def models(self) -> list[str]:
        """The names of the models, in order."""
        with self._database.read() as connection:
            return versions.models(connection)

    def package(self, version: Version) -> Package:
        """The files of a version, each checked against its hash when it is read.

        Raises:
            PackageCorrupt: the list of its files is damaged or gone.
        """
        content = listed(self.blobs, version.ref, version.content_id)
        with self._database.read() as connection:
            attested = versions.attestations(connection, version.id)
        return Package(Manifest(content, attested), self.blobs.get)

    # Aliases

    def point(
        self,
        model: str,
        alias: str,
        version: Version | None,
        *,
        expecting: Version | None,
        actor: str,
        reason: str = "",
    ) -> None:
        """Moves an alias to `version`, or removes it (None), if it is at `expecting` (None: nowhere) now.

        Moved to where it is, nothing happens. "champion" cannot be moved: it is the deployed version.

        Raises:
            BadName, ModelNotFound, VersionNotFound; AliasMoved: it is not where it was expected.
        """
        with self._database.write() as connection:
            aliases.point(
                connection,
                model,
                alias,
                version,
                expecting=expecting,
                actor=actor,
                reason=reason,
                at=self._clock(),
            )

    def aliases(self, model: str) -> list[Alias]:
        """The aliases of a model by name, with "champion" where it is deployed. Raises ModelNotFound."""
        with self._database.read() as connection:
            return aliases.of_model(connection, model)

    # Deployments

    def deploy(
        self,
        version: Version,
        *,
        expecting: Version | None,
        actor: str,
        reason: str = "",
        override: bool = False,
    ) -> Deployment:
        """Makes `version` the one that takes its model's traffic, if `expecting` (None: nothing) does now.

        Of the version that is served already nothing changes. A rollout that runs is ended with it, as rolled back.

        Args:
            override: deploy it although it did not pass its gates; takes a reason, and is recorded with it.

        Raises:
            NotDeployable: it did not pass its gates.
            DeploymentMoved: another one is served than expected.
            VersionNotFound; MainstayError: an override without a reason.
        """
        with self._database.write() as connection:
            return deployments.deploy(
                connection,
                version,
                expecting=expecting,
                actor=actor,
                reason=reason,
                override=override,
                at=self._clock(),
            )

    def undeploy(self, model: str, *, expecting: Version, actor: str, reason: str = "") -> int:
        """Ends the serving of a model, of what is beside and of a rollout's candidate, if `expecting` takes its traffic
        now; the generation that brought this.

        Raises:
            ModelNotFound, DeploymentMoved.
        """
        with self._database.write() as connection:
            return deployments.undeploy(
                connection, model, expecting=expecting, actor=actor, reason=reason, at=self._clock()
            )

    def deploy_beside(
        self, version: Version, *, expecting: Version, actor: str, reason: str = "", override: bool = False
    ) -> Beside:
        """Has `version` served beside `expecting`, if that takes its model's traffic now; it answers where it is asked
        for by number.

        Of a version that is served so already nothing changes.

        Args:
            override: serve it although it did not pass its gates; takes a reason, and is recorded with it.

        Raises:
            NotDeployed: no version of the model takes the traffic. TakesTraffic: this one does.
            InRollout: a rollout that runs takes it where it belongs.
            NotDeployable: it did not pass its gates.
            DeploymentMoved: another one takes the traffic than expected.
            VersionNotFound; MainstayError: an override without a reason.
        """
        with self._database.write() as connection:
            return deployments.deploy_beside(
                connection,
                version,
                expecting=expecting,
                actor=actor,
                reason=reason,
                override=override,
                at=self._clock(),
            )

    def undeploy_beside(self, expecting: Beside, *, actor: str, reason: str = "") -> int:
        """Ends the serving of a version beside, if it is served as `expecting` says; the generation that brought this.

        Raises:
            NotBeside: it is not, or it was taken away and put there again. TakesTraffic: it takes the traffic now.
        """
        with self._database.write() as connection:
            return deployments.undeploy_beside(connection, expecting, actor=actor, reason=reason, at=self._clock())

    def deployments(self) -> list[Deployment]:
        """What is being served, by the name of the model."""
        with self._database.read() as connection:
            return deployments.all_of_them(connection)

    def deployment(self, model: str) -> Deployment | None:
        """What is being served of a model; None: nothing, or no such model."""
        with self._database.read() as connection:
            return deployments.of_model(connection, model)

    def generation(self) -> int:
        """A number that grows with every change of a deployment, and with nothing else."""
        with self._database.read() as connection:
            return deployments.generation(connection)

    def mark(self) -> tuple[int, int]:
        """What changes whenever anything does: the generation, and the id of the newest event (0: none)."""
        with self._database.read() as connection:
            return deployments.mark(connection)

    # Events

    def record(
        self,
        kind: str,
        *,
        actor: str,
        model: str | None = None,
        version: int | None = None,
        reason: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> int:
        """Tells of something that happened outside of the registry, such as a failed training; the event's id."""
        with self._database.write() as connection:
            return events.write(
                connection,
                kind,
                at=self._clock(),
                actor=actor,
                model=model,
                version=version,
                reason=reason,
                evidence=evidence,
            )

    def events(self, model: str | None = None, after: int = 0, limit: int = 100) -> list[Event]:
        """The first `limit` events with an id above `after`, oldest first."""
        with self._database.read() as connection:
            return events.page(connection, model=model, after=after, limit=limit)

    def latest_events(
        self,
        model: str | None = None,
        limit: int = 100,
        kinds: Collection[str] | None = None,
        before: int | None = None,
    ) -> list[Event]:
        """The last `limit` events, newest first; only of some kinds, and with ids below `before`, where given."""
        with self._database.read() as connection:
            return events.latest(connection, model=model, limit=limit, kinds=kinds, before=before)

    # Members

    def beat(self, member: Member) -> None:
        """Tells that a serving agent lives, and what it serves; its first beat registers it."""
        with self._database.write() as connection:
            members.beat(connection, member, at=self._clock())

    def leave(self, member_id: str) -> None:
        """Forgets a serving agent that ends in order."""
        with self._database.write() as connection:
            members.leave(connection, member_id)

    def members(self, live_within: float = LIVE_WITHIN, now: datetime | None = None) -> list[Member]:
        """The serving agents that beat in the last `live_within` seconds before `now` (by default the clock's)."""
        since = (now or self._clock()) - timedelta(seconds=live_within)
        with self._database.read() as connection:
            return members.heard_since(connection, since)

    def _put(self, *data: bytes) -> tuple[str, dict[str, bytes]]:
        """Keeps blobs that nothing names yet: what `garbage.restore` takes, and they by their hashes."""
        before = ""
        if not self.blobs.guarded:
            with self._database.read() as connection:
                before = garbage.seen(connection)
        return before, {self.blobs.put(each): each for each in data}
