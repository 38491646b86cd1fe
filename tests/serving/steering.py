"""Rollouts that a test moves by hand, as a controller would: real servers follow them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from live import Server, until

from mainstay.registry.errors import RolloutMoved
from mainstay.registry.evidence import Arm, Evidence, Seen
from mainstay.registry.plans import WHOLE, Plan
from mainstay.registry.records import CandidateMode, Rollout, RolloutState
from mainstay.registry.rollouts import Change
from mainstay.registry.store import Registry
from mainstay.serving.leases import Lease
from mainstay.serving.routing import read_table

BEAT = 0.2
"""Seconds between two beats of the rollouts that are looked after."""


class Steering:
    """One rollout of a server."""

    def __init__(self, server: Server, registry: Registry, rollout: Rollout) -> None:
        self.server, self.registry, self.rollout = server, registry, rollout
        self._beating = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat)
        self._beating.set()
        self._thread.start()

    @property
    def model(self) -> str:
        return self.rollout.model

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            if self._beating.is_set():
                with self._lock, suppress(RolloutMoved):
                    self.rollout = self.registry.note_rollout(self.rollout, held=0.0, verdict={})

    def rest(self) -> None:
        """Looks after it no more."""
        self._beating.clear()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def to(
        self,
        mode: CandidateMode,
        share: int = 0,
        *,
        step: int | None = None,
        state: RolloutState = "progressing",
        traffic=None,
        settle: bool = True,
    ) -> dict[str, str]:
        """Moves it, and waits until the server has followed; the errors that it met."""
        with self._lock:
            change = Change(
                state=state,
                step=self.rollout.step if step is None else step,
                mode=mode,
                share=share,
                traffic=traffic,
            )
            self.rollout = self.registry.move_rollout(self.rollout, change, actor="test", why="test", evidence={})
        return self.server.settled(self.model) if settle else {}

    def evidence(self) -> Evidence:
        return self.registry.evidence(self.rollout.id)

    def seen(self, step: int = 0) -> Seen:
        """What servers have told of a step."""
        return next((seen for seen in self.evidence().steps if seen.step == step), Seen(step=step))

    def counted(self, requests: int, step: int = 0) -> tuple[Arm, Arm]:
        """The two arms of a step, once all of so many requests are counted."""

        def all_of_them():
            seen = self.seen(step)
            return seen if seen.stable.requests + seen.candidate.requests >= requests else None

        found = until(all_of_them)
        return found.stable, found.candidate

    def open(self, share: int = 5000, mode: CandidateMode = "split", *, step: int = 0) -> None:
        """Gives the candidate its share; once this returns, it has it."""
        assert self.to(mode, share, step=step) == {}
        until(lambda: self.lease().holds)

    def lease(self) -> Lease:
        """Its lease, as a worker sees it."""
        (run,) = (each for each in (self.server.folder / ".mainstay" / "run").iterdir() if each.is_dir())
        table = read_table(run)
        assert table is not None
        candidate = table.routes[self.model].candidate
        assert candidate is not None
        return Lease(run, candidate.lease)


@contextmanager
def rolling_out(server: Server, model: str, number: int, plan: Plan | None = None) -> Iterator[Steering]:
    """A rollout to a version, which is probed and looked after."""
    with Registry.open(server.folder / ".mainstay") as registry:
        deployment = registry.deployment(model)
        assert deployment is not None
        steps = (5000, WHOLE)
        rollout = registry.start_rollout(
            registry.version(f"{model}:{number}"),
            plan or Plan(strategy="canary", steps=steps),
            expecting=deployment.version,
            actor="test",
        )
        steering = Steering(server, registry, rollout)
        try:
            yield steering
        finally:
            steering.end()
            now = registry.rollout(model)
            if now is not None:
                ended = "completed" if now.candidate.deployed else "rolled_back"
                change = Change(state=ended, step=now.step, mode="off", share=0)
                registry.move_rollout(now, change, actor="test", why="the test ends", evidence={})
