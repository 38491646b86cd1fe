"""Evaluations are documents: complete, JSON-safe, the same for the same seed, without anybody's rows."""

from __future__ import annotations

import itertools
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from mainstay.models.answers import Answers
from mainstay.models.package import Decision, encoded
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, Column, Signature
from mainstay.training.curves import GRID, POINTS, thinned
from mainstay.training.evaluation import Evaluation, evaluate, overfitting
from mainstay.training.importance import importance
from mainstay.training.intervals import Estimate
from mainstay.training.metrics import METRICS, EvaluationError

INPUTS = (Column(name="a", type="number"), Column(name="b", type="number"), Column(name="t", type="text"))
SIGNATURES = {
    "binary": Signature(inputs=INPUTS, task="binary", target="class", labels=("bad", "good")),
    "multiclass": Signature(inputs=INPUTS, task="multiclass", target="kind", labels=("x", "y", "z")),
    "regression": Signature(inputs=INPUTS, task="regression", target="price"),
}


def sample(task: str, n: int = 200, seed: int = 0) -> tuple[Answers, np.ndarray]:
    rng = np.random.default_rng(seed)
    if task == "regression":
        y = rng.gamma(2, 50, n)
        return Answers(values=y + rng.normal(0, 10, n)), y
    classes = len(SIGNATURES[task].labels)
    probabilities = rng.dirichlet(np.ones(classes), n)
    y = np.array([rng.choice(classes, p=p) for p in probabilities])
    return Answers(labels=probabilities.argmax(axis=1), probabilities=probabilities), y


@settings(deadline=None, max_examples=examples(30))
@given(
    st.sampled_from(sorted(SIGNATURES)),
    st.integers(0, 8),
    st.integers(0, 99),
    st.sampled_from([None, 1.0, 0.0, np.nan]),
)
def test_any_evaluation_survives_json_and_accounts_for_every_metric(task, n, seed, constant):
    answers, y = sample(task, n, seed)
    if constant is not None and task == "regression":
        answers = Answers(values=np.full(n, constant))
    elif constant is not None:
        answers = Answers(labels=answers.labels, probabilities=np.full_like(answers.probabilities, constant))
    found = evaluate(answers, y, SIGNATURES[task], slices={"a": ["u", "v", None, "u"][:n] + ["v"] * max(0, n - 4)})
    data = encoded(found)
    json.loads(data, parse_constant=pytest.fail)
    assert msgspec.json.decode(data, type=Evaluation) == found
    for part in (found, *found.slices):
        assert set(part.metrics) | set(part.undefined) == set(METRICS[task])
        assert not set(part.metrics) & set(part.undefined)
        assert all(np.isfinite(estimate.value) for estimate in part.metrics.values())


