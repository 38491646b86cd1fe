"""How often rollouts of equal versions are wrongly rolled back, and how soon worse ones are caught: simulated, with the
functions that judge real rollouts, which are looked at after each request.

    python benchmarks/rollouts.py [--rollouts 10000] [--requests 1000] [--seed 1]

Wealth only grows where something bad happens to the candidate, so that looking there alone sees each crossing that a
look after each request would. Ends with 1 where a share of wrong rollbacks, or of verdicts of A/B tests by chance, is
larger than the plan states.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mainstay.registry.evidence import SECONDS
from mainstay.registry.plans import WHOLE, Plan
from mainstay.rollout.betting import MORE, log_evidence, log_mean
from mainstay.rollout.measuring import limits
from mainstay.rollout.verdict import bare_bounds

PLAN = Plan(strategy="canary", steps=(100, 500, 2500, 5000, 10_000))
SHARES = [step / WHOLE for step in PLAN.steps[:-1]]
LIMITS = limits(PLAN)
AB = Plan(strategy="ab", steps=(3000,))
RATES = {"errors": 0.01, "refusals": 0.005, "quality": 0.10}
"""Per request; a wrong answer per labelled answer, and all are labelled."""
CHUNK = 25
"""Rollouts that are simulated together: memory."""


@dataclass
class Traffic:
    """What one step brought: shapes (rollouts, requests)."""

    theirs: np.ndarray
    """Whether a request is the candidate's."""
    counted: np.ndarray
    """Whether it counts: of a sticky rollout, each caller does once."""
    level: np.ndarray
    """How many times as likely something bad is, and how many times as long computing takes: whoever answers."""


Draw = Callable[[np.random.Generator, int, int], Iterator[Traffic]]


def steady(random, rollouts, requests, shares=SHARES):
    for share in shares:
        theirs = random.random((rollouts, requests)) < share
        yield Traffic(theirs, np.ones_like(theirs), np.ones((rollouts, requests)))


