"""Empties an outbox: one deliverer of a project at a time, its webhooks side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from mainstay.errors import MachineError
from mainstay.registry.ids import new_id
from mainstay.registry.outbox import Delivery, Outbox
from mainstay.registry.records import Event
from mainstay.webhooks.errors import NotDelivered
from mainstay.webhooks.retrying import ATTEMPTS, pause
from mainstay.webhooks.sending import DEADLINE, Place, send
from mainstay.webhooks.signing import headers

LEASE = DEADLINE + 10.0
"""Seconds for which a deliverer that died keeps others from delivering; each attempt renews it."""
MOST = 50
"""Events that a webhook is told of before the clock is looked at again."""
LOOK = 1.0
"""Seconds between two looks for something to tell."""
PRUNE_EVERY = timedelta(hours=1)
MAX_BODY = 256_000
"""Bytes; of an event that takes more, the evidence is left out."""

Said = Callable[[str, bool], None]
"""`said("…", False)`: a sentence, and whether it went well."""


@dataclass(frozen=True)
class Receiver:
    """A webhook that can be told something."""

    url: str
    """As the project file has it."""
    place: Place
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Told:
    """What one step did."""

    delivered: int = 0
    failed: int = 0
    """Attempts; what they were of is due again later."""
    given_up: int = 0
    held_elsewhere: bool = False
    """Something is due, and another deliverer is at it."""


def body_of(event: Event) -> bytes:
    """A message: the event as one JSON object, at most MAX_BODY bytes."""
    said = {
        "type": event.kind,
        "timestamp": event.at,
        "event": event.id,
        "model": event.model,
        "version": None if event.version is None else f"{event.model}:{event.version}",
        "actor": event.actor,
        "reason": event.reason,
        "evidence": event.evidence,
    }
    body = msgspec.json.encode(said)
    if len(body) > MAX_BODY:
        body = msgspec.json.encode({**said, "evidence": {}, "evidence_left_out": True})
    if len(body) > MAX_BODY:
        body = msgspec.json.encode({**said, "reason": event.reason[:1000], "evidence": {}, "evidence_left_out": True})
    return body


class Deliverer:
    """Tells the webhooks of a project what its outbox holds."""

    def __init__(
        self,
        outbox: Outbox,
        project: str,
        receivers: Sequence[Receiver],
        *,
        said: Said,
        chance: Callable[[], float],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lease: float = LEASE,
    ) -> None:
        """`chance` gives numbers from 0 to 1, which decide when what failed is tried again; `lease` is in seconds."""
        self._outbox, self._project, self._receivers = outbox, project, receivers
        self._said, self._chance, self._clock = said, chance, clock
        self._me, self._seconds = new_id(clock()), lease
        self._lease = f"webhooks of {project}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="webhooks", daemon=True)
        self._trouble = ""
        self._prune_at = clock()

    def step(self) -> Told:
        """Tells each webhook of what is due for it, and forgets what ended long ago. Raises MachineError."""
        if self._clock() >= self._prune_at:
            self._outbox.prune()
            self._prune_at = self._clock() + PRUNE_EVERY
        busy = [each for each in self._receivers if self._outbox.due(self._project, each.url, limit=1)]
        if not busy:
            return Told()
        if not self._hold():
            return Told(held_elsewhere=True)
        # A thread each: a webhook that does not answer keeps none of the others waiting.
        with ThreadPoolExecutor(len(busy), thread_name_prefix="webhook") as pool:
            each = list(pool.map(self._tell, busy))
        return Told(
            delivered=sum(told.delivered for told in each),
            failed=sum(told.failed for told in each),
            given_up=sum(told.given_up for told in each),
        )

    def run(self, stop: threading.Event) -> None:
        """Steps until `stop` is set. A registry that is away for a while stops nothing."""
        while not stop.is_set():
            trouble, told = "", Told()
            try:
                told = self.step()
            except MachineError as error:
                trouble = f"The registry cannot be asked what to tell; that goes on later: {error}"
            if trouble and trouble != self._trouble:
                self._said(trouble, False)
            self._trouble = trouble
            if not told.delivered:
                stop.wait(LOOK)
        self.release()

    def release(self) -> None:
        """Lets another deliverer go on at once; without a registry, it goes on when the lease has run out."""
        try:
            self._outbox.release(self._lease, self._me)
        except MachineError as error:
            self._said(f"The registry was not told that this deliverer ends: {error}", False)

    def start(self) -> None:
        """Runs in a thread of its own, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread after the attempts that are under way."""
        self._over.set()
        self._thread.join(DEADLINE + LOOK)

    def _go_on(self) -> None:
        self.run(self._over)

    def _hold(self) -> bool:
        return self._outbox.hold(self._lease, self._me, seconds=self._seconds)

    def _tell(self, receiver: Receiver) -> Told:
        delivered = failed = given_up = 0
        for delivery in self._outbox.due(self._project, receiver.url, limit=MOST):
            if self._over.is_set() or not self._hold():
                break
            what = f"{delivery.event.kind} (event {delivery.event.id}) to {receiver.url}"
            try:
                self._attempt(receiver, delivery)
            except NotDelivered as error:
                seconds = pause(delivery.attempts + 1, self._chance)
                if seconds is None:
                    self._outbox.give_up(delivery, str(error), actor="mainstay webhooks")
                    self._said(f"Gave up telling {what} after {ATTEMPTS} attempts: {error}.", False)
                    given_up += 1
                else:
                    again = self._clock() + timedelta(seconds=seconds)
                    self._outbox.failed(delivery, str(error), again_at=again)
                    self._said(f"Could not tell {what}: {error}; again in {seconds:.0f} s.", False)
                    failed += 1
            else:
                self._outbox.delivered(delivery)
                self._said(f"Told {what}.", True)
                delivered += 1
        return Told(delivered, failed, given_up)

    def _attempt(self, receiver: Receiver, delivery: Delivery) -> None:
        body = body_of(delivery.event)
        send(
            receiver.place,
            body,
            {
                "content-type": "application/json",
                "user-agent": "mainstay",
                "connection": "close",
                **headers(receiver.key, delivery.id, self._clock(), body),
            },
        )
