"""Metrics agree with scikit-learn, and what the rows do not define has a reason instead of a value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from mainstay.models.answers import Answers
from mainstay.training.intervals import resampled
from mainstay.training.metrics import METRICS, EvaluationError, Scored, measure, row_losses, scored

seeds = st.integers(0, 2**32 - 1)


def binary(seed: int, n: int = 60, *, ties: bool = False, positive: int = 1) -> Scored:
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    score = np.round(score, 1) if ties else score
    truth = (rng.random(n) < 0.2 + 0.6 * score).astype(int)
    truth[:2] = [0, 1]
    probabilities = np.c_[1 - score, score] if positive == 1 else np.c_[score, 1 - score]
    truth = truth if positive == 1 else 1 - truth
    return scored(Answers(probabilities=probabilities), truth, task="binary", classes=2, positive=positive)


def multiclass(seed: int, n: int = 80, classes: int = 4) -> Scored:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), n)
    truth = np.r_[np.arange(classes), [rng.choice(classes, p=p) for p in probabilities[classes:]]]
    return scored(Answers(probabilities=probabilities), truth, task="multiclass", classes=classes)


def regression(seed: int, n: int = 50) -> Scored:
    rng = np.random.default_rng(seed)
    truth = rng.normal(1000, 30, n)
    return scored(Answers(values=truth + rng.normal(size=n) * 10), truth, task="regression")


@given(seeds, st.booleans())
def test_binary_metrics_are_those_of_scikit_learn(seed, ties):
    rows = binary(seed, ties=ties)
    truth, answer, score = rows.truth, rows.labels, rows.probabilities[:, 1]
    values = measure(rows).values
    assert set(values) | set(measure(rows).undefined) == set(METRICS["binary"])
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(truth, answer))
    assert values["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, answer))
    assert values["recall"] == pytest.approx(sk.recall_score(truth, answer))
    assert values["f1"] == pytest.approx(sk.f1_score(truth, answer))
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, score))
    assert values["average_precision"] == pytest.approx(sk.average_precision_score(truth, score))
    assert values["log_loss"] == pytest.approx(sk.log_loss(truth, score))
    assert values["brier"] == pytest.approx(sk.brier_score_loss(truth, score))
    assert values["mcc"] == pytest.approx(sk.matthews_corrcoef(truth, answer))


@given(seeds)
def test_the_positive_label_may_be_the_first_one(seed):
    first, last = measure(binary(seed, positive=0)), measure(binary(seed))
    for name in ("roc_auc", "average_precision", "brier", "log_loss", "expected_calibration_error"):
        assert first.values[name] == pytest.approx(last.values[name])


@given(seeds)
def test_multiclass_metrics_are_those_of_scikit_learn(seed):
    rows = multiclass(seed)
    values = measure(rows).values
    assert set(values) == set(METRICS["multiclass"])
    assert values["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(rows.truth, rows.labels))
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(rows.truth, rows.probabilities, multi_class="ovr"))
    assert values["log_loss"] == pytest.approx(sk.log_loss(rows.truth, rows.probabilities))
    assert values["f1_macro"] == pytest.approx(sk.f1_score(rows.truth, rows.labels, average="macro"))


@given(seeds)
def test_regression_metrics_are_those_of_scikit_learn(seed):
    rows = regression(seed)
    values = measure(rows).values
    assert values["rmse"] == pytest.approx(math.sqrt(sk.mean_squared_error(rows.truth, rows.values)))
    assert values["r2"] == pytest.approx(sk.r2_score(rows.truth, rows.values))
    assert values["mape"] == pytest.approx(sk.mean_absolute_percentage_error(rows.truth, rows.values))


@given(seeds, st.sampled_from([binary, multiclass, regression, lambda seed: binary(seed, ties=True)]))
def test_a_draw_is_measured_as_its_rows_repeated(seed, kind):
    rows = kind(seed)
    rng = np.random.default_rng(seed)
    drawn = np.stack([np.bincount(rng.integers(len(rows), size=len(rows)), minlength=len(rows)) for _ in range(3)])
    found = resampled(rows, drawn.astype(float))
    for index, weights in enumerate(drawn):
        expected = measure(rows.rows(np.repeat(np.arange(len(rows)), weights)))
        for name, values in found.items():
            if name in expected.values:
                assert values[index] == pytest.approx(expected.values[name], rel=1e-9, abs=1e-9), name
            else:
                assert math.isnan(values[index]), name


@given(seeds)
def test_the_mean_loss_of_the_rows_is_the_log_loss(seed):
    rows = multiclass(seed)
    assert row_losses(rows).mean() == pytest.approx(measure(rows).values["log_loss"])


def test_a_single_class_leaves_ranking_undefined():
    rows = scored(Answers(probabilities=np.tile([0.3, 0.7], (5, 1))), np.ones(5, dtype=int), task="binary", classes=2)
    found = measure(rows)
    assert found.undefined["roc_auc"] == found.undefined["mcc"] == "the rows hold one class only"
    assert found.values["accuracy"] == found.values["recall"] == found.values["average_precision"] == 1
    assert found.values["log_loss"] == pytest.approx(-math.log(0.7))


def test_without_positive_rows_recall_is_undefined():
    rows = scored(Answers(labels=np.zeros(4, dtype=np.int64)), np.zeros(4, dtype=int), task="binary", classes=2)
    found = measure(rows)
    assert found.undefined["recall"] == "no row is positive"
    assert found.undefined["precision"] == "no row is answered as positive"
    assert found.undefined["roc_auc"] == "the model gives no probabilities"
    assert found.values == {"accuracy": 1.0}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_without_rows_every_metric_is_undefined(task):
    none = np.empty(0)
    answers = Answers(values=none) if task == "regression" else Answers(labels=none.astype(int))
    found = measure(scored(answers, none, task=task, classes=3 - (task == "binary")))
    assert found.values == {}
    assert found.undefined == dict.fromkeys(METRICS[task], "no rows")


def test_a_constant_prediction_is_measured():
    truth = np.array([1.0, 2.0, 3.0, 0.0])
    found = measure(scored(Answers(values=np.full(4, 1.5)), truth, task="regression"))
    assert found.values["r2"] == pytest.approx(0)
    assert found.undefined == {"mape": "a true value is 0"}


def test_a_constant_target_has_no_r2():
    found = measure(scored(Answers(values=np.arange(3.0)), np.ones(3), task="regression"))
    assert found.undefined["r2"] == "the true values are all the same"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_answers_that_are_not_numbers_leave_scores_undefined(bad):
    values = np.array([1.0, bad, 2.0])
    assert measure(scored(Answers(values=values), np.arange(3.0), task="regression")).values == {}
    probabilities = np.array([[0.2, 0.8], [bad, bad], [0.9, 0.1]])
    answers = Answers(labels=np.array([1, 0, 0]), probabilities=probabilities)
    found = measure(scored(answers, [1, 0, 0], task="binary", classes=2))
    assert found.undefined["roc_auc"] == "the model's answers are not all finite numbers"
    assert found.values["accuracy"] == 1


def test_single_precision_probabilities_are_no_surprise():
    probabilities = np.float64(np.float32(np.random.default_rng(0).dirichlet(np.ones(3), 30)))
    found = measure(scored(Answers(probabilities=probabilities), np.arange(30) % 3, task="multiclass", classes=3))
    assert found.values["log_loss"] > 0


@pytest.mark.parametrize(
    ("answers", "truth", "message"),
    [
        (Answers(labels=np.array([0, 1])), [0], "2 answers for 1 rows"),
        (Answers(labels=np.array([0, 5])), [0, 1], "predicted label"),
        (Answers(labels=np.array([0, 1])), [0, -1], "true label"),
        (Answers(probabilities=np.ones((2, 3))), [0, 1], "shape"),
        (Answers(values=np.ones(2)), [0, 1], "labels"),
    ],
)
def test_answers_that_do_not_fit_the_truth_are_refused(answers, truth, message):
    with pytest.raises(EvaluationError, match=message):
        scored(answers, truth, task="binary", classes=2)