def exact(random, rollouts, requests, shares=SHARES):
    """Shares by urns of 100 requests, as a worker draws them."""
    for share in shares:
        order = random.random((rollouts, requests // 100, 100)).argsort(axis=-1).argsort(axis=-1)
        theirs = (order < round(100 * share)).reshape(rollouts, -1)
        yield Traffic(theirs, np.ones_like(theirs), np.ones(theirs.shape))


def swinging(random, rollouts, requests, shares=SHARES):
    """Ten times as many errors at the day's height as at its foot, while the share grows; and callers in bursts of 20
    of which one in ten has five times as many."""
    when = random.random((rollouts, 1))
    for at, share in enumerate(shares):
        day = when + (at + np.arange(requests) / requests) / len(shares)
        level = 10 ** (0.5 * np.sin(2 * np.pi * day))
        bursts = np.where(random.random((rollouts, -(-requests // 20))) < 0.1, 5.0, 1.0)
        level = level * bursts.repeat(20, axis=1)[:, :requests]
        theirs = random.random((rollouts, requests)) < share
        yield Traffic(theirs, np.ones_like(theirs), level)


def sticky(random, rollouts, requests, shares=SHARES):
    """400 callers, some of whom ask a thousand times as often as others and some of whom have 30 times as many errors;
    each stays with his version, and is counted once a step."""
    callers, rows = 400, np.arange(rollouts)[:, None]
    place = random.random((rollouts, callers))
    trouble = np.where(random.random((rollouts, callers)) < 0.05, 30.0, 1.0)
    often = np.cumsum(1 / np.arange(1, callers + 1))
    for share in shares:
        who = np.searchsorted(often, random.random((rollouts, requests)) * often[-1])
        first = np.zeros((rollouts, requests), dtype=bool)
        asked = np.zeros((rollouts, callers), dtype=bool)
        for at in range(requests):
            first[:, at] = ~asked[rows[:, 0], who[:, at]]
            asked[rows[:, 0], who[:, at]] = True
        yield Traffic(place[rows, who] < share, first, trouble[rows, who])


class Wealth:
    """What bets on one measure have won, of many rollouts, each by each bet."""

    def __init__(self, rollouts: int, values: int, *, apart: int = 0) -> None:
        self.carried = np.zeros((len(MORE), rollouts, values))
        self.apart = apart
        """In how many steps, each of which stands for itself; 0: wealth is carried on."""
        self.top = np.zeros(rollouts)
        """The most evidence there ever was, as a logarithm."""

    def step(self, theirs: np.ndarray, bad: np.ndarray, share: float) -> None:
        """Another step: `bad` has the shape (values, rollouts, requests), `theirs` maybe without values."""
        hits = (bad & theirs).cumsum(axis=-1, dtype=np.int32)
        events = bad.cumsum(axis=-1, dtype=np.int32)
        who, when = np.nonzero((bad & theirs).any(axis=0))
        won = np.stack(
            [
                log_evidence(hits[:, who, when, None], events[:, who, when, None], [share], bets=(bet,))
                + self.carried[at, who].T
                for at, bet in enumerate(MORE)
            ]
        )
        if len(who):
            together = log_mean(log_mean(won)) - (math.log(self.apart) if self.apart else 0.0)
            np.maximum.at(self.top, who, together)
        if not self.apart:
            for at, bet in enumerate(MORE):
                self.carried[at] += log_evidence(hits[..., -1:], events[..., -1:], [share], bets=(bet,)).T


class Peeking:
    """The usual test of two shares at 1 %, one-sided, on the sums of all steps, looked at as often: for comparison."""

    def __init__(self, rollouts: int) -> None:
        self.sums = np.zeros((4, rollouts))
        self.crossed = np.zeros(rollouts, dtype=bool)

    def step(self, theirs: np.ndarray, counted: np.ndarray, bad: np.ndarray) -> None:
        kinds = (counted & theirs, counted & ~theirs, bad & theirs, bad & ~theirs)
        n, m, k, j = (kind.cumsum(axis=-1) + so_far[:, None] for kind, so_far in zip(kinds, self.sums, strict=True))
        with np.errstate(invalid="ignore", divide="ignore"):
            pooled = (k + j) / (n + m)
            z = (k / n - j / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        self.crossed |= ((z > 2.326) & (n >= PLAN.checks.least)).any(axis=-1)
        self.sums = np.stack([counts[:, -1] for counts in (n, m, k, j)])


def wrong_rollbacks(draw: Draw, rollouts: int, requests: int, random: np.random.Generator) -> dict[str, float]:
    """The share of rollouts in which a measure ever crossed its limit, and any did."""
    crossed: dict[str, list[np.ndarray]] = {}
    bounds = np.array(SECONDS)
    for start in range(0, rollouts, CHUNK):
        size = min(CHUNK, rollouts - start)
        apart = len(SHARES) if draw is sticky else 0
        wealth = {name: Wealth(size, 1, apart=apart) for name in RATES}
        wealth["computing time"] = Wealth(size, len(SECONDS), apart=apart)
        peeking = Peeking(size)
        for share, traffic in zip(SHARES, draw(random, size, requests), strict=True):
            shape = traffic.theirs.shape
            for name, rate in RATES.items():
                bad = traffic.counted & (random.random(shape) < np.minimum(rate * traffic.level, 1.0))
                wealth[name].step(traffic.theirs, bad[None], share)
                if name == "errors":
                    peeking.step(traffic.theirs, traffic.counted, bad)
            took = 0.02 * np.sqrt(traffic.level) * np.exp(0.4 * random.standard_normal(shape))
            slow = (took > bounds[:, None, None]) & traffic.counted
            wealth["computing time"].step(traffic.theirs, slow, share)
        found = {name: one.top >= math.log(LIMITS[name]) for name, one in wealth.items()}
        found["any"] = np.any(list(found.values()), axis=0)
        found["peeking"] = peeking.crossed
        for name, ones in found.items():
            crossed.setdefault(name, []).append(ones)
    return {name: float(np.concatenate(ones).mean()) for name, ones in crossed.items()}


def wrong_verdicts(draw: Draw, rollouts: int, requests: int, random: np.random.Generator) -> dict[str, float]:
    """The share of A/B tests of equal versions that ever called the candidate worse, better, or either. Wrong answers
    are labelled, or none is: the verdict is by those, or by errors and computing times."""
    limit, share, bounds = limits(AB), AB.steps[0] / WHOLE, np.array(SECONDS)
    pairs = list(bare_bounds(AB))
    counted, taken = ([pair[at] for pair in pairs] for at in (0, 1))
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, rollouts, CHUNK):
        size = min(CHUNK, rollouts - start)
        (traffic,) = draw(random, size, requests, [share])
        shape, theirs, ours = traffic.theirs.shape, traffic.theirs, ~traffic.theirs
        tops: dict[str, np.ndarray] = {}

        def bet(name, whose, bad, chance, *, size=size, tops=tops):
            wealth = Wealth(size, len(bad))
            wealth.step(whose, bad, chance)
            tops[name] = wealth.top >= math.log(limit[name])

        for name, rate in RATES.items():
            bad = (traffic.counted & (random.random(shape) < np.minimum(rate * traffic.level, 1.0)))[None]
            bet(name, theirs, bad, share)
            if f"better in {name}" in limit:
                bet(f"better in {name}", ours, bad, 1.0 - share)
        took = 0.02 * np.sqrt(traffic.level) * np.exp(0.4 * random.standard_normal(shape))
        allowed = np.where(theirs, took, took * AB.checks.slowdown + AB.checks.slack)
        slow = (allowed > bounds[:, None, None]) & traffic.counted
        bet("computing time", theirs, slow, share)
        # The stable version's bare times, of which its allowed ones are counted, against the candidate's.
        bet("better in computing time", ours, np.where(ours, slow[counted], slow[taken]), 1.0 - share)
        for judged, better in (
            ("by labels", ["better in quality"]),
            ("by errors and times", ["better in errors", "better in computing time"]),
        ):
            worse = np.any([top for name, top in tops.items() if not name.startswith("better")], axis=0)
            good = np.any([tops[name] for name in better], axis=0)
            for name, ones in (("worse", worse), (f"better {judged}", good), (f"any {judged}", worse | good)):
                found.setdefault(name, []).append(ones)
    return {name: float(np.concatenate(ones).mean()) for name, ones in found.items()}


def until_caught_by_errors(share, base, times, random, runs=1000):
    """The median number of requests until a candidate with `times` as many errors is caught."""
    rate = (1 - share) * base + share * base * times
    theirs = share * base * times / rate
    at_once = 64
    while True:  # as many of the candidate's failures as it takes
        events = random.geometric(theirs, (runs, at_once)).cumsum(axis=1)
        logs = log_evidence(np.arange(1, at_once + 1)[:, None], events[..., None], [share])
        caught = logs >= math.log(LIMITS["errors"])
        if caught.any(axis=1).mean() > 0.6:
            break
        at_once *= 2
    when = np.where(caught.any(axis=1), events[np.arange(runs), caught.argmax(axis=1)], events[:, -1])
    return float(np.median(when + random.negative_binomial(when, rate)))


def until_caught_by_time(share, stable, candidate, random, runs=300):
    """The same of computing times: functions of a generator and a shape give seconds, the stable version's allowed."""

    def bins(times):
        return np.bincount(np.searchsorted(SECONDS, times), minlength=len(SECONDS) + 1) / len(times)

    parts = bins(candidate(random, 200_000)), bins(stable(random, 200_000))
    return float(np.median(np.concatenate([_caught_by_time(share, *parts, random) for _ in range(runs // CHUNK)])))


def _caught_by_time(share, theirs, others, random):
    at_once = 32
    while True:  # as many of the candidate's requests as it takes for all runs
        between = random.geometric(share, (CHUNK, at_once)) - 1
        counts = random.multinomial(between, others).cumsum(axis=1)
        own = random.multinomial(np.ones((CHUNK, at_once), dtype=int), theirs).cumsum(axis=1)
        hits, all_of_them = (ones[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:, None] for ones in (own, own + counts))
        logs = log_mean(np.moveaxis(log_evidence(hits, all_of_them, [share]), -1, 0))
        caught = logs >= math.log(LIMITS["computing time"])
        if caught.any(axis=1).all():
            return (between + 1).cumsum(axis=1)[np.arange(CHUNK), caught.argmax(axis=1)]
        at_once *= 2


def lognormal(median, sigma=0.4):
    return lambda random, shape: median * np.exp(sigma * random.standard_normal(shape))


def rounded(count):
    return f"{float(f'{count:.2g}'):,.0f}"


def caught(random) -> Iterator[tuple[str, list[float]]]:
    for label, base, times in (
        ("always fails, stable never", 1e-9, 1e9),
        ("2 % errors, stable 0.01 %", 0.0001, 200),
        ("2 times the errors, stable 1 %", 0.01, 2),
        ("1.2 times the errors, stable 1 %", 0.01, 1.2),
        ("2 times the errors, stable 5 %", 0.05, 2),
        ("1.2 times the errors, stable 5 %", 0.05, 1.2),
    ):
        yield label, [until_caught_by_errors(share, base, times, random) for share in SHARES]
    for times in (2, 1.2):
        worse = (lognormal(0.02), lognormal(0.02 * times))
        yield f"{times} times the time that is allowed", [until_caught_by_time(s, *worse, random) for s in SHARES]

    def allowed(random, shape):
        return PLAN.checks.slowdown * lognormal(0.02)(random, shape) + PLAN.checks.slack

    def slower(random, shape):
        return lognormal(0.02)(random, shape) + 0.05

    yield "50 ms slower than 20 ms", [until_caught_by_time(share, allowed, slower, random) for share in SHARES]


def main():
    parser = argparse.ArgumentParser(description="Simulate rollouts of equal and of worse versions.")
    parser.add_argument("--rollouts", type=int, default=10_000, help="of equal versions, for each kind of traffic")
    parser.add_argument("--requests", type=int, default=1_000, help="in each step, in whole hundreds")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started, random = time.monotonic(), np.random.default_rng(given.seed)
    stated = PLAN.checks.false_alarms
    kinds = {"steady": steady, "shares drawn exactly": exact, "swinging, in bursts": swinging, "sticky callers": sticky}
    names = [*RATES, "computing time", "any", "peeking"]
    print(
        f"{given.rollouts:,} rollouts of equal versions, {given.requests:,} requests in each of {len(SHARES)} steps\n"
    )
    print(f"| traffic | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    broken = False
    for kind, draw in kinds.items():
        found = wrong_rollbacks(draw, given.rollouts, given.requests, random)
        broken |= found["any"] > stated
        print(f"| {kind} | {' | '.join(f'{100 * found[name]:.2f} %' for name in names)} |", flush=True)
    sides = ["worse", *(f"{what} {how}" for how in ("by labels", "by errors and times") for what in ("better", "any"))]
    print(f"\n| A/B at {100 * AB.steps[0] / WHOLE:g} %: verdicts by chance | {' | '.join(sides)} |")
    print(f"|{'---|' * (len(sides) + 1)}")
    for kind, draw in kinds.items():
        found = wrong_verdicts(draw, given.rollouts, len(SHARES) * given.requests, random)
        broken |= max(found.values()) > stated
        print(f"| {kind} | {' | '.join(f'{100 * found[name]:.2f} %' for name in sides)} |", flush=True)
    print(f"\n| candidate | {' | '.join(f'at {100 * share:g} %' for share in SHARES)} |\n|{'---|' * (len(SHARES) + 1)}")
    for label, medians in caught(random):
        print(f"| {label} | {' | '.join(map(rounded, medians))} |", flush=True)
    print(
        f"\nstated: {100 * stated:g} % at most; {time.monotonic() - started:.0f} s; Python {platform.python_version()},"
    )
    print(f"numpy {np.__version__}, {platform.machine()}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
