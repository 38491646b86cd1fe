"""The controller: a loop that reads each rollout, asks what is to be done, and does it.

It keeps nothing that it could not read again: killed at any instant, a successor goes on where it was. All that it
writes carries the fence of its lead, and the revision of the rollout that it saw.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from mainstay.errors import MachineError
from mainstay.registry.changes import Change
from mainstay.registry.errors import NotLeading, RolloutMoved
from mainstay.registry.evidence import Evidence
from mainstay.registry.records import Rollout
from mainstay.rollout.analysis import analyse
from mainstay.rollout.decide import World, decide, noted
from mainstay.rollout.elapsing import Elapsing
from mainstay.rollout.leading import Leading, Leads
from mainstay.rollout.windows import frozen
from mainstay.targets.protocol import Target

ACTOR = "controller"
"""As events call it."""
MODELS = 100_000
"""Rollouts that run at once at most: more models than a registry has."""
NOTE_EVERY = 1.0
"""Seconds between two notes of how far a step has come."""

ANALYSES = 64
"""That are kept for the next look."""

Told = Callable[..., None]
"""As `mainstay.serving.logs.Log`."""


class Facts(Leads, Protocol):
    """What the controller asks of the registry."""

    def rollouts(self, model: str | None = None, *, active: bool | None = None, limit: int = 50) -> list[Rollout]: ...
    def evidence(self, rollout_id: str) -> Evidence: ...
    def move_rollout(
        self, seen: Rollout, change: Change, *, actor: str, why: str, evidence: dict[str, Any], fence: int | None = None
    ) -> Rollout: ...
    def note_rollout(self, seen: Rollout, *, held: float, verdict: dict[str, Any], fence: int) -> Rollout: ...


class Controller:
    """Moves the rollouts of one registry, while it has the lead."""

    def __init__(
        self,
        registry: Facts,
        target: Target,
        leading: Leading,
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        log: Told,
    ) -> None:
        """
        Args:
            clock: seconds, of a clock that only goes forward; what lasts is measured by it.
            now: the date, in UTC, for windows in which nothing goes forward.
        """
        self._registry, self._target, self._leading = registry, target, leading
        self._clock, self._now, self._log = clock, now, log
        # Looks come more often than news, and an analysis takes tens of milliseconds.
        self._analyse = lru_cache(ANALYSES)(analyse)
        self._elapsing = Elapsing()
        """By a rollout's id and revision."""
        self._led = False
        self._trouble = ""

    def step(self) -> None:
        """Looks after every rollout once, if this controller has the lead.

        A registry or a target that cannot be reached is waited for: what serves goes on with what it has.
        """
        trouble = ""
        try:
            fence = self._leading.fence()
            self._say_lead(fence is not None)
            if fence is not None:
                self._look_after_all(fence)
        except NotLeading:
            self._say_lead(False)
        except MachineError as error:
            trouble = str(error)
        if trouble and trouble != self._trouble:
            self._log("registry_away", f"Rollouts stand still: {trouble}", level="error")
        self._trouble = trouble

    def _look_after_all(self, fence: int) -> None:
        running = self._registry.rollouts(active=True, limit=MODELS)
        self._elapsing.keep({(each.id, each.revision) for each in running})
        for rollout in running:
            try:
                self._look_after(rollout, fence)
            except RolloutMoved:
                continue  # a person was faster: the next look is at what he brought about

    def _look_after(self, rollout: Rollout, fence: int) -> None:
        self._target.bring(rollout)
        key = rollout.id, rollout.revision
        elapsed = self._elapsing.looked(key, self._clock())
        evidence = self._registry.evidence(rollout.id)
        analysis = self._analyse(rollout.plan, rollout.step, evidence)
        standing = self._target.standing(rollout)
        world = World(
            elapsed=elapsed,
            frozen=frozen(rollout.plan.freeze, self._now()),
            acknowledged=standing.acknowledged,
            servers=standing.servers,
            errors=standing.errors,
            evidence=evidence,
            stable_is=rollout.takes,
        )
        decision = decide(rollout, world, analysis)
        if decision is not None:
            self._registry.move_rollout(
                rollout,
                decision.change,
                actor=ACTOR,
                why=decision.why,
                evidence={"analysis": msgspec.to_builtins(analysis), **decision.evidence},
                fence=fence,
            )
            self._log(
                "rollout",
                f"{rollout.candidate.ref}: {rollout.state} -> {decision.change.state}: {decision.why}",
                rollout=rollout.id,
                state=decision.change.state,
            )
        elif elapsed >= NOTE_EVERY or not rollout.verdict:
            note = noted(rollout, world, analysis)
            self._registry.note_rollout(rollout, held=note.held, verdict=note.verdict, fence=fence)
            self._elapsing.noted(key)

    def _say_lead(self, led: bool) -> None:
        if led != self._led:
            told = "This controller moves rollouts now." if led else "Another controller moves rollouts."
            self._log("leading", told)
        self._led = led
