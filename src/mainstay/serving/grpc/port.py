"""The gRPC port of a worker: takes connections, finds what is called, watches the clock, and drains."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mainstay.serving.bounded import WITHIN, TooSlow
from mainstay.serving.grpc.calls import OPENING, Call, Method, block, timeout
from mainstay.serving.http2.connection import Connection
from mainstay.serving.http2.hpack import Fields, literal
from mainstay.serving.http2.streams import Stream
from mainstay.serving.protocols.codec import Problem, Reply

CONNECTIONS = 16_384
"""Connections that a worker keeps."""
INTRODUCED_WITHIN = 10.0
"""Seconds in which a client must say that it speaks HTTP/2."""
STUCK_AT_MOST = 60.0
"""Seconds for which a client may read nothing of what it asked for."""
_WRONG_TYPE = literal(":status", "415") + literal("content-type", "text/plain")
_WRONG_METHOD = literal(":status", "405") + literal("allow", "POST")


class Service(Protocol):
    """What is behind the port."""

    def method(self, path: str, fields: Fields) -> Method:
        """What is called. Raises Problem where there is none, or the caller may call nothing."""

    def refused(self, error: Exception) -> Reply:
        """An error as trailers."""

    def unanswered(self, fields: Fields, error: Exception) -> Reply:
        """The same, of a call that was taken to be answered, and is counted."""

    def inflated(self, message: bytes, coding: str, within: float | None) -> AbstractAsyncContextManager[bytes]:
        """What is in a compressed message, until it is answered, which is to be within so many seconds."""


class Port:
    """Speaks gRPC with all who connect."""

    def __init__(self, service: Service, *, max_body: int) -> None:
        self.max_body = max_body
        self._service = service
        self._connections: dict[Connection, float] = {}
        self._draining = False

    def protocol(self) -> Connection:
        """What asyncio makes for each connection."""
        return Connection(self)

    def joined(self, connection: Connection) -> bool:
        """Takes a connection in, while there is room."""
        if self._draining or len(self._connections) >= CONNECTIONS:
            return False
        self._connections[connection] = asyncio.get_running_loop().time()
        return True

    def left(self, connection: Connection) -> None:
        """Lets a connection go."""
        self._connections.pop(connection, None)

    def opened(self, connection: Connection, stream: Stream, fields: Fields) -> Call | None:
        """Begins a call, or refuses it at once."""
        if fields[":method"] != "POST":
            connection.out.only(stream, _WRONG_METHOD)
            return None
        if not fields.get("content-type", "").startswith("application/grpc"):
            connection.out.only(stream, _WRONG_TYPE)
            return None
        path = fields[":path"]
        try:
            method, within = self._service.method(path, fields), timeout(fields.get("grpc-timeout"))
        except Problem as problem:
            reply = self._service.unanswered(fields, problem)
            connection.out.only(stream, OPENING + block(reply.headers))
            return None
        return Call(self, connection, stream, method, fields, within=within)

    def refused(self, error: Exception) -> Reply:
        """An error as trailers."""
        return self._service.refused(error)

    def unanswered(self, fields: Fields, error: Exception) -> Reply:
        """The same, of a call that was taken to be answered, and is counted."""
        return self._service.unanswered(fields, error)

    def inflated(self, message: bytes, coding: str, within: float | None) -> AbstractAsyncContextManager[bytes]:
        """What is in a compressed message, until it is answered, which is to be within so many seconds."""
        return self._service.inflated(message, coding, within)

    async def watch(self) -> None:
        """Gives up on what is late: introductions, bodies, clients that read nothing; runs for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            now = loop.time()
            for connection, since in list(self._connections.items()):
                self._look(connection, since, now)

    def _look(self, connection: Connection, since: float, now: float) -> None:
        if not connection.begun:
            if now - since > INTRODUCED_WITHIN:
                connection.leave(why="no word of HTTP/2")
            return
        if connection.stuck_since is not None and now - connection.stuck_since > STUCK_AT_MOST:
            connection.abort()
            return
        for stream in connection.streams:
            call = stream.exchange
            if not isinstance(call, Call):
                continue
            if call.waits_for_body and now - call.begun > WITHIN:
                call.fail(TooSlow(f"The message was not whole within {WITHIN:g} s."))
            elif stream.stalled_since is not None and now - stream.stalled_since > STUCK_AT_MOST:
                call.close()

    async def drain(self, within: float) -> None:
        """Answers what is in flight, tells clients to go elsewhere, and closes; after so many seconds, in any case."""
        self._draining = True
        for connection in list(self._connections):
            connection.drain()
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while self._connections and loop.time() < until:
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            connection.leave()
