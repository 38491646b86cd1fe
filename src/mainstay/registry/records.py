"""The registry's facts as values. Times are aware and in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mainstay.registry.plans import Plan

Status = Literal["deployed", "candidate", "beside", "ready", "failed"]
KeyVerb = Literal["predict", "read", "label", "manage"]
"""What a key may do: ask for predictions; read metadata, metrics and documents; load and unload models."""


CandidateMode = Literal["probe", "split", "shadow", "rolling", "warm", "off"]
"""probe: in its host process, no traffic. split: it answers a share of the requests, from its host. shadow: it gets
copies of a share of them. rolling: in the place of the stable version, in a share of the workers. warm: ready in every
worker, no traffic. off: gone."""
RolloutState = Literal[
    "validating",
    "waiting",
    "progressing",
    "paused",
    "promoting",
    "watching",
    "completed",
    "rolling_back",
    "rolled_back",
]
FINAL: frozenset[RolloutState] = frozenset({"completed", "rolled_back"})
"""The states of a rollout that has ended."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One immutable package of a model, as it was when it was read."""

    id: str
    model: str
    number: int
    content_id: str
    """SHA-256 (hex) of what decides its answers."""
    format: str
    passed: bool
    """Whether it passed its gates."""
    deployed: bool
    """Whether it takes its model's traffic."""
    beside: bool = False
    """Whether it is served beside the one that does."""
    candidate: bool = False
    """Whether it is the other version of a running rollout: the candidate or, once that takes the traffic, the one
    before."""
    actor: str
    created_at: datetime
    summary: dict[str, Any] = field(hash=False)
    """Such as its metrics, for lists."""

    @property
    def ref(self) -> str:
        return f"{self.model}:{self.number}"

    @property
    def status(self) -> Status:
        """Deployed; the other version of a rollout; served beside the deployed one; ready to be; or failed its gates
        (and not served by an override)."""
        if self.deployed:
            return "deployed"
        if self.candidate:
            return "candidate"
        if self.beside:
            return "beside"
        return "ready" if self.passed else "failed"


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A movable name for a version."""

    model: str
    name: str
    number: int
    """Of the version."""
    actor: str
    reason: str
    since: datetime

    @property
    def ref(self) -> str:
        """The version it names."""
        return f"{self.model}:{self.number}"


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A further version that is served, and answers where it is asked for by number."""

    version: Version
    generation: int
    """The registry's generation that brought it."""
    override: bool
    """Whether it is served although it had failed its gates."""
    actor: str
    reason: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The other version of a running rollout, and what servers are to do with it."""

    rollout: str
    """The rollout's id."""
    version: Version
    """The candidate; or, once a blue-green switch has put that in the traffic, the version before."""
    mode: CandidateMode
    share: int
    """In ten-thousandths: of the requests (split), of the copies of requests (shadow), of the workers (rolling)."""
    step: int
    """The step of the rollout's plan that this is, from 0."""
    plan: Plan


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Somebody who may said that a rollout may go on."""

    name: str
    """Of his API key."""
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One attempt to move a deployment from its stable version to a candidate."""

    id: str
    stable: Version
    candidate: Version
    plan: Plan
    state: RolloutState
    step: int
    """Index into the plan's steps."""
    mode: CandidateMode
    share: int
    """What servers are to do with the candidate now; see `Candidate`."""
    held: float
    """Seconds of the present step that a controller was there to see."""
    beat: int
    """Grows while a controller looks after it: a candidate that nobody looks after gets no traffic."""
    reason: str
    """Why it was started."""
    why: str
    """What brought it to its present state, in words."""
    actor: str
    verdict: dict[str, Any] = field(hash=False)
    """The last analysis."""
    approvals: tuple[Approval, ...]
    started_at: datetime
    since: datetime
    """When it came to its present state and step."""
    ended_at: datetime | None
    revision: int
    """Grows with each move: who moves it says from which one."""
    generation: int = 0
    """The registry's generation that brought what is asked of servers now: a server that has reached it does so."""
    override: bool = False
    """Whether the candidate had failed its gates."""

    @property
    def model(self) -> str:
        return self.candidate.model

    @property
    def active(self) -> bool:
        return self.ended_at is None

    @property
    def takes(self) -> Version | None:
        """Which of the two versions takes the model's traffic; None: neither does."""
        return next((version for version in (self.stable, self.candidate) if version.deployed), None)


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The right to move rollouts, which one controller has at a time."""

    holder: str
    """Empty: it was given back."""
    fence: int
    """Grows each time somebody takes it: what an earlier holder still writes is refused."""
    beat: int
    """Grows while the holder lives."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A model that is being served: the version that takes its traffic, and those beside it."""

    version: Version
    generation: int
    """The registry's generation that brought this deployment."""
    override: bool
    """Whether the version was deployed although it had failed its gates."""
    actor: str
    reason: str
    since: datetime
    beside: tuple[Beside, ...] = ()
    """In the order of their numbers."""
    candidate: Candidate | None = None
    """Of the rollout that runs."""

    @property
    def model(self) -> str:
        return self.version.model

    @property
    def refs(self) -> list[str]:
        """Every version that is served, the one that takes the traffic first."""
        return [self.version.ref, *(each.version.ref for each in self.beside)]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened; never changed, never removed."""

    id: int
    """Increasing."""
    at: datetime
    actor: str
    kind: str
    model: str | None
    version: int | None
    """The version's number."""
    reason: str
    evidence: dict[str, Any] = field(hash=False)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A serving agent: one a machine, which follows the registry for its workers."""

    id: str
    host: str
    pid: int
    url: str
    started_at: datetime
    generation: int = 0
    """The newest generation that all of its workers serve."""
    errors: dict[str, str] = field(default_factory=dict, hash=False)
    """Why it could not bring to this generation a model, by its name, or a version beside, by "credit:2"."""
    beat_at: datetime | None = None
    """When it was last heard of; set by the registry."""


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """Who may ask servers for what."""

    id: str
    """Part of the key's text, and no secret."""
    name: str
    """Who has it, as events call him."""
    sha256: str = field(repr=False)
    """Of the key's text (hex)."""
    previous_sha256: str | None = field(default=None, repr=False)
    """Of its text before it was rotated, which is as good until `previous_until`."""
    previous_until: datetime | None = None
    models: tuple[str, ...]
    """Names of models, in which "*" stands for any characters."""
    verbs: tuple[KeyVerb, ...]
    rate: float | None
    """Requests a second; None: as many as a server can answer."""
    burst: int | None
    """Of them, how many at once."""
    expires_at: datetime | None
    actor: str
    """Who made it."""
    created_at: datetime
    revoked_at: datetime | None = None

    def status(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """What it is good for at a time."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"
