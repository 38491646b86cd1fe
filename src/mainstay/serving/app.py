"""What answers HTTP: routes translate, models answer. One object a worker, called by granian (RSGI)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mainstay.errors import MachineError, MainstayError, did_you_mean
from mainstay.serving import metrics, openapi
from mainstay.serving.bodies import BadBody, valid_id
from mainstay.serving.bounded import NoBody, TooLarge, TooSlow, body_of
from mainstay.serving.follower import Follower
from mainstay.serving.ids import new_id
from mainstay.serving.logs import Log
from mainstay.serving.models import Loaded
from mainstay.serving.pages import HEADERS, pages
from mainstay.serving.routing import acknowledgements

Headers = list[tuple[str, str]]

JSON_HEADERS: Headers = [("content-type", "application/json"), ("x-content-type-options", "nosniff")]
TEXT_HEADERS: Headers = [("content-type", "text/plain; version=0.0.4; charset=utf-8")]
ACCEPTED = ("application/json", "application/x-www-form-urlencoded", "text/json")
"""Content types of a JSON body; the second is what a bare `curl -d` says of anything."""
_encode = msgspec.json.Encoder().encode
_MODELS = "/models/"
_PREDICT = "/predict"


class Scope(Protocol):
    """What granian says of a request."""

    method: str
    path: str

    @property
    def headers(self) -> Any: ...


class Proto(Protocol):
    """How granian takes a body in and an answer out."""

    def __aiter__(self) -> Any: ...

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...


class Problem(MainstayError):
    """A request that is refused, with its status."""

    def __init__(self, status: int, message: str, *, headers: Headers | None = None) -> None:
        self.status, self.headers = status, headers or []
        super().__init__(message)


class App:
    """The routes of a worker."""

    def __init__(self, follower: Follower, slots: metrics.Slots, *, run: Path, max_body: int, log: Log) -> None:
        self.follower, self.run, self.max_body, self.log = follower, run, max_body, log
        self.draining = False
        self._slots = slots
        self._counted: dict[str, metrics.Counted] = {}
        self._nobody = metrics.Counted(slots, "", "")
        self._in_flight = slots.place(metrics.IN_FLIGHT)
        self._pages = pages()
        self._openapi: tuple[int, bytes] = (-1, b"")
        self._gets: Mapping[str, Callable[[], tuple[int, Headers, bytes]]] = {
            "/models": self._models,
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/metrics": self._metrics,
            "/openapi.json": self._description,
        }

    async def __rsgi__(self, scope: Scope, proto: Proto) -> None:
        """Answers one request."""
        path = scope.path
        if path.endswith(_PREDICT) and (path == _PREDICT or path.startswith(_MODELS)):
            await self._predict(scope, proto, path)
            return
        try:
            status, headers, body = self._get(scope.method, path)
        except Problem as problem:
            status, headers, body = problem.status, [*JSON_HEADERS, *problem.headers], _told(str(problem))
        proto.response_bytes(status, headers, b"" if scope.method == "HEAD" else body)

    # Predictions

    async def _predict(self, scope: Scope, proto: Proto, path: str) -> None:
        self._slots.add(self._in_flight, 1.0)
        loaded: Loaded | None = None
        rows, headers, begun = 0, JSON_HEADERS, time.perf_counter()
        try:
            loaded = self._asked(scope.method, path)
            given = scope.headers
            _check_type(given.get("content-type"))
            body = await body_of(proto, given.get("content-length"), at_most=self.max_body)
            begun = time.perf_counter()
            asked = loaded.bodies.read(body)
            rows = len(asked.cells)
            place = loaded.place
            answers = place.now(asked.cells)
            if answers is None:
                answers = await place.later(asked.cells)
            identity = asked.id or _caller_id(given.get("x-request-id")) or new_id()
            status, reply = 200, loaded.replies.write(answers, single=asked.single, identity=identity)
        except Problem as problem:
            status, reply, headers = problem.status, _told(str(problem)), [*JSON_HEADERS, *problem.headers]
        except BadBody as bad:
            status, reply = 400, _told(str(bad), field=bad.field, row=bad.row)
        except TooLarge as large:
            status, reply, headers = 413, _told(str(large)), [*JSON_HEADERS, ("connection", "close")]
        except TooSlow as slow:
            status, reply, headers = 408, _told(str(slow)), [*JSON_HEADERS, ("connection", "close")]
        except NoBody:
            self._slots.add(self._in_flight, -1.0)
            return  # nobody is there to be answered
        except MachineError as error:
            status, reply, headers = 503, _told(str(error)), [*JSON_HEADERS, ("retry-after", "1")]
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the connection or the worker along
            self.log("fault", f"A request failed with {type(error).__name__}.", level="error", error=repr(error)[:300])
            status, reply = 500, _told("The server failed on this request; its log says more.")
        proto.response_bytes(status, headers, reply)
        self._slots.add(self._in_flight, -1.0)
        self._count(loaded).answered(status, rows=rows, seconds=time.perf_counter() - begun)

    def _asked(self, method: str, path: str) -> Loaded:
        if method != "POST":
            raise Problem(405, f"{path[:100]} takes POST.", headers=[("allow", "POST")])
        serving = self.follower.serving
        if path == _PREDICT:
            if len(serving) == 1:
                return next(iter(serving.values()))
            if not serving:
                raise Problem(503, "No model is deployed: run mainstay deploy VERSION.", headers=[("retry-after", "1")])
            named = ", ".join(f"/models/{name}/predict" for name in sorted(serving))
            raise Problem(404, f"Several models are deployed: say which, at one of {named}.")
        return self._model(path[len(_MODELS) : -len(_PREDICT)])

    def _model(self, name: str) -> Loaded:
        serving = self.follower.serving
        if name in serving:
            return serving[name]
        hint = did_you_mean(name, serving) or (f" Deployed: {', '.join(sorted(serving))}." if serving else "")
        raise Problem(404, f"No model {name[:100]!r} is deployed.{hint}")

    def _count(self, loaded: Loaded | None) -> metrics.Counted:
        if loaded is None:
            return self._nobody
        counted = self._counted.get(loaded.version)
        if counted is None:
            counted = self._counted[loaded.version] = metrics.Counted(self._slots, loaded.model, loaded.version)
        return counted

    # What is asked with GET

    def _get(self, method: str, path: str) -> tuple[int, Headers, bytes]:
        page = self._pages.get(path)
        answer = self._gets.get(path)
        named = path.startswith(_MODELS) and "/" not in path[len(_MODELS) :] and len(path) > len(_MODELS)
        if page is None and answer is None and not named:
            raise Problem(404, f"There is nothing at {path[:100]}. The page for people is /, the API is told at /docs.")
        if method not in ("GET", "HEAD"):
            raise Problem(405, f"{path[:100]} takes GET.", headers=[("allow", "GET, HEAD")])
        if page is not None:
            return 200, [("content-type", page.content_type), *HEADERS], page.body
        return self._one_model(path[len(_MODELS) :]) if answer is None else answer()

    def _models(self) -> tuple[int, Headers, bytes]:
        listed = [
            {"name": each.model, "version": _number(each.version), "task": each.signature.task}
            for _, each in sorted(self.follower.serving.items())
        ]
        return 200, JSON_HEADERS, _encode({"models": listed})

    def _one_model(self, name: str) -> tuple[int, Headers, bytes]:
        loaded = self._model(name)
        document = {
            "name": loaded.model,
            "version": _number(loaded.version),
            "content_id": loaded.manifest.content_id,
            "signature": loaded.signature,
            "decision": loaded.decision,
        }
        return 200, JSON_HEADERS, _encode(document)

    def _health(self) -> tuple[int, Headers, bytes]:
        return 200, JSON_HEADERS, b'{"status":"alive"}'

    def _readiness(self) -> tuple[int, Headers, bytes]:
        if self.draining:
            return 503, JSON_HEADERS, b'{"status":"draining"}'
        if self.follower.ready:
            return 200, JSON_HEADERS, b'{"status":"ready"}'
        return 503, JSON_HEADERS, b'{"status":"no model answers yet"}'

    def _metrics(self) -> tuple[int, Headers, bytes]:
        pids = [said.pid for said in acknowledgements(self.run)]
        return 200, TEXT_HEADERS, metrics.scraped(self.run / metrics.FOLDER, pids).encode()

    def _description(self) -> tuple[int, Headers, bytes]:
        changes, known = self._openapi
        if changes != self.follower.changes:
            known = _encode(openapi.document(self.follower.serving.values()))
            self._openapi = (self.follower.changes, known)
        return 200, JSON_HEADERS, known


def _check_type(content_type: str | None) -> None:
    if content_type is None or content_type.startswith("application/json"):
        return
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind and kind not in ACCEPTED and not kind.endswith("+json"):
        raise Problem(415, f"Content type {kind[:100]!r} is not taken: send application/json.")


def _caller_id(given: str | None) -> str | None:
    return given if given is not None and valid_id(given) else None


def _number(version: str) -> int:
    return int(version.rpartition(":")[2])


def _told(message: str, *, field: str | None = None, row: int | None = None) -> bytes:
    said: dict[str, Any] = {"error": message}
    if field is not None:
        said["field"] = field
    if row is not None:
        said["row"] = row
    return _encode(said)


async def follow(app: App) -> None:
    """Keeps an app's versions up to date for ever; a fault is told and survived."""
    while True:
        try:
            await app.follower.keep_up()
        except Exception as error:  # noqa: BLE001 - what answers must go on answering
            app.log("fault", f"Following the routing table failed: {error!r}", level="error")
            await asyncio.sleep(1.0)
