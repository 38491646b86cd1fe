"""The report in a real browser: it asks for nothing, raises nothing, and fits the screen."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from mainstay.models.answers import Answers
from mainstay.models.signature import Column, Signature
from mainstay.training.evaluation import evaluate
from mainstay.training.gates import decide
from mainstay.training.report import ReportInput, render

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


@pytest.fixture
def address(tmp_path) -> str:
    rng = np.random.default_rng(0)
    signature = Signature(
        inputs=(Column(name=HOSTILE, type="number"),), task="binary", target="class", labels=("bad", HOSTILE)
    )
    score = rng.random(300)
    probabilities = np.c_[1 - score, score]
    y = (rng.random(300) < score).astype(int)
    evaluation = evaluate(
        Answers(labels=probabilities.argmax(axis=1), probabilities=probabilities),
        y,
        signature,
        slices={HOSTILE: rng.choice(["a", HOSTILE], 300).tolist()},
    )
    constant = np.tile([0.5, 0.5], (300, 1))
    baseline = evaluate(Answers(labels=constant.argmax(axis=1), probabilities=constant), y, signature)
    evaluation = msgspec.structs.replace(evaluation, baseline=baseline)
    path = tmp_path / "report.html"
    path.write_bytes(render(ReportInput(model=HOSTILE, evaluation=evaluation, gates=decide([], evaluation))))
    return path.as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light")])
def test_the_report_asks_for_nothing_and_fits_the_screen(page, address, width, scheme):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
    assert page.asked == [address]
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".verdict").inner_text().startswith("May be served")
    assert page.locator("svg.chart").count() == 4
    for box in page.locator("svg.chart").all():
        assert box.bounding_box()["height"] > 150
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground.removeprefix("rgb(").rstrip(")").split(","))) > 382) is (scheme == "light")
