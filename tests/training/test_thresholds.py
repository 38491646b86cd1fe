from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.training.thresholds import Cost, Fixed, MaxF1, ThresholdError, choose, parse

scored = st.lists(
    st.tuples(st.floats(0, 1, allow_subnormal=False) | st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans()),
    min_size=1,
    max_size=40,
)


def arrays(rows):
    return np.array([p for p, _ in rows]), np.array([is_positive for _, is_positive in rows])


def every_cut(p):
    return [-1.0, *np.unique(p).tolist(), 2.0]


def cost(p, positive, threshold, rule):
    answered = p >= threshold
    return rule.missed * np.sum(positive & ~answered) + rule.alarm * np.sum(~positive & answered)


def f1(p, positive, threshold):
    answered = p >= threshold
    hits = np.sum(positive & answered)
    return 2 * hits / max(1, 2 * hits + np.sum(positive != answered))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (0.5, Fixed(0.5)),
        (1, Fixed(1.0)),
        ("0.3", Fixed(0.3)),
        ("max_f1", MaxF1()),
        ("cost(5, 1)", Cost(5, 1)),
        (" cost( 0.5,1e2 ) ", Cost(0.5, 100)),
    ],
)
def test_a_threshold_is_read(text, rule):
    assert parse(text) == rule


@pytest.mark.parametrize("text", [1.5, -0.1, "best", "cost(5)", "cost(0, 1)", "cost(1, .)", float("nan"), "inf", ""])
def test_what_cannot_be_meant_is_refused_with_the_way_out(text):
    with pytest.raises(ThresholdError, match="max_f1"):
        parse(text)


@given(scored, st.sampled_from([0.1, 1.0, 5.0, 1000.0]), st.sampled_from([0.1, 1.0, 3.0]))
def test_no_cut_costs_less_than_the_chosen_one(rows, missed, alarm):
    p, positive = arrays(rows)
    rule = Cost(missed, alarm)
    chosen = cost(p, positive, choose(rule, p, positive), rule)
    assert chosen <= min(cost(p, positive, cut, rule) for cut in every_cut(p)) + 1e-9


@given(scored)
def test_no_cut_has_a_better_f1_than_the_chosen_one(rows):
    p, positive = arrays(rows)
    assert f1(p, positive, choose(MaxF1(), p, positive)) >= max(f1(p, positive, cut) for cut in every_cut(p)) - 1e-12


@given(scored, st.sampled_from([MaxF1(), Cost(5, 1)]))
def test_the_order_of_the_rows_does_not_matter(rows, rule):
    assert choose(rule, *arrays(rows)) == choose(rule, *arrays(rows[::-1]))


def test_a_cut_lies_between_probabilities_not_on_one():
    p, positive = np.array([0.1, 0.2, 0.6, 0.8]), np.array([False, False, True, True])
    assert choose(MaxF1(), p, positive) == pytest.approx(0.4)


def test_of_equal_cuts_the_one_that_theory_expects_is_chosen():
    p = np.array([0.1, 0.3, 0.5, 0.7])
    nobody = np.zeros(4, dtype=bool)
    assert choose(Cost(1, 1), p, nobody) > 0.7  # an alarm is never right
    assert choose(Cost(9, 1), np.array([0.05, 0.9]), np.array([False, True])) == pytest.approx(0.475)


def test_a_number_is_the_threshold_whatever_the_rows_say():
    assert choose(parse(0.37), np.array([0.9]), np.array([True])) == 0.37
