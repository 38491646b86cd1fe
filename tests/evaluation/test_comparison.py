"""What changes between two versions: exactly the rows whose answer differs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.answers import Answers
from mainstay.models.signature import Column, Signature
from mainstay.training.comparison import Diff, Transition, diff
from mainstay.training.metrics import EvaluationError


def signature(*labels, task="binary") -> Signature:
    return Signature(inputs=(Column(name="a", type="number"),), task=task, labels=labels)


YES_NO = signature("no", "yes")
NUMBER = signature(task="regression")


def answers(*yes: float) -> Answers:
    probabilities = np.c_[1 - np.array(yes), yes]
    return Answers(labels=probabilities.argmax(axis=1), probabilities=probabilities)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_exactly_the_rows_whose_label_differs_are_listed(pairs):
    before, after = (answers(*side) for side in zip(*pairs, strict=True))
    found = diff(before, after, YES_NO, YES_NO)
    differing = set(np.flatnonzero(before.labels != after.labels).tolist())
    assert {change.row for change in found.changes} == differing
    assert found.changed == len(differing) == sum(transition.rows for transition in found.transitions)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Diff) == found


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_version_does_not_differ_from_itself(yes):
    found = diff(answers(*yes), answers(*yes), YES_NO, YES_NO)
    assert (found.changed, found.largest_shift) == (0, 0)


def test_changes_carry_their_probabilities_and_stand_in_order_of_size():
    found = diff(answers(0.4, 0.9, 0.1), answers(0.6, 0.2, 0.3), YES_NO, YES_NO, truth=["yes", "yes", "no"])
    assert [(one.row, one.before, one.after, one.truth) for one in found.changes] == [
        (1, "yes", "no", "yes"),
        (0, "no", "yes", "yes"),
    ]
    assert found.changes[0].probability_before == pytest.approx(0.1)
    assert found.changes[0].probability_after == pytest.approx(0.8)
    assert found.shift == pytest.approx((0.2 + 0.7 + 0.2) / 3)
    limited = diff(answers(0.4, 0.9), answers(0.6, 0.2), YES_NO, YES_NO, limit=1)
    assert (len(limited.changes), limited.changed) == (1, 2)


def test_changes_are_counted_by_slice():
    sex = ["f"] * 40 + ["m"] * 40
    found = diff(answers(*[0.4] * 80), answers(*[0.6] * 10, *[0.4] * 70), YES_NO, YES_NO, slices={"sex": sex})
    assert [(one.value, one.rows, one.changed) for one in found.slices] == [("f", 40, 10), ("m", 40, 0)]
    assert found.slices[0].shift == pytest.approx(0.05)
    assert found.transitions == [Transition(before="no", after="yes", rows=10)]


def test_metrics_of_both_are_compared_where_the_truth_is_known():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=300)
    better = np.clip(truth * 0.6 + 0.2 + rng.normal(0, 0.1, 300), 0, 1)
    worse = np.clip(truth * 0.1 + 0.45 + rng.normal(0, 0.1, 300), 0, 1)
    labels = [YES_NO.labels[index] for index in truth]
    found = {one.metric: one for one in diff(answers(*worse), answers(*better), YES_NO, YES_NO, truth=labels).metrics}
    assert found["roc_auc"].difference.low > 0
    assert found["roc_auc"].difference.value == pytest.approx(found["roc_auc"].after - found["roc_auc"].before)
    turned = diff(answers(*worse), answers(*better), YES_NO, YES_NO, truth=labels, positive="no").metrics
    assert {one.metric: one for one in turned}["recall"].after == pytest.approx(np.mean(better[truth == 0] <= 0.5))


def test_values_change_beyond_the_tolerance():
    before = Answers(values=np.array([1000.0, 1000.0, 0.0]))
    after = Answers(values=np.array([1000.001, 1000.1, 1e-4]))
    found = diff(before, after, NUMBER, NUMBER, truth=[1000.0, 1000.0, 0.0])
    assert [one.row for one in found.changes] == [1, 2]
    assert {one.metric for one in found.metrics} >= {"rmse", "mae", "r2"}


def test_a_new_label_is_a_change_like_any_other():
    three = signature("maybe", "no", "yes", task="multiclass")
    after = Answers(labels=np.array([0, 2]), probabilities=np.array([[0.8, 0.1, 0.1], [0.1, 0.0, 0.9]]))
    found = diff(answers(0.3, 0.9), after, YES_NO, three, truth=["maybe", "yes"])
    assert [(one.before, one.after) for one in found.changes] == [("no", "maybe")]
    assert (found.changes[0].probability_before, found.changes[0].probability_after) == (0, 0.8)
    accuracy = next(one for one in found.metrics if one.metric == "accuracy")
    assert (accuracy.before, accuracy.after) == (0.5, 1)


@pytest.mark.parametrize(
    ("both", "signatures", "extra", "message"),
    [
        ((answers(0.1), Answers(values=np.ones(1))), (YES_NO, NUMBER), {}, "cannot be compared"),
        ((answers(0.1), answers(0.1, 0.2)), (YES_NO, YES_NO), {}, "use the same rows"),
        ((answers(0.1), answers(0.1)), (YES_NO, YES_NO), {"slices": {"sex": []}}, "'sex' has 0 values"),
        ((answers(0.1), answers(0.1)), (YES_NO, YES_NO), {"truth": ["no", "no"]}, "'truth' has 2 values"),
        ((answers(0.1), answers(0.1)), (YES_NO, YES_NO), {"truth": ["no"], "positive": "si"}, "positive label 'si'"),
    ],
)
def test_what_cannot_be_compared_is_refused(both, signatures, extra, message):
    with pytest.raises(EvaluationError, match=message):
        diff(*both, *signatures, **extra)


def test_no_rows_are_no_changes():
    none = Answers(labels=np.empty(0, dtype=np.int64), probabilities=np.empty((0, 2)))
    found = diff(none, none, YES_NO, YES_NO, slices={"sex": []}, truth=[])
    assert (found.rows, found.changed, found.metrics, found.slices) == (0, 0, [], [])
