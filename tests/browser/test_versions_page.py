"""The page lets a person ask a version that is beside the one that takes the traffic."""

from __future__ import annotations

import pytest
from live import serving
from playwright.sync_api import expect
from subjects import loan

from mainstay.operations.deploying import deploy
from mainstay.operations.undeploying import undeploy

pytestmark = pytest.mark.browser


def test_a_version_beside_is_chosen_asked_and_left_when_it_is_taken_away(page, tmp_path) -> None:
    with serving(tmp_path, ("loan", loan())) as server:
        server.add("loan", loan(shift=-9.0), deploy=False)
        deploy(tmp_path, "loan:2", beside=True)
        page.goto(server.url)
        expect(page.locator("#value")).to_have_text("good")
        expect(page.locator("#models option")).to_have_text(["loan", "loan:2"])
        page.locator("#models").select_option("loan:2")
        expect(page.locator("#version")).to_have_text("version 2 · binary")
        expect(page.locator("#value")).to_have_text("bad")
        expect(page.locator("#snippet")).to_contain_text("/models/loan/versions/2/predict")
        page.reload()  # the address says what was chosen
        expect(page.locator("#version")).to_have_text("version 2 · binary")
        undeploy(tmp_path, "loan:2")
        expect(page.locator("#version")).to_have_text("version 1 · binary", timeout=15_000)
        expect(page.locator("#value")).to_have_text("good")
        expect(page.locator("#snippet")).to_contain_text("/models/loan/predict")
