"""Queues of real servers. A host process that is stopped by a signal is a model that is busy for as long as the test
says, so that nothing here depends on how fast anything is."""

from __future__ import annotations

import json
import math
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import dialects
import httpx
import numpy as np
import onnx
import pytest
from live import Server, serving, until
from onnx import TensorProto, helper
from serving_models import ONE, package_of, slow
from subjects import native

from mainstay.models.formats.foreign.onnx_file import of_bytes
from mainstay.models.formats.foreign.protocol import Told

QUEUE = 16
"""Requests that may wait."""
PROJECT = f"""\
name = "native"
target = "y"
task = "binary"
[data]
path = "rows.csv"
[columns]
a = "number"
b = "number"
[serve]
queue = {QUEUE}
max_batch_rows = 64
timeout = 20.0
"""
LEFT = "mainstay_queue_left_total"
SOON = {"x-envoy-expected-rq-timeout-ms": "300"}


def slow_line():
    """y = x, late: it takes as long for many rows as for one."""
    return package_of(ONE, slow(size=300, times=20), [{"x": 1.0}, {"x": -2.5}])


def picks():
    """y = 10 x for x from 0 to 9, late; a run that has any other x among its rows fails as a whole."""
    model = onnx.load_from_string(slow(size=300, times=20))
    model.graph.node[-1].output[0] = "late"
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["late"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "index"], ["value"]),
        ]
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(10.0 * np.arange(10.0), "table"))
    return package_of(ONE, model.SerializeToString(), [{"x": 1.0}, {"x": 2.0}])


def loose():
    """The sum of as many numbers as a request has."""
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "length", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return of_bytes(model.SerializeToString(), Told(general=True), "graph").draft


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("queues")
    (folder / "mainstay.toml").write_text(PROJECT)
    models = ("native", native()), ("slow", slow_line()), ("loose", loose()), ("picks", picks())
    with serving(folder, *models, options=("--grpc-port", "0")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, limits=httpx.Limits(max_connections=64)) as opened:
        yield opened


@pytest.fixture(scope="module")
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


@contextmanager
def busy(server: Server) -> Iterator[None]:
    """The host of `native` answers nobody inside the block."""
    (host,) = server.children("mainstay.serving.host")
    host.suspend()
    try:
        yield
    finally:
        host.resume()


