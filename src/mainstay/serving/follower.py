"""A worker's side of the routing table: loads what it names, swaps it in, and acknowledges."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mainstay.errors import MainstayError
from mainstay.serving.logs import Log
from mainstay.serving.models import Loaded, load
from mainstay.serving.routing import Acknowledgement, Table, acknowledge, mark, read_table

LOOK_EVERY = 0.05
"""Seconds between two looks at the table."""
LET_GO_AFTER = 5.0
"""Seconds after which a replaced version is let go of: whoever asked it has had its answer."""


class Follower:
    """The versions that answer in this worker."""

    def __init__(self, run: Path, *, worker: int, log: Log) -> None:
        self.run, self.worker, self.log = run, worker, log
        self.serving: Mapping[str, Loaded] = {}
        """By model; replaced as a whole, so that a request sees one state."""
        self.changes = 0
        """Grows whenever `serving` does."""
        self.errors: dict[str, str] = {}
        self.generation: int | None = None
        self._mark: tuple[int, int] | None = None
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="model")
        self._letting_go: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether a table was followed, and something answers."""
        return self.generation is not None and bool(self.serving)

    async def catch_up(self) -> None:
        """Follows the table if it changed since the last look."""
        now = mark(self.run)
        if now is None or now == self._mark:
            return
        table = read_table(self.run)
        self._mark = now
        if table is not None:
            await self._follow(table)

    async def keep_up(self) -> None:
        """Follows the table for ever."""
        while True:
            await self.catch_up()
            await asyncio.sleep(LOOK_EVERY)

    async def _follow(self, table: Table) -> None:
        serving: dict[str, Loaded] = {}
        errors: dict[str, str] = {}
        for name, route in table.routes.items():
            present = self.serving.get(name)
            placed = table.versions[route.stable]
            if present is not None and present.version == route.stable and present.socket == placed.socket:
                serving[name] = present
                continue
            try:
                serving[name] = await load(placed, Path(table.blobs), self._pool)
                self.log("loaded", f"{route.stable} answers.", version=route.stable, worker=self.worker)
            except (MainstayError, OSError) as error:
                errors[name] = str(error)
                self.log("refused", f"{route.stable} does not answer: {error}", level="error", version=route.stable)
                if present is not None:
                    serving[name] = present
        before, self.serving = self.serving, serving
        self.changes += 1
        self.errors, self.generation = errors, table.generation
        acknowledge(
            self.run,
            Acknowledgement(
                worker=self.worker,
                pid=os.getpid(),
                generation=table.generation,
                serving={name: loaded.version for name, loaded in serving.items()},
                errors=errors,
            ),
        )
        for loaded in before.values():
            if loaded not in serving.values():
                task = asyncio.create_task(_let_go(loaded))
                self._letting_go.add(task)
                task.add_done_callback(self._letting_go.discard)


async def _let_go(loaded: Loaded) -> None:
    await asyncio.sleep(LET_GO_AFTER)
    await loaded.place.close()
