"""One call: its messages in, its answer or its status out."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from mainstay.serving.batching import Late
from mainstay.serving.bounded import TooLarge
from mainstay.serving.compressed import CODINGS
from mainstay.serving.grpc.status import metadata
from mainstay.serving.http2.connection import HELD_AT_MOST, Connection
from mainstay.serving.http2.frames import CANCEL
from mainstay.serving.http2.hpack import STATUS_200, Fields, literal
from mainstay.serving.http2.streams import Stream
from mainstay.serving.protocols.codec import Headers, Problem, Reply

PREFIX = 5
"""Octets before a message: whether it is compressed, and its length."""
OPENING = (
    STATUS_200
    + literal("content-type", "application/grpc")
    + literal("grpc-accept-encoding", ",".join(("identity", *CODINGS)))
)
"""The header block of every answer."""
WELL = literal("grpc-status", "0")
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_LONGEST_TIMEOUT = 86_400.0
_WAITING = 1000
"""Messages of one stream that wait to be answered before nothing more is taken of it."""


Answer = Callable[[bytes, Fields, float | None], Awaitable[Reply]]
"""A message's answer, whatever comes of it; the metadata, and the seconds that are left, go in too."""


class Method(NamedTuple):
    """What can be called."""

    answer: Answer
    many: bool = False
    """A stream of messages, each answered by one; an answer that is no 200 ends it."""


class Desk(Protocol):
    """Who takes calls."""

    max_body: int

    def refused(self, error: Exception) -> Reply:
        """An error as trailers."""

    def unanswered(self, fields: Fields, error: Exception) -> Reply:
        """As `refused`, of a call that was taken to be answered, and counted as such."""

    def inflated(self, message: bytes, coding: str, within: float | None) -> AbstractAsyncContextManager[bytes]:
        """What is in a compressed message, until it is answered, which is to be within so many seconds."""


