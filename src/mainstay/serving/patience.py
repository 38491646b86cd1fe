"""How long a caller waits: until the time that he says, and for as long as he is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from mainstay.models.refusing import shown
from mainstay.serving.strict import BadBody

T = TypeVar("T")


SOON = 0.005
"""Seconds that are waited before anybody looks whether the caller is still there: to look costs more than to answer."""


class Caller(Protocol):
    """Who waits for an answer, as his port knows him."""

    def client_disconnect(self) -> Any:
        """An awaitable with the callbacks of a future, done when he is gone."""


TIMEOUT = "x-envoy-expected-rq-timeout-ms"
"""Milliseconds that a caller gives the server; Envoy, and what is built on it, says so of its own accord.

https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter
"""


class CallerGone(Exception):
    """The caller closed his connection before the answer was there."""

    def __init__(self) -> None:
        super().__init__("The connection was closed before the answer was there.")


def seconds_of(header: str | None) -> float | None:
    """What the header `TIMEOUT` says, in seconds; None where it says nothing, or 0, which is no bound.

    Raises:
        BadBody: no whole number.
    """
    if header is None:
        return None
    if not (header.isascii() and header.isdigit() and len(header) <= 15):
        raise BadBody(f"The header {TIMEOUT} is {header[:60]!r}: it takes whole milliseconds.")
    return int(header) / 1e3 or None


def seconds_in(microseconds: object) -> float | None:
    """What a `timeout` of the Open Inference Protocol says, in seconds; None where it says nothing, or 0: no bound.

    The unit is Triton's (its schedule policy extension).

    Raises:
        BadBody: no whole number, or one below zero.
    """
    if microseconds is None:
        return None
    if type(microseconds) is not int or not 0 <= microseconds < 2**63:
        raise BadBody(f"Parameter 'timeout' is {shown(microseconds)}: it takes whole microseconds.")
    return microseconds / 1e6 or None


async def while_there(caller: Caller, asking: Awaitable[T]) -> T:
    """What a coroutine or a future gives; it is cancelled when the caller is gone, where it takes longer than
    `SOON`.

    Raises:
        CallerGone: that happened.
    """
    task, left = asyncio.ensure_future(asking), list[Any]()

    def look() -> None:
        left.append(caller.client_disconnect())
        left[0].add_done_callback(leave)

    def leave(_: object) -> None:
        task.cancel()

    watch = asyncio.get_running_loop().call_later(SOON, look)
    try:
        return await task
    except asyncio.CancelledError:
        if not left or not left[0].done() or left[0].cancelled():
            task.cancel()  # it is this task that was cancelled
            raise
        raise CallerGone from None
    finally:
        watch.cancel()
        for each in left:
            each.remove_done_callback(leave)
            each.cancel()


async def is_done(asked: asyncio.Future[Any], within: float, caller: Caller | None) -> bool:
    """Waits until a future is done, but no longer than so many seconds; whether it is. It is left to go on.

    Raises:
        CallerGone: who waits for it is gone.
    """
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def wake(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    timer = loop.call_later(within, wake)
    asked.add_done_callback(wake)
    left = None if caller is None else caller.client_disconnect()
    if left is not None:
        left.add_done_callback(wake)
    try:
        await over
        if left is not None and left.done() and not left.cancelled():
            raise CallerGone
        return asked.done()
    finally:
        timer.cancel()
        asked.remove_done_callback(wake)
        if left is not None:
            left.remove_done_callback(wake)
            left.cancel()
