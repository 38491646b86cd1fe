"""A worker's side of the routing table: loads what it names, swaps it in, and acknowledges."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mainstay.errors import MainstayError
from mainstay.serving.logs import Log, place_of
from mainstay.serving.models import Loaded, load
from mainstay.serving.routing import Acknowledgement, Table, acknowledge, mark, read_table

LOOK_EVERY = 0.05
"""Seconds between two looks at the table."""
LET_GO_AFTER = 5.0
"""Seconds after which a replaced version is let go of, once its last requests have their answers."""
FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0
"""Seconds until a version that could not be loaded is tried again; twice as long each time."""


class Follower:
    """The versions that answer in this worker."""

    def __init__(self, run: Path, *, worker: int, log: Log) -> None:
        self.run, self.worker, self.log = run, worker, log
        self.serving: Mapping[str, Loaded] = {}
        """By model; replaced as a whole, so that a request sees one state."""
        self.names: frozenset[str] = frozenset()
        """The models of the table, whether they answer or not."""
        self.errors: Mapping[str, str] = {}
        """By model, why the version that is deployed does not answer here."""
        self.table: Table | None = None
        """The table that was followed last."""
        self.pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="model")
        """For what would keep the event loop too long."""
        self._mark: tuple[int, int] | None = None
        self._retry_at, self._pause = float("inf"), FIRST_RETRY
        self._letting_go: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether a table was followed, and something answers."""
        return bool(self.serving)

    async def keep_up(self) -> None:
        """Follows the table for ever."""
        while True:
            await self.catch_up()
            await asyncio.sleep(LOOK_EVERY)

    async def catch_up(self) -> None:
        """Follows the table if it changed since the last look, or if something in it is to be tried again."""
        now = mark(self.run)
        if now is not None and now != self._mark:
            table = read_table(self.run)
            self._mark, self._pause = now, FIRST_RETRY
            if table is not None:
                await self._follow(table)
        elif self.table is not None and time.monotonic() >= self._retry_at:
            self._pause = min(self._pause * 2, LONGEST_RETRY)
            await self._follow(self.table)

    async def _follow(self, table: Table) -> None:
        """Brings each model to the version of the table, all at once; one that fails leaves the others alone."""
        self.names = frozenset(table.routes)
        self._replace({name: loaded for name, loaded in self.serving.items() if name in table.routes})
        refused = await asyncio.gather(*(self._bring(name, table) for name in table.routes))
        errors = {name: why for name, why in zip(table.routes, refused, strict=True) if why is not None}
        self.errors, self.table = errors, table
        self._retry_at = time.monotonic() + self._pause if errors else float("inf")
        acknowledge(
            self.run,
            Acknowledgement(
                worker=self.worker,
                pid=os.getpid(),
                edition=table.edition,
                generation=table.generation,
                serving={name: loaded.version for name, loaded in self.serving.items()},
                errors=errors,
            ),
        )

    async def _bring(self, name: str, table: Table) -> str | None:
        """Has a model answered by its version of the table; else why not, and the one before goes on."""
        placed = table.versions[table.routes[name].stable]
        present = self.serving.get(name)
        if present is not None and (present.version, present.socket) == (placed.version, placed.socket):
            return None
        try:
            loaded = await load(placed, Path(table.blobs), self.pool)
        except (MainstayError, OSError) as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one version must not touch the others
            why = f"It cannot be loaded: {place_of(error)}."
        else:
            self._replace({**self.serving, name: loaded})
            self.log("loaded", f"{placed.version} answers.", version=placed.version, worker=self.worker)
            return None
        if self.errors.get(name) != why:
            self.log("refused", f"{placed.version} does not answer: {why}", level="error", version=placed.version)
        return why

    def _replace(self, serving: Mapping[str, Loaded]) -> None:
        before, self.serving = self.serving, serving
        for loaded in before.values():
            if loaded not in serving.values():
                task = asyncio.create_task(_let_go(loaded))
                self._letting_go.add(task)
                task.add_done_callback(self._letting_go.discard)


async def _let_go(loaded: Loaded) -> None:
    await asyncio.sleep(LET_GO_AFTER)
    await loaded.place.close()
