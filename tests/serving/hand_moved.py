"""An event loop whose clock moves only when everything else waits for it: an hour of it takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Selector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None):
        assert timeout is not None, "nothing is left that could happen"
        self.now += timeout
        return super().select(0)


class HandMovedLoop(asyncio.SelectorEventLoop):
    """Time passes as soon as nobody has anything to do before it has."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns, in such a loop."""
    with asyncio.Runner(loop_factory=HandMovedLoop) as runner:
        return runner.run(main)