def metric(client: httpx.Client, name: str, model: str = "native", **labels: str) -> float:
    said = "".join(f',{key}="{value}"' for key, value in labels.items())
    line = re.escape(f'{name}{{model="{model}",version="{model}:1"{said}}} ')
    found = re.search(f"^{line}(.*)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def queued(client: httpx.Client) -> float:
    return metric(client, "mainstay_queue_requests")


def expected(a: float, b: float, strength: float = 1.0) -> list[float]:
    """The probabilities of the native model, asked for one row alone."""
    from sklearn.linear_model import LogisticRegression

    rows = np.arange(160, dtype=np.float64).reshape(80, 2) / 4
    estimator = LogisticRegression(C=strength).fit(rows, np.where(rows[:, 0] > 20, "high", "low"))
    return estimator.predict_proba([[a, b]])[0].tolist()


def ask(client: httpx.Client, a: float, headers: dict[str, str] | None = None) -> httpx.Response:
    return client.post("/models/native/predict", json={"a": a, "b": a + 1}, headers=headers)


def test_those_who_wait_are_asked_together_and_each_gets_his_own_answer(server, client, callers):
    ran = metric(client, "mainstay_batch_rows_count")
    with busy(server):
        first = callers.submit(ask, client, 0.0)
        until(lambda: metric(client, "mainstay_batch_rows_count") == ran + 1)
        waiting = [callers.submit(ask, client, 4.0 * number) for number in range(1, 9)]
        until(lambda: queued(client) == 8)
        assert metric(client, "mainstay_requests_in_flight") == 9
    for number, each in enumerate([first, *waiting]):
        said = each.result().json()
        wanted = expected(4.0 * number, 4.0 * number + 1)
        assert [said["probabilities"]["high"], said["probabilities"]["low"]] == pytest.approx(wanted, abs=1e-6)
    # One run for him who came first, and one for all the others.
    assert metric(client, "mainstay_batch_rows_count") == ran + 2
    assert queued(client) == 0
    assert metric(client, "mainstay_queue_seconds_count") >= 9
    (told,) = client.get("/v2/models/native/stats").json()["model_stats"]
    assert told["inference_stats"]["queue"]["count"] >= 9
    assert told["inference_stats"]["queue"]["ns"] > 0


def test_what_is_asked_together_may_have_come_in_any_protocol_and_size(server, client, callers):
    kinds = list(dialects.BODIES)
    tables = [[{"a": 8.0 * at + row, "b": 1.0} for row in range(1 if at % 2 else 7)] for at in range(len(kinds))]
    ran = metric(client, "mainstay_batch_rows_count")
    with busy(server):
        first = callers.submit(ask, client, 0.0)
        until(lambda: metric(client, "mainstay_batch_rows_count") == ran + 1)
        asked = [
            callers.submit(dialects.post, client, how, "native", table)
            for how, table in zip(kinds, tables, strict=True)
        ]
        until(lambda: queued(client) == len(kinds))
    assert first.result().status_code == 200
    for how, table, each in zip(kinds, tables, asked, strict=True):
        labels, shares = dialects.said(each.result(), labels=("high", "low"))
        wanted = [expected(row["a"], row["b"]) for row in table]
        assert labels == ["high" if high >= low else "low" for high, low in wanted], how
        if shares is not None:
            np.testing.assert_allclose(shares, wanted, atol=1e-6, err_msg=how)
    assert metric(client, "mainstay_batch_rows_count") == ran + 2


def test_who_does_not_fit_into_the_queue_is_told_when_to_come_again(server, client, callers):
    with busy(server):
        ran = metric(client, "mainstay_batch_rows_count")
        inside = [callers.submit(ask, client, 1.0)]
        until(lambda: metric(client, "mainstay_batch_rows_count") == ran + 1)
        inside += [callers.submit(ask, client, 1.0) for _ in range(QUEUE)]
        until(lambda: queued(client) == QUEUE)
        asked: list[tuple[str, Callable[[], httpx.Response]]] = [
            ("plain", lambda: ask(client, 1.0)),
            (
                "tf-serving",
                lambda: client.post("/v1/models/native:predict", json={"instances": [{"a": 1.0, "b": 2.0}]}),
            ),
            (
                "mlflow",
                lambda: client.post("/models/native/invocations", json={"dataframe_records": [{"a": 1.0, "b": 2.0}]}),
            ),
            ("open-inference", lambda: client.post("/v2/models/native/infer", json=infer())),
        ]
        for protocol, request in asked:
            refused = request()
            assert refused.status_code == 429, protocol
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert f"{QUEUE} requests are waiting" in refused.text
    assert {each.result().status_code for each in inside} == {200}
    assert metric(client, LEFT, reason="rejected") == 4


def infer(**parameters: object) -> dict[str, object]:
    inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [1.0]} for name in "ab"]
    return {"inputs": inputs, "parameters": parameters}


def test_whose_time_is_up_is_told_so_and_leaves_the_queue(server, client, callers):
    with busy(server):
        ran, late = metric(client, "mainstay_batch_rows_count"), metric(client, LEFT, reason="timeout")
        first = callers.submit(ask, client, 1.0)
        until(lambda: metric(client, "mainstay_batch_rows_count") == ran + 1)
        begun = time.monotonic()
        refused = [
            ask(client, 1.0, SOON),
            client.post("/v1/models/native:predict", json={"instances": [{"a": 1.0, "b": 2.0}]}, headers=SOON),
            client.post("/v2/models/native/infer", json=infer(timeout=300_000)),
        ]
        assert [each.status_code for each in refused] == [504, 504, 504]
        assert "time for this request is up" in refused[0].json()["error"]
        assert time.monotonic() - begun < 15, "not told when the time was up"
        assert queued(client) == 0
    assert first.result().status_code == 200
    assert metric(client, LEFT, reason="timeout") == late + 3
    # What had left was not computed.
    assert metric(client, "mainstay_batch_rows_count") == ran + 1


def test_calls_over_grpc_stand_in_the_same_queue(server, client, callers):
    """They come from `grpcio`, which stops waiting on its own clock too: what counts is that the queue is left."""
    pytest.importorskip("grpc")
    from calling import answers, calling, request
    from grpc import RpcError, StatusCode

    def asked(**more):
        inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [1.0]} for name in "ab"]
        return request("native", inputs, raw=True, **more)

    with calling(server.grpc) as calls:
        with busy(server):
            ran, gone = metric(client, "mainstay_batch_rows_count"), metric(client, LEFT, reason="cancelled")
            ask_one = calls.stub("ModelInfer")[1]
            first = ask_one.future(asked(), timeout=60)
            until(lambda: metric(client, "mainstay_batch_rows_count") == ran + 1)
            short, left = ask_one.future(asked(), timeout=0.5), ask_one.future(asked(), timeout=60)
            assert short.exception().code() == StatusCode.DEADLINE_EXCEEDED
            until(lambda: queued(client) == 1)
            left.cancel()
            until(lambda: queued(client) == 0)
            late = asked()
            late.parameters["timeout"].int64_param = 300_000
            with pytest.raises(RpcError) as refused:
                ask_one(late, timeout=60)
            assert refused.value.code() == StatusCode.DEADLINE_EXCEEDED
            waiting = [ask_one.future(asked(), timeout=60) for _ in range(QUEUE)]
            until(lambda: queued(client) == QUEUE)
            with pytest.raises(RpcError) as refused:
                ask_one(asked(), timeout=60)
            assert refused.value.code() == StatusCode.RESOURCE_EXHAUSTED
            assert int(dict(refused.value.trailing_metadata())["retry-after"]) >= 1
        for each in (first, *waiting):
            assert answers(each.result())["probabilities"] == pytest.approx(expected(1.0, 1.0), abs=1e-6)
    assert metric(client, LEFT, reason="cancelled") > gone


