"""The page at /docs: the OpenAPI document, readable, and its calls tried."""

from __future__ import annotations

import json

import pytest
from page_subjects import bikes
from playwright.sync_api import expect
from standin import Standin, served

pytestmark = pytest.mark.browser

API = {
    "openapi": "3.1.0",
    "info": {"title": "<i>bikes</i>", "description": "Answers.\nTwo lines.", "version": "1"},
    "paths": {
        "/models": {
            "get": {
                "operationId": "models",
                "summary": "Which models there are",
                "responses": {"200": {"description": "A list."}},
            }
        },
        "/models/{name}/predict": {
            "post": {
                "operationId": "predict",
                "summary": "Ask a model",
                "parameters": [
                    {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": ["bikes"]}}
                ],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Rows"},
                            "examples": {
                                "one": {"summary": "one row", "value": {"inputs": [{"temp": 10}]}},
                                "wrong": {"value": {"inputs": [{"temp": "<img src=x onerror=window.hacked=1>"}]}},
                            },
                        }
                    }
                },
                "responses": {"200": {"description": "The answer."}, "422": {"$ref": "#/components/responses/Wrong"}},
            }
        },
    },
    "components": {
        "schemas": {
            "Rows": {
                "type": "object",
                "required": ["inputs"],
                "properties": {"inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}},
            },
            "Row": {
                "type": "object",
                "properties": {
                    "temp": {"type": "number", "description": "<script>window.hacked=1</script>"},
                    "self": {"$ref": "#/components/schemas/Row"},
                },
            },
        },
        "responses": {"Wrong": {"description": "It does not fit."}},
    },
}


def opened(page, server: Standin) -> None:
    server.openapi = API
    page.goto(f"{server.url}/docs#predict")
    expect(page.locator("#title")).to_have_text("<i>bikes</i>")


def test_the_document_is_shown_as_text(page) -> None:
    with served(bikes()) as server:
        opened(page, server)
        predict = page.locator("details#predict")
        expect(predict).to_have_attribute("open", "")
        expect(predict.locator("dt", has_text="temp?").first).to_be_visible()
        expect(predict).to_contain_text("<script>window.hacked=1</script>")
        expect(predict).to_contain_text("It does not fit.")
        expect(page.locator("details#models")).not_to_have_attribute("open", "")
        assert page.evaluate("window.hacked") is None


def test_a_call_is_tried_from_its_example(page) -> None:
    with served(bikes()) as server:
        opened(page, server)
        predict = page.locator("details#predict")
        predict.get_by_role("button", name="Send").click()
        expect(predict.locator("pre")).to_contain_text("112.5")
        expect(predict.locator("pre")).to_contain_text("200 · ")
        predict.get_by_label("Example").select_option(label="wrong")
        predict.get_by_role("button", name="Send").click()
        expect(predict.locator("pre")).to_contain_text("expected a number")
        expect(predict.locator("pre")).to_contain_text("422 · ")
        assert json.loads(server.bodies[0]) == {"inputs": [{"temp": 10}]}
        assert page.evaluate("window.hacked") is None


def test_a_telephone_shows_it_without_scrolling_sideways(page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    with served(bikes()) as server:
        opened(page, server)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
