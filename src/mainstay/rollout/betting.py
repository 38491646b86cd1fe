"""Evidence that may be looked at as often as one likes: wealth won by betting against "the candidate is no worse".

Whoever starts with 1 and bets at fair odds that something is wrong has, if nothing is, never more than 1 to expect,
whenever he stops; that his wealth ever reaches 1 / a has a probability of a at most (Ville 1939, "Étude critique de la
notion de collectif"; Ramdas, Grünwald, Vovk and Shafer 2023, "Game-theoretic statistics and safe anytime-valid
inference"). Wealth is evidence: an e-value. All of this module returns its natural logarithm, which neither overflows
nor runs empty, and takes counts as arrays whose last axis is the steps of a rollout: a bet is carried on over all.

Counts suffice, in whatever order they came. Whether an event is the candidate's is a coin that lands so with a known
probability at most, `chance`, whatever happened before. A bet on `ratio` times the odds multiplies the wealth by
ratio / m where the event is the candidate's and by 1 / m where it is not, m = 1 + chance (ratio - 1): 1 is expected.
As nobody knows how much worse a candidate is, the wealth is spread over several ratios at the start (the method of
mixtures: Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic
confidence sequences"). Counts of versions with known shares: Lindon and Malek 2022, "Anytime-valid inference for
multinomial count data".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MORE = (1.1, 1.2, 1.35, 1.6, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1e3, 1e5)
"""How many times the odds are bet on, an equal part of the wealth on each. The small ones find a small harm in much
traffic; the large ones a candidate that always fails, by its second failure at a share of 1 %."""
FEWER = tuple(1 / ratio for ratio in MORE)
STAKES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Parts of the largest stake that cannot lose everything."""
LEANINGS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Exponents of the bets on differences within pairs."""


def log_evidence(
    hits: ArrayLike, events: ArrayLike, chance: ArrayLike, *, ratio: float = 1.0, bets: tuple[float, ...] = MORE
) -> Floats:
    """Against "an event is the candidate's with `ratio` times the odds of `chance` at most" (with `FEWER` as bets: at
    least): `hits` of so many `events` were. Shapes (..., steps), (..., steps) and (steps,) give (...).
    """
    hits, events = np.asarray(hits, float), np.asarray(events, float)
    known = odds_times(np.asarray(chance, float), ratio)
    each = [(hits * math.log(bet) - events * np.log1p(known * (bet - 1.0))).sum(axis=-1) for bet in bets]
    return log_mean(np.stack(each))


def odds_times(chance: Floats, ratio: float) -> Floats:
    """The probability whose odds are `ratio` times those of `chance`."""
    return chance * ratio / (1.0 + chance * (ratio - 1.0))


def log_mean(logs: Floats) -> Floats:
    """The logarithm of the mean along the first axis: a mean of e-values is one, however they hang together."""
    top: Floats = logs.max(axis=0)
    mean: Floats = top + np.log(np.exp(logs - top).mean(axis=0))
    return mean


def most(hits: ArrayLike, events: ArrayLike, chance: ArrayLike, doubt: float) -> float:
    """How many times its odds an event may be the candidate's at most, which is how many times as often as the stable
    version it does the thing: the upper end of a confidence sequence, right at all times together but for a
    probability of `doubt`. Infinite where nothing was seen that bounds it.
    """
    return math.exp(_edge(hits, events, chance, doubt, FEWER))


def least(hits: ArrayLike, events: ArrayLike, chance: ArrayLike, doubt: float) -> float:
    """The same at least: the lower end."""
    return math.exp(_edge(hits, events, chance, doubt, MORE))


def _edge(hits: ArrayLike, events: ArrayLike, chance: ArrayLike, doubt: float, bets: tuple[float, ...]) -> float:
    """The logarithm of the ratio at which the evidence against it is just enough; it grows with the ratio for `FEWER`,
    and falls for `MORE`, so that halving finds it."""
    limit, upper = -math.log(doubt), bets is FEWER
    low, high = -40.0, 40.0  # e^40 is beyond any odds that counts of requests could tell

    def refuted(log_ratio: float) -> bool:
        return bool(log_evidence(hits, events, chance, ratio=math.exp(log_ratio), bets=bets) >= limit)

    if not refuted(high if upper else low):
        return math.inf if upper else -math.inf
    for _ in range(30):
        middle = (low + high) / 2
        if refuted(middle) == upper:
            high = middle
        else:
            low = middle
    return high if upper else low


def log_evidence_of_shift(below: ArrayLike, of: ArrayLike, chance: ArrayLike, limit: float) -> Floats:
    """Against "the candidate's scores lie below a cut with a probability that is at most `limit` larger": of arms that
    requests were drawn for, so that its probability is `chance`.

    `below` and `of` have the shape (..., steps, 2): stable, candidate. A score of the candidate's pays one half over p,
    one of the stable version's one half over 1 - p, with its sign by side and arm: what is paid is on average the
    difference of the two probabilities, whatever the traffic does (Horvitz and Thompson 1952). The stake is a part of
    what the worst outcome leaves (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
    betting").
    """
    below, of = np.asarray(below, float), np.asarray(of, float)
    above = of - below
    drawn = np.asarray(chance, float)
    by_arm = np.stack([-0.5 / (1.0 - drawn), 0.5 / drawn], axis=-1)
    worst = np.abs(by_arm).max(axis=-1) + limit
    logs = []
    for part in STAKES:
        stake = (part / worst)[..., None]
        gains = below * np.log1p(stake * (by_arm - limit)) + above * np.log1p(stake * (-by_arm - limit))
        logs.append(gains.sum(axis=(-2, -1)))
    return log_mean(np.stack(logs))


def log_evidence_of_shift_in_pairs(below: ArrayLike, of: ArrayLike, limit: float) -> Floats:
    """The same where both versions answered the same requests: a request pays 1, 0 or -1, and such a payment's average
    is bet on by Hoeffding's bound (1963; as an e-process: Howard et al. 2021), however the two answers hang together.
    An answer that one of them lacks counts as if it spoke for the candidate. Shapes as before.
    """
    below, of = np.asarray(below, float), np.asarray(of, float)
    pairs = of.max(axis=-1).sum(axis=-1)
    unanswered = np.maximum(of[..., 1] - of[..., 0], 0.0).sum(axis=-1)
    paid = (below[..., 1] - below[..., 0]).sum(axis=-1) - unanswered - limit * pairs
    return log_mean(np.stack([leaning * paid - pairs * leaning**2 / 2 for leaning in LEANINGS]))
