"""The report: one page that asks nobody for anything, and shows whatever the data holds as text."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.answers import Answers
from mainstay.models.signature import Column, Signature
from mainstay.training.drawing import Chart, short, ticks
from mainstay.training.evaluation import Evaluation, evaluate, overfitting
from mainstay.training.gates import GateResult, decide, parse
from mainstay.training.importance import Importance
from mainstay.training.intervals import Estimate
from mainstay.training.report import Finding, ReportInput, TrialPoint, flat, number, readable, render

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>$\\frac{1}{2}$ {{ 7*7 }} 漢字 \u202e"


class Page(HTMLParser):
    """The tags and text of a page; fails where tags do not nest."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.open: list[str] = []
        self.feed(page.decode())
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def report(task: str, *, name: str = "age", labels=("bad", "good"), n: int = 300, **more) -> ReportInput:
    rng = np.random.default_rng(0)
    labels = {"binary": labels[:2], "multiclass": (*labels, "third"), "regression": ()}[task]
    signature = Signature(inputs=(Column(name=name, type="number"),), task=task, target=name + "?", labels=labels)
    if task == "regression":
        y = rng.normal(1e5, 2e4, n)
        answers, base = Answers(values=y + rng.normal(0, 5e3, n)), Answers(values=np.full(n, 1e5))
    else:
        probabilities = rng.dirichlet(np.ones(len(labels)), n)
        y = np.array([rng.choice(len(labels), p=p) for p in probabilities])
        answers = Answers(labels=probabilities.argmax(axis=1), probabilities=probabilities)
        shares = np.tile(np.bincount(y, minlength=len(labels)) / n, (n, 1))
        base = Answers(labels=shares.argmax(axis=1), probabilities=shares)
    evaluation = evaluate(answers, y, signature, slices={name: rng.choice([name, "b"], n).tolist()})
    primary = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task]
    evaluation = msgspec.structs.replace(
        evaluation,
        baseline=evaluate(base, y, signature),
        importance=[Importance(column=name, metric=primary, loss=0.1, error=0.02, repeats=5)],
        gap=overfitting(primary, train=evaluation.metrics[primary].value, test=evaluation.metrics[primary]),
    )
    facts = {
        "gates": decide([], evaluation),
        "trials": [TrialPoint(number=i, family=name, score=float(i), seconds=float(i)) for i in range(5)]
        + [TrialPoint(number=5, family="svm")],
        "findings": [Finding(level="warning", column=name, message=f"{name} is odd")],
        "left_out": {name: f"{name} says nothing"},
        "parity": {"largest difference": 2e-16, "inner": {name: [name, 1, None, True]}},
        "lineage": {name: name},
        "notes": [name],
    }
    return ReportInput(model=name, evaluation=evaluation, **{**facts, **more})


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_page_needs_nothing_but_itself(task):
    page = render(report(task))
    assert not re.search(rb"https?://|//[a-z]|url\(|@import|<script|<iframe|<object|javascript:", page)
    for tag, attributes in Page(page).tags:
        assert tag not in {"script", "img", "iframe", "object", "embed", "form", "audio", "video", "base"}
        assert attributes.get("src") is None
        assert attributes.get("href", "data:,") == "data:,"
    assert len(page) < 300_000


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_the_data_holds_is_shown_as_text(task):
    document = report(
        task,
        name=HOSTILE,
        labels=(HOSTILE, HOSTILE + "2"),
        version=HOSTILE,
        created=HOSTILE,
        description=HOSTILE,
        gates=[GateResult(text=HOSTILE, passed=False, reason=HOSTILE)],
    )
    page = render(document)
    parsed = Page(page)
    assert {tag for tag, _ in parsed.tags} & {"script", "img"} == set()
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert b"&lt;script&gt;" in page
    assert "{{ 7*7 }}" in parsed.text
    assert "49 " not in parsed.text[:200]


@given(st.text())
def test_any_name_gives_a_page_whose_tags_nest(text):
    document = report_once()
    Page(
        render(msgspec.structs.replace(document, model=text, left_out={text: text}, notes=[text], lineage={text: text}))
    )


def report_once(kept: list[ReportInput] = []) -> ReportInput:  # noqa: B006 - made once for all examples
    if not kept:
        kept.append(report("binary", n=60))
    return kept[0]


def test_each_drawing_says_what_it_shows():
    parsed = Page(render(report("binary")))
    charts = [attributes for tag, attributes in parsed.tags if tag == "svg" and attributes.get("class") == "chart"]
    assert len(charts) == 5
    ids = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    for chart in charts:
        assert chart["role"] == "img"
        assert set(chart["aria-labelledby"].split()) <= ids
    assert len([attributes for _, attributes in parsed.tags if "id" in attributes]) == len(ids)


def test_over_fitting_is_told_once():
    document = report("binary")
    gap = overfitting("roc_auc", train=1.0, test=Estimate(value=0.6, low=0.5, high=0.7))
    evaluation = msgspec.structs.replace(document.evaluation, gap=gap)
    page = render(msgspec.structs.replace(document, evaluation=evaluation, notes=[gap.message, "Another."])).decode()
    assert page.count(gap.message) == 1
    assert "Another." in page


