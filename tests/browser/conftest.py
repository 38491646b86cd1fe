"""A headless Chromium, driven through playwright; one for each file: as long as one is there, an event loop runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
]


def _absent(why: str) -> None:
    if os.environ.get("MAINSTAY_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{why}, and MAINSTAY_REQUIRE_BROWSER=1 asks for it")
    pytest.skip(f"{why}: install it (on Debian: apt-get install chromium) to run the browser tests")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    program = os.environ.get("MAINSTAY_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        _absent("there is no Chromium here")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield running
        running.close()


def is_fault(said) -> bool:
    """A refusal or a lost server shows as "Failed to load resource", and is what a test may be about."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


@pytest.fixture
def page(browser) -> Iterator:
    """A page that fails the test where a script raises an error or anything reaches for another server."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if is_fault(said) else None)
    opened.on("request", lambda request: asked.append(request.url))
    opened.asked = asked
    yield opened
    context.close()
    assert not errors
