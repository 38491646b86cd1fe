"""Gates: what they mean, and that what cannot be measured does not hold."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.answers import Answers
from mainstay.models.signature import Column, Signature
from mainstay.training.evaluation import Evaluation, SliceScores, evaluate
from mainstay.training.gates import (
    ENOUGH,
    Champion,
    GateError,
    GateResult,
    decide,
    default_gate,
    named,
    parse,
    passed,
)
from mainstay.training.intervals import Estimate
from mainstay.training.metrics import METRICS

KNOWN = sorted({name for names in METRICS.values() for name in names})
HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
shares = st.floats(0, 1)


def scores(task="binary", *, rows=200, rows_id="same", slices=(), undefined=None, **values) -> Evaluation:
    metrics = {name: Estimate(value=value, low=value - 0.1, high=value + 0.1) for name, value in values.items()}
    return Evaluation(
        task=task,
        target="y",
        rows=rows,
        rows_id=rows_id,
        metrics=metrics,
        undefined=undefined or {},
        slices=list(slices),
    )


def said(text, evaluation, champion=None, baseline=None) -> GateResult:
    return decide([parse(text)], evaluation, champion, baseline)[0]


@given(st.sampled_from(KNOWN), st.sampled_from(sorted(HOLDS)), shares, shares)
def test_a_gate_holds_exactly_where_its_comparison_does(metric, sign, value, limit):
    result = said(f"{metric} {sign} {limit!r}", scores(**{metric: value}))
    assert result.passed is HOLDS[sign](value, limit)
    assert (result.value, result.limit) == (value, limit)


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_column_and_value_can_be_named_in_quotes(column, value):
    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert parse(f"recall[{quoted(column)} = {quoted(value)}] >= 0.5").slice == (column, value)


@given(st.text())
def test_any_text_is_a_gate_or_is_refused_in_a_sentence(text):
    try:
        gate = parse(text)
    except GateError as error:
        assert "The gate" in str(error)
    else:
        assert gate.metric in KNOWN


@given(shares, shares, st.sampled_from("+-*/"), st.floats(0.01, 2))
def test_limits_are_arithmetic_on_the_champion_and_the_baseline(champion, baseline, sign, number):
    calculate = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign]
    result = said(f"f1 >= baseline {sign} {number!r}", scores(f1=0.5), baseline=scores(f1=baseline))
    assert result.limit == pytest.approx(calculate(baseline, number))
    against = Champion("credit:1", scores(f1=champion), scores(f1=0.5))
    assert said(f"f1 >= champion {sign} {number!r}", scores(), against).limit == pytest.approx(
        calculate(champion, number)
    )


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("0.5 + 0.1 * 2", 0.7),
        ("(0.5 + 0.1) * 2", 1.2),
        ("-0.5", -0.5),
        ("1 - 0.2 - 0.3", 0.5),
        ("1e-1/2", 0.05),
        (".5", 0.5),
    ],
)
def test_operators_bind_as_in_arithmetic(limit, value):
    assert parse(f"f1 >= {limit}").limit.value({}) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rocauc >= 0.7", "Did you mean 'roc_auc'"),
        ("roc_auc", "no >=, <=, > or <"),
        ("roc_auc >=", "no limit"),
        ("roc_auc == 0.7", "no >=, <=, > or <"),
        ("roc_auc >= 0.7 0.8", "should have ended"),
        ("roc_auc >= best", "'champion' or 'baseline'"),
        ("roc_auc >= (0.7", r"'\)' is missing"),
        ("roc_auc >= 0.7 +", "ends too early"),
        ("roc_auc.middle >= 0.7", "'middle'"),
        ("recall[sex] >= 0.7", "slice has no '='"),
        ("recall[sex=female >= 0.7", "slice has no ']'"),
        ("recall[=female] >= 0.7", "nothing stands before"),
        ('recall[sex="female] >= 0.7', "has no partner"),
        ("recall >= 1e999", "too large"),
        ("recall >= " + "(" * 300, "too long"),
        ("", "does not start with a metric"),
    ],
)
def test_what_is_no_gate_is_refused_with_the_reason(text, message):
    with pytest.raises(GateError, match=message):
        parse(text)


def test_a_metric_of_another_task_is_refused():
    with pytest.raises(GateError, match="'rmse' is not a metric of a binary task"):
        parse("rmse <= 3", "binary")
    with pytest.raises(GateError, match="Did you mean 'f1_macro'"):
        parse("f1_mac >= 0.3", "multiclass")


def test_a_bound_of_the_interval_can_be_held_against_the_limit():
    assert said("roc_auc.low >= 0.7", scores(roc_auc=0.75)).passed is False
    assert said("roc_auc.high >= 0.7", scores(roc_auc=0.65)).passed is True


def test_a_slice_is_held_against_the_limit():
    part = SliceScores(column="sex", value="female", rows=80, metrics={"recall": Estimate(value=0.55)})
    evaluation = scores(recall=0.9, slices=[part])
    result = said("recall[sex=female] >= 0.6", evaluation)
    assert (result.passed, result.value) == (False, 0.55)
    assert said("recall >= 0.6", evaluation).passed is True
    assert named([parse("recall[sex=female] >= 0.6"), parse("f1 >= 0")]) == {"sex": {"female"}}


def test_what_is_missing_fails_with_its_reason():
    part = SliceScores(column="sex", value="female", rows=3, undefined={"recall": "no row is positive"})
    evaluation = scores(slices=[part], f1=0.9, undefined={"roc_auc": "the rows hold one class only"})
    for text, reason in {
        "roc_auc >= 0": "one class only",
        "recall[sex=female] >= 0": "no row is positive",
        "recall[sex=femal] >= 0": "Did you mean 'female'",
        "recall[age=30] >= 0": "no slices of the column 'age'",
        "brier <= 1": "not measured",
        "f1 >= baseline": "no baseline",
        "f1 >= 1 / (1 - 1)": "divides by 0",
        "f1 <= 1e308 * 10": "not a finite number",
    }.items():
        result = said(text, evaluation)
        assert result.passed is False, text
        assert reason in result.reason


def test_a_metric_without_an_interval_fails_a_gate_on_its_bound():
    evaluation = Evaluation(task="binary", target="y", rows=9, rows_id="", metrics={"f1": Estimate(value=1.0)})
    assert said("f1.low >= 0", evaluation).passed is False


def test_without_a_champion_its_gate_does_not_apply_and_the_baseline_s_does():
    results = decide([parse("roc_auc >= champion - 0.01")], scores(roc_auc=0.7), None, scores(roc_auc=0.5))
    assert [(result.text, result.passed) for result in results] == [
        ("roc_auc >= champion - 0.01", None),
        ("roc_auc > baseline", True),
    ]
    assert passed(results)
    worse = decide([parse("roc_auc >= champion - 0.01")], scores(roc_auc=0.5), None, scores(roc_auc=0.5))
    assert not passed(worse)


def test_a_champion_is_compared_on_the_rows_that_neither_was_trained_on():
    shared = Champion("credit:1", champion=scores(roc_auc=0.8), challenger=scores(roc_auc=0.75))
    # On its own held-out rows it would pass.
    result = decide([parse("roc_auc >= champion - 0.01")], scores(roc_auc=0.9), shared)[0]
    assert (result.passed, result.value) == (False, 0.75)
    assert result.limit == pytest.approx(0.79)


def test_a_champion_that_cannot_be_scored_fails_with_the_reason():
    result = said("f1 >= champion", scores(f1=0.9), Champion("credit:1", trouble="Its file is corrupt."))
    assert (result.passed, result.reason) == (False, "Its file is corrupt.")


@pytest.mark.parametrize("rows", [0, ENOUGH - 1])
def test_too_few_shared_rows_fail(rows):
    shared = Champion("credit:1", scores(roc_auc=0.5, rows=rows), scores(roc_auc=0.9, rows=rows))
    result = said("roc_auc >= champion", scores(roc_auc=0.9), shared)
    assert result.passed is False
    assert f"Only {rows} rows" in result.reason


def test_scores_on_other_rows_are_not_compared():
    other = Champion("credit:1", scores(f1=0.1), scores(f1=0.9, rows_id="other"))
    assert said("f1 >= champion", scores(f1=0.9), other).passed is False
    assert said("f1 >= baseline", scores(f1=0.9), baseline=scores(f1=0.1, rows_id="other")).passed is False
    both = Champion("credit:1", scores(f1=0.1), scores(f1=0.9))
    assert said("f1 >= champion + baseline", scores(f1=0.9), both, scores(f1=0.1)).passed is False


@pytest.mark.parametrize(
    ("task", "good", "bad", "text"),
    [
        ("binary", {"roc_auc": 0.7}, {"roc_auc": 0.5}, "roc_auc > baseline"),
        ("multiclass", {"log_loss": 0.3}, {"log_loss": 0.9}, "log_loss < baseline"),
        ("regression", {"rmse": 3}, {"rmse": 9}, "rmse < baseline"),
    ],
)
def test_without_gates_the_baseline_must_be_beaten(task, good, bad, text):
    results = decide([], scores(task, **good), baseline=scores(task, **bad))
    assert [result.text for result in results] == [text]
    assert passed(results)
    assert not passed(decide([], scores(task, **bad), baseline=scores(task, **bad)))
    assert not passed(decide([], scores(task, **good)))


def test_a_classifier_without_probabilities_is_judged_by_its_labels():
    evaluation = scores(accuracy=0.9, balanced_accuracy=0.8, undefined={"roc_auc": "the model gives no probabilities"})
    assert default_gate(evaluation).text == "balanced_accuracy > baseline"
    one_class = scores(accuracy=0.9, undefined={"roc_auc": "the rows hold one class only"})
    assert not passed(decide([], one_class, baseline=scores(roc_auc=0.5)))


def test_every_gate_is_evaluated():
    results = decide([parse("f1 >= 0.9"), parse("f1 >= 0.1"), parse("mcc >= 0")], scores(f1=0.5))
    assert [result.passed for result in results] == [False, True, False]


@given(st.lists(st.sampled_from([True, False, None])))
def test_a_version_passes_where_a_gate_says_yes_and_none_says_no(verdicts):
    results = [GateResult(text="", passed=verdict, reason="") for verdict in verdicts]
    assert passed(results) is (True in verdicts and False not in verdicts)


def test_a_test_set_of_one_class_fails_closed():
    signature = Signature(inputs=(Column(name="a", type="number"),), task="binary", labels=("no", "yes"))
    constant = Answers(probabilities=np.tile([0.9, 0.1], (40, 1)))
    evaluation = evaluate(constant, np.zeros(40, dtype=int), signature)
    assert not passed(decide([], evaluation, baseline=evaluation))
