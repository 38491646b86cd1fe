"""The model repository of the Open Inference Protocol: loading and unloading is deploying, by whoever has the key."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from live import Server, serving, until
from subjects import ROW, double, loan

from mainstay.errors import MainstayError
from mainstay.operations import keys
from mainstay.registry.store import Registry
from mainstay.serving import control
from mainstay.serving.access import Caller
from mainstay.serving.control import Control
from mainstay.serving.management import joined, passed_on
from mainstay.serving.predictions.messages import Label, Labels
from mainstay.serving.protocols.codec import Problem, Wish

INDEX = "/v2/repository/index"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """`double` is deployed; of `loan` three versions are registered, of which the last one failed a gate."""
    folder = tmp_path_factory.mktemp("repository")
    with serving(folder, ("double", double()), options=("--workers", "2")) as running:
        for shift in (0.0, 1.0):
            running.add("loan", loan(shift=shift), deploy=False)
        with Registry.open(folder / ".mainstay") as registry:
            registry.add("loan", loan(shift=2.0), passed=False, actor="test", summary={})
            registry.add("bad", loan(wrong=True), passed=True, actor="test", summary={})
            registry.add("failed", loan(), passed=False, actor="test", summary={})
        yield running


@pytest.fixture(scope="module")
def client(server) -> Iterator[httpx.Client]:
    """One who may do everything."""
    key = keys.create(server.folder, "ops", verbs="predict,read,manage").key
    with httpx.Client(base_url=server.url, timeout=90, headers={"authorization": f"Bearer {key}"}) as opened:
        until(lambda: opened.post(INDEX).status_code == 200)
        until(lambda: all(httpx.post(f"{server.url}{INDEX}").status_code == 401 for _ in range(20)))
        yield opened


def index(client, **asked) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["version"], each["state"]) for each in client.post(INDEX, json=asked).json()}


def test_a_model_is_loaded_kept_and_unloaded_with_its_events(server, client):
    until(lambda: "loan" in index(client))
    assert index(client) == {
        "bad": ("", "UNAVAILABLE"),
        "double": ("1", "READY"),
        "failed": ("", "UNAVAILABLE"),
        "loan": ("", "UNAVAILABLE"),
    }
    assert index(client, ready=True) == {"double": ("1", "READY")}
    assert client.post("/v2/repository/models/loan/load", json={}).status_code == 200
    # It answers when the workers have acknowledged: on whatever connection, there is no moment without it.
    assert {client.post("/models/loan/predict", json=ROW).json()["model"] for _ in range(10)} == {"loan:2"}
    assert index(client, ready=True)["loan"] == ("2", "READY")
    assert client.post("/v2/repository/models/loan/load").status_code == 200  # what is deployed is kept
    unload = {"parameters": {"unload_dependents": True}}
    for _ in range(2):  # the second time there is nothing left to do
        assert client.post("/v2/repository/models/loan/unload", json=unload).status_code == 200
    assert client.post("/models/loan/predict", json=ROW).status_code == 404
    assert client.post("/models/double/predict", json={"x": 2.0}).status_code == 200
    with Registry.open(server.folder / ".mainstay") as registry:
        told = [(e.kind, e.version, e.actor, e.reason) for e in registry.events("loan") if "deployed" in e.kind]
    assert told == [
        ("deployed", 2, "ops", "load over the Open Inference Protocol"),
        ("undeployed", 2, "ops", "unload over the Open Inference Protocol"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("nothing/load", {}, 404, "failed to load 'nothing': There is no model 'nothing'"),
        ("nothing/unload", {}, 404, "failed to unload 'nothing'"),
        ("failed/load", {}, 409, "No version of failed passed its gates"),
        ("bad/load", {}, 409, "Golden predictions differ"),
        ("loan/load", {"parameters": {"config": "{}"}}, 400, "a version never changes"),
        ("loan/unload", {"parameters": {"force": True}}, 400, "'force'"),
        ("loan/load", [], 400, "not an object"),
        ("Bad%20Name/load", {}, 404, "There is no model"),
    ],
)
def test_what_cannot_be_brought_about_is_refused_and_changes_nothing(client, path, body, status, said):
    before = index(client, ready=True)
    reply = client.post(f"/v2/repository/models/{path}", json=body)
    assert (reply.status_code, said in reply.json()["error"]) == (status, True), reply.text
    assert index(client, ready=True) == before


def test_what_has_to_be_approved_is_not_loaded_past_it(server, client):
    project = server.folder / "mainstay.toml"
    said = ['name = "loan"', 'target = "y"', 'task = "binary"', "[data]", 'path = "loans.csv"']
    said += ["[columns]", 'x = "number"', "[rollout]"]
    project.write_text("\n".join([*said, 'require_approval = ["alice"]']))
    try:
        reply = client.post("/v2/repository/models/loan/load", json={})
        assert (reply.status_code, "without the approval" in reply.json()["error"]) == (400, True), reply.text
        assert "loan" not in index(client, ready=True)
    finally:
        project.unlink()


def test_nobody_manages_without_a_key_for_it(server, client):
    reader = keys.create(server.folder, "reader", verbs="predict,read").key
    other = keys.create(server.folder, "other", models="double", verbs="manage").key
    for key, status in ((None, 401), (reader, 403), (other, 403)):
        headers = {} if key is None else {"x-api-key": key}

        def refused(headers=headers, status=status) -> bool:
            reply = httpx.post(f"{server.url}/v2/repository/models/loan/load", headers=headers)
            return reply.status_code == status

        until(refused)
    assert "loan" not in index(client, ready=True)
    opened = psutil.Process(server.process.pid).net_connections(kind="unix")
    (path,) = {each.laddr for each in opened if each.laddr.endswith(f"/{control.NAME}")}
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_wishes_beyond_what_is_done_at_once_are_refused_and_faults_are_told(tmp_path):
    logged: list[str] = []
    asked: list[Wish] = []

    def manage(wish: Wish) -> None:
        asked.append(wish)
        if wish.model == "refused":
            raise MainstayError("It is not to be.")
        if wish.model == "broken":
            raise RuntimeError("secret")

    def label(labels: Labels) -> list[int]:
        if labels.model == "full":
            raise OSError(28, "No space left on device")
        if labels.model == "broken":
            raise RuntimeError("secret")
        return [0]

    def log(kind: str, message: str, **facts: object) -> None:
        logged.append(message)

    listening = Control(tmp_path / control.NAME, manage, label=label, log=log)

    def told(model: str, path: str | None = str(listening.path)) -> str:
        try:
            return str(asyncio.run(joined(Labels(model, [Label("a", 0, 1)]), path)))
        except Problem as problem:
            return f"{problem.status} {problem}"

    def said(model: str, path: str | None = str(listening.path), caller: Caller | None = Caller("ann", "1")) -> str:  # noqa: B008
        try:
            asyncio.run(passed_on(Wish("load", model, "why"), path, caller=caller))
        except Problem as problem:
            return f"{problem.status} {problem}"
        return "done"

    try:
        assert said("loan") == "done"
        assert asked == [Wish("load", "loan", "why", "ann")]
        assert said("refused") == "400 failed to load 'refused': It is not to be."
        assert said("broken").startswith("500 ")
        assert not any("secret" in each for each in logged)
        assert said("loan", caller=None).startswith("403 ")
        assert said("loan", path=None).startswith("503 ")
        taken = [listening._free.acquire(blocking=False) for _ in range(control.AT_ONCE)]
        assert all(taken)
        assert "changes are under way" in said("loan")
        assert told("loan") == "[0]"  # labels do not wait for changes
        assert "503 The labels could not be kept (No space left on device)" in told("full")
        assert told("broken").startswith("500 ")
        assert not any("secret" in each for each in logged)
        assert told("loan", path=None).startswith("503 ")
    finally:
        listening.close()
    assert said("loan").startswith("503 ")
    assert told("loan").startswith("503 ")
    assert len(asked) == 3
