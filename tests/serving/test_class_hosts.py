"""A server with a Python class: what the class does to its process costs its own requests, and no others."""

from __future__ import annotations

import time

import pytest
from live import serving, until
from subjects import ROW, loan

from mainstay.models.classes import UntrustedCode
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.importing import draft_of_file
from mainstay.operations.loading import loaded
from mainstay.serving.uv import resolve
from python_classes import index, plain, trust

__all__ = ["index"]

CODE = """\
import asyncio, os, sys, time

class Model:
    def __init__(self, folder):
        assert "DB_PASSWORD" not in os.environ

    def predict(self, rows):
        x = float(rows["x"][0])
        print("an applicant's income", x)
        print("an applicant's income", x, file=sys.stderr)
        if x == 11: raise RuntimeError("an applicant's income")
        if x == 12: return ["good"]  * 7
        if x == 13: os._exit(4)
        if x == 14: time.sleep(3600)
        if x == 15: self.kept = bytearray(8 << 30)
        if x == 16: sys.exit(3)
        if x == 17: asyncio.run(asyncio.sleep(0))
        return ["good"] * len(rows["x"])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, index):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("UV_FIND_LINKS", str(index))
        patched.setenv("UV_NO_INDEX", "1")
        patched.setenv("DB_PASSWORD", "secret")
        project = tmp_path_factory.mktemp("class")
        trust(project)
        folder = plain(project / "folder", CODE)
        told = Told(
            opened=lambda package: loaded(project, package), locked=lambda text, python: resolve(text, python=python)
        )
        with pytest.raises(UntrustedCode) as refused:
            draft_of_file(folder, told)
        trust(project, refused.value.code, class_memory_mb=2048, class_seconds=2.0)
        model = draft_of_file(folder, told).draft
        trust(project, class_memory_mb=2048, class_seconds=2.0)
        with serving(project, ("loan", loan()), ("risk", model)) as running:
            running.code = refused.value.code
            yield running


def test_it_is_served_once_the_operator_trusts_it(server):
    assert "is Python code" in server.settled("risk")["risk"]
    assert not server.children("mainstay.serving.host")
    with server.client() as client:
        assert client.post("/models/risk/predict", json={"x": 0}).status_code == 503
        assert client.post("/models/loan/predict", json=ROW).status_code == 200
    trust(server.folder, server.code, class_memory_mb=2048, class_seconds=2.0)
    with server.client() as client:
        until(lambda: client.post("/models/risk/predict", json={"x": 0}).status_code == 200)
        said = client.post("/models/risk/predict", json={"inputs": [{"x": 0}, {"x": 1}]}).json()
        assert said["prediction"] == ["good", "good"]


@pytest.mark.parametrize(
    ("does", "said", "survives"),
    [
        (11, "failed with RuntimeError", True),
        (12, r"shape (7,) for 1 row", True),
        (13, "stopped while it was answering", False),
        (14, "stopped while it was answering", False),
        (15, "failed with MemoryError", False),
        (16, "failed with SystemExit", True),
    ],
    ids=["raises", "wrong rows", "exits", "hangs", "takes all memory", "asks to exit"],
)
def test_what_a_class_does_costs_its_own_request_alone(server, does, said, survives):
    (before,) = server.children("mainstay.serving.host")
    with server.client() as client:
        refused = client.post("/models/risk/predict", json={"x": does})
        assert refused.status_code == 503
        assert said in refused.json()["error"]
        assert "income" not in refused.text
        assert client.post("/models/loan/predict", json=ROW).status_code == 200
        until(lambda: client.post("/models/risk/predict", json={"x": 0}).status_code == 200)
    (after,) = server.children("mainstay.serving.host")
    assert (before.pid == after.pid) == survives


def test_a_quick_class_is_computed_where_its_host_listens_and_may_run_an_event_loop_there(server):
    with server.client() as client:
        for x in [*([0] * 12), 17]:
            said = client.post("/models/risk/predict", json={"x": x})
            assert said.json()["prediction"] == "good", said.text


def test_what_it_prints_is_in_no_log_and_the_variables_of_the_server_are_its_own(server):
    time.sleep(0.1)
    assert "income" not in server.log.read_text()
    (host,) = server.children("mainstay.serving.host")
    assert "secret" not in host.environ().values()
    assert not any(name.startswith("UV_") for name in host.environ())
