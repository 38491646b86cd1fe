"""Takes a body in, with bounds on its size and on the time it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined] # granian re-exports it without saying so

from mainstay.errors import MainstayError

WITHIN = 30.0
"""Seconds in which a body must be whole."""
THROWN_AWAY = 256 * 1024 * 1024
"""Bytes beyond the bound that are read and dropped, so that a client that is still sending can hear the answer."""


class TooLarge(MainstayError):
    """A body beyond the server's bound."""

    def __init__(self, at_most: int) -> None:
        super().__init__(
            f"The body is larger than {at_most} bytes: send fewer rows at a time, or raise [serve] max_body."
        )


class TooSlow(MainstayError):
    """A body that did not come in time."""


class NoBody(Exception):
    """The client closed its side before the body was whole."""


class BodyReader:
    """Reads the bodies of one event loop.

    One clock watches them all: a timer a request would cost more than most answers do.
    """

    def __init__(self, *, at_most: int, within: float = WITHIN) -> None:
        """`at_most` in bytes, `within` in seconds."""
        self._at_most, self._within = at_most, within
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun: dict[asyncio.Task[Any], float] = {}
        self._given_up: set[asyncio.Task[Any]] = set()

    async def watch(self) -> None:
        """Gives up on bodies that are late; runs for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._within / 30)
            late = loop.time() - self._within
            for task in [task for task, begun in self._begun.items() if begun < late]:
                self._begun[task] = float("inf")  # once is enough
                self._given_up.add(task)
                task.cancel()

    async def read(self, proto: Any, length: str | None) -> bytes:
        """The whole body of a request; `length` is what its header says.

        Raises:
            TooLarge: more bytes than the bound, whether announced or not; memory stays bounded.
            TooSlow: not whole in time.
            NoBody: the client is gone.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # asked for once: finding it is a call to the system
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._begun[task] = self._loop.time()
        try:
            # A request of both an announced length and chunks arrives here as one of chunks.
            if length is not None and length.isdigit() and int(length) <= self._at_most:
                return await proto()  # type: ignore[no-any-return] # granian says bytes
            return await _counted(proto, self._at_most)
        except ProtocolClosed:
            raise NoBody from None
        except asyncio.CancelledError:
            if task not in self._given_up:
                raise
            self._given_up.discard(task)
            task.uncancel()
            raise TooSlow(f"The body was not whole within {self._within:g} s.") from None
        finally:
            del self._begun[task]


async def _counted(chunks: AsyncIterable[bytes], at_most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size <= at_most:
            parts.append(chunk)
        else:
            parts.clear()
            if size > at_most + THROWN_AWAY:
                break
    if size > at_most:
        raise TooLarge(at_most)
    return b"".join(parts)
