"""Tensors on the page, with a real server and real graphs: arrays as JSON, pictures by file, outputs by name."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from playwright.sync_api import expect

import mainstay
from mainstay.models.formats.foreign.onnx_file import of_bytes
from mainstay.models.formats.foreign.protocol import Told
from mainstay.operations.background import background
from mainstay.registry.store import Registry

pytestmark = pytest.mark.browser

HEIGHT, WIDTH = 6, 4
RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(size=(HEIGHT * WIDTH, 3)).astype(np.float32)
PIXELS = RNG.integers(0, 256, size=(HEIGHT, WIDTH), dtype=np.uint8)
BIG = 2**53 + 1


def _info(name: str, kind: int, *sizes: int):
    return helper.make_tensor_value_info(name, kind, ["rows", *sizes])


def _bytes(nodes, inputs, outputs, constants=()) -> bytes:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model.SerializeToString()


def _digits() -> bytes:
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    constants = [numpy_helper.from_array(WEIGHTS, "weights")]
    return _bytes(
        nodes,
        [_info("pixels", TensorProto.FLOAT, 1, HEIGHT, WIDTH)],
        [_info("probabilities", TensorProto.FLOAT, 3)],
        constants,
    )


def _sums() -> bytes:
    """Two inputs, two outputs: integers that no double holds, and many numbers."""
    nodes = [
        helper.make_node("Add", ["whole", "whole"], ["double"]),
        helper.make_node("Concat", ["grid"] * 20, ["wide"], axis=2),
    ]
    return _bytes(
        nodes,
        [_info("whole", TensorProto.INT64, 2), _info("grid", TensorProto.FLOAT, 2, 4)],
        [_info("double", TensorProto.INT64, 2), _info("wide", TensorProto.FLOAT, 2, 80)],
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensors")
    picture = mainstay.Image(mode="L", layout="CHW", scale=1 / 255)
    told = Told(labels=("one", "two", "three"), images={"pixels": picture})
    drafts = {
        "digits": of_bytes(_digits(), told, "digits").draft,
        "sums": of_bytes(_sums(), Told(general=True), "sums").draft,
    }
    with Registry.open(folder / ".mainstay") as registry:
        for name, draft in drafts.items():
            version = registry.add(name, draft, passed=True, actor="test", summary={})
            registry.deploy(version, expecting=None, actor="test")
    with background(folder, port=0, trusted=()) as server:
        yield server.url


def opened(page, url: str, model: str) -> None:
    page.goto(f"{url}/#{model}")
    expect(page.locator("#form-title")).to_have_text(model)


def field(page, name: str):
    return page.get_by_label(name, exact=True)


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def chosen(content: bytes, name: str = "it's one.png") -> dict[str, object]:
    return {"name": name, "mimeType": "image/png", "buffer": content}


def expected(pixels) -> np.ndarray:
    scores = (pixels.astype(np.float32) / np.float32(255)).reshape(1, -1) @ WEIGHTS
    powers = np.exp(scores - scores.max())
    return (powers / powers.sum())[0]


def shares(page) -> dict[str, float]:
    bars = page.locator(".bar")
    names = bars.locator(".name").all_text_contents()
    return dict(zip(names, [float(bar.get_attribute("title")) for bar in bars.locator(".share").all()], strict=True))


def copied(page, what: str) -> str:
    page.get_by_role("button", name=f"Copy as {what}").click()
    expect(page.locator("#copied")).to_have_text(f"Copied as {what}")
    return page.evaluate("navigator.clipboard.readText()")


def ran(text: str, what: str, folder: Path):
    command = ["sh", "-c", text] if what == "curl" else [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout) if what == "curl" else eval(done.stdout, {"__builtins__": {}})
    said.pop("id")
    return said


def settled(page):
    with page.expect_response("**/predict") as answered:
        page.locator("#form").evaluate("form => form.requestSubmit()")
    return answered.value


def test_a_chosen_picture_is_answered_as_the_graph_does(page, url) -> None:
    opened(page, url, "digits")
    expect(page.locator("#under")).to_have_text("waiting for a picture of pixels")
    expect(page.locator(".field .kind")).to_have_text(f"float32 (1, {HEIGHT}, {WIDTH})")
    field(page, "pixels").set_input_files(chosen(png(PIXELS)))
    probabilities = expected(PIXELS)
    expect(page.locator("#value")).to_have_text(["one", "two", "three"][int(probabilities.argmax())])
    said = shares(page)
    np.testing.assert_allclose([said[name] for name in ("one", "two", "three")], probabilities, atol=1e-6)
    preview = page.get_by_alt_text("the chosen picture it's one.png")
    expect(preview).to_be_visible()
    assert preview.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [WIDTH, HEIGHT]
    page.get_by_role("button", name="pixels: remove the picture").click()
    expect(page.locator("#value")).to_have_text("…")
    expect(preview).to_be_hidden()


def test_a_dropped_picture_is_taken_like_a_chosen_one(page, url) -> None:
    opened(page, url, "digits")
    other = 255 - PIXELS
    page.evaluate(
        """([text]) => {
          const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], "other.png", {type: "image/png"}));
          document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }""",
        [base64.b64encode(png(other)).decode()],
    )
    expect(page.locator("#value")).to_have_text(["one", "two", "three"][int(expected(other).argmax())])
    assert abs(shares(page)["one"] - expected(other)[0]) < 1e-6


def test_a_picture_that_does_not_fit_is_told_at_its_field(page, url) -> None:
    opened(page, url, "digits")
    control = field(page, "pixels")
    for content, said in (
        (png(np.zeros((5, 4), np.uint8)), "the picture is 4 wide and 5 high, and the model takes 4 by 6"),
        (png(np.zeros((6, 4, 3), np.uint8)), "the picture is of mode 'RGB', and the model takes 'L'"),
        (b"GIF89a", "these bytes are no PNG or JPEG"),
    ):
        control.set_input_files(chosen(content))
        expect(page.locator(".field.wrong .error")).to_contain_text(said)
        expect(control).to_have_attribute("aria-invalid", "true")
    assert page.locator(".field .error").get_attribute("id") in control.get_attribute("aria-describedby").split()
    control.set_input_files(chosen(png(PIXELS)))
    expect(page.locator(".field.wrong")).to_have_count(0)


def test_the_numbers_of_a_picture_are_taken_too(page, url) -> None:
    opened(page, url, "digits")
    page.get_by_text("or its numbers").click()
    rows = (PIXELS.astype(np.float32) / np.float32(255)).tolist()
    page.get_by_label("pixels: its numbers").fill(json.dumps([rows]))
    expect(page.locator(".bar")).to_have_count(3)
    assert abs(shares(page)["two"] - expected(PIXELS)[1]) < 1e-6


def test_the_copied_commands_read_the_picture_from_its_file(page, url, tmp_path: Path) -> None:
    (tmp_path / "it's one.png").write_bytes(png(PIXELS))
    opened(page, url, "digits")
    field(page, "pixels").set_input_files(tmp_path / "it's one.png")
    expect(page.locator(".bar")).to_have_count(3)
    by_page = settled(page).json()
    by_page.pop("id")
    for what in ("curl", "Python"):
        text = copied(page, what)
        assert base64.b64encode(png(PIXELS)).decode() not in text
        assert ran(text, what, tmp_path) == by_page


def test_outputs_are_shown_by_name_and_exactly(page, url) -> None:
    opened(page, url, "sums")
    assert json.loads(field(page, "grid").input_value()) == [[0] * 4] * 2
    expect(page.locator("#value")).to_have_text("2 outputs")
    field(page, "whole").fill(f"[{BIG}, -3]")
    field(page, "grid").fill("[[1.5, 2, 3, 4],\n [5, 6, 7, -8.25]]")
    outputs = page.locator(".output")
    expect(outputs.nth(0).locator("h3")).to_have_text("doubleint64 (2,)")
    expect(outputs.nth(0).locator("pre")).to_have_text(f"[{2 * BIG}, -6]")
    expect(outputs.nth(1).locator("summary")).to_have_text("160 values, -8.25 to 7")
    expect(outputs.nth(1).locator("pre")).to_be_hidden()
    outputs.nth(1).locator("summary").click()
    shown = json.loads(outputs.nth(1).locator("pre").text_content())
    assert shown == [[1.5, 2, 3, 4] * 20, [5, 6, 7, -8.25] * 20]


def test_an_array_that_does_not_fit_is_told_at_its_field(page, url) -> None:
    opened(page, url, "sums")
    wrong = page.locator(".field.wrong")
    for typed, said, remark in (
        ("[[1, 2, 3, 4], [5, 6, 7]]", "got 3 values where 4 belong", ""),
        ("[[1, 2", "got '[[1, 2'", "this is no JSON as it stands"),
        ('[[1, 2, 3, 4], [5, 6, 7, "8"]]', "got '8'", ""),
    ):
        field(page, "grid").fill(typed)
        expect(wrong.locator(".error")).to_contain_text(said)
        expect(wrong.locator("label")).to_have_text("grid")
        expect(wrong.locator(".remark")).to_have_text(remark)
    field(page, "grid").fill("")
    expect(page.locator("#under")).to_have_text("waiting for values of grid")


def test_the_copied_commands_send_the_arrays_as_they_were_typed(page, url, tmp_path: Path) -> None:
    opened(page, url, "sums")
    field(page, "whole").fill(f"[{BIG},\n 1]")
    long = f"{'1' * 60_000}e-59999"  # too much for one argument of a command, and no problem for JSON
    for what, last in (("Python", "1e-1"), ("curl", "1e-1"), ("curl", long)):
        field(page, "grid").fill(f"[[0.1, 2e-3, -0.5, {last}], [5, 6, 7, 8]]")
        text = copied(page, what)
        assert str(BIG) in text
        assert last in text
        by_page = settled(page).json()
        by_page.pop("id")
        answer = ran(text, what, tmp_path)
        assert answer == by_page
        assert answer["prediction"][0]["double"] == [2 * BIG, 2]
        np.testing.assert_allclose(answer["prediction"][0]["wide"][0][:4], [0.1, 2e-3, -0.5, float(last)], rtol=1e-6)
    assert not [*tmp_path.iterdir()]


def test_each_control_has_a_name_and_is_reached_by_key(page, url) -> None:
    opened(page, url, "digits")
    nameless = """() => [...document.querySelectorAll("input, select, textarea, button")]
      .filter((each) => !each.labels?.length && !each.textContent.trim()
        && !each.getAttribute("aria-label") && !each.getAttribute("aria-labelledby"))
      .map((each) => each.outerHTML)"""
    assert page.evaluate(nameless) == []
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert field(page, "pixels").get_attribute("id") in reached
    assert field(page, "pixels").get_attribute("accept") == "image/png,image/jpeg"


@pytest.mark.parametrize(("model", "told"), [("sums", "2 × 4 of number"), ("digits", "1 × 6 × 4 of number or object")])
def test_the_api_page_tells_shapes_and_its_examples_are_answered(page, url, model: str, told: str) -> None:
    page.goto(f"{url}/docs")
    one = page.locator("#operations > details", has=page.locator(".path", has_text=f"/models/{model}/predict"))
    expect(one).to_have_count(1)
    if one.get_attribute("open") is None:
        one.locator("> summary").click()
    expect(one.locator(".schema-type", has_text=told).first).to_be_attached()
    one.get_by_role("button", name="Send").click()
    expect(one.locator(".try pre")).to_contain_text("200 · ")
