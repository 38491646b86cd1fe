"""From the project file to the receiver, by the commands that people run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mainstay.cli.app import run
from mainstay.models.golden import Golden
from mainstay.models.package import GOLDEN, SIGNATURE, SPEC, Draft, ModelSpec, encoded
from mainstay.models.signature import Column, Signature
from mainstay.registry.store import Registry

DRAFT = Draft(
    content={
        SPEC: encoded(ModelSpec(format="onnx", file="model.onnx")),
        SIGNATURE: encoded(Signature(inputs=(Column(name="x", type="number"),), task="regression")),
        GOLDEN: encoded(Golden(rows=[{"x": 1.0}], values=[1.0])),
        "model.onnx": b"y = x",
    }
)
PROJECT = """
name = "credit"
target = "y"
task = "regression"
[data]
path = "credit.csv"
[columns]
x = "number"
[[webhooks]]
url = "{url}"
secret = "${{HOOK_SECRET}}"
events = ["deployed", "undeployed"]
allow_private = {private}
"""


@pytest.fixture
def folder(tmp_path: Path, receiving: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    with Registry.open(tmp_path / ".mainstay") as registry:
        registry.add("credit", DRAFT, passed=True, actor="ann", summary={})
    (tmp_path / "mainstay.toml").write_text(PROJECT.format(url=receiving.url, private="true"))
    monkeypatch.setenv("HOOK_SECRET", "a secret of some length")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_deployment_is_told_to_the_webhooks_of_the_project_file(
    folder: Path, receiving: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    receiving.start()
    assert run(["deploy", "credit:1", "--reason", "spring"]) == 0
    capsys.readouterr()
    assert run(["webhooks", "deliver", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "delivered": 1,
        "failed": 0,
        "given_up": 0,
        "held_elsewhere": False,
    }
    [message] = receiving.heard()
    assert json.loads(message["body"])["reason"] == "spring"
    assert run(["webhooks", "list"]) == 0
    assert f"{receiving.url}\tdeployed, undeployed\t0\t1\t0" in capsys.readouterr().out


def test_what_cannot_be_delivered_is_said_by_the_exit_code_and_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["deploy", "credit:1"])
    assert run(["webhooks", "deliver"]) == 1
    assert "0 delivered, 1 failed, 0 given up." in capsys.readouterr().out
    assert run(["webhooks", "list"]) == 0
    assert "cannot be connected to" in capsys.readouterr().out
    assert run(["webhooks", "retry"]) == 0


def test_a_secret_that_is_not_there_and_a_private_receiver_are_refused(
    folder: Path, receiving: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOOK_SECRET")
    assert run(["webhooks", "deliver"]) == 2
    assert "HOOK_SECRET, which is not set" in capsys.readouterr().err
    monkeypatch.setenv("HOOK_SECRET", "a secret of some length")
    private = receiving.url.replace("http://", "https://")
    (folder / "mainstay.toml").write_text(PROJECT.format(url=private, private="false"))
    receiving.start()
    run(["deploy", "credit:1"])
    assert run(["webhooks", "deliver"]) == 1
    assert "no public address" in capsys.readouterr().err
    assert receiving.heard() == []


def test_without_webhooks_there_is_nothing_to_deliver(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "mainstay.toml").read_text().partition("[[webhooks]]")[0]
    (folder / "mainstay.toml").write_text(text)
    assert run(["webhooks", "deliver"]) == 2
    assert "[[webhooks]]" in capsys.readouterr().err
