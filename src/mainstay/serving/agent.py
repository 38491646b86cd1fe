"""The agent of a machine: follows the registry, places versions, writes the routing table, and says what is served.

It runs in a thread of its own, one step after the other: a registry that takes its time keeps nobody else waiting.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from msgspec import structs

from mainstay.errors import MachineError
from mainstay.models.package import Package
from mainstay.registry.blobs import Blobs
from mainstay.registry.evidence import Evidence
from mainstay.registry.ids import new_id
from mainstay.registry.keys import Keys
from mainstay.registry.local import LocalCopies
from mainstay.registry.records import Alias, Deployment, Member, Rollout, Version
from mainstay.serving import control
from mainstay.serving.admission import Admission, Signers
from mainstay.serving.candidates import Candidates
from mainstay.serving.control import Control
from mainstay.serving.first_table import First
from mainstay.serving.hosts import Hosts
from mainstay.serving.kinds import work_out_kinds
from mainstay.serving.launch import Allowed
from mainstay.serving.logs import Log, place_of
from mainstay.serving.management import Manage
from mainstay.serving.placing import Placer
from mainstay.serving.predictions.labelling import Labelling
from mainstay.serving.routing import Acknowledgement, Table, acknowledgements, write_table
from mainstay.serving.telling_keys import KeysTold

STEP = 0.1
"""Seconds between two steps."""
BEAT_EVERY = 1.0
"""Seconds between two beats without news."""
FIRST_TABLE_WITHIN = 20.0
"""Seconds that the first table waits for hosts: after that, the versions without one answer, and the others follow."""
LEAVE_WITHIN = 10.0
"""Seconds that the end of a server waits for a step that is under way."""
ASK_AGAIN = 2.0
"""Seconds after which a version that could not be placed is looked at again: it may be signed or trusted since."""


class Facts(Protocol):
    """What the agent asks of the registry."""

    blobs: Blobs
    keys: Keys

    def mark(self) -> tuple[int, int]: ...
    def models(self) -> list[str]: ...
    def aliases(self, model: str) -> list[Alias]: ...
    def deployments(self) -> list[Deployment]: ...
    def version(self, ref: str) -> Version: ...
    def package(self, version: Version) -> Package: ...
    def beat(self, member: Member) -> None: ...
    def leave(self, member_id: str) -> None: ...
    def rollout(self, model: str) -> Rollout | None: ...
    def beats(self) -> dict[str, int]: ...
    def report(self, member_id: str, evidence: Evidence) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Backing:
    """What a server answers from, and by whose leave."""

    registry: Facts
    """Open."""
    allowed: Callable[[], Allowed]
    """What the operator lets host processes do; asked whenever one is started."""
    signers: Signers = tuple
    """Asked again and again for the public keys of which one must have signed a version; none: nobody need."""
    manage: Manage | None = None
    """Brings about what callers ask to have changed, in threads of its own; None: nothing is."""


class Agent:
    """Follows a registry for the workers of one server."""

    def __init__(
        self,
        backing: Backing,
        run: Path,
        cache: Path,
        *,
        url: str,
        human: bool,
        timeout: float,
        log: Log,
        first: First | None = None,
    ) -> None:
        """`cache` is for files of versions where the registry keeps them on another machine; `timeout` is how many
        seconds a request may take; `first` is what the workers have already."""
        work_out_kinds()
        self.admission = Admission(backing.signers)
        registry, allowed = backing.registry, backing.allowed
        self.registry, self.run, self.url, self.log = registry, run, url, log
        self.copies = LocalCopies(registry.blobs, cache)
        self.hosts = Hosts(run, self.copies.folder.root, allowed=allowed, human=human, timeout=timeout, log=log)
        self.started_at = datetime.now(UTC)
        self.id = new_id(self.started_at)
        self.labelling = Labelling(registry, run.parent.parent)
        self.candidates = Candidates(registry, run, self.hosts, member=self.id, labelling=self.labelling)
        self.placer = Placer(registry, self.copies, self.hosts, self.admission, lease=self.candidates.lease)
        self.workers: frozenset[int] = frozenset()
        """Process ids of the workers that live, as the supervisor says."""
        self.ends: tuple[int, ...] = ()
        """By worker, how many of its ends told against what ran in it."""
        self.table = None if first is None else first.table
        """As it was written last."""
        self._begun = time.monotonic()
        self._looked: tuple[int, int, int, int] | None = None
        self._again_at = float("inf")
        self._manage = backing.manage
        self._control: Control | None = None
        self._hosted: set[str] = set()
        self._keys = KeysTold(registry.keys, run, told=None if first is None else first.grants)
        self._said: tuple[int, dict[str, str]] | None = None
        self._beat_at = 0.0
        self._trouble = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="agent", daemon=True)

    def start(self) -> None:
        """Takes its first step now, in the caller's thread, and the others in its own."""
        label = self.labelling
        self._control = Control(self.hosts.folder / control.NAME, self._manage, label=label, log=self.log)
        self.step()
        self._thread.start()

    def close(self) -> None:
        """Takes no more steps, ends the hosts and leaves the registry."""
        self._over.set()
        if self._control is not None:
            self._control.close()
        if self._thread.ident is not None:
            self._thread.join(LEAVE_WITHIN)
        self.hosts.close()
        try:
            self.candidates.close()
            self.registry.leave(self.id)
        except (MachineError, OSError) as error:
            self.log("registry_away", f"The registry was not told of the end: {error}", level="error")

    def serving(self) -> list[str]:
        """The versions of the table, by model, those that take the traffic first."""
        table = self.table
        return [] if table is None else [ref for model in sorted(table.routes) for ref in table.routes[model].placed]

    def refused(self) -> dict[str, str]:
        """The models, and the versions beside, that do not answer as deployed, and why: here, or in a worker."""
        found = self._errors()
        for said in acknowledgements(self.run):
            found |= said.errors
        return found

    def answering(self) -> list[str]:
        """The versions of the table of which no worker says that it cannot."""
        table, refused = self.table, self.refused()
        if table is None:
            return []
        models = {route.stable: model for model, route in table.routes.items()}
        return [ref for ref in self.serving() if models.get(ref, ref) not in refused]

    def step(self) -> None:
        """Brings the table up to the registry, and the registry up to the workers.

        A registry that cannot be reached stops nothing: the workers go on with the table they have.
        """
        # The keys first, as no worker answers without them; where they cannot be written, nothing else waits for that.
        trouble = self._trouble_of(self._keys.tell), self._trouble_of(self._keep_up)
        told = next(filter(None, trouble), "")
        if told and told != self._trouble:
            self.log("registry_away", f"The registry cannot be followed; serving goes on: {told}", level="error")
        self._trouble = told

    def _keep_up(self) -> None:
        self.hosts.look_after()
        self._follow()
        self._report()
        self.candidates.step(self.table, self.ends)

    def _trouble_of(self, part: Callable[[], None]) -> str:
        """What keeps a part of a step from being done now; empty: nothing."""
        try:
            part()
        except MachineError as error:
            return str(error)
        except OSError as error:  # such as a disk that is full; it may have room again at the next step
            return f"{error.strerror} ({place_of(error)})."
        except Exception as error:  # noqa: BLE001 - a fault of the agent's must not end what answers
            return f"The agent failed with {place_of(error)}."
        return ""

    def _go_on(self) -> None:
        while not self._over.wait(STEP):
            self.step()

    def _follow(self) -> None:
        """Writes a new table where the registry or the hosts have changed."""
        self.admission.look()
        looked = *self.registry.mark(), self.hosts.changes, self.admission.edition
        if looked == self._looked and time.monotonic() < self._again_at:
            return
        before = self.table or Table(generation=0, blobs=str(self.copies.folder.root))
        deployments = self.registry.deployments()
        aliases = {each.model: self.registry.aliases(each.model) for each in deployments}
        named = {model: {alias.name: alias.ref for alias in found} for model, found in aliases.items()}
        placing = self.placer.place(deployments, before, named)
        if placing.holds_back and self.table is None and time.monotonic() - self._begun < FIRST_TABLE_WITHIN:
            return
        errors = placing.errors
        self._again_at = time.monotonic() + ASK_AGAIN if errors else float("inf")
        self._hosted = placing.hosted
        table = Table(
            generation=before.generation if placing.pending else looked[0],
            blobs=before.blobs,
            routes=placing.routes,
            versions=placing.versions,
            errors=errors,
            models=tuple(self.registry.models()),
            control=None if self._control is None else str(self._control.path),
            edition=before.edition,
        )
        if table == self.table:
            self._looked = looked
            return  # what happened changes nothing here
        table = structs.replace(table, edition=before.edition + 1)
        write_table(self.run, table)  # only then it counts as written: with a full disk it is tried again
        self.table, self._looked = table, looked
        for name, reason in errors.items():
            if before.errors.get(name) != reason:
                self.log("refused", f"{name} cannot be served as deployed: {reason}", level="error", model=name)
        self.log("routed", f"Generation {looked[0]}: {', '.join(self.serving()) or 'nothing is deployed'}.")

    def _report(self) -> None:
        """Beats, with the newest generation that all workers serve, at once where that is news."""
        workers = self.workers
        said = [each for each in acknowledgements(self.run) if each.pid in workers]
        everyone = bool(workers) and len(said) == len(workers)
        if everyone:
            self._end_hosts(said)
        generation = min(each.generation for each in said) if everyone else 0
        errors = self._errors()
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

    def _end_hosts(self, said: Sequence[Acknowledgement]) -> None:
        """Ends the hosts that nobody is routed to any more, once no worker can still be following an older table."""
        if self.table is None or any(each.edition != self.table.edition for each in said):
            return
        # A worker that cannot load a version goes on with the one before, whose host it needs.
        asked = {version for each in said for version in each.hosted}
        placed = {ref for ref, each in self.table.versions.items() if each.socket is not None}
        self.hosts.keep(self._hosted | placed | asked)

    def _errors(self) -> dict[str, str]:
        return {} if self.table is None else dict(self.table.errors)
