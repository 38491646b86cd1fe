"""Work that nobody waits for: copies for a shadow, and rows that are asked of a second version. It is bounded, and is
left undone where there is too much of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Work = Callable[[], Coroutine[Any, Any, None]]


class Copies:
    """At most so many at a time, and, of what is computed here, in a bounded share of the time."""

    def __init__(self, *, most: int, rest: float = 0.0) -> None:
        """Starts with nothing to do.

        Args:
            most: how many there are at a time.
            rest: how many times as long as one took the next waits, where there may be one at a time.
        """
        self._most, self._rest = most, rest
        self._running: set[asyncio.Task[None]] = set()
        self._next_at = 0.0

    def start(self, work: Work) -> bool:
        """Begins a piece of work once the event loop gets round to it, which is after the answer that it follows.

        False: it is left undone.
        """
        loop = asyncio.get_running_loop()
        if len(self._running) >= self._most or loop.time() < self._next_at:
            return False
        task = loop.create_task(self._do(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _do(self, work: Work) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            await work()
        finally:
            now = loop.time()
            self._next_at = now + self._rest * (now - begun)
