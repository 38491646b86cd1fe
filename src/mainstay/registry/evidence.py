"""What servers saw of a rollout: counts by step and arm, which only grow, and which are added up over servers."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

SECONDS = tuple(round(0.0001 * 1.6**power, 7) for power in range(28))
"""Upper bounds (seconds) of the histogram of computing times, 0.1 ms to 32 s; one more bin is for what is beyond."""
SCORES = 20
"""Bins of equal width for a probability; for numbers, between the quantiles of the version's profile."""


class Arm(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one of the two versions did in one step. Of a sticky rollout, each key is counted once a step. Of a shadow,
    both versions' arms are of the requests that were copied, also of those that the stable version failed: pairs."""

    requests: int = 0
    """Routed to it: answered, refused or failed."""
    errors: int = 0
    """That it failed to answer for a reason of its own: it crashed, hung, raised or was too late; also where the stable
    version answered in its place."""
    refused: int = 0
    """Whose rows it did not take (4xx), for what is in them."""
    seconds: tuple[int, ...] = ()
    """Histogram over `SECONDS` of the time that the model computed. The stable version's times are allowed what the
    plan allows the candidate (times `slowdown`, plus `slack`) before they are put into their bin, so that the two
    histograms are equal where the candidate is just as slow as it may be."""
    scores: tuple[int, ...] = ()
    """Histogram of `SCORES` bins of what was answered, one row of each request."""
    labelled: int = 0
    """Requests with a row whose true outcome came: the first of them counts."""
    wrong: int = 0
    """Of them, those that were wrong; for numbers, those further off than the stable version's typical error."""


class Seen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen in one step."""

    step: int
    """From 0."""
    stable: Arm = Arm()
    candidate: Arm = Arm()
    compared: int = 0
    """Requests of which one row was asked of both versions."""
    changed: int = 0
    """Of them, those answered otherwise: another label, or a number that differs by more than 1e-6 of its size."""
    dropped: int = 0
    """Copies for the shadow that were not made, since it was busy."""


class Probe(Struct, frozen=True, kw_only=True):
    """How the candidate did in its host process on a server before any traffic."""

    problem: str | None = None
    """Why it cannot serve; None: it can."""
    rows: int = 0
    """Golden rows that it answered rightly."""
    seconds: float = 0.0
    """Median for one row."""
    stable_seconds: float | None = None
    """The same of the stable version on the same rows, where it takes them."""
    memory: int = 0
    """Bytes of its process."""
    workers: int = 1
    """Of the server, which a rolling update takes one after the other."""


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that one server, or all of them together, saw of a rollout. Counts are since the rollout's start."""

    rollout: str
    """Its id."""
    steps: tuple[Seen, ...] = ()
    """In order; those of which there is something to tell."""
    deaths: int = 0
    """Of processes with the candidate in them, once they were ready: crashes, and those that are killed again and again
    after short lives; of workers, as many as are more than before. One that somebody kills says nothing."""
    memory: int = 0
    """Bytes of it now, or of the largest."""
    probes: tuple[Probe, ...] = ()
    """One a server."""
    servers: int = 1
    """That counted requests, each start of one for itself: as often a caller may be in the counts of a sticky step."""


def added(parts: Iterable[Evidence], rollout: str) -> Evidence:
    """The evidence of several servers as one."""
    total = Evidence(rollout=rollout, servers=0)
    for part in parts:
        counted = any(seen.stable.requests or seen.candidate.requests for seen in part.steps)
        steps = {seen.step: seen for seen in total.steps}
        for seen in part.steps:
            steps[seen.step] = _both(steps[seen.step], seen) if seen.step in steps else seen
        total = Evidence(
            rollout=rollout,
            steps=tuple(steps[step] for step in sorted(steps)),
            deaths=total.deaths + part.deaths,
            memory=max(total.memory, part.memory),
            probes=(*total.probes, *part.probes),
            servers=total.servers + part.servers * counted,
        )
    return structs.replace(total, servers=max(total.servers, 1))


def _both(one: Seen, other: Seen) -> Seen:
    return Seen(
        step=one.step,
        stable=_arms(one.stable, other.stable),
        candidate=_arms(one.candidate, other.candidate),
        compared=one.compared + other.compared,
        changed=one.changed + other.changed,
        dropped=one.dropped + other.dropped,
    )


def _arms(one: Arm, other: Arm) -> Arm:
    return Arm(
        requests=one.requests + other.requests,
        errors=one.errors + other.errors,
        refused=one.refused + other.refused,
        seconds=_bins(one.seconds, other.seconds),
        scores=_bins(one.scores, other.scores),
        labelled=one.labelled + other.labelled,
        wrong=one.wrong + other.wrong,
    )


def _bins(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    if not one or not other:
        return one or other
    return tuple(a + b for a, b in zip(one, other, strict=True))
