"""Nobody waits for somebody else's slow model or starting host; and no change of hosts loses a request."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from live import serving, until
from serving_models import line, slow_line
from subjects import ROW, loan, native

ASKED = {"a": 1.0, "b": 2.0}


def test_a_slow_model_leaves_the_event_loop_to_the_others(tmp_path):
    models = ("slow", slow_line(size=700, times=40)), ("line", line())
    with serving(tmp_path, *models) as server, server.client() as client, ThreadPoolExecutor(2) as callers:
        begun = time.perf_counter()
        assert client.post("/models/slow/predict", json={"x": 3}).json()["prediction"] == 3.0
        alone = time.perf_counter() - begun
        late = [callers.submit(client.post, "/models/slow/predict", json={"x": number}) for number in range(4)]
        meanwhile = 0
        while not all(each.done() for each in late):
            assert client.get("/healthz").status_code == 200
            assert client.post("/models/line/predict", json={"x": 3}).json()["prediction"] == 3.0
            meanwhile += 1
        assert [each.result().json()["prediction"] for each in late] == [0.0, 1.0, 2.0, 3.0]
    assert alone > 0.001, "the model is not slow on this machine"
    # In the event loop, no more than one could pass between two slow answers.
    assert meanwhile > 10


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("waiting"), ("loan", loan()), ("native", native())) as running:
        yield running


def test_a_host_that_is_replaced_under_load_loses_no_request(server):
    seen, over = [], threading.Event()

    def ask() -> None:
        with server.client() as client:
            while not over.is_set():
                reply = client.post("/models/native/predict", json=ASKED)
                seen.append((reply.status_code, reply.json().get("model", reply.text)))

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        before = server.children("mainstay.serving.host")
        ref = server.add("native", native(strength=2.0))
        assert server.settled("native") == {}
        until(lambda: seen[-1][1] == ref)
        until(lambda: not [host for host in before if host.is_running()])
        asked = len(seen)
        until(lambda: len(seen) > asked + 20)
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert {status for status, _ in seen} == {200}, set(seen)
    assert len({model for _, model in seen}) == 2


def test_a_host_that_does_not_get_ready_keeps_no_other_model_waiting(server):
    before = {host.pid for host in server.children("mainstay.serving.host")}
    ref = server.add("native", native(strength=3.0))
    (host,) = until(lambda: [each for each in server.children("mainstay.serving.host") if each.pid not in before])
    host.suspend()
    try:
        newer = server.add("loan", loan(shift=1.0))
        with server.client() as client:
            until(lambda: client.post("/models/loan/predict", json=ROW).json()["model"] == newer)
            # The version before goes on for as long as the new one's host is not ready.
            assert client.post("/models/native/predict", json=ASKED).json()["model"] != ref
            assert client.post("/models/native/predict", json=ASKED).status_code == 200
    finally:
        host.resume()
    assert server.settled("native") == {}
    assert httpx.post(f"{server.url}/models/native/predict", json=ASKED).json()["model"] == ref


def test_a_model_that_is_not_there_yet_is_not_unknown(server):
    with server.client() as client:
        assert client.post("/models/nothing/predict", json=ASKED).status_code == 404
        server.add("late", loan(wrong=True))
        assert "Golden" in server.settled("late")["late"]
        refused = client.post("/models/late/predict", json=ROW)
        assert refused.status_code == 503
        assert "Golden predictions differ" in refused.json()["error"]
        for path in ("/v1/models/late:predict", "/v1/models/late/labels/stable:predict", "/v2/models/late/infer"):
            assert client.post(path, json={}).status_code == 503, path


def test_a_model_whose_host_cannot_be_had_is_not_unknown(server):
    with server.client() as client:
        server.add("boosted", native(boosted=True))
        assert "not trusted" in server.settled("boosted")["boosted"]
        for path in ("/models/boosted/predict", "/v1/models/boosted:predict", "/v2/models/boosted/infer"):
            refused = until(lambda path=path: client.post(path, json=ASKED))
            assert refused.status_code == 503
            assert "not trusted" in refused.json()["error"]
        assert client.post("/models/native/predict", json=ASKED).status_code == 200
