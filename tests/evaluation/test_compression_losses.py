"""What a smaller model loses, and when that can be borne."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mainstay.models.answers import Answers
from mainstay.training.compression import Loss, UnknownMeasure, loss_of, metric_of
from mainstay.training.intervals import Pairing
from mainstay.training.metrics import Scored, measure, scored

ROWS = 400


def regression(noise: float, seed: int = 0) -> Scored:
    truth = np.linspace(0, 10, ROWS)
    found = truth + noise * np.random.default_rng(seed).normal(size=ROWS)
    return scored(Answers(values=found), truth, task="regression")


def binary(noise: float, seed: int = 0) -> Scored:
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, ROWS)
    positive = 1 / (1 + np.exp(-(2.0 * truth - 1 + draw.normal(size=ROWS) + noise * draw.normal(size=ROWS))))
    return scored(Answers(probabilities=np.c_[1 - positive, positive]), truth, task="binary", classes=2)


def loss(before: Scored, after: Scored, metric: str) -> Loss:
    return loss_of(Pairing(before, seed=0), after, metric)


@pytest.mark.parametrize("rows, metric", [(regression(1.0), "rmse"), (binary(0), "roc_auc"), (binary(0), "log_loss")])
def test_a_model_loses_nothing_against_itself(rows, metric):
    found = loss(rows, rows, metric)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert math.copysign(1, found.value) == 1
    assert found.holds(0)


def test_a_score_loses_in_its_own_units():
    before, after = binary(0), binary(1)
    found = loss(before, after, "roc_auc")
    assert found.unit == "absolute"
    assert found.value == pytest.approx(measure(before).values["roc_auc"] - measure(after).values["roc_auc"])
    assert found.low < found.value < found.high
    assert found.value > 0.05


def test_an_error_loses_as_a_share_of_what_it_was():
    before, after = regression(1.0), regression(1.5)
    found = loss(before, after, "rmse")
    assert found.unit == "relative"
    assert found.value == pytest.approx(0.5)
    assert found.low < 0.5 < found.high
    thousandfold = [
        scored(Answers(values=1000 * each.values), 1000 * each.truth, task="regression") for each in (before, after)
    ]
    assert loss(*thousandfold, "rmse").value == pytest.approx(found.value)


def test_a_better_model_has_a_loss_below_zero():
    assert loss(regression(1.5), regression(1.0), "rmse").value < 0
    assert loss(binary(1), binary(0), "roc_auc").value < 0


def test_a_loss_holds_by_the_upper_end_of_its_interval():
    found = loss(binary(0), binary(0.3), "roc_auc")
    assert not found.holds(found.value)
    assert not found.holds(found.high - 1e-9)
    assert found.holds(found.high)


def test_what_rows_cannot_tell_does_not_hold():
    perfect = scored(Answers(values=np.arange(30.0)), np.arange(30.0), task="regression")
    near = scored(Answers(values=np.arange(30.0) + 0.01), np.arange(30.0), task="regression")
    assert not loss(perfect, near, "rmse").holds(0.999)
    broken = scored(Answers(values=np.full(30, np.nan)), np.arange(30.0), task="regression")
    assert not loss(perfect, broken, "rmse").holds(0.999)


def test_the_metric_is_the_tasks_own_unless_another_is_asked_for():
    assert metric_of("binary", binary(0)) == "roc_auc"
    assert metric_of("regression", regression(1)) == "rmse"
    assert metric_of("binary", binary(0), "log_loss") == "log_loss"
    with pytest.raises(UnknownMeasure, match="Did you mean 'log_loss'"):
        metric_of("binary", binary(0), "logloss")
    with pytest.raises(UnknownMeasure, match="no metric of a regression"):
        metric_of("regression", regression(1), "roc_auc")


def test_a_classifier_without_probabilities_is_judged_by_its_labels():
    rows = scored(Answers(labels=np.array([0, 1] * 20)), [0, 1] * 20, task="binary", classes=2)
    assert metric_of("binary", rows) == "balanced_accuracy"
    with pytest.raises(UnknownMeasure, match="gives no probabilities"):
        metric_of("binary", rows, "roc_auc")


def test_a_metric_that_the_rows_do_not_define_is_refused():
    rows = scored(Answers(probabilities=np.array([[0.4, 0.6]] * 30)), [1] * 30, task="binary", classes=2)
    with pytest.raises(UnknownMeasure, match="one class only"):
        metric_of("binary", rows)