def test_the_verdict_is_that_of_the_gates():
    evaluation = report("binary").evaluation
    good = Page(render(report("binary", gates=decide([parse("roc_auc >= 0.5")], evaluation)))).text
    assert "May be served The gate holds." in good
    bad = Page(render(report("binary", gates=decide([parse("roc_auc >= 0.999"), parse("f1 >= 0")], evaluation)))).text
    assert "Cannot be deployed 1 of 2 gates does not hold. roc_auc is" in bad
    none = Page(render(report("binary", gates=[GateResult(text="x", passed=None, reason="y")]))).text
    assert "Not judged" in none


def test_an_evaluation_with_nothing_defined_is_still_a_page():
    signature = Signature(inputs=(Column(name="a", type="number"),), task="binary", target="y", labels=(False, True))
    none = Answers(labels=np.empty(0, dtype=np.int64), probabilities=np.empty((0, 2)))
    empty = evaluate(none, [], signature)
    text = Page(render(ReportInput(model="m", evaluation=empty, gates=decide([], empty)))).text
    assert "undefined: no rows" in text
    assert "Cannot be deployed" in text
    one_class = evaluate(
        Answers(labels=np.ones(9, dtype=int), probabilities=np.tile([0.2, 0.8], (9, 1))),
        np.ones(9, dtype=int),
        signature,
    )
    assert "one class only" in Page(render(ReportInput(model="m", evaluation=one_class))).text


def test_a_classifier_without_probabilities_has_its_report():
    signature = Signature(inputs=(Column(name="a", type="number"),), task="binary", target="y", labels=("n", "y"))
    y = np.arange(40) % 2
    found = evaluate(Answers(labels=y), y, signature, slices={"a": ["u", "v"] * 20})
    assert "the model gives no probabilities" in Page(render(ReportInput(model="m", evaluation=found))).text


def test_a_wide_data_set_gives_a_page_of_bounded_size():
    many = report(
        "binary",
        findings=[Finding(level="note", column=f"c{i}", message="x" * 200) for i in range(5000)],
        left_out={f"c{i}": "constant" for i in range(5000)},
        lineage={f"c{i}": "constant" for i in range(5000)},
        trials=[TrialPoint(number=i, family=f"f{i % 9}", score=i / 7, seconds=i / 3) for i in range(5000)],
    )
    evaluation = msgspec.structs.replace(
        many.evaluation,
        slices=many.evaluation.slices * 1000,
        importance=many.evaluation.importance * 2000,
    )
    page = render(msgspec.structs.replace(many, evaluation=evaluation))
    assert len(page) < 1_500_000
    assert "and 4800 more" in Page(page).text


def test_many_classes_are_told_by_their_largest_confusions():
    rng = np.random.default_rng(0)
    labels = tuple(f"c{i:02}" for i in range(30))
    signature = Signature(inputs=(Column(name="a", type="number"),), task="multiclass", target="y", labels=labels)
    y = rng.integers(30, size=2000)
    said = np.where(y == 3, 7, y)
    probabilities = np.full((2000, 30), 0.01)
    probabilities[np.arange(2000), said] = 0.71
    found = evaluate(Answers(labels=said, probabilities=probabilities), y, signature)
    text = Page(render(ReportInput(model="m", evaluation=found))).text
    assert f"c03 c07 {(y == 3).sum()}" in text
    assert len(found.curves) == 8


def test_the_report_is_built_from_plain_data():
    document = report("binary")
    again = msgspec.convert(msgspec.to_builtins(document), ReportInput)
    assert render(again) == render(document)
    assert isinstance(again.evaluation, Evaluation)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12))
def test_ticks_are_few_and_within_their_range(low, span):
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 12
    # Far from 0, a tick cannot be nearer to its place than doubles are to each other.
    slack = span * 1e-6 + 2 * math.ulp(max(abs(low), abs(low + span)))
    assert all(low - slack <= tick <= low + span + slack for tick in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.25"), (1500, "1,500"), (2.5e6, "2.5M"), (0, "0"), (1e-9, "1.0e-09"), (-3e9, "-3B"), (1e20, "1.0e+20")],
)
def test_axes_show_short_numbers(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.000"), (0.81236, "0.812"), (12.3456, "12.35"), (1234.5, "1,234"), (2e-5, "2e-05")],
)
def test_numbers_keep_the_digits_that_count(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("..26", "below 26"),
        ("26..32", "26 to 32"),
        ("-1.5..2", "-1.5 to 2"),
        ("40..", "40 and above"),
        ("2024-01-15..2024-02-13", "2024-01-15 to 2024-02-13"),
        ("a..b", "a..b"),
        ("..", ".."),
        ("new car", "new car"),
    ],
)
def test_ranges_read_as_words(value, text):
    assert readable(value) == text


def test_nested_facts_become_lines():
    assert flat({"data": {"rows": 9, "files": ["a", "b"]}, "dirty": False, "x": None}) == [
        ("data · rows", "9"),
        ("data · files", "a, b"),
        ("dirty", "no"),
        ("x", "–"),
    ]


def test_marks_beyond_the_axes_stay_in_the_drawing():
    chart = Chart("k", title="t", description="d", x=(0, 1), y=(5, 5))
    chart.dot(9, 9, "s0", note="a < b")
    assert chart.at(9, 9) == chart.at(1, 7.5)
    assert "a &lt; b" in chart.svg()
