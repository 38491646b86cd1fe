"""One connection of HTTP/2, served: frames in, streams opened and answered (RFC 9113).

Everything that a client can make grow has a bound here: streams, header blocks, what is held of bodies that are not
whole, what waits to be written, frames that ask for nothing, and streams that are opened only to be reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from mainstay.serving.http2 import frames
from mainstay.serving.http2.frames import Broken, frame
from mainstay.serving.http2.hpack import LONGEST, Decoder, Fields
from mainstay.serving.http2.streams import Exchange, Outgoing, Stream

STREAMS = 1000
"""Streams of a connection that are open at a time."""
STREAM_WINDOW, CONNECTION_WINDOW = 1 << 20, 1 << 24
"""Octets that a client may send on a stream, and on all together, before it hears more."""
HELD_AT_MOST = 4
"""Bodies of the largest size, of which a connection may hold the octets before they are whole."""
IDLE_FRAMES = 10_000
"""Frames that ask for nothing (pings, settings, empty data) between two requests."""
RESETS = 1_000
"""Streams that a client may reset beyond those that it let end."""
WRITTEN = 1 << 20
"""Octets that wait to be written, beyond which nothing more is read."""


class Server(Protocol):
    """Who answers the streams of connections."""

    max_body: int

    def opened(self, connection: Connection, stream: Stream, fields: Fields) -> Exchange | None:
        """Takes a stream; None where it was answered at once."""

    def joined(self, connection: Connection) -> bool:
        """Hears of a new connection; False: it is one too many."""

    def left(self, connection: Connection) -> None:
        """Hears that a connection is gone."""


class Connection(asyncio.Protocol):
    """The protocol that asyncio calls."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._unwritten: list[bytes] = []
        self._decoder = Decoder()
        self._streams: dict[int, Stream] = {}
        self.out = Outgoing(self.write, self._closed)
        self.begun = False
        """The client has introduced itself."""
        self.held = 0
        """Octets of bodies that are not whole."""
        self._last = 0
        self._block: tuple[Stream | None, int, bytes] | None = None
        """A header block of which more is to come: its stream, its flags, what is there."""
        self._left, self._taken = CONNECTION_WINDOW, 0
        self._idle = self._resets = self._blocks = 0
        self._leaving = self._closing = False
        self._said_last: int | None = None
        self.stuck_since: float | None = None
        """Since when the client takes nothing, as the loop counts time."""

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        if not self._server.joined(self):
            made.abort()
            return
        made.set_write_buffer_limits(high=WRITTEN)
        mine = frames.settings(
            header_table_size=4096,
            max_concurrent_streams=STREAMS,
            initial_window_size=STREAM_WINDOW,
            max_header_list_size=LONGEST,
        )
        made.write(mine + frames.window_update(0, CONNECTION_WINDOW - frames.FIRST_WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        streams = list(self._streams.values())
        self._streams.clear()
        self._transport, self._closing = None, True
        for stream in streams:
            self._drop(stream)
        self._server.left(self)

    def pause_writing(self) -> None:
        """A client that reads no answers is not heard."""
        assert self._transport is not None
        self._transport.pause_reading()
        self.stuck_since = asyncio.get_running_loop().time()

    def resume_writing(self) -> None:
        """The other half of `pause_writing`."""
        self.stuck_since = None
        if self._transport is not None and not self._closing:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._buffer:
            data = self._buffer + data
        try:
            self._buffer = data[self._read(data) :]
        except Broken as error:
            self.leave(error.code, str(error))

    # What the server says.

    def write(self, data: bytes) -> None:
        """Writes frames; to a client that is gone, or was told goodbye, nothing.

        What is written in one turn of the event loop goes out together: many calls share a connection.
        """
        if data and not self._closing:
            self._unwritten.append(data)
            if len(self._unwritten) == 1:
                asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._unwritten and self._transport is not None:
            self._transport.write(b"".join(self._unwritten))
        self._unwritten.clear()

    def end(self, stream: Stream, code: int) -> None:
        """Ends a stream without an answer."""
        if self._streams.pop(stream.id, None) is not None:
            self.out.forget(stream)
            self.write(frames.reset(stream.id, code))
            self._maybe_close()

    def drain(self) -> None:
        """Takes no new streams, and closes once those that are open have their answers.

        The first word leaves room for what is on its way; its echo says that the client has heard it.
        """
        if not self._leaving:
            self._leaving = True
            self.write(
                frames.going_away(frames.LARGEST_WINDOW, frames.NO_ERROR) + frame(frames.PING, 0, 0, b"draining")
            )

    def leave(self, code: int = frames.NO_ERROR, why: str = "") -> None:
        """Closes the connection now."""
        self.write(frames.going_away(self._last, code, why))
        self._close()

    def _close(self) -> None:
        self._flush()
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes the connection without waiting for what is to be written."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def streams(self) -> list[Stream]:
        """Those that are open."""
        return list(self._streams.values())

    # Frames.

    def _read(self, data: bytes) -> int:
        """Handles the whole frames of what came in; where the rest begins.

        Raises:
            Broken: the connection cannot go on.
        """
        at, end = 0, len(data)
        if not self.begun:
            if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                raise Broken(frames.PROTOCOL_ERROR, "this port speaks HTTP/2 with prior knowledge, as gRPC does")
            if end < len(frames.PREFACE):
                return 0
            self.begun, at = True, len(frames.PREFACE)
        while end - at >= frames.HEAD and not self._closing:
            length = int.from_bytes(data[at : at + 3], "big")
            if length > frames.LONGEST:
                raise Broken(frames.FRAME_SIZE_ERROR, f"a frame of {length} octets is longer than allowed")
            begins, until = at + frames.HEAD, at + frames.HEAD + length
            if until > end:
                break
            kind, flags = data[at + 3], data[at + 4]
            identity = int.from_bytes(data[at + 5 : begins], "big") & frames.LARGEST_WINDOW
            if self._block is not None and kind != frames.CONTINUATION:
                raise Broken(frames.PROTOCOL_ERROR, "a header block is interrupted")
            if kind == frames.DATA:
                self._data(identity, flags, data[begins:until])
            elif kind == frames.HEADERS:
                self._headers(identity, flags, data[begins:until])
            else:
                self._other(kind, identity, flags, data[begins:until])
            at = until
        return at

    def _other(self, kind: int, identity: int, flags: int, payload: bytes) -> None:
        if kind != frames.WINDOW_UPDATE or not self.out.waiting:
            self._useless()
        handler = _HANDLERS.get(kind)
        if handler is not None:  # what is unknown is passed over, as it must be
            handler(self, identity, flags, payload)

    def _useless(self) -> None:
        self._idle += 1
        if self._idle > IDLE_FRAMES:
            raise Broken(frames.ENHANCE_YOUR_CALM, f"{IDLE_FRAMES} frames asked for nothing")

    def _headers(self, identity: int, flags: int, payload: bytes) -> None:
        stream = self._streams.get(identity)
        if stream is None:
            if identity % 2 == 0 or identity <= self._last:
                raise Broken(frames.PROTOCOL_ERROR, f"stream {identity} cannot be opened")
        elif stream.ended or not flags & frames.END_STREAM:
            raise Broken(frames.PROTOCOL_ERROR, f"stream {identity} has headers where none may be")
        if flags & (frames.PADDED | frames.WITH_PRIORITY):
            payload = _unpadded(payload, flags)
            if flags & frames.WITH_PRIORITY:
                if len(payload) < 5:
                    raise Broken(frames.FRAME_SIZE_ERROR, "a priority is cut off")
                payload = payload[5:]
        if stream is None:
            self._last = identity
            stream = Stream(identity, self.out.first, STREAM_WINDOW)
        if flags & frames.END_HEADERS:
            self._whole_block(stream, flags, payload)
        else:
            self._block, self._blocks = (stream, flags, payload), 0

    def _continuation(self, identity: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] is None or self._block[0].id != identity:
            raise Broken(frames.PROTOCOL_ERROR, "a header block is continued that was not begun")
        stream, first, before = self._block
        assert stream is not None
        self._blocks += 1
        if len(before) + len(payload) > LONGEST or self._blocks > 16:
            raise Broken(frames.ENHANCE_YOUR_CALM, f"a header block is longer than {LONGEST} octets")
        if flags & frames.END_HEADERS:
            self._block = None
            self._whole_block(stream, first, before + payload)
        else:
            self._block = stream, first, before + payload

    def _whole_block(self, stream: Stream, flags: int, block: bytes) -> None:
        fields = self._decoder.read(block)  # also of a stream that is refused: the tables are the connection's
        ended = bool(flags & frames.END_STREAM)
        if stream.id in self._streams:
            self._ended(stream, b"")
            return
        if self._said_last is not None or len(self._streams) >= STREAMS:
            self.write(frames.reset(stream.id, frames.REFUSED_STREAM))
            return
        if ":path" not in fields or ":method" not in fields:
            self.write(frames.reset(stream.id, frames.PROTOCOL_ERROR))
            return
        self._idle, stream.ended = 0, ended
        self._streams[stream.id] = stream
        exchange = self._server.opened(self, stream, fields)
        if exchange is not None and stream.id in self._streams:
            stream.exchange = exchange
            if ended:
                exchange.received(b"", ended=True)

    def _data(self, identity: int, flags: int, payload: bytes) -> None:
        stream = self._streams.get(identity)
        if stream is None:
            if identity == 0 or identity > self._last:
                raise Broken(frames.PROTOCOL_ERROR, f"stream {identity} has data before it is opened")
            self._useless()  # it was ended here, which the client had not heard yet
        elif stream.ended:
            raise Broken(frames.STREAM_CLOSED, f"stream {identity} has data after its end")
        self._taken_in(stream, len(payload))
        if stream is None:
            return
        if flags & frames.PADDED:
            payload = _unpadded(payload, flags)
        if flags & frames.END_STREAM:
            self._ended(stream, payload)
            return
        if payload:
            self._idle = 0
        else:
            self._useless()
        if stream.taken >= STREAM_WINDOW // 2:
            self.write(frames.window_update(identity, stream.taken))
            stream.left += stream.taken
            stream.taken = 0
        if stream.exchange is not None:
            stream.exchange.received(payload, ended=False)

    def _taken_in(self, stream: Stream | None, size: int) -> None:
        """Counts what came in against the windows that the client was given, and opens the connection's again."""
        self._left -= size
        self._taken += size
        if self._left < 0:
            raise Broken(frames.FLOW_CONTROL_ERROR, "the connection sends more than it may")
        if stream is not None:
            stream.left -= size
            stream.taken += size
            if stream.left < 0:
                raise Broken(frames.FLOW_CONTROL_ERROR, f"stream {stream.id} sends more than it may")
        if self._taken >= CONNECTION_WINDOW // 2:
            self.write(frames.window_update(0, self._taken))
            self._left += self._taken
            self._taken = 0

    def _ended(self, stream: Stream, payload: bytes) -> None:
        stream.ended = True
        if stream.exchange is not None:
            stream.exchange.received(payload, ended=True)

    def _reset(self, identity: int, flags: int, payload: bytes) -> None:
        del flags
        _expect(payload, 4)
        if identity == 0 or identity > self._last:
            raise Broken(frames.PROTOCOL_ERROR, f"stream {identity} is reset before it is opened")
        stream = self._streams.pop(identity, None)
        if stream is None:
            return
        self._resets += 1
        if self._resets > RESETS:
            raise Broken(frames.ENHANCE_YOUR_CALM, f"{RESETS} streams were opened only to be reset")
        self._drop(stream)
        self._maybe_close()

    def _settings(self, identity: int, flags: int, payload: bytes) -> None:
        if identity or len(payload) % 6 or (flags & frames.ACK and payload):
            raise Broken(frames.FRAME_SIZE_ERROR, "settings of a wrong form")
        if flags & frames.ACK:
            return
        for name, value in frames.read_settings(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise Broken(frames.FLOW_CONTROL_ERROR, "the first window is too wide")
                more, self.out.first = value - self.out.first, value
                for stream in self.streams:
                    self.out.widen(stream, more)
            elif name == frames.MAX_FRAME_SIZE:
                if not frames.LONGEST <= value < 1 << 24:
                    raise Broken(frames.PROTOCOL_ERROR, f"frames of {value} octets are none")
                self.out.longest = value
        self.write(frame(frames.SETTINGS, frames.ACK, 0))

    def _ping(self, identity: int, flags: int, payload: bytes) -> None:
        _expect(payload, 8)
        if identity:
            raise Broken(frames.PROTOCOL_ERROR, "a ping on a stream")
        if not flags & frames.ACK:
            self.write(frame(frames.PING, frames.ACK, 0, payload))
        elif self._leaving and self._said_last is None:
            self._said_last = self._last
            self.write(frames.going_away(self._last, frames.NO_ERROR))
            self._maybe_close()

    def _go_away(self, identity: int, flags: int, payload: bytes) -> None:
        """The client opens no more streams."""
        del flags, payload
        if identity:
            raise Broken(frames.PROTOCOL_ERROR, "a farewell on a stream")
        self._leaving = True
        self._said_last = self._last if self._said_last is None else self._said_last
        self._maybe_close()

    def _window_update(self, identity: int, flags: int, payload: bytes) -> None:
        del flags
        _expect(payload, 4)
        more = frames.number(payload)
        if more == 0:
            raise Broken(frames.PROTOCOL_ERROR, "a window is opened by nothing")
        if identity == 0:
            self.out.widen(None, more)
        elif identity > self._last:
            raise Broken(frames.PROTOCOL_ERROR, f"the window of stream {identity} is opened before the stream")
        elif (stream := self._streams.get(identity)) is not None:
            self.out.widen(stream, more)

    def _never(self, identity: int, flags: int, payload: bytes) -> None:
        del identity, flags, payload
        raise Broken(frames.PROTOCOL_ERROR, "clients push nothing")

    def _closed(self, stream: Stream) -> None:
        """A stream has its answer."""
        self._streams.pop(stream.id, None)
        self._resets = max(0, self._resets - 1)
        self._maybe_close()

    def _drop(self, stream: Stream) -> None:
        self.out.forget(stream)
        if stream.exchange is not None:
            stream.exchange.gone()

    def _maybe_close(self) -> None:
        if self._said_last is not None and not self._streams:
            self._close()


def _unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & frames.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken(frames.PROTOCOL_ERROR, "a frame is all padding")
    return payload[1 : len(payload) - payload[0]]


def _expect(payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise Broken(frames.FRAME_SIZE_ERROR, f"a frame has {len(payload)} octets where {size} belong")


_HANDLERS: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    frames.CONTINUATION: Connection._continuation,  # noqa: SLF001 - they are this module's own
    frames.RST_STREAM: Connection._reset,  # noqa: SLF001
    frames.SETTINGS: Connection._settings,  # noqa: SLF001
    frames.PING: Connection._ping,  # noqa: SLF001
    frames.GOAWAY: Connection._go_away,  # noqa: SLF001
    frames.WINDOW_UPDATE: Connection._window_update,  # noqa: SLF001
    frames.PUSH_PROMISE: Connection._never,  # noqa: SLF001
}
