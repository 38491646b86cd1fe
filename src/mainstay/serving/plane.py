"""The data plane: reads a request with its codec, asks the version, writes the answer, and counts it.

Whichever port a request came to, and in whichever protocol, it passes here: ports take bytes in and hand a `Reply` out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from mainstay.errors import MachineError
from mainstay.models.signature import InputError
from mainstay.serving import metrics
from mainstay.serving.bodies import Asked, BadBody, valid_id
from mainstay.serving.bounded import TooLarge, TooSlow
from mainstay.serving.ids import new_id
from mainstay.serving.logs import Log, place_of
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import AGAIN, CLOSE, Codec, Dialect, Given, Headers, Problem, Refusal, Reply

T = TypeVar("T")

LONG_BODY = 65_536
"""Bytes of a body that is read, and answered, in a thread: it would keep the event loop too long."""
MANY_ROWS = 1_000
"""Rows whose answers are written in a thread."""


@dataclass(frozen=True)
class Target:
    """What a prediction is asked of, and how."""

    loaded: Loaded
    dialect: Dialect
    codec: Codec
    counted: metrics.Counted


class Plane:
    """Predicts for the ports of one worker."""

    def __init__(self, slots: metrics.Slots, *, pool: Executor, log: Log) -> None:
        """`pool` reads and writes what is long."""
        self.log = log
        self._slots, self._pool = slots, pool
        self._counted: dict[tuple[str, str], metrics.Counted] = {}
        self._in_flight = slots.place(metrics.IN_FLIGHT)

    def target(self, loaded: Loaded, dialect: Dialect, codec: Codec) -> Target:
        """A version asked in a protocol, with its counters."""
        return Target(loaded, dialect, codec, self._counter(dialect, loaded.model, loaded.version))

    def entered(self) -> None:
        """Counts a request as in flight; each is to be `left` again."""
        self._slots.add(self._in_flight, 1.0)

    def left(self) -> None:
        """Counts a request in flight no more."""
        self._slots.add(self._in_flight, -1.0)

    async def answer(self, target: Target, body: bytes, given: Given) -> Reply:
        """The answer to a prediction request, whatever comes of it: an error is answered as its protocol has it.

        Args:
            body: as the codec takes it.
            given: the request's headers, or what stands for them; names in lower case.
        """
        begun, rows = perf_counter(), 0
        loaded, codec = target.loaded, target.codec
        try:
            long = len(body) > LONG_BODY
            read = await self._aside(codec.read, body, given) if long else codec.read(body, given)
            asked = read if isinstance(read, Asked) else await read
            rows = len(asked.cells)
            answers = loaded.place.now(asked.cells) if rows else loaded.nothing
            if answers is None:
                answers = await loaded.place.later(asked.cells)
            identity = asked.id or _caller_id(given.get("x-request-id")) or new_id()
            said = answers, asked, identity
            long = long or rows > MANY_ROWS
            written = await self._aside(codec.write, *said) if long else codec.write(*said)
            headers, reply = written if isinstance(written, tuple) else await written
        except Exception as error:  # noqa: BLE001 - every error has an answer
            return self.refuse(target, error, rows=rows, seconds=perf_counter() - begun)
        target.counted.answered(200, rows=rows, seconds=perf_counter() - begun)
        return Reply(200, headers, reply)

    def refuse(self, target: Target, error: Exception, *, rows: int = 0, seconds: float = 0.0) -> Reply:
        """The answer to a prediction request that failed, counted; `seconds` since its body was whole."""
        reply = self.refused(target.dialect, error)
        target.counted.answered(reply.status, rows=rows, seconds=seconds)
        return reply

    def refuse_unrouted(self, dialect: Dialect, error: Exception, *, seconds: float) -> Reply:
        """The answer to a prediction request that no version answers, counted."""
        reply = self.refused(dialect, error)
        self._counter(dialect, "", "").answered(reply.status, rows=0, seconds=seconds)
        return reply

    def refused(self, dialect: Dialect, error: Exception) -> Reply:
        """An error in the shape of a protocol."""
        refusal, more = self._refusal(error)
        headers, body = dialect.refused(refusal)
        return Reply(refusal.status, [*headers, *more], body)

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        """Does what takes long in a thread, so that the others are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)

    def _counter(self, dialect: Dialect, model: str, version: str) -> metrics.Counted:
        key = version, dialect.name
        counted = self._counted.get(key)
        if counted is None:
            counted = self._counted[key] = metrics.Counted(self._slots, model, version, dialect.name)
        return counted

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
