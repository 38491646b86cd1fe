"""What the agent does for the rollouts that its workers have a part in: leases, probes, and what was seen of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec import structs

from mainstay.registry.errors import UnknownRollout
from mainstay.registry.evidence import Evidence, Probe
from mainstay.registry.plans import WHOLE
from mainstay.serving import evidence_slots, metrics
from mainstay.serving.ends import Noticed
from mainstay.serving.hosts import Hosts
from mainstay.serving.leases import Leases
from mainstay.serving.metrics import labelled
from mainstay.serving.predictions.labelling import Labelling
from mainstay.serving.probing import Probing, Wanted
from mainstay.serving.routing import Candidate, Placed, Table
from mainstay.serving.splitting import has_turn
from mainstay.serving.usage import look

EVERY = 1.0
"""Seconds between two looks at who looks after the rollouts, and between two reports at least."""
LINGER = 10.0
"""Seconds after which nothing more is counted of a rollout whose candidate is gone."""
MEGABYTE = 1 << 20


class Facts(Protocol):
    """What is asked of the registry, and told."""

    def beats(self) -> dict[str, int]: ...
    def report(self, member_id: str, evidence: Evidence) -> None: ...


@dataclass
class _Followed:
    """A rollout, as it is followed here."""

    model: str
    wish: Candidate
    judged: str
    """The version on trial, which is not the one of the wish once it has the traffic."""
    lost_before: int
    """How often the candidate's host had been lost before."""
    inside_since: float | None = None
    """Since when workers have it in themselves, and may be ended by it."""
    workers_lost: int = 0
    """Of those that had it."""
    more_lost: int = 0
    """Beyond what were lost in as long a time before."""
    workers: int = 1
    """The most there were."""
    memory: int = 0
    probing: Probing | None = None
    probe: Probe | None = None
    """What the last one found."""
    said: Evidence | None = None
    gone_at: float | None = None
    """When its candidate left the table."""
    gauge: int = -1
    """What its metric was set to."""


