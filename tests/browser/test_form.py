"""The page at /: the form, the answer, the threshold, and what can be copied."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from page_subjects import EVIL, bikes, credit, hostile, wines
from playwright.sync_api import expect
from standin import Standin, served

pytestmark = pytest.mark.browser


def opened(page, server: Standin) -> None:
    page.goto(server.url)
    expect(page.locator("#value")).not_to_have_text("…")


def field(page, name: str):
    return page.get_by_label(name, exact=True)


def settled(page, server: Standin):
    """What the page asked last, once it has asked for all that was typed."""
    with page.expect_response("**/predict"):
        page.locator("#form").evaluate("form => form.requestSubmit()")
    return json.loads(server.bodies[-1])


def copied(page, what: str) -> str:
    button = page.get_by_role("button", name=f"Copy as {what}")
    button.click()
    expect(page.locator("#copied")).to_have_text(f"Copied as {what}")
    return page.evaluate("navigator.clipboard.readText()")


def test_the_form_starts_with_typical_values_and_their_answer(page) -> None:
    with served(credit()) as server:
        opened(page, server)
        assert field(page, "amount").input_value() == "2319.5"
        assert field(page, "opened").input_value() == "2010-01-01"
        sent = json.loads(server.bodies[0])["inputs"][0]
        expected = server.models["credit"].answer(sent)
        assert sent["amount"] == 2319.5
        assert sent["purpose"] == "car"
        assert sent["foreign"] is True
        expect(page.locator("#value")).to_have_text(expected["prediction"][0])
        share = f"{expected['probabilities'][0]['good'] * 100:.1f} %"
        expect(page.locator(".bar", has_text="good").locator(".share")).to_have_text(share)


def test_the_answer_follows_as_one_types(page) -> None:
    with served(credit()) as server:
        opened(page, server)
        expect(page.locator("#value")).to_have_text("good")
        field(page, "amount").fill("18000")
        expect(page.locator("#value")).to_have_text("bad")
        field(page, "amount").press("ArrowUp")
        assert field(page, "amount").input_value() == "18182"
        page.get_by_role("button", name="Typical values").click()
        expect(page.locator("#value")).to_have_text("good")


def test_nothing_leaves_the_server_that_the_page_came_from(page) -> None:
    with served(credit(), bikes()) as server:
        opened(page, server)
        page.goto(f"{server.url}/docs")
        expect(page.locator("#title")).to_be_visible()
        assert page.asked
        assert all(url.startswith(server.url + "/") for url in page.asked)


def test_a_mistake_stands_beside_its_field(page) -> None:
    with served(credit()) as server:
        opened(page, server)
        field(page, "amount").fill("twelve")
        wrong = page.locator(".field.wrong")
        expect(wrong).to_have_count(1)
        expect(wrong.locator("label").first).to_have_text("amount")
        expect(wrong.locator(".error")).to_contain_text("got 'twelve', expected a number")
        expect(field(page, "amount")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("body")).to_have_class("stale")
        field(page, "amount").fill("300")
        expect(wrong).to_have_count(0)
        expect(page.locator("body")).not_to_have_class("stale")


def test_a_value_out_of_the_training_range_or_unseen_is_remarked_not_refused(page) -> None:
    with served(credit()) as server:
        opened(page, server)
        field(page, "amount").fill("99999")
        expect(page.get_by_text("above all that training saw (to 18424)")).to_be_visible()
        field(page, "purpose").select_option(label="another value…")
        page.get_by_label("purpose: another value").fill("a boat")
        expect(page.get_by_text("training never saw this value")).to_be_visible()
        expect(page.locator("#value")).to_have_text("bad")
        assert json.loads(server.bodies[-1])["inputs"][0]["purpose"] == "a boat"


def test_a_missing_value_is_sent_as_null(page) -> None:
    with served(credit()) as server:
        opened(page, server)
        missing = page.locator(".field", has=field(page, "duration")).get_by_label("missing")
        with page.expect_response("**/predict"):
            missing.check()
        assert json.loads(server.bodies[-1])["inputs"][0]["duration"] is None
        expect(field(page, "duration")).to_be_disabled()


def test_the_threshold_turns_the_label_and_says_what_it_changes(page) -> None:
    with served(credit()) as server:
        opened(page, server)
        probability = server.models["credit"].answer(json.loads(server.bodies[0])["inputs"][0])["probabilities"][0][
            "good"
        ]
        slider = page.locator("#threshold")
        assert float(slider.input_value()) == 0.42
        expect(page.locator("#threshold-says")).to_contain_text("The model’s own threshold is 0.42")
        slider.fill(str(round(probability + 0.05, 3)))
        expect(page.locator("#value")).to_have_text("bad")
        expect(page.locator("#under")).to_have_text("at your threshold; the server answers “good”")
        expect(page.locator("#threshold-says")).to_contain_text("changes this answer from “good” to “bad”")
        slider.fill(str(round(probability - 0.05, 3)))
        expect(page.locator("#value")).to_have_text("good")
        expect(page.locator("#threshold-says")).to_contain_text("does not change this answer")
        page.get_by_role("button", name="Reset").click()
        assert float(slider.input_value()) == 0.42


def test_a_reply_that_was_overtaken_is_dropped(page) -> None:
    with served(bikes()) as server:
        opened(page, server)
        server.hold = threading.Event()
        try:
            with page.expect_request("**/predict"):
                field(page, "temp").fill("111")
            field(page, "temp").fill("20")
            expect(page.locator("#value")).to_have_text("185")
        finally:
            server.hold.set()
        page.wait_for_timeout(300)
        expect(page.locator("#value")).to_have_text("185")


@pytest.mark.parametrize("what", ["curl", "Python"])
@pytest.mark.parametrize("made", [credit, hostile])
def test_the_copied_command_gives_the_answer_of_the_page(page, made, what: str, tmp_path: Path) -> None:
    with served(made()) as server:
        opened(page, server)
        if made is credit:
            field(page, "remarks").fill("it's $HOME `id` \\ \"quoted\"\nand 'two' lines – naïve \U0001f600")
            field(page, "amount").fill("2.50e3")
            expect(page.locator("#snippet")).to_contain_text("2.50e3")
        text = copied(page, what)
        by_page = settled(page, server)
        command = ["bash", "-c", text] if what == "curl" else [sys.executable, "-c", text]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(server.bodies[-1]) == by_page
        rows = by_page if isinstance(by_page, list) else by_page["inputs"]
        expected = next(iter(server.models.values())).answer(rows[0])
        said = json.loads(ran.stdout) if what == "curl" else eval(ran.stdout, {"__builtins__": {}})
        assert said == expected
        expect(page.locator("#value")).to_have_text(str(expected["prediction"][0]))
        assert not [*tmp_path.iterdir()]


def test_hostile_names_are_only_text(page) -> None:
    with served(hostile()) as server:
        opened(page, server)
        page.locator("#threshold").fill("0.9")
        assert page.evaluate("window.hacked") is None
        assert page.locator("main script, main img, main b").count() == 0
        expect(page.locator("#target")).to_have_text("<b>target</b>")
        assert page.locator("form label").first.evaluate("node => node.textContent") == EVIL
        assert json.loads(server.bodies[0])[0]["__proto__"] == "it's\na \u202e\\ line\u2028\x7f"


def test_a_hidden_character_is_escaped_where_it_is_copied(page) -> None:
    with served(hostile()) as server:
        opened(page, server)
        text = copied(page, "curl")
        assert "\\u202e" in text
        assert not re.search("[\u202e\u2028\x7f]", text)


def test_models_are_switched(page) -> None:
    with served(credit(), bikes(), wines()) as server:
        opened(page, server)
        page.get_by_label("Model", exact=True).select_option("bikes")
        expect(page.locator("#form-title")).to_have_text("bikes")
        expect(page.locator("#value")).to_have_text(str(40 + 7.25 * 15.2))
        expect(page.locator("#threshold-card")).to_be_hidden()
        assert page.url.endswith("#bikes")
        page.get_by_label("Model", exact=True).select_option("wines")
        expect(page.locator(".bar").first.locator(".name")).to_have_text("5")
        expect(page.locator("#scores")).to_contain_text("and 18 more, together")
        page.get_by_label("Find a field").fill("measure 17")
        expect(page.locator(".field:visible")).to_have_count(1)


def test_a_better_version_takes_over_and_keeps_what_was_typed(page) -> None:
    with served(bikes()) as server:
        opened(page, server)
        field(page, "temp").fill("30")
        expect(page.locator("#value")).to_have_text("257.5")
        old = server.models["bikes"]
        server.models["bikes"] = type(old)("bikes", old.signature, lambda cells: 1000.5 + float(cells.numbers[0, 0]), 2)
        expect(page.locator("#notice")).to_have_text("bikes:2 answers now, in place of bikes:1.")
        expect(page.locator("#value")).to_have_text("1030.5")
        assert field(page, "temp").input_value() == "30"


def test_the_keyboard_reaches_everything(page) -> None:
    with served(credit()) as server:
        opened(page, server)
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        assert {"API", "Metrics", "reset", "threshold", "copy-curl", "copy-python"} <= reached
        ids = {
            field(page, name).get_attribute("id")
            for name in ("amount", "duration", "purpose", "foreign", "opened", "remarks")
        }
        assert ids <= reached


def test_a_telephone_shows_it_without_scrolling_sideways(page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    with served(hostile()) as server:
        opened(page, server)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.mouse.wheel(0, 500)
        expect(page.locator("#value")).to_be_in_viewport()


def test_a_server_that_went_away_is_said(page) -> None:
    with served(bikes()) as server:
        opened(page, server)
        page.route("**/predict", lambda route: route.abort())
        field(page, "temp").fill("1")
        expect(page.locator("#notice")).to_have_text("The server does not answer. Is it still running?")
        page.unroute("**/predict")
        field(page, "temp").fill("2")
        expect(page.locator("#value")).to_have_text("54.5")
        expect(page.locator("#notice")).to_have_text("")
