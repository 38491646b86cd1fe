"""The data plane: reads a request with its codec, asks the version, writes the answer, and counts it.

Whichever port a request came to, and in whichever protocol, it passes here: ports take bytes in and hand a `Reply` out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol, TypeVar

from mainstay.errors import MachineError
from mainstay.models.answers import Answers
from mainstay.models.signature import InputError
from mainstay.serving import budget, metrics
from mainstay.serving.batching import Busy, Late
from mainstay.serving.bodies import Asked, BadBody, valid_id
from mainstay.serving.bounded import TooLarge, TooSlow
from mainstay.serving.ids import ids
from mainstay.serving.logs import Log, place_of
from mainstay.serving.models import Loaded
from mainstay.serving.patience import TIMEOUT, Caller, CallerGone, seconds_of, while_there
from mainstay.serving.protocols.codec import (
    AGAIN,
    CLOSE,
    Codec,
    Dialect,
    Given,
    Glancing,
    Headers,
    Problem,
    Refusal,
    Reply,
)
from mainstay.serving.seen import Seen
from mainstay.serving.traces import Trace, Tracer

T = TypeVar("T")
Glance = Callable[[bytes, Given], Asked | None]

LONGEST_WAIT = 30.0
"""Seconds that a request may take, where nobody says otherwise."""

LONG_BODY = 65_536
"""Bytes of a body that is read in a thread, unless its codec needs but a glance: it would keep the event loop too
long."""
MANY_ROWS, LONG_ANSWER = 1_000, 8_192
"""Rows, and values, of answers that are written in a thread."""
_NOT_KNOWN = (401, 403)
"""Statuses of callers who may not ask, and make no traces."""


class Split(Protocol):
    """Answers requests by one version or the other."""

    async def answer(
        self, body: bytes, given: Given, *, timeout: float | None = None, caller: Caller | None = None
    ) -> Reply:
        """As `Plane.answer`."""


@dataclass(frozen=True)
class Target:
    """What a prediction is asked of, and how."""

    loaded: Loaded
    dialect: Dialect
    codec: Codec
    counted: metrics.Counted
    in_flight: int
    """Where its requests in flight are counted."""
    glance: Glance | None = None
    """What reads long bodies in no time, where the codec can."""
    split: Split | None = None
    """Who answers in its place, while a candidate of its model is tried."""


class Plane:
    """Predicts for the ports of one worker."""

    def __init__(
        self, slots: metrics.Slots, *, pool: Executor, log: Log, max_body: int, timeout: float = LONGEST_WAIT
    ) -> None:
        """What the ports share.

        Args:
            slots: the counters of this worker.
            pool: reads and writes what is long.
            log: is told of faults.
            max_body: bytes of the largest body that a port takes, which bounds what a request may become.
            timeout: seconds that a request may take.
        """
        self.log, self.max_body, self.timeout = log, max_body, timeout
        self._slots, self._pool = slots, pool
        self._numbers, self._ids = slots.numbers, ids()
        self._counted: dict[tuple[str, str], metrics.Counted] = {}
        self.tracer: Tracer | None = None
        """Set where requests are traced."""

    def target(self, loaded: Loaded, dialect: Dialect, codec: Codec) -> Target:
        """A version asked in a protocol, with its counters."""
        counted = self._counter(dialect, loaded.model, loaded.version)
        in_flight = metrics.in_flight(self._slots, loaded.model, loaded.version)
        glance = codec.glance if isinstance(codec, Glancing) else None
        return Target(loaded, dialect, codec, counted, in_flight, glance)

    def entered(self, target: Target) -> None:
        """Counts a request as in flight; each is to be `left` again."""
        self._numbers[target.in_flight] += 1.0

    def left(self, target: Target) -> None:
        """Counts a request in flight no more."""
        self._numbers[target.in_flight] -= 1.0

    async def answer(
        self,
        target: Target,
        body: bytes,
        given: Given,
        *,
        timeout: float | None = None,
        caller: Caller | None = None,
        seen: Seen | None = None,
    ) -> Reply:
        """The answer to a prediction request, whatever comes of it: an error is answered as its protocol has it.

        Args:
            body: as the codec takes it.
            given: the request's headers, or what stands for them; names in lower case.
            timeout: seconds that the caller gives the server, where the port knows.
            caller: who leaves the queue when he is gone; asked only where he has to wait.
            seen: is told what the request meets.
        """
        if target.split is not None:
            return await target.split.answer(body, given, timeout=timeout, caller=caller)
        begun, rows = perf_counter(), 0
        loaded, codec, tracer = target.loaded, target.codec, self.tracer
        trace = None if tracer is None else tracer.begin(given)
        try:
            until = given.get(TIMEOUT)
            patience = None if until is None else seconds_of(until)  # whatever the model, nonsense is refused
            long = len(body) > LONG_BODY
            read = await self.long_read(target, body, given) if long else codec.read(body, given)
            asked = read if isinstance(read, Asked) else await read
            cells = asked.cells
            rows = len(cells)
            if trace is not None:
                trace.step("model")
            if seen is not None:
                seen.begin()
            answers = loaded.place.now(cells, rows) if rows else loaded.nothing
            if answers is None:
                deadline = self._deadline(target, rows, begun, timeout, asked.timeout, patience)
                asking = loaded.place.later(cells, deadline, _begun(trace, seen))
                answers = await (asking if caller is None else while_there(caller, asking))
            if seen is not None:
                seen.take(answers)
            if trace is not None:
                trace.step("write")
            identity = asked.id or _caller_id(given.get("x-request-id")) or next(self._ids)
            if (rows > 1 or answers.outputs is not None) and takes_long(answers, rows):
                written = await self.aside(codec.write, answers, asked, identity)
            else:
                written = codec.write(answers, asked, identity)
            headers, reply = written if isinstance(written, tuple) else await written
            if seen is not None:
                seen.identity = identity
        except Exception as error:  # noqa: BLE001 - every error has an answer
            answer = self.refuse(target, error, rows=rows, seconds=perf_counter() - begun, seen=seen)
        else:
            target.counted.answered(200, rows=rows, seconds=perf_counter() - begun)
            answer = Reply(200, headers, reply)
        if trace is not None and tracer is not None:
            of, protocol = loaded.version, target.dialect.name
            tracer.end(trace, model=loaded.model, version=of, protocol=protocol, status=answer.status, rows=rows)
        return answer

    def _deadline(self, target: Target, rows: int, begun: float, *said: float | None) -> float:
        """When the time of a request is up that has to wait for its model; raises TooManyRows."""
        budget.check(rows, target.loaded.signature, self.max_body)
        return self.deadline(begun, *said)

    def refuse(
        self, target: Target, error: Exception, *, rows: int = 0, seconds: float = 0.0, seen: Seen | None = None
    ) -> Reply:
        """The answer to a prediction request that failed, counted; `seconds` since its body was whole."""
        if seen is not None:
            seen.error = error
        reply = self.refused(target.dialect, error)
        target.counted.answered(reply.status, rows=rows, seconds=seconds)
        return reply

    def refuse_unrouted(
        self, dialect: Dialect, error: Exception, given: Given, *, seconds: float, model: str = ""
    ) -> Reply:
        """The answer to a prediction request that no version answers, counted and traced; `model` is one that is
        deployed."""
        reply = self.refused(dialect, error)
        self._counter(dialect, "", "").answered(reply.status, rows=0, seconds=seconds)
        if self.tracer is not None and reply.status not in _NOT_KNOWN:
            self.tracer.refused(given, seconds=seconds, model=model, protocol=dialect.name, status=reply.status)
        return reply

    def refused(self, dialect: Dialect, error: Exception) -> Reply:
        """An error in the shape of a protocol."""
        refusal, more = self._refusal(error)
        headers, body = dialect.refused(refusal)
        return Reply(refusal.status, [*headers, *more], body)

    def deadline(self, begun: float, *said: float | None) -> float:
        """On the event loop's clock, when the time of a request is up that has begun then, by `perf_counter`.

        What a caller says may shorten the server's own timeout, and not lengthen it.
        """
        timeout = min([self.timeout, *(each for each in said if each is not None)])
        return asyncio.get_running_loop().time() + timeout - (perf_counter() - begun)

    async def long_read(self, target: Target, body: bytes, given: Given) -> Asked | Awaitable[Asked]:
        """The rows of a long body: at once where a glance will do, else read in a thread."""
        asked = None if target.glance is None else target.glance(body, given)
        return await self.aside(target.codec.read, body, given) if asked is None else asked

    async def aside(self, work: Callable[..., T], *given: Any) -> T:
        """Does what takes long in a thread, so that the others are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)

    def identity(self, asked: Asked, given: Given) -> str:
        """The prediction id of a request: its caller's own, where he gave one."""
        return asked.id or _caller_id(given.get("x-request-id")) or next(self._ids)

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
            case budget.TooManyRows():
                refusal = Refusal(413, said)
            case Busy():
                refusal, more = Refusal(429, said), [("retry-after", str(error.after))]
            case Late():
                refusal = Refusal(504, said)
            case CallerGone():
                refusal = Refusal(499, said)  # as nginx counts them; nobody reads it
            case MachineError():
                refusal, more = Refusal(503, said), [AGAIN]
            case _:
                self.log("fault", f"A request failed with {place_of(error)}.", level="error")
                refusal = Refusal(500, "The server failed on this request; its log says where.")
        return refusal, more


def takes_long(answers: Answers, rows: int) -> bool:
    """Whether answers to so many rows keep the event loop too long when they are written."""
    return rows > MANY_ROWS or answers.size > LONG_ANSWER


def _begun(trace: Trace | None, seen: Seen | None) -> Callable[[], None] | None:
    """Tells that the wait for a model begins; who is told when it is over."""
    if trace is not None:
        trace.queue()
    if seen is None:
        return None if trace is None else trace.asked
    seen.wait()

    def begun() -> None:
        seen.begin()
        if trace is not None:
            trace.asked()

    return begun


def _caller_id(given: str | None) -> str | None:
    return given if given is not None and valid_id(given) else None