class Candidates:
    """The rollouts of one agent."""

    def __init__(self, registry: Facts, run: Path, hosts: Hosts, *, member: str, labelling: Labelling) -> None:
        """`member` is the agent's id, under which it reports; `labelling` has the outcomes that came."""
        self._registry, self._run, self._hosts, self._member = registry, run, hosts, member
        self._labelling = labelling
        self._leases: Leases | None = None
        self._slots: metrics.Slots | None = None
        self._followed: dict[str, _Followed] = {}
        self._noticed = Noticed()
        self._look_at = 0.0

    def lease(self, rollout: str) -> int:
        """The slot of the lease of a rollout's candidate."""
        if self._leases is None:
            self._leases = Leases(self._run)
        return self._leases.slot(rollout)

    def step(self, table: Table | None, ends: Sequence[int]) -> None:
        """Follows the candidates of the routing table; called every moment.

        Args:
            table: as it was written last.
            ends: of each worker, by number, how many of its ends told against what ran in it.

        Raises:
            MachineError: of the registry.
        """
        now = time.monotonic()
        lost = self._noticed.look(ends, now)
        present = {} if table is None else _candidates(table)
        if not present and not self._followed:
            return
        for model, wish in present.values():
            followed = self._followed.get(wish.rollout)
            if followed is None:
                judged = _judged(wish, table, model)
                followed = self._followed[wish.rollout] = _Followed(model, wish, judged, self._hosts.lost(judged))
            followed.wish, followed.gone_at = wish, None
            followed.workers = max(followed.workers, len(ends))
            self._charge(followed, lost, now)
            if wish.mode == "probe" and table is not None:
                self._probe(followed, table)
        for rollout, followed in self._followed.items():
            if rollout not in present and followed.gone_at is None:
                followed.gone_at = now
        if now < self._look_at:
            return
        self._look_at = now + EVERY
        if self._leases is not None:
            self._leases.heard(self._registry.beats())
        for rollout, followed in list(self._followed.items()):
            self._show(followed)
            self._report(rollout, followed)
            if followed.gone_at is not None and now - followed.gone_at > LINGER:
                self._forget(rollout)

    def close(self) -> None:
        """Tells what was counted since the last report, and ends the probes."""
        for rollout, followed in list(self._followed.items()):
            self._report(rollout, followed)
            _end_probe(followed)

    def _charge(self, followed: _Followed, lost: Sequence[int], now: float) -> None:
        """Counts the workers that were lost with the candidate in them: as far as they are more than before."""
        wish = followed.wish
        if wish.mode not in ("rolling", "watch"):
            return
        if followed.inside_since is None:
            followed.inside_since = now
        since = followed.inside_since
        turn = followed.workers, wish.share if wish.mode == "rolling" else WHOLE
        followed.workers_lost += sum(has_turn(number, *turn) for number in lost)
        usual = self._noticed.between(2 * since - now, since)
        followed.more_lost = max(followed.more_lost, followed.workers_lost - usual)

    def _probe(self, followed: _Followed, table: Table) -> None:
        """Probes a candidate in its host; again, where it has another one."""
        candidate, stable = table.versions.get(followed.wish.version), table.routes[followed.model].stable
        if candidate is None or candidate.socket is None:
            return
        if followed.probing is not None and followed.probing.wanted.candidate.socket == candidate.socket:
            return
        _end_probe(followed)
        beside: Placed | None = None if stable is None else table.versions.get(stable)
        followed.probing = Probing(Wanted(table.blobs, candidate, beside))

    def _report(self, rollout: str, followed: _Followed) -> None:
        """Tells the registry what was seen, where that is news."""
        version = followed.judged
        pid = self._hosts.pids().get(version)
        held = None if pid is None else look(pid)
        if held is not None:
            followed.memory = -(-held.resident // MEGABYTE) * MEGABYTE  # rounded up: each report is a write
        if followed.probing is not None:
            followed.probe = followed.probing.found() or followed.probe
        probe = followed.probe
        evidence = Evidence(
            rollout=rollout,
            steps=evidence_slots.seen(self._run, rollout),
            deaths=self._hosts.lost(version) - followed.lost_before + followed.more_lost,
            memory=followed.memory,
            probes=() if probe is None else (structs.replace(probe, memory=followed.memory, workers=followed.workers),),
        )
        try:
            if evidence != followed.said:
                self._registry.report(self._member, evidence)
            self._labelling.tell(rollout)
        except UnknownRollout:
            followed.gone_at = followed.gone_at or time.monotonic()
        followed.said = evidence

    def _show(self, followed: _Followed) -> None:
        """The candidate's share, as a metric."""
        wish = followed.wish
        share = 0 if followed.gone_at is not None or wish.mode in ("probe", "warm", "watch") else wish.share
        if share == followed.gauge:
            return
        if self._slots is None:
            (self._run / metrics.FOLDER).mkdir(exist_ok=True)
            self._slots = metrics.Slots(self._run / metrics.FOLDER / "agent.slots")
        labels = labelled(model=followed.model, version=wish.version)
        self._slots.set(self._slots.place(metrics.ROLLOUT_SHARE + labels), share / WHOLE)
        followed.gauge = share

    def _forget(self, rollout: str) -> None:
        followed = self._followed.pop(rollout)
        _end_probe(followed)
        evidence_slots.forget(self._run, rollout)
        self._labelling.forget(rollout)


def _end_probe(followed: _Followed) -> None:
    if followed.probing is not None:
        followed.probing.end()


def _judged(wish: Candidate, table: Table | None, model: str) -> str:
    """The version on trial: of a blue-green rollout that has switched, the one that takes the traffic."""
    stable = None if table is None else table.routes[model].stable
    return stable if wish.mode == "watch" and stable is not None else wish.version


def _candidates(table: Table) -> dict[str, tuple[str, Candidate]]:
    """By rollout, the model and what is to be done with its candidate."""
    return {
        route.candidate.rollout: (model, route.candidate)
        for model, route in table.routes.items()
        if route.candidate is not None
    }
