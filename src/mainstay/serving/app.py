"""What answers HTTP: codecs translate, models answer. One object a worker, called by granian (RSGI)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TypeVar

from mainstay.errors import MachineError
from mainstay.models.signature import InputError
from mainstay.serving import metrics
from mainstay.serving.bodies import BadBody, valid_id
from mainstay.serving.bounded import BodyReader, NoBody, TooLarge, TooSlow
from mainstay.serving.follower import Follower
from mainstay.serving.ids import new_id
from mainstay.serving.logs import Log, place_of
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import AGAIN, CLOSE, Codec, Dialect, Headers, Problem, Refusal, Reply
from mainstay.serving.protocols.desk import Desk
from mainstay.serving.protocols.mlflow import Mlflow
from mainstay.serving.protocols.open_inference.dialect import OpenInference
from mainstay.serving.protocols.plain import Plain
from mainstay.serving.protocols.tf_serving import TfServing

T = TypeVar("T")

LONG_BODY = 65_536
"""Bytes of a body that is read, and answered, in a thread: it would keep the event loop too long."""


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


@dataclass(frozen=True)
class Target:
    """What answers at a path."""

    loaded: Loaded
    dialect: Dialect
    codec: Codec
    counted: metrics.Counted


class App:
    """The routes of a worker."""

    def __init__(self, follower: Follower, slots: metrics.Slots, *, run: Path, max_body: int, log: Log) -> None:
        self.follower, self.log = follower, log
        self.reader = BodyReader(at_most=max_body)
        self.desk = Desk(follower, run)
        # The first that claims a path has it; the plain one claims what is left.
        self._dialects: tuple[Dialect, ...] = (
            OpenInference(self.desk),
            TfServing(self.desk),
            Mlflow(self.desk),
            Plain(self.desk),
        )
        self._slots = slots
        self._counted: dict[tuple[str, str], metrics.Counted] = {}
        self._in_flight = slots.place(metrics.IN_FLIGHT)
        self._serving: Mapping[str, Loaded] | None = None
        self._targets: dict[str, Target] = {}

    async def __rsgi__(self, scope: Scope, proto: Proto) -> None:
        """Answers one request."""
        if self.follower.serving is not self._serving:
            self._learn(self.follower.serving)
        path = scope.path
        target = self._targets.get(path)
        if target is not None and scope.method == "POST":
            await self._predict(scope, proto, target)
        else:
            await self._other(scope, proto, path)

    def _learn(self, serving: Mapping[str, Loaded]) -> None:
        """Notes what answers where, so that a request need not work it out."""
        targets = {}
        alone = len(serving) == len(self.follower.names) == 1
        for loaded in serving.values():
            for dialect in self._dialects:
                counted = self._counter(dialect, loaded.model, loaded.version)
                for path, codec in dialect.codecs(loaded, alone=alone).items():
                    targets[path] = Target(loaded, dialect, codec, counted)
        self._targets, self._serving = targets, serving

    def _counter(self, dialect: Dialect, model: str, version: str) -> metrics.Counted:
        key = version, dialect.name
        counted = self._counted.get(key)
        if counted is None:
            counted = self._counted[key] = metrics.Counted(self._slots, model, version, dialect.name)
        return counted

    async def _predict(self, scope: Scope, proto: Proto, target: Target) -> None:
        slots, in_flight, begun = self._slots, self._in_flight, perf_counter()
        slots.add(in_flight, 1.0)
        loaded, codec, rows = target.loaded, target.codec, 0
        try:
            given = scope.headers
            body = await self.reader.read(proto, given.get("content-length"))
            begun = perf_counter()
            long = len(body) > LONG_BODY
            asked = await self._aside(codec.read, body, given) if long else codec.read(body, given)
            rows = len(asked.cells)
            answers = loaded.place.now(asked.cells) if rows else loaded.nothing
            if answers is None:
                answers = await loaded.place.later(asked.cells)
            identity = asked.id or _caller_id(given.get("x-request-id")) or new_id()
            written = answers, asked, identity
            headers, reply = await self._aside(codec.write, *written) if long else codec.write(*written)
            status = 200
        except NoBody:
            slots.add(in_flight, -1.0)
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - every error has an answer
            status, headers, reply = self._refused(target.dialect, error)
        slots.add(in_flight, -1.0)
        target.counted.answered(status, rows=rows, seconds=perf_counter() - begun)
        proto.response_bytes(status, headers, reply)

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        """Does what takes long in a thread, so that the others are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self.follower.pool, work, *given)

    async def _other(self, scope: Scope, proto: Proto, path: str) -> None:
        """Answers what is no prediction, or cannot be one."""
        begun, method = perf_counter(), scope.method
        dialect = next(each for each in self._dialects if each.claims(path))
        try:
            body = b""
            if method == "POST" and dialect.takes_body(path):
                body = await self.reader.read(proto, scope.headers.get("content-length"))
            reply = dialect.other(method, path, body)
        except NoBody:
            return
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the connection along
            reply = self._refused(dialect, error)
            if path.endswith(dialect.verb):
                self._counter(dialect, "", "").answered(reply.status, rows=0, seconds=perf_counter() - begun)
        proto.response_bytes(reply.status, reply.headers, b"" if method == "HEAD" else reply.body)

    def _refused(self, dialect: Dialect, error: Exception) -> Reply:
        refusal, more = self._refusal(error)
        headers, body = dialect.refused(refusal)
        return Reply(refusal.status, [*headers, *more], body)

    def _refusal(self, error: Exception) -> tuple[Refusal, Headers]:
        said, more = str(error), Headers()
        match error:
            case Problem():
                refusal, more = Refusal(error.status, said, error.field, error.row), error.headers
            case BadBody():
                refusal = Refusal(400, said, error.field, error.row)
            case InputError():  # the signature's word where a codec adds none, or that of a model in its own process
                refusal = Refusal(400, said[0].upper() + said[1:], error.column, error.row)
            case TooLarge():
                refusal, more = Refusal(413, said), [CLOSE]
            case TooSlow():
                refusal, more = Refusal(408, said), [CLOSE]
            case MachineError():
                refusal, more = Refusal(503, said), [AGAIN]
            case _:
                self.log("fault", f"A request failed with {place_of(error)}.", level="error")
                refusal = Refusal(500, "The server failed on this request; its log says where.")
        return refusal, more


def _caller_id(given: str | None) -> str | None:
    return given if given is not None and valid_id(given) else None


async def follow(app: App) -> None:
    """Keeps an app's versions up to date for ever; a fault is told and survived."""
    while True:
        try:
            await app.follower.keep_up()
        except Exception as error:  # noqa: BLE001 - what answers must go on answering
            app.log("fault", f"Following the routing table failed with {place_of(error)}.", level="error")
            await asyncio.sleep(1.0)
