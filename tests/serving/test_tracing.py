"""Traces: held against what a collector really gets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from live import serving, until
from serving_models import slow_line
from subjects import ROW, loan

from mainstay.project import ProjectError, parse
from mainstay.serving.otlp import MOST_WAITING, Exporter
from mainstay.serving.traces import Parent, Told, Trace, Tracer, parent_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
PROJECT = """\
name = "loan"
target = "class"
task = "binary"
[data]
path = "rows.csv"
[columns]
age = "number"
[serve]
"""


class Collector:
    """Takes OTLP over HTTP, as its specification says."""

    def __init__(self, port: int = 0) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.status, self.answer, self.gate = 200, b"{}", threading.Event()
        self.gate.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                collector.gate.wait(30)
                self.send_response(collector.status)
                self.send_header("content-length", str(len(collector.answer)))
                self.end_headers()
                self.wfile.write(collector.answer)

            def log_message(self, *given: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def spans(self) -> list[dict[str, Any]]:
        found = []
        for body in self.bodies:
            for resource in json.loads(body)["resourceSpans"]:
                assert attributes(resource["resource"])["service.name"] == "mainstay"
                for scope in resource["scopeSpans"]:
                    found += scope["spans"]
        return found

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in of["attributes"]}


def traced(folder, url: str, *models, more: str = "", options: tuple[str, ...] = ()):
    (folder / "mainstay.toml").write_text(f'{PROJECT}otlp = "{url}"\n{more}')
    return serving(folder, *models, options=options)


def test_a_request_is_a_span_of_its_callers_trace_with_its_steps_below(tmp_path, collector):
    secret = {**ROW, "purpose": "a-very-private-purpose", "amount": 987654.25}
    with (
        traced(tmp_path, collector.url, ("loan", loan()), ("slow", slow_line(size=300, times=12))) as server,
        server.client() as client,
    ):
        told = {"traceparent": SAMPLED, "tracestate": "vendor=1", "x-request-id": "customer-4711"}
        assert client.post("/models/loan/predict", json=secret, headers=told).status_code == 200
        rows = {"inputs": {"x": [1.0, 2.0]}}
        assert client.post("/v1/models/slow:predict", json=rows, headers=told).status_code == 200
        assert client.post("/models/loan/predict", json={"age": "old-value"}, headers=told).status_code == 400
        assert client.post("/models/loan/predict", json=ROW, headers={"traceparent": NOT_SAMPLED}).status_code == 200
        assert client.post("/models/loan/predict", json=ROW).status_code == 200
        spans = until(lambda: len(found := collector.spans()) >= 4 + 5 + 2 + 4 and found)
        until(lambda: "mainstay_spans_exported_total 15\n" in client.get("/metrics").text)
    assert len(spans) == 15
    assert {span["flags"] for span in spans} == {1}
    assert len({span["spanId"] for span in spans}) == 15
    requests = [span for span in spans if span["kind"] == 2]
    inside, beside, refused, alone = requests
    for request in (inside, beside, refused):
        assert (request["traceId"], request["parentSpanId"], request["traceState"]) == (TRACE, SPAN, "vendor=1")
    assert alone["traceId"] != TRACE
    assert not {"parentSpanId", "traceState"} & alone.keys()
    about = {"mainstay.model": "slow", "mainstay.version": "slow:1", "mainstay.protocol": "tf-serving"}
    assert attributes(beside) == {**about, "mainstay.rows": "2", "http.response.status_code": "200"}
    assert attributes(refused)["http.response.status_code"] == "400"
    assert "status" not in refused  # it was the caller's fault
    steps = {"read": inside, "model": inside, "write": inside}
    for request, names in (
        (inside, list(steps)),
        (beside, ["read", "queue", "model", "write"]),
        (refused, ["read"]),
        (alone, list(steps)),
    ):
        below = [span for span in spans if span.get("parentSpanId") == request["spanId"]]
        assert [span["name"] for span in below] == names
        at = int(request["startTimeUnixNano"])
        assert abs(at / 1e9 - time.time()) < 300
        for span in below:
            assert span["traceId"] == request["traceId"]
            assert attributes(span).items() <= attributes(request).items()
            assert int(span["startTimeUnixNano"]) == at
            at = int(span["endTimeUnixNano"])
        assert at == int(request["endTimeUnixNano"])
    everything = b"".join(collector.bodies)
    for value in (b"private", b"987654", b"old-value", b"customer-4711"):
        assert value not in everything


def test_a_request_that_no_version_answers_is_a_span_too(tmp_path, collector):
    grpc = pytest.importorskip("grpc")
    from calling import calling, request

    told = {"traceparent": SAMPLED}
    options = ("--grpc-port", "0")
    with traced(tmp_path, collector.url, ("loan", loan()), options=options) as server, server.client() as client:
        server.add("broken", loan(wrong=True))
        assert "broken" in server.settled("broken")
        for path, status in (
            ("/models/broken/predict", 503),
            ("/v2/models/unheard-of/infer", 404),
            ("/predict", 404),  # which of the two?
            ("/models/loan/versions/9/predict", 404),
        ):
            assert client.post(path, json=ROW, headers=told).status_code == status
        client.get("/models/unheard-of", headers=told)
        with calling(server.grpc) as caller, pytest.raises(grpc.RpcError):
            caller.infer(request("broken", [], raw=True), metadata=list(told.items()))
        spans = until(lambda: len(found := collector.spans()) >= 10 and found)
    requests = [attributes(span) | {"name": span["name"]} for span in spans if span["kind"] == 2]
    assert [
        (each["mainstay.model"], each["mainstay.protocol"], int(each["http.response.status_code"]), each["name"])
        for each in requests
    ] == [
        ("broken", "plain", 503, "predict broken"),
        ("", "open-inference", 404, "predict"),
        ("", "plain", 404, "predict"),
        ("loan", "plain", 404, "predict loan"),
        ("broken", "grpc", 503, "predict broken"),
    ]
    assert {span["traceId"] for span in spans} == {TRACE}
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)
    assert b"unheard-of" not in b"".join(collector.bodies)


def test_a_collector_that_is_away_costs_spans_and_no_answer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with traced(tmp_path, f"http://127.0.0.1:{port}", ("loan", loan())) as server, server.client() as client:

        def counted(line: str) -> float:
            assert client.post("/predict", json=ROW).status_code == 200
            text = client.get("/metrics").text
            return sum(float(each.rsplit(" ", 1)[1]) for each in text.splitlines() if each.startswith(line))

        until(lambda: counted('mainstay_spans_dropped_total{reason="collector"}') > 0)
        until(lambda: server.log.read_text().count("traces_lost") == 1)
        late = Collector(port)
        try:
            until(lambda: counted("mainstay_spans_exported_total") > 0)
            assert late.spans()
        finally:
            late.close()
        until(lambda: "traces_taken" in server.log.read_text())
        assert server.log.read_text().count("traces_lost") == 1


class Counts:
    def __init__(self) -> None:
        self.taken, self.lost = 0, {"queue": 0, "collector": 0}

    def exported(self, spans: int) -> None:
        self.taken += spans

    def dropped(self, spans: int, why: str) -> None:
        self.lost[why] += spans


def told(number: int = 0) -> Told:
    trace = Trace(None)
    trace.ended = trace.begun + 1000
    return Told(trace, "loan", "loan:1", "plain", 503 if number else 200, 1)


def silent(kind: str, message: str, **facts: object) -> None:
    """A log that nobody reads."""


def test_what_a_slow_collector_does_not_take_is_dropped_and_counted(collector):
    collector.gate.clear()
    counts = Counts()
    exporter = Exporter(collector.url, counts, silent, {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20x,b=c"})
    exporter.put(told())
    until(lambda: collector.bodies)  # from now on it hangs
    for _ in range(MOST_WAITING + 100):
        exporter.put(told(1))
    assert counts.lost == {"queue": 200, "collector": 0}
    collector.answer = b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "no"}}'
    collector.gate.set()
    until(lambda: counts.taken + counts.lost["collector"] == 2 * (MOST_WAITING + 1))
    assert counts.lost["collector"] == 2 * len(collector.bodies)
    exporter.close()
    assert {headers["authorization"] for headers in collector.headers} == {"Bearer x"}
    failed = [span for span in collector.spans() if span["kind"] == 2 and "status" in span]
    assert len(failed) == MOST_WAITING
    assert {span["status"]["code"] for span in failed} == {2}


def test_what_a_collector_refuses_is_dropped_and_what_waits_is_sent_at_the_end(collector):
    counts = Counts()
    collector.status = 503
    exporter = Exporter(collector.url, counts, silent, {})
    exporter.put(told())
    until(lambda: counts.lost["collector"] == 2)
    exporter.close()
    collector.status = 200
    exporter = Exporter(collector.url, counts, silent, {})
    exporter.put(told())
    exporter.close()
    assert counts.taken == 2


@pytest.mark.parametrize(
    ("said", "parent"),
    [
        (SAMPLED, Parent(TRACE, SPAN, sampled=True)),
        (NOT_SAMPLED, Parent(TRACE, SPAN, sampled=False)),
        (f"00-{TRACE}-{SPAN}-ff", Parent(TRACE, SPAN, sampled=True)),
        (f"42-{TRACE}-{SPAN}-01-what-comes-later", Parent(TRACE, SPAN, sampled=True)),
        (f"{SAMPLED}-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (SAMPLED.upper(), None),
        (f"{SAMPLED}\n", None),
        (SAMPLED[:-1], None),
        ("x" * 100_000, None),
        ("", None),
        (None, None),
    ],
)
def test_traceparent_is_read_as_its_specification_says(said, parent):
    assert parent_of({} if said is None else {"traceparent": said}) == parent


def test_the_share_is_of_requests_whose_caller_does_not_say():
    put: list[Told] = []
    never, always = Tracer(put.append, share=0.0), Tracer(put.append, share=1.0)
    assert never.begin({}) is None
    assert always.begin({}) is not None
    assert never.begin({"traceparent": SAMPLED}) is not None
    assert always.begin({"traceparent": NOT_SAMPLED}) is None
    half = Tracer(put.append, share=0.5)
    assert 350 < sum(half.begin({}) is not None for _ in range(1000)) < 650


@pytest.mark.parametrize("line", ['otlp = "127.0.0.1:4318"', 'otlp = "http://a:b@c"', "trace_share = 1.5"])
def test_a_setting_that_cannot_be_meant_is_refused(line):
    with pytest.raises(ProjectError, match=r"\[serve\]"):
        parse(f"{PROJECT}{line}\n")