@pytest.mark.parametrize("said", ["-1", "soon", "1.5", "1e3", "9" * 20])
def test_a_timeout_that_is_none_is_refused(client, said):
    refused = ask(client, 1.0, {"x-envoy-expected-rq-timeout-ms": said})
    assert refused.status_code == 400
    assert "whole milliseconds" in refused.json()["error"]


@pytest.mark.parametrize("said", [-1, "soon", 1.5, True, 2**63, 10**400], ids=str)
def test_a_timeout_in_the_body_that_is_none_is_refused(client, said):
    refused = client.post("/v2/models/native/infer", json=infer(timeout=said))
    assert refused.status_code == 400
    assert "whole microseconds" in refused.json()["error"]
    assert client.post("/v2/models/native/infer", json=infer(timeout=0)).status_code == 200


def test_who_hangs_up_leaves_the_queue(server, client, callers):
    gone = metric(client, LEFT, reason="cancelled")
    with busy(server):
        ran = metric(client, "mainstay_batch_rows_count")
        first = callers.submit(ask, client, 1.0)
        until(lambda: metric(client, "mainstay_batch_rows_count") == ran + 1)
        body = json.dumps({"a": 1.0, "b": 2.0}).encode()
        head = b"POST /models/native/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        with ExitStack() as connections:
            for _ in range(5):
                connection = connections.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                connection.sendall(head + body)
            until(lambda: queued(client) == 5)
        until(lambda: queued(client) == 0)
        until(lambda: metric(client, "mainstay_requests_in_flight") == 1)
    assert first.result().status_code == 200
    assert metric(client, LEFT, reason="cancelled") == gone + 5
    assert metric(client, "mainstay_requests_total", protocol="plain", code="499") == 5
    assert '"kind":"fault"' not in server.log.read_text()
    assert metric(client, "mainstay_batch_rows_count") == ran + 1


def test_a_model_in_the_worker_that_gains_from_it_is_asked_for_many_at_once(client):
    def one(number: float) -> float:
        return client.post("/models/slow/predict", json={"x": number}).json()["prediction"]

    asked = [number + math.pi for number in range(200)]
    with ThreadPoolExecutor(QUEUE) as few:
        answers: list[Future[float]] = [few.submit(one, number) for number in asked]
    assert [each.result() for each in answers] == asked
    runs = metric(client, "mainstay_batch_rows_count", "slow")
    assert metric(client, "mainstay_batch_rows_sum", "slow") == 200
    assert runs < 190, "nobody was ever asked together"


def test_what_a_model_fails_on_costs_its_own_request_alone(client):
    """Beside others, whoever comes together."""

    def one(number: int) -> tuple[int, float | None]:
        reply = client.post("/models/picks/predict", json={"x": number})
        return reply.status_code, reply.json().get("prediction")

    asked = [number % 10 if number % 7 else 100 for number in range(200)]
    with ThreadPoolExecutor(QUEUE) as few:
        answers = list(few.map(one, asked))
    assert answers == [(200, 10.0 * number) if number < 10 else (400, None) for number in asked]
    assert metric(client, "mainstay_batch_rows_sum", "picks") > 220, "nobody ever came together with one that fails"


def test_rows_that_cost_nothing_to_say_are_bounded_all_the_same(client):
    shape = [10**9, 0, 2]
    said = {"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "data": []}]}
    refused = client.post("/v2/models/loose/infer", json=said)
    assert refused.status_code == 413
    assert "1000000000 rows" in refused.json()["error"]
    said = {"inputs": [{"name": "x", "shape": [2, 1, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    answer = client.post("/v2/models/loose/infer", json=said).json()
    assert answer["outputs"][0]["data"] == [3.0, 7.0]
