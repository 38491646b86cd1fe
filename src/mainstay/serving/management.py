"""What callers ask to have changed, and labels: a worker passes them to the agent of its machine, over a Unix socket.

A worker only follows. The agent's process, which holds the registry, does what `mainstay deploy` does, and answers when
all workers have acknowledged: so a change has the same gates, event and undoing, whichever way it was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import structs

from mainstay.serving.access import Caller
from mainstay.serving.frames import framed, next_frame
from mainstay.serving.predictions.messages import Labels
from mainstay.serving.protocols.codec import AGAIN, Problem, Wish

ANSWERS_WITHIN = 60.0
"""Seconds that a change has to be acknowledged in by all workers of all servers."""
_PATIENCE = ANSWERS_WITHIN + 30.0
"""Seconds that a worker waits for the agent: files are checked first, and an environment may have to be made."""


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of a wish."""

    status: int
    """As HTTP has it; 200: done."""
    message: str = ""
    became: list[int] = []
    """What became of labels; see `predictions.joining`."""


LABELS_WITHIN = 30.0
"""Seconds that a worker waits for labels to be joined."""

Manage = Callable[[Wish], None]
"""Brings a wish about, and returns when it is. Raises MainstayError where it cannot."""


async def passed_on(wish: Wish, control: str | None, *, caller: Caller | None) -> None:
    """Returns when the agent has brought a wish about.

    Args:
        control: path of the agent's socket, as the routing table says.
        caller: who asks, as the guard knows him.

    Raises:
        Problem: it was not brought about, and why; 503 where the agent cannot say.
    """
    if caller is None:  # the guard lets nobody manage without a key; this does not rely on it
        raise Problem(403, "Only who shows an API key with the verb manage may change what is served.")
    if control is None:
        raise Problem(503, "This server takes no changes over its port: run mainstay deploy VERSION.", headers=[AGAIN])
    try:
        async with asyncio.timeout(_PATIENCE):
            outcome = await _asked(structs.replace(wish, actor=caller.name), control)
    except (OSError, EOFError, msgspec.DecodeError):  # a timeout is an OSError
        raise Problem(
            503,
            f"The agent of this server did not say what became of {wish.verb}: look at mainstay events {wish.model}.",
            headers=[AGAIN],
        ) from None
    if outcome.status != 200:
        again = [AGAIN] if outcome.status == 503 else []
        raise Problem(outcome.status, f"failed to {wish.verb} {wish.model!r}: {outcome.message}", headers=again)


async def joined(labels: Labels, control: str | None) -> list[int]:
    """What became of labels once the agent has joined them.

    Raises:
        Problem: they were not counted, and why; 503 where the agent cannot say: they may be sent again.
    """
    if control is None:
        raise Problem(503, "This server is only starting: send the labels again.", headers=[AGAIN])
    try:
        async with asyncio.timeout(LABELS_WITHIN):
            outcome = await _asked(labels, control)
    except (OSError, EOFError, msgspec.DecodeError):  # a timeout is an OSError
        raise Problem(
            503, "The agent of this server did not say what became of the labels: send them again.", headers=[AGAIN]
        ) from None
    if outcome.status != 200:
        raise Problem(outcome.status, outcome.message, headers=[AGAIN] if outcome.status == 503 else [])
    return outcome.became


async def _asked(wish: Wish | Labels, control: str) -> Outcome:
    reader, writer = await asyncio.open_unix_connection(control)
    try:
        writer.write(framed(wish))
        await writer.drain()
        return msgspec.msgpack.decode(await next_frame(reader), type=Outcome)
    finally:
        writer.close()