@pytest.mark.parametrize("task", sorted(SIGNATURES))
def test_the_same_seed_gives_the_same_document(task):
    answers, y = sample(task)
    first, again = (encoded(evaluate(answers, y, SIGNATURES[task], seed=3)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("task", sorted(SIGNATURES))
def test_intervals_hold_their_value(task):
    found = evaluate(*sample(task), SIGNATURES[task])
    for name, estimate in found.metrics.items():
        if name != "expected_calibration_error":  # A draw's noise only adds to it.
            assert estimate.low <= estimate.value <= estimate.high, name
        assert estimate.error > 0


def test_a_binary_evaluation_follows_its_decision():
    answers, y = sample("binary")
    decision = Decision(0, 0.3)
    found = evaluate(decided(answers, decision), y, SIGNATURES["binary"], decision=decision)
    assert (found.positive, found.threshold) == ("bad", 0.3)
    bad = answers.probabilities[:, 0] >= 0.3
    assert found.metrics["recall"].value == pytest.approx(bad[y == 0].mean())
    assert found.confusion == [
        [int((bad & (y == 0)).sum()), int((~bad & (y == 0)).sum())],
        [int((bad & (y == 1)).sum()), int((~bad & (y == 1)).sum())],
    ]
    assert sum(found.scores.positive) == (y == 0).sum()
    assert sum(one.rows for one in found.calibration) == found.rows == 200


def test_a_slice_is_evaluated_as_if_it_were_all():
    answers, y = sample("binary")
    sex = np.where(np.arange(200) % 3 == 0, "f", "m")
    found = evaluate(answers, y, SIGNATURES["binary"], slices={"sex": sex.tolist()})
    chosen = sex == "f"
    alone = evaluate(
        Answers(labels=answers.labels[chosen], probabilities=answers.probabilities[chosen]),
        y[chosen],
        SIGNATURES["binary"],
    )
    part = next(part for part in found.slices if part.value == "f")
    assert part.rows == alone.rows == 67
    assert {name: one.value for name, one in part.metrics.items()} == {
        name: pytest.approx(one.value) for name, one in alone.metrics.items()
    }


def test_no_document_grows_with_the_rows():
    small, large = (encoded(evaluate(*sample("regression", n), SIGNATURES["regression"])) for n in (2000, 20_000))
    assert len(large) < 1.5 * len(small)


def test_slices_of_another_length_are_refused():
    answers, y = sample("binary")
    with pytest.raises(EvaluationError, match="'sex' has 1 values for 200 rows"):
        evaluate(answers, y, SIGNATURES["binary"], slices={"sex": ["f"]})


def test_scores_on_the_same_rows_have_the_same_id():
    answers, y = sample("binary")
    other = Answers(labels=1 - answers.labels)
    assert evaluate(answers, y, SIGNATURES["binary"]).rows_id == evaluate(other, y, SIGNATURES["binary"]).rows_id
    assert evaluate(answers, y, SIGNATURES["binary"]).rows_id != evaluate(answers, 1 - y, SIGNATURES["binary"]).rows_id


def test_the_id_of_rows_is_by_label_not_by_its_place():
    wider = Signature(inputs=INPUTS, task="multiclass", labels=("another", "bad", "good"))
    y = np.array([0, 1, 1, 0])
    binary = evaluate(Answers(labels=y), y, SIGNATURES["binary"])
    assert binary.rows_id == evaluate(Answers(labels=y + 1), y + 1, wider).rows_id
    assert binary.rows_id != evaluate(Answers(labels=y), y, wider).rows_id


def test_grids_count_every_row():
    found = evaluate(*sample("regression"), SIGNATURES["regression"])
    grid = found.values
    assert np.sum(grid.counts) + grid.outside == 200
    assert len(grid.edges) == GRID + 1
    constant = evaluate(Answers(values=np.ones(5)), np.ones(5), SIGNATURES["regression"]).values
    assert np.sum(constant.counts) == 5
    assert sum(constant.residual_counts) == 5


@given(st.integers(2, 3000))
def test_a_thinned_curve_keeps_its_ends_and_order(n):
    rng = np.random.default_rng(n)
    x, y = np.sort(rng.random(n)), np.sort(rng.random(n))
    points = thinned(x, y)
    assert len(points) <= max(POINTS + 2, 2)
    assert points[0] == pytest.approx((x[0], y[0]), abs=1e-6)
    assert points[-1] == pytest.approx((x[-1], y[-1]), abs=1e-6)
    assert points == sorted(points)


@pytest.mark.parametrize(
    ("metric", "train", "test", "flagged"),
    [
        ("roc_auc", 0.99, Estimate(value=0.75, low=0.7, high=0.8), True),
        ("roc_auc", 0.80, Estimate(value=0.75, low=0.7, high=0.79), False),
        ("roc_auc", 0.99, Estimate(value=0.75, low=0.5, high=1.0), False),
        ("roc_auc", 0.60, Estimate(value=0.75, low=0.7, high=0.8), False),
        ("rmse", 10.0, Estimate(value=20.0, low=18, high=22), True),
        ("rmse", 18.5, Estimate(value=20.0, low=19, high=22), False),
        ("rmse", 30.0, Estimate(value=20.0, low=19, high=22), False),
    ],
)
def test_a_gap_beyond_chance_and_custom_is_over_fitting(metric, train, test, flagged):
    gap = overfitting(metric, train=train, test=test)
    assert gap.flagged is flagged
    assert ("over-fitted" in gap.message) is flagged


def cells(n: int = 300) -> Cells:
    rng = np.random.default_rng(0)
    numbers = np.c_[rng.random((n, 2)), np.full(n, np.nan)]
    return Cells(numbers, {2: [["spam", "ham", None][i] for i in rng.integers(3, size=n)]})


def test_importance_finds_what_the_model_uses():
    rows = cells()

    def answer(of: Cells) -> Answers:
        return Answers(values=3 * of.numbers[:, 0] + np.array([text == "spam" for text in of.texts[2]]))

    found = importance(answer, rows, answer(rows).values, SIGNATURES["regression"])
    assert [one.column for one in found] == ["a", "t", "b"]
    assert found[-1].loss == 0
    assert all(one.metric == "rmse" and one.repeats == 5 for one in found)
    assert found[0].loss > 0.5 > found[0].error


def test_importance_stops_when_its_time_is_over():
    ticking = itertools.count()
    rows = cells(50)
    found = importance(
        lambda of: Answers(values=of.numbers[:, 0]),
        rows,
        rows.numbers[:, 0],
        SIGNATURES["regression"],
        seconds=5,
        clock=lambda: float(next(ticking)),
    )
    assert sum(one.repeats for one in found) == 4


def test_importance_leaves_the_rows_as_they_were():
    rows = cells(50)
    before = rows.numbers.copy(), list(rows.texts[2])
    importance(lambda of: Answers(values=of.numbers[:, 0]), rows, np.arange(50.0), SIGNATURES["regression"], repeats=1)
    assert np.array_equal(before[0], rows.numbers, equal_nan=True)
    assert before[1] == rows.texts[2]


def test_importance_of_a_classifier_without_probabilities_is_by_its_labels():
    rows = cells()
    answer = lambda of: Answers(labels=(of.numbers[:, 0] > 0.5).astype(np.int64))  # noqa: E731 - a model in a line
    found = importance(answer, rows, answer(rows).labels, SIGNATURES["binary"])
    assert found[0].metric == "balanced_accuracy"
    assert found[0].column == "a"
    assert importance(answer, rows, np.zeros(300, dtype=int), SIGNATURES["binary"])[0].metric == "accuracy"
