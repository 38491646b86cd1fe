"""Traces for a collector: OTLP over HTTP, in its JSON form (https://opentelemetry.io/docs/specs/otlp/).

Written here rather than with OpenTelemetry's own packages: a span of theirs takes longer than most answers do, and they
bring protobuf and requests along; the form is a stable document of a few fields, and every collector takes it.

A thread sends. Requests never wait for it: what a collector does not take, or not in time, is dropped and counted.
"""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from mainstay.release import release
from mainstay.serving.logs import Log
from mainstay.serving.traces import Told

PATH = "/v1/traces"
EVERY = 1.0
"""Seconds between two batches, where fewer than `BATCH` requests come."""
BATCH = 512
"""Requests of one batch."""
MOST_WAITING = 4 * BATCH
"""Requests that wait to be sent; more are dropped."""
WITHIN = 5.0
"""Seconds that the collector has for a batch."""
LAST_WITHIN = 2.0
"""Seconds that the end of a worker waits for the last batch."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries to reach a collector that is away; it begins with `EVERY`, and doubles."""
_INTERNAL, _SERVER = 1, 2
"""Kinds of span."""
_ERROR = 2
_FAULT = 500
"""From this status on, it is the server that failed."""
_encode = msgspec.json.Encoder().encode

Dropped = Literal["queue", "collector"]
"""Why: more came than were sent, or the collector did not take them."""


class Watch(Protocol):
    """Who is told what becomes of spans, to count it. Each call comes from one thread alone."""

    def exported(self, spans: int) -> None:
        """The collector took so many."""

    def dropped(self, spans: int, why: Dropped) -> None:
        """So many are lost."""


class _Rejected(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0


class _Answer(msgspec.Struct, rename="camel"):
    partial_success: _Rejected = msgspec.field(default_factory=_Rejected)


class Exporter:
    """Sends traces from a thread of its own."""

    def __init__(self, url: str, watch: Watch, log: Log, variables: Mapping[str, str] | None = None) -> None:
        """An exporter that has begun.

        Args:
            url: of the collector, `http://127.0.0.1:4318`.
            watch: is told what becomes of spans.
            log: is told once when the collector goes, and once when it is back.
            variables: of the environment: OTEL_SERVICE_NAME, and OTEL_EXPORTER_OTLP_HEADERS for what a collector
                asks of its clients, as OpenTelemetry has them.
        """
        variables = os.environ if variables is None else variables
        self._url, self._watch, self._log = urlsplit(url), watch, log
        self._headers = {
            "content-type": "application/json",
            **_headers(variables.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
        }
        self._resource = _resource(variables.get("OTEL_SERVICE_NAME", "mainstay"))
        self._waiting: deque[Told] = deque()
        self._awake, self._over = threading.Event(), threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._away = False
        self._thread = threading.Thread(target=self._go_on, name="traces", daemon=True)
        self._thread.start()

    def put(self, told: Told) -> None:
        """Takes a trace, or drops it where too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            self._watch.dropped(told.spans, "queue")
            return
        self._waiting.append(told)
        if len(self._waiting) == BATCH:
            self._awake.set()

    def close(self) -> None:
        """Sends what waits, if the collector takes it soon, and ends."""
        self._over.set()
        self._awake.set()
        self._thread.join(LAST_WITHIN)

    def _go_on(self) -> None:
        pause = EVERY
        while not self._over.is_set():
            if self._away:
                self._over.wait(pause)  # however many wait: that is no reason to bother a collector that is away
            else:
                self._awake.wait(EVERY)
                self._awake.clear()
            pause = EVERY if self._emptied() else min(pause * 2, LONGEST_PAUSE)
        self._emptied()
        self._part()

    def _emptied(self) -> bool:
        """Sends what waits, until the collector does not take a batch; whether it took all."""
        while self._waiting:
            if not self._sent([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]):
                return False
        return True

    def _part(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sent(self, batch: list[Told]) -> bool:
        """Sends a batch; whether it was taken."""
        spans = sum(told.spans for told in batch)
        try:
            rejected = self._post(_encode(document(self._resource, batch)))
        except (OSError, http.client.HTTPException) as error:
            self._part()
            self._watch.dropped(spans, "collector")
            if not self._away:
                self._log(
                    "traces_lost", f"The collector does not take traces, which are dropped: {error}.", level="warning"
                )
            self._away = True
            return False
        if self._away:
            self._log("traces_taken", "The collector takes traces again.")
        self._away = False
        self._watch.exported(spans - rejected)
        if rejected:
            self._watch.dropped(rejected, "collector")
        return True

    def _post(self, body: bytes) -> int:
        """How many spans of a document were rejected. Raises OSError or HTTPException where it was not taken."""
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(self._url.netloc, timeout=WITHIN)
        self._connection.request("POST", self._url.path.rstrip("/") + PATH, body, self._headers)
        reply = self._connection.getresponse()
        said = reply.read(65_536)
        if not 200 <= reply.status < 300:
            raise http.client.HTTPException(f"it answered with {reply.status}")
        try:
            return int(msgspec.json.decode(said, type=_Answer).partial_success.rejected_spans)
        except (msgspec.DecodeError, ValueError):
            return 0  # an empty answer, or one of protobuf: all were taken


def document(resource: Any, batch: list[Told]) -> Any:
    """ExportTraceServiceRequest, as JSON has it."""
    spans = [span for told in batch for span in _spans(told)]
    scope = {"name": "mainstay", "version": release()}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}


def _spans(told: Told) -> Iterator[Any]:
    """That of the request, then one for each of its steps."""
    trace, parent = told.trace, told.trace.parent
    root = secrets.token_hex(8)
    about = [_text("mainstay.model", told.model), _text("mainstay.version", told.version)]
    about.append(_text("mainstay.protocol", told.protocol))
    common = {"traceId": secrets.token_hex(16) if parent is None else parent.trace, "flags": 1}
    if parent is not None and parent.state:
        common["traceState"] = parent.state

    def times(begun: int, ended: int) -> Any:
        moved = trace.time - trace.begun
        return {"startTimeUnixNano": str(begun + moved), "endTimeUnixNano": str(ended + moved)}

    failed = {"status": {"code": _ERROR}} if told.status >= _FAULT else {}
    more = [_number("mainstay.rows", told.rows), _number("http.response.status_code", told.status)]
    request = {"spanId": root, "name": f"predict {told.model}".rstrip(), "kind": _SERVER, "attributes": [*about, *more]}
    if parent is not None:
        request["parentSpanId"] = parent.span
    yield {**common, **request, **times(trace.begun, trace.ended), **failed}
    ends = [*(begun for _, begun in trace.steps[1:]), trace.ended]
    for (step, begun), ended in zip(trace.steps, ends, strict=True):
        inner = {"spanId": secrets.token_hex(8), "parentSpanId": root, "name": step, "kind": _INTERNAL}
        yield {**common, **inner, "attributes": about, **times(begun, ended)}


def _text(key: str, value: str) -> Any:
    return {"key": key, "value": {"stringValue": value}}


def _number(key: str, value: int) -> Any:
    return {"key": key, "value": {"intValue": str(value)}}  # JSON has 64-bit integers as text


def _resource(service: str) -> Any:
    attributes = [_text("service.name", service), _text("service.version", release())]
    attributes += [_text("host.name", socket.gethostname()), _number("process.pid", os.getpid())]
    return {"attributes": attributes}


def _headers(said: str) -> dict[str, str]:
    """`key=value,key=value`, the values percent-encoded."""
    pairs = (pair.partition("=") for pair in said.split(",") if "=" in pair)
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
