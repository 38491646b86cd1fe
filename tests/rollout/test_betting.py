"""The wealth of bets against a candidate: fair if it is no worse, large if it is, however the counts came together."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.rollout.betting import (
    least,
    log_evidence,
    log_evidence_of_shift,
    log_evidence_of_shift_in_pairs,
    most,
)

CHANCES = st.sampled_from((0.0001, 0.01, 0.05, 0.25, 0.5, 0.9))
STEPS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100_000), CHANCES), min_size=1, max_size=5)


def arrays(steps):
    hits, misses, chances = (np.array(column, float) for column in zip(*steps, strict=True))
    return hits, hits + misses, chances


@given(STEPS, st.data())
def test_one_more_failure_of_the_candidate_never_lowers_the_evidence_and_one_of_stable_never_raises_it(steps, data):
    hits, events, chances = arrays(steps)
    at = np.eye(len(steps))[data.draw(st.integers(0, len(steps) - 1))]
    now = log_evidence(hits, events, chances)
    assert log_evidence(hits + at, events + at, chances) >= now - 1e-9
    assert log_evidence(hits, events + at, chances) <= now + 1e-9


@given(STEPS)
def test_the_order_of_steps_does_not_matter_and_no_count_is_too_large(steps):
    now = log_evidence(*arrays(steps))
    assert log_evidence(*arrays(steps[::-1])) == pytest.approx(float(now))
    hits, events, chances = arrays(steps)
    assert np.isfinite(log_evidence(hits * 1e9, events * 1e9, chances))


@given(CHANCES, st.integers(0, 60))
def test_of_independent_events_the_expected_wealth_is_exactly_one(chance, events):
    hits = np.arange(events + 1)
    weights = [math.comb(events, k) * chance**k * (1 - chance) ** (events - k) for k in range(events + 1)]
    wealth = np.exp(log_evidence(hits[:, None], np.full((events + 1, 1), events), [chance]))
    assert wealth @ np.array(weights) == pytest.approx(1.0)


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))
def test_counts_of_exact_shares_expect_less_wealth_than_those_of_coins(candidate, stable, bad):
    """What is drawn from an urn varies less (Hoeffding 1963, theorem 4)."""
    requests = candidate + stable
    bad = min(bad, requests)
    hits = np.arange(max(0, bad - stable), min(bad, candidate) + 1)
    ways = [math.comb(candidate, int(k)) * math.comb(stable, int(bad - k)) / math.comb(requests, bad) for k in hits]
    wealth = np.exp(log_evidence(hits[:, None], np.full((len(hits), 1), bad), [candidate / requests]))
    assert wealth @ np.array(ways) <= 1 + 1e-9


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.3))
def test_of_pairs_in_which_the_candidate_is_no_worse_the_expected_wealth_is_one_at_most(copied, one_fails, both_fail):
    """A request is copied with some probability; in a pair one of the two fails, each as likely, or both do."""
    outcomes = {
        (0, 0): copied * (1 - one_fails - both_fail) + (1 - copied) * (1 - one_fails / 2 - both_fail),
        (1, 0): copied * one_fails / 2,
        (0, 1): copied * one_fails / 2 + (1 - copied) * (one_fails / 2 + both_fail),
        (1, 1): copied * both_fail,
    }
    wealth = sum(part * np.exp(log_evidence([c], [c + s], [0.5])) for (c, s), part in outcomes.items())
    assert wealth <= 1 + 1e-9


@pytest.mark.parametrize("chance", [0.01, 0.25, 0.5])
def test_equal_versions_have_one_to_expect_and_cross_a_limit_as_seldom_as_it_says(chance):
    """Seeded: 4,000 rollouts, looked at after each of 200 events; four standard errors to spare."""
    hits = (np.random.default_rng(3).random((4000, 200)) < chance).cumsum(axis=1)[..., None]
    logs = log_evidence(hits, np.broadcast_to(np.arange(1, 201)[:, None], hits.shape), [chance])
    for look in (0, 9, 199):
        values = np.exp(logs[:, look])
        assert values.mean() <= 1 + 4 * values.std() / math.sqrt(4000)
    for limit in (5, 20, 100):
        assert (logs.max(axis=1) >= math.log(limit)).mean() <= 1 / limit + 4 * math.sqrt(1 / limit / 4000)


@pytest.mark.parametrize("chance", [0.01, 0.25, 0.5])
def test_a_confidence_sequence_holds_the_truth_after_each_event(chance):
    """Seeded: 300 runs of 400 events at 3 times the odds, with 20 % allowed misses; at most 20 % + 4 sigma are seen."""
    draws = np.random.default_rng(7).random((300, 400)) < 3 * chance / (1 + 2 * chance)
    hits = draws.cumsum(axis=1)[..., None]
    events = np.broadcast_to(np.arange(1, 401)[:, None], hits.shape)
    evidence = log_evidence(hits, events, [chance], ratio=3.0)
    missed = (evidence.max(axis=1) >= math.log(1 / 0.2)).mean()
    assert missed <= 0.2 + 4 * math.sqrt(0.2 * 0.8 / 300)


@settings(max_examples=25)
@given(STEPS, st.floats(0.001, 0.2))
def test_the_ends_of_a_confidence_sequence_are_in_order_and_a_smaller_doubt_is_wider(steps, doubt):
    counts = arrays(steps)
    low, high = least(*counts, doubt), most(*counts, doubt)
    assert 0 <= low <= high
    assert least(*counts, doubt / 10) <= low
    assert most(*counts, doubt / 10) >= high


@given(st.sampled_from((0.01, 0.3, 0.5)), st.floats(0, 1), st.floats(0, 0.4))
def test_scores_that_differ_as_much_as_they_may_pay_nothing_on_average(chance, stable_below, limit):
    candidate_below = min(stable_below + limit, 1.0)
    wealth = 0.0
    for arm, of_arm, rate in ((0, 1 - chance, stable_below), (1, chance, candidate_below)):
        for is_below, part in ((1, rate), (0, 1 - rate)):
            below, of = np.zeros((1, 2)), np.zeros((1, 2))
            below[0, arm], of[0, arm] = is_below, 1
            wealth += of_arm * part * np.exp(log_evidence_of_shift(below, of, [chance], limit))
    assert wealth <= 1 + 1e-9


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.4))
def test_pairs_of_scores_that_differ_as_much_as_they_may_pay_nothing_on_average(up, same, limit):
    """A pair pays 1, 0 or -1; up to `limit` on average."""
    up = min(up, limit + (1 - limit) / 2) * (1 - same)
    down = max(up - limit, 0.0)
    if up + down > 1:
        return
    outcomes = {(1, 0): up, (0, 1): down, (0, 0): 1 - up - down}
    wealth = sum(
        part * np.exp(log_evidence_of_shift_in_pairs([[s, c]], [[1, 1]], limit)) for (c, s), part in outcomes.items()
    )
    assert wealth <= 1 + 1e-9
