"""Bodies that come compressed: what is in them, within the bounds of one that comes as it is.

A thousand bytes may hold a million. So no more is ever made of a body than a body may have, and of those that become
long only a few are held at a time: the others wait as they came.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from mainstay.serving.batching import Late
from mainstay.serving.bounded import TooLarge
from mainstay.serving.patience import Caller, while_there
from mainstay.serving.plane import LONG_BODY
from mainstay.serving.protocols.codec import Problem
from mainstay.serving.strict import BadBody

AT_ONCE = 8
"""Bodies that became long, of which a worker holds as many until they are answered."""
_FORMATS: Mapping[str, int] = {"gzip": 31, "deflate": 15}
"""What zlib calls them: the formats of RFC 1952 and of RFC 1950. HTTP and gRPC both mean the latter by "deflate"."""
CODINGS = tuple(_FORMATS)
_ALIASES = {"x-gzip": "gzip"}
"""RFC 9110, 8.4.1.3."""


def coding_of(said: Iterable[str]) -> str | None:
    """How a body is compressed, by what the lines of `Content-Encoding` say; None: it is not.

    Raises:
        Problem: in a way that is not taken, or in several; 415.
    """
    named = [each.strip().lower() for line in said for each in line.split(",")]
    codings = [_ALIASES.get(each, each) for each in named if each not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _FORMATS:
        taken = " or ".join(CODINGS)
        raise Problem(
            415,
            f"Content-Encoding {', '.join(codings)[:100]!r} is not taken: compress by {taken}, once, or not at all.",
            headers=[("accept-encoding", ", ".join(CODINGS))],
        )
    return codings[0]


def inflated(data: bytes, coding: str, at_most: int) -> bytes:
    """What is in compressed data.

    Args:
        coding: one of `CODINGS`.
        at_most: bytes that may come out.

    Raises:
        TooLarge: more would; that much was made and no more.
        BadBody: it is not of this format, is cut off, or more stands behind it.
    """
    reader = zlib.decompressobj(wbits=_FORMATS[coding])
    try:
        found = reader.decompress(data, at_most + 1)
    except zlib.error as error:
        raise BadBody(f"The body is no {coding} ({error}).") from error
    if len(found) > at_most:
        raise TooLarge(at_most)
    if not reader.eof:
        raise BadBody(f"The body is cut off: its {coding} has no end.")
    if reader.unused_data:
        raise BadBody(f"{len(reader.unused_data)} bytes stand behind the end of the body's {coding}: send it alone.")
    return found


class Inflater:
    """Inflates the bodies of one worker."""

    def __init__(self, pool: Executor, *, at_most: int) -> None:
        """`pool` does what takes long; `at_most` are the bytes that a body may have."""
        self._pool, self._at_most = pool, at_most
        self._room = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def whole(
        self, body: bytes, coding: str, *, within: float, caller: Caller | None = None
    ) -> AsyncIterator[bytes]:
        """What is in a body, until it is answered.

        Args:
            within: seconds that it may wait for room.
            caller: who waits, where he may leave meanwhile.

        Raises:
            TooLarge, BadBody: as `inflated`.
            Late: there was no room in time.
            CallerGone: he left.
        """
        short = self._short(body, coding)
        if short is not None:
            yield short
            return
        waiting = self._room_within(within)
        await (waiting if caller is None else while_there(caller, waiting))
        try:
            loop = asyncio.get_running_loop()
            yield await loop.run_in_executor(self._pool, inflated, body, coding, self._at_most)
        finally:
            self._room.release()

    async def _room_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._room.acquire()
        except TimeoutError:
            raise Late from None

    def _short(self, body: bytes, coding: str) -> bytes | None:
        """What is in a body that is short and stays so; None: it is not."""
        if len(body) > LONG_BODY:
            return None
        try:
            return inflated(body, coding, min(LONG_BODY, self._at_most))
        except TooLarge:
            if self._at_most <= LONG_BODY:
                raise
            return None
