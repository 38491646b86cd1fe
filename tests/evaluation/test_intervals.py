"""Bootstrap intervals hold the true value about as often as they say, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.answers import Answers
from mainstay.training.intervals import LEAST, MOST, draw_count, estimates, paired, weights, wilson
from mainstay.training.metrics import Scored, measure, scored


def labelled(rng: np.random.Generator, n: int, right: float) -> Scored:
    truth = rng.integers(2, size=n)
    labels = np.where(rng.random(n) < right, truth, 1 - truth)
    return scored(Answers(labels=labels), truth, task="binary", classes=2)


def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    rng, right, times = np.random.default_rng(1), 0.8, 300
    held = 0
    for seed in range(times):
        rows = labelled(rng, 150, right)
        interval = estimates(rows, measure(rows), seed=seed, most=LEAST)["accuracy"]
        held += interval.low <= right <= interval.high
    # Of 300 intervals of 95 %, between 271 and 296 hold it, but for one time in ten thousand.
    assert 0.90 <= held / times <= 0.99


def test_the_standard_error_of_a_share_is_the_known_one():
    rows = labelled(np.random.default_rng(0), 400, 0.8)
    estimate = estimates(rows, measure(rows), seed=0)["accuracy"]
    known = np.sqrt(estimate.value * (1 - estimate.value) / 400)
    assert estimate.error == pytest.approx(known, rel=0.1)
    assert (estimate.low + estimate.high) / 2 == pytest.approx(estimate.value, abs=0.01)


@given(st.integers(0, 1000))
def test_the_same_seed_gives_the_same_intervals(seed):
    rows = labelled(np.random.default_rng(seed), 30, 0.7)
    measured = measure(rows)
    assert estimates(rows, measured, seed=seed, most=50) == estimates(rows, measured, seed=seed, most=50)


def test_draws_are_the_same_however_they_are_cut_into_blocks(monkeypatch):
    whole = np.concatenate(list(weights(50, 20, seed=3)))
    monkeypatch.setattr("mainstay.training.intervals.BLOCK", 150)
    cut = list(weights(50, 20, seed=3))
    assert len(cut) > 1
    assert np.array_equal(whole, np.concatenate(cut))
    assert (whole.sum(axis=1) == 50).all()


def test_a_share_of_all_rows_has_an_interval_that_is_not_a_point():
    rows = scored(Answers(labels=np.array([0, 1] * 6)), np.array([0, 1] * 6), task="binary", classes=2)
    found = estimates(rows, measure(rows), seed=0)
    assert (found["accuracy"].method, found["accuracy"].high) == ("wilson", 1.0)
    assert found["accuracy"].low == pytest.approx(0.7575, abs=1e-3)
    assert found["recall"].low < found["accuracy"].low


def test_wilson_is_the_interval_of_the_textbook():
    low, high = wilson(0.5, 100)
    assert (low, high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))


def test_a_metric_that_few_draws_define_has_no_interval():
    # One positive row of two: a draw has both classes half of the time.
    rows = scored(Answers(probabilities=np.array([[0.9, 0.1], [0.2, 0.8]])), [0, 1], task="binary", classes=2)
    found = estimates(rows, measure(rows), seed=0, most=30)["roc_auc"]
    assert (found.value, found.low, found.high, found.error) == (1.0, None, None, None)


def test_paired_differences_are_narrower_than_their_parts():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=500) * 10
    noise = rng.normal(size=500)
    a = scored(Answers(values=truth + noise), truth, task="regression")
    b = scored(Answers(values=truth + 0.9 * noise), truth, task="regression")
    difference = paired(a, b, seed=0)["rmse"]
    assert difference.value == pytest.approx(measure(b).values["rmse"] - measure(a).values["rmse"])
    assert difference.high < 0
    alone = estimates(a, measure(a), seed=0)["rmse"]
    assert difference.high - difference.low < (alone.high - alone.low) / 2


def test_work_is_bounded_however_many_rows_there_are():
    few = labelled(np.random.default_rng(0), 100, 0.8)
    assert draw_count(few) == MOST
    many = scored(Answers(labels=np.zeros(200_000, dtype=int)), np.zeros(200_000, dtype=int), task="binary", classes=2)
    assert draw_count(many) == LEAST // 2


def test_the_interval_of_the_calibration_error_holds_the_error_itself():
    rng = np.random.default_rng(3)
    p = rng.uniform(0.05, 0.95, 200)
    truth = (rng.random(200) < p).astype(np.int64)
    rows = scored(Answers(probabilities=np.stack([1 - p, p], axis=1)), truth, task="binary", classes=2)
    found = estimates(rows, measure(rows), seed=0)["expected_calibration_error"]
    assert found.low <= found.value <= found.high
