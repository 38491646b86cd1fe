"""Takes a body in, with bounds on its size and on the time it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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


async def body_of(proto: Any, length: str | None, *, at_most: int) -> bytes:
    """The whole body of a request.

    Raises:
        TooLarge: more than `at_most` bytes, whether announced or not; memory stays bounded.
        TooSlow: not whole within `WITHIN` seconds.
        NoBody: the client is gone.
    """
    try:
        if length is not None and length.isdigit() and int(length) <= at_most:
            # Whether all has come already is not known, and a timer costs less than the answer.
            async with asyncio.timeout(WITHIN):
                return await proto()  # type: ignore[no-any-return] # granian says bytes
        async with asyncio.timeout(WITHIN):
            return await _counted(proto.__aiter__(), at_most)
    except TimeoutError:
        raise TooSlow(f"The body was not whole within {WITHIN:g} s.") from None
    except ProtocolClosed:
        raise NoBody from None


async def _counted(chunks: AsyncIterator[bytes], at_most: int) -> bytes:
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
