"""What answers HTTP: routes translate, models answer. One object a worker, called by granian (RSGI)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec

from mainstay.errors import MachineError, MainstayError, did_you_mean
from mainstay.models.signature import InputError
from mainstay.serving import metrics, openapi
from mainstay.serving.bodies import BadBody, valid_id
from mainstay.serving.bounded import BodyReader, NoBody, TooLarge, TooSlow
from mainstay.serving.follower import Follower
from mainstay.serving.ids import new_id
from mainstay.serving.logs import Log, place_of
from mainstay.serving.models import Loaded
from mainstay.serving.pages import HEADERS, pages
from mainstay.serving.routing import acknowledgements

T = TypeVar("T")
Headers = list[tuple[str, str]]

JSON_HEADERS: Headers = [("content-type", "application/json"), ("x-content-type-options", "nosniff")]
TEXT_HEADERS: Headers = [("content-type", "text/plain; version=0.0.4; charset=utf-8")]
ACCEPTED = ("application/json", "application/x-www-form-urlencoded", "text/json")
"""Content types of a JSON body; the second is what a bare `curl -d` says of anything."""
LONG_BODY = 65_536
"""Bytes of a body that is read, and answered, in a thread: it would keep the event loop too long."""
_AGAIN, _CLOSE = ("retry-after", "1"), ("connection", "close")
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


@dataclass(frozen=True)
class Target:
    """What answers at a path."""

    loaded: Loaded
    counted: metrics.Counted


class App:
    """The routes of a worker."""

    def __init__(self, follower: Follower, slots: metrics.Slots, *, run: Path, max_body: int, log: Log) -> None:
        self.follower, self.run, self.log = follower, run, log
        self.reader = BodyReader(at_most=max_body)
        self.draining = False
        self._slots = slots
        self._counted: dict[str, metrics.Counted] = {}
        self._nobody = metrics.Counted(slots, "", "")
        self._in_flight = slots.place(metrics.IN_FLIGHT)
        self._pages = pages()
        self._serving: Mapping[str, Loaded] | None = None
        self._targets: dict[str, Target] = {}
        self._openapi = b""
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
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the connection along
            status, headers, body = 500, JSON_HEADERS, self._fault(error)
        proto.response_bytes(status, headers, b"" if scope.method == "HEAD" else body)

    # Predictions

    async def _predict(self, scope: Scope, proto: Proto, path: str) -> None:
        slots, in_flight, begun = self._slots, self._in_flight, perf_counter()
        slots.add(in_flight, 1.0)
        counted, rows, headers = self._nobody, 0, JSON_HEADERS
        try:
            target = self._asked(scope.method, path)
            loaded, counted = target.loaded, target.counted
            given = scope.headers
            _check_type(given.get("content-type"))
            body = await self.reader.read(proto, given.get("content-length"))
            begun = perf_counter()
            long = len(body) > LONG_BODY
            asked = await self._aside(loaded.bodies.read, body) if long else loaded.bodies.read(body)
            rows = len(asked.cells)
            answers = loaded.place.now(asked.cells) if rows else loaded.nothing
            if answers is None:
                answers = await loaded.place.later(asked.cells)
            identity = asked.id or _caller_id(given.get("x-request-id")) or new_id()
            write, single = loaded.replies.write, asked.single
            reply = await self._aside(write, answers, single, identity) if long else write(answers, single, identity)
            status = 200
        except NoBody:
            slots.add(in_flight, -1.0)
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - every error has an answer
            status, headers, reply = self._refusal(error)
        slots.add(in_flight, -1.0)
        counted.answered(status, rows=rows, seconds=perf_counter() - begun)
        proto.response_bytes(status, headers, reply)

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        """Does what takes long in a thread, so that the others are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self.follower.pool, work, *given)

    def _refusal(self, error: Exception) -> tuple[int, Headers, bytes]:
        match error:
            case Problem():
                status, more, body = error.status, error.headers, _told(str(error))
            case BadBody():
                status, more, body = 400, [], _told(str(error), field=error.field, row=error.row)
            case InputError():  # the model's own word, where it has a process of its own
                status, more, body = 400, [], _told(str(error), field=error.column, row=error.row)
            case TooLarge():
                status, more, body = 413, [_CLOSE], _told(str(error))
            case TooSlow():
                status, more, body = 408, [_CLOSE], _told(str(error))
            case MachineError():
                status, more, body = 503, [_AGAIN], _told(str(error))
            case _:
                status, more, body = 500, [], self._fault(error)
        return status, [*JSON_HEADERS, *more], body

    def _fault(self, error: Exception) -> bytes:
        self.log("fault", f"A request failed with {place_of(error)}.", level="error")
        return _told("The server failed on this request; its log says where.")

    def _asked(self, method: str, path: str) -> Target:
        if method != "POST":
            raise Problem(405, f"{path[:100]} takes POST.", headers=[("allow", "POST")])
        serving = self.follower.serving
        if serving is not self._serving:
            self._learn(serving)
        target = self._targets.get(path)
        if target is not None:
            return target
        if path != _PREDICT:
            self._missing(path[len(_MODELS) : -len(_PREDICT)])
        names = sorted(self.follower.names)
        if len(names) > 1:
            named = ", ".join(f"/models/{name}/predict" for name in names)
            raise Problem(404, f"Several models are deployed: say which, at one of {named}.")
        if names:
            self._missing(names[0])
        raise Problem(503, "No model is deployed: run mainstay deploy VERSION.", headers=[_AGAIN])

    def _learn(self, serving: Mapping[str, Loaded]) -> None:
        """Notes what answers where, so that a request need not work it out."""
        targets = {}
        for name, loaded in serving.items():
            counted = self._counted.get(loaded.version)
            if counted is None:
                counted = self._counted[loaded.version] = metrics.Counted(self._slots, name, loaded.version)
            targets[f"{_MODELS}{name}{_PREDICT}"] = Target(loaded, counted)
        # With one model alone its name can be left out.
        if len(targets) == len(self.follower.names) == 1:
            targets[_PREDICT] = next(iter(targets.values()))
        self._targets, self._serving = targets, serving
        self._openapi = _encode(openapi.document(serving.values()))

    def _missing(self, name: str) -> NoReturn:
        """Says why a model does not answer."""
        if name in self.follower.names:
            why = self.follower.errors.get(name, "it is being loaded.")
            raise Problem(503, f"Model {name!r} does not answer: {why}", headers=[_AGAIN])
        serving = self.follower.serving
        hint = did_you_mean(name, serving) or (f" Deployed: {', '.join(sorted(serving))}." if serving else "")
        raise Problem(404, f"No model {name[:100]!r} is deployed.{hint}")

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
        loaded = self.follower.serving.get(name)
        if loaded is None:
            self._missing(name)
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
        if self.follower.serving is not self._serving:
            self._learn(self.follower.serving)
        return 200, JSON_HEADERS, self._openapi


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
            app.log("fault", f"Following the routing table failed with {place_of(error)}.", level="error")
            await asyncio.sleep(1.0)