class Call:
    """A call that is being answered."""

    def __init__(
        self,
        desk: Desk,
        connection: Connection,
        stream: Stream,
        method: Method,
        fields: Fields,
        *,
        within: float | None,
    ) -> None:
        """`within` are the seconds that the caller gives; None: no bound of his."""
        self._desk, self._connection, self._stream = desk, connection, stream
        self._method, self._fields = method, fields
        self._loop = asyncio.get_running_loop()
        self.begun = self._loop.time()
        self._data = bytearray()
        self._messages: deque[tuple[bytes, bool]] = deque()
        """Whole ones as they came, and whether they are compressed."""
        self._held = 0
        self._opened = self._over = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = None if within is None else self.begun + within
        if self._until is not None:
            self._timer = self._loop.call_at(self._until, self._late)

    @property
    def waits_for_body(self) -> bool:
        """Whether its one message is not whole yet."""
        return not self._method.many and not self._stream.ended

    def received(self, data: bytes, *, ended: bool) -> None:
        """Takes a part of the body."""
        if self._over:
            return
        if not self._data and ended and not self._method.many and len(data) >= PREFIX and data[0] == 0:
            length = int.from_bytes(data[1:PREFIX], "big")
            if length + PREFIX == len(data) and length <= self._desk.max_body:
                self._begin(data[PREFIX:], packed=False)  # as nearly all are
                return
        try:
            self._take(data, ended=ended)
        except (Problem, TooLarge) as error:
            self.fail(error)

    def gone(self) -> None:
        """The caller does not wait any more."""
        self._let_go()
        if self._task is not None:
            self._task.cancel()

    def fail(self, error: Exception) -> None:
        """Ends the call with an error, whatever is going on; one that has its end keeps it."""
        if self._over:
            return
        self.gone()
        self._refuse(self._desk.unanswered(self._fields, error))

    def _late(self) -> None:
        self.fail(Late())

    def _take(self, data: bytes, *, ended: bool) -> None:
        self._data += data
        self._hold(len(data))
        while (message := self._next()) is not None:
            if len(self._messages) >= _WAITING:
                raise Problem(429, f"{_WAITING} messages of this stream wait already: send fewer before their answers.")
            self._messages.append(message)
        if not self._method.many:
            if len(self._messages) + bool(self._data) > 1:
                raise Problem(400, "The call has more than one message: send one.")
            if ended and not self._messages:
                raise Problem(400, "The call has no whole message: send one.")
            if ended:
                whole, packed = self._messages.popleft()
                self._begin(whole, packed=packed)
            return
        if ended and self._data:
            raise Problem(400, "The stream ends within a message.")
        if self._task is None and (self._messages or ended):
            self._task = self._loop.create_task(self._answer_each())

    def _next(self) -> tuple[bytes, bool] | None:
        """The first message of what has come in, once it is whole."""
        data = self._data
        if len(data) < PREFIX:
            return None
        length = int.from_bytes(data[1:PREFIX], "big")
        if length > self._desk.max_body:
            raise TooLarge(self._desk.max_body)
        if len(data) < PREFIX + length:
            return None
        if data[0] and self._coding not in CODINGS:
            raise Problem(501, f"Compression {self._coding[:40]!r} is not taken: use one of {', '.join(CODINGS)}.")
        message, packed = bytes(data[PREFIX : PREFIX + length]), bool(data[0])
        del data[: PREFIX + length]
        return message, packed

    @property
    def _coding(self) -> str:
        return self._fields.get("grpc-encoding", "identity")

    def _hold(self, size: int) -> None:
        """Counts so many octets more; they are held until they are answered."""
        self._held += size
        self._connection.held += size
        if self._connection.held > HELD_AT_MOST * (self._desk.max_body + PREFIX):
            raise Problem(429, "The calls of this connection hold too much at a time: send fewer large ones together.")

    def _release(self, size: int) -> None:
        self._held -= size
        self._connection.held -= size

    def _let_go(self) -> None:
        self._release(self._held)
        self._data = bytearray()
        self._messages.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self, message: bytes, *, packed: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()  # from here on, who answers watches the clock
        self._task = self._loop.create_task(self._answer(message, packed=packed))

    @property
    def _left(self) -> float | None:
        return None if self._until is None else self._until - self._loop.time()

    async def _answer(self, message: bytes, *, packed: bool) -> None:
        if packed:
            reply = await self._answer_packed(message)
        else:
            reply = await self._method.answer(message, self._fields, self._left)
        self._release(self._held)
        if reply.status != 200:
            self._refuse(reply)
            return
        self._connection.out.answer(self._stream, OPENING + block(reply.headers), prefixed(reply.body), WELL)

    async def _answer_packed(self, message: bytes) -> Reply:
        try:
            async with self._desk.inflated(message, self._coding, self._left) as whole:
                return await self._method.answer(whole, self._fields, self._left)
        except Exception as error:  # noqa: BLE001 - every error has an answer
            return self._desk.unanswered(self._fields, error)

    async def _answer_each(self) -> None:
        """Answers the messages that are there, one after the other; the stream ends when the caller ends it."""
        out, stream = self._connection.out, self._stream
        while self._messages:
            message, packed = self._messages.popleft()
            if packed:
                reply = await self._answer_packed(message)
            else:
                reply = await self._method.answer(message, self._fields, self._left)
            self._release(PREFIX + len(message))
            if reply.status != 200:
                self._let_go()
                self._refuse(reply)
                return
            if not self._opened:
                out.open(stream, OPENING)
                self._opened = True
            out.send(stream, prefixed(reply.body))
        if not stream.ended:
            self._task = None
            return
        self._let_go()
        self._over = True
        if self._opened:
            out.send(stream, b"", WELL)
        else:
            out.only(stream, OPENING + WELL)

    def _refuse(self, reply: Reply) -> None:
        trailers, self._over = block(reply.headers), True
        if self._opened:
            self._connection.out.forget(self._stream)
            self._connection.out.send(self._stream, b"", trailers)
        else:
            self._connection.out.only(self._stream, OPENING + trailers)

    def close(self) -> None:
        """Ends the call without a word."""
        self.gone()
        self._connection.end(self._stream, CANCEL)


def prefixed(message: bytes) -> bytes:
    """A message as it stands in a body: not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def timeout(said: str | None) -> float | None:
    """The seconds of `grpc-timeout`; None where there is no deadline worth a clock.

    Raises:
        Problem: it is none; 400.
    """
    if said is None:
        return None
    found = _TIMEOUT.fullmatch(said)
    if found is None:
        raise Problem(
            400, f"The header grpc-timeout is {said[:60]!r}: it takes up to 8 digits and a unit, such as 250m."
        )
    seconds = int(found[1]) * _UNITS[found[2]]
    return seconds if seconds < _LONGEST_TIMEOUT else None


def block(headers: Headers) -> bytes:
    """The metadata of an answer, as a header block."""
    return b"".join([literal(name, value) for name, value in metadata(headers)])
