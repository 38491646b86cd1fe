"""`mainstay status`: what is deployed, how its rollout stands, by which evidence, and who looks after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from mainstay.operations.beats import Beats
from mainstay.operations.process_names import ProcessName, ended
from mainstay.operations.registries import opened
from mainstay.registry.errors import ModelNotFound
from mainstay.registry.evidence import Evidence, Seen
from mainstay.registry.plans import percent
from mainstay.registry.records import Deployment, Member, Rollout
from mainstay.registry.store import Registry
from mainstay.rollout.comparing import counted_as
from mainstay.rollout.decide import CONCLUDED
from mainstay.rollout.leading import SILENT
from mainstay.rollout.results import Measured, Verdict

LOOK_EVERY = 0.1
"""Seconds between two looks for a sign of life."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What one version did in a step."""

    requests: int = 0
    errors: int = 0
    refused: int = 0


class RolloutNow(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout, as it stands."""

    id: str
    candidate: str
    stable: str
    strategy: str
    state: str
    why: str
    """What brought it to its state."""
    waits_for: str | None
    """What its next move lacks; None: nobody has said."""
    step: int
    """From 1."""
    steps: list[float]
    """Their shares in percent."""
    share: float
    """Percent, that the servers are asked to give it now."""
    held: float
    """Seconds that a controller saw of this step, or of the watch after a blue-green switch."""
    hold: float
    """Seconds that they have to be."""
    result: str | None
    """Of the last analysis: pending, running, successful, failed, error or inconclusive; None: there was none."""
    words: str
    """Of the last analysis."""
    measures: list[Measured]
    verdict: Verdict | None
    """That an A/B test ended with; None: it still runs, or the rollout is none."""
    counts: dict[str, Counts]
    """In this step, of "candidate" and "stable"."""
    counted_as: str
    """"requests"; or "callers", each with the worst that he met."""
    approvers: list[str]
    approvals: list[str]
    reason: str
    actor: str
    started_at: datetime
    since: datetime
    ended_at: datetime | None


class ServerNow(msgspec.Struct, frozen=True, kw_only=True):
    """A running server."""

    url: str
    host: str
    pid: int
    current: bool
    """Whether all its workers serve what the registry says."""
    errors: dict[str, str]
    """What it could not bring up, and why."""


class ModelNow(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is served."""

    model: str
    version: str
    beside: list[str]
    since: datetime
    actor: str
    reason: str
    override: bool
    rollout: RolloutNow | None
    """The one that runs; else the last one."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay status` answers."""

    models: list[ModelNow]
    servers: list[ServerNow]
    leader: str | None
    """Who moves rollouts; None: nobody does."""
    silent: float | None
    """Seconds for which he has said nothing, where that is long: he hangs, or cannot write. None: he goes on."""
    generation: int

    @property
    def moves(self) -> bool:
        """Whether there is a rollout that somebody ought to move."""
        runs = any(model.rollout is not None and model.rollout.ended_at is None for model in self.models)
        return runs and self.leader is not None


def status(folder: Path, model: str | None = None) -> Status:
    """How things stand; of one model, where it is named.

    While a rollout runs, it takes as long as who leads needs to give a sign of life: a second, or `SILENT` if he does
    not. Raises NoRegistry, ModelNotFound.
    """
    with opened(folder, create=False) as registry:
        beats = Beats()
        found = status_of(registry, model, beats)
        if not found.moves:
            return found
        first = lead = registry.lead()
        while lead == first and beats.rest(lead) < SILENT:
            time.sleep(LOOK_EVERY)
            lead = registry.lead()
        return status_of(registry, model, beats)


@contextmanager
def looking(folder: Path, model: str | None = None) -> Iterator[Callable[[], Status]]:
    """`status`, for who looks again and again: the registry stays open. Raises as that does."""
    with opened(folder, create=False) as registry:
        beats = Beats()
        yield lambda: status_of(registry, model, beats)


def status_of(registry: Registry, model: str | None, beats: Beats) -> Status:
    """How things stand in a registry, whose leader's beats were seen before. Raises ModelNotFound."""
    if model is not None and model not in (known := registry.models()):
        raise ModelNotFound(model, known)
    generation = registry.generation()
    found = [each for each in registry.deployments() if model in (None, each.model)]
    lead = registry.lead()
    rests = beats.rest(lead)
    return Status(
        models=[_model(registry, each) for each in sorted(found, key=lambda each: each.model)],
        servers=[_server(member, generation) for member in registry.members()],
        leader=None if lead is None else leader(lead.holder),
        silent=rests if rests >= SILENT else None,
        generation=generation,
    )


def leader(holder: str) -> str | None:
    """Who has the lead, in words; None: it was given back, or its process is known to have ended."""
    if not holder or ended(holder):
        return None
    try:
        named = msgspec.json.decode(holder, type=ProcessName)
    except msgspec.DecodeError:
        return holder
    return f"process {named.pid} on {named.host}"


def _model(registry: Registry, deployment: Deployment) -> ModelNow:
    rollout = registry.rollout(deployment.model) or next(iter(registry.rollouts(deployment.model, limit=1)), None)
    return ModelNow(
        model=deployment.model,
        version=deployment.version.ref,
        beside=[each.version.ref for each in deployment.beside],
        since=deployment.since,
        actor=deployment.actor,
        reason=deployment.reason,
        override=deployment.override,
        rollout=None if rollout is None else rollout_now(rollout, registry.evidence(rollout.id)),
    )


def _server(member: Member, generation: int) -> ServerNow:
    return ServerNow(
        url=member.url,
        host=member.host,
        pid=member.pid,
        current=member.generation >= generation,
        errors=dict(member.errors),
    )


def rollout_now(rollout: Rollout, evidence: Evidence) -> RolloutNow:
    """A rollout as people look at it."""
    verdict: Mapping[str, Any] = rollout.verdict
    seen = next((each for each in evidence.steps if each.step == rollout.step), Seen(step=rollout.step))
    arms = {"candidate": seen.candidate, "stable": seen.stable}
    return RolloutNow(
        id=rollout.id,
        candidate=rollout.candidate.ref,
        stable=rollout.stable.ref,
        strategy=rollout.plan.strategy,
        state=rollout.state,
        why=rollout.why,
        waits_for=verdict.get("waits_for") if rollout.active else None,
        step=rollout.step + 1,
        steps=[percent(step) for step in rollout.plan.steps],
        share=percent(rollout.share),
        held=rollout.held,
        hold=rollout.plan.warm if rollout.plan.strategy == "blue-green" else rollout.plan.hold,
        result=verdict.get("result"),
        words=verdict.get("words", ""),
        measures=msgspec.convert(verdict.get("measures", []), list[Measured]),
        verdict=msgspec.convert(verdict.get(CONCLUDED), Verdict | None),
        counted_as=counted_as(rollout.plan, rollout.step),
        counts={
            name: Counts(requests=arm.requests, errors=arm.errors, refused=arm.refused) for name, arm in arms.items()
        },
        approvers=list(rollout.plan.approvers),
        approvals=[approval.name for approval in rollout.approvals],
        reason=rollout.reason,
        actor=rollout.actor,
        started_at=rollout.started_at,
        since=rollout.since,
        ended_at=rollout.ended_at,
    )
