"""What is sent on the streams of a connection, within what the other side takes (RFC 9113, section 5.2)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from mainstay.serving.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    FLOW_CONTROL_ERROR,
    HEADERS,
    LARGEST_WINDOW,
    LONGEST,
    NO_ERROR,
    Broken,
    head,
    reset,
)


class Exchange(Protocol):
    """Who answers a stream."""

    def received(self, data: bytes, *, ended: bool) -> None:
        """Takes a part of the body; `ended`: it was the last."""

    def gone(self) -> None:
        """Hears that nobody waits for an answer any more."""


class Stream:
    """One stream that is open."""

    __slots__ = ("ended", "exchange", "id", "left", "parts", "stalled_since", "tail", "taken", "window")

    def __init__(self, identity: int, window: int, left: int) -> None:
        self.id, self.window, self.left = identity, window, left
        self.taken = 0
        """Octets that came in, and that the other side was not told it may send again."""
        self.ended = False
        """The other side has said all."""
        self.exchange: Exchange | None = None
        self.parts: deque[memoryview] = deque()
        """What waits to be sent."""
        self.tail: bytes | None = None
        """The trailers, once the whole answer is known."""
        self.stalled_since: float | None = None
        """Since when the other side takes nothing of what waits, as the loop counts time."""


class Outgoing:
    """Writes answers; what does not fit the windows waits for them to open."""

    def __init__(self, write: Callable[[bytes], None], closed: Callable[[Stream], None]) -> None:
        """`closed` hears of each stream whose answer is whole."""
        self._write, self._closed = write, closed
        self.window = FIRST_WINDOW
        """Octets of all streams together that the other side takes."""
        self.first = FIRST_WINDOW
        """The same, of a stream at its beginning."""
        self.longest = LONGEST
        """Octets of a payload that the other side takes."""
        self._waiting: dict[Stream, None] = {}

    @property
    def waiting(self) -> bool:
        """Whether there is something to send that the other side does not take yet."""
        return bool(self._waiting)

    def answer(self, stream: Stream, headers: bytes, body: bytes, tail: bytes) -> None:
        """Sends a whole answer: a header block, the body, and a block of trailers."""
        size = len(body)
        opening = head(HEADERS, END_HEADERS, stream.id, len(headers)) + headers
        if size <= self.window and size <= stream.window and size <= self.longest and not self._waiting:
            self.window -= size
            self._write(
                b"".join(
                    (
                        opening,
                        head(DATA, 0, stream.id, size),
                        body,
                        head(HEADERS, END_HEADERS | END_STREAM, stream.id, len(tail)),
                        tail,
                    )
                )
            )
            self._end(stream)
            return
        self._write(opening)
        self.send(stream, body, tail)

    def only(self, stream: Stream, headers: bytes) -> None:
        """Sends an answer that is one header block alone."""
        self._write(head(HEADERS, END_HEADERS | END_STREAM, stream.id, len(headers)) + headers)
        self._end(stream)

    def open(self, stream: Stream, headers: bytes) -> None:
        """Sends the header block of an answer in parts."""
        self._write(head(HEADERS, END_HEADERS, stream.id, len(headers)) + headers)

    def send(self, stream: Stream, body: bytes, tail: bytes | None = None) -> None:
        """Sends more of an answer; with its trailers, the last."""
        if body:
            stream.parts.append(memoryview(body))
        stream.tail = tail
        self._waiting[stream] = None
        self.move(stream)

    def move(self, stream: Stream) -> None:
        """Sends of what waits as much as may be sent now."""
        parts = stream.parts
        frames: list[bytes | memoryview] = []
        while parts:
            size = min(len(parts[0]), self.longest, self.window, stream.window)
            if size <= 0:
                break
            part = parts.popleft()
            if size < len(part):
                parts.appendleft(part[size:])
            self.window -= size
            stream.window -= size
            frames += (head(DATA, 0, stream.id, size), part[:size])
        if parts:
            if frames or stream.stalled_since is None:
                stream.stalled_since = asyncio.get_running_loop().time()
            self._write(b"".join(frames))
            return
        stream.stalled_since = None
        self._waiting.pop(stream, None)
        if stream.tail is not None:
            frames += (head(HEADERS, END_HEADERS | END_STREAM, stream.id, len(stream.tail)), stream.tail)
        self._write(b"".join(frames))
        if stream.tail is not None:
            self._end(stream)

    def forget(self, stream: Stream) -> None:
        """Drops what waits of a stream that was ended early."""
        self._waiting.pop(stream, None)
        stream.parts.clear()

    def widen(self, stream: Stream | None, more: int) -> None:
        """Hears that more is taken, of one stream, or (None) of all together.

        Raises:
            Broken: beyond what a window may be.
        """
        if stream is None:
            self.window += more
            if self.window > LARGEST_WINDOW:
                raise Broken(FLOW_CONTROL_ERROR, "the connection's window is too wide")
            for each in list(self._waiting):
                self.move(each)
            return
        stream.window += more
        if stream.window > LARGEST_WINDOW:
            raise Broken(FLOW_CONTROL_ERROR, f"the window of stream {stream.id} is too wide")
        if stream in self._waiting:
            self.move(stream)

    def _end(self, stream: Stream) -> None:
        if not stream.ended:  # what is still on its way is not wanted
            self._write(reset(stream.id, NO_ERROR))
        self._closed(stream)
