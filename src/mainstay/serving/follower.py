"""A worker's side of the routing table: loads what it names, swaps it in, and acknowledges."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from mainstay.errors import MainstayError
from mainstay.serving.kinds import work_out_kinds
from mainstay.serving.logs import Log, place_of
from mainstay.serving.memory import give_back
from mainstay.serving.models import Loaded, Queues, load
from mainstay.serving.routing import Acknowledgement, Candidate, Placed, Route, Table, acknowledge, mark, read_table
from mainstay.serving.splitting import has_turn

LOOK_EVERY = 0.05
"""Seconds between two looks at the table."""
LET_GO_AFTER = 5.0
"""Seconds after which a replaced version is let go of, once its last requests have their answers."""
MODELS_AT_ONCE = 4
"""Slow models that a worker computes at once: so many may be busy before one waits for another's."""
FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0
"""Seconds until a version that could not be loaded is tried again; twice as long each time."""


class Tried(NamedTuple):
    """A candidate that is ready, and what is to be done with it."""

    wish: Candidate
    loaded: Loaded


class Follower:
    """The versions that answer in this worker."""

    def __init__(self, run: Path, *, worker: int, log: Log, queues: Queues | None = None, workers: int = 1) -> None:
        """`worker` counts from 0, of `workers`; `queues` are those in front of the models."""
        work_out_kinds()
        self.run, self.worker, self.workers, self.log = run, worker, workers, log
        self._queues = queues
        self.serving: Mapping[str, Loaded] = {}
        """By model, the version that takes the traffic; replaced as a whole, so that a request sees one state."""
        self.beside: Mapping[str, Loaded] = {}
        """By version, "credit:2", those that answer beside; replaced as a whole, with `serving`."""
        self.tried: Mapping[str, Tried] = {}
        """By model, the candidates of rollouts that are ready; replaced as a whole, with `serving`."""
        self.edition = 0
        """Grows with every change of what answers, and of the names it has."""
        self.routes: Mapping[str, Route] = {}
        """Of the table, by model, whether anything answers or not."""
        self.errors: Mapping[str, str] = {}
        """By model, or of those beside by version, why what is deployed does not answer here."""
        self.table: Table | None = None
        """The table that was followed last."""
        self.pool = ThreadPoolExecutor(max_workers=MODELS_AT_ONCE, thread_name_prefix="model")
        """Computes what would keep the event loop too long."""
        self._mark: tuple[int, int] | None = None
        self._unsaid: Acknowledgement | None = None
        self._mute = False
        """Whether it was told that nothing can be acknowledged."""
        self._retry_at, self._pause = float("inf"), FIRST_RETRY
        self._letting_go: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether a table was followed, and something answers."""
        return bool(self.serving or self.beside)

    @property
    def names(self) -> frozenset[str]:
        """The models of the table, whether they answer or not."""
        return frozenset(self.routes)

    async def catch_up(self) -> None:
        """Follows the table if it changed since the last look, or if something in it is to be tried again."""
        if self._unsaid is not None:
            self._say()
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
        """Brings each model to the versions of the table, all at once; one that fails leaves the others alone."""
        renamed, self.routes = table.routes != self.routes, table.routes
        self._replace(*self._arranged(table), renamed=renamed)
        wanted = [(name, route.stable) for name, route in table.routes.items() if route.stable is not None]
        wanted += [(ref, ref) for route in table.routes.values() for ref in route.beside]
        bringing = [self._bring(called, table.versions[ref], table) for called, ref in wanted]
        trying = {name: wish for name, route in table.routes.items() if (wish := self._turn(route)) is not None}
        bringing += [self._try(name, wish, table) for name, wish in trying.items()]
        called = [*(name for name, _ in wanted), *(wish.version for wish in trying.values())]
        refused = await asyncio.gather(*bringing)
        errors = {name: why for name, why in zip(called, refused, strict=True) if why is not None}
        # What the agent could not place is its own to say; here it is told to callers.
        self.errors, self.table = {**table.errors, **errors}, table
        self._retry_at = time.monotonic() + self._pause if errors else float("inf")
        self._unsaid = Acknowledgement(
            worker=self.worker,
            pid=os.getpid(),
            edition=table.edition,
            generation=table.generation,
            serving={name: loaded.version for name, loaded in self.serving.items()},
            errors=errors,
            hosted=tuple(sorted(each.version for each in self._all if each.socket is not None)),
        )
        self._say()
        # Loading takes several times a model's size for a moment.
        await asyncio.get_running_loop().run_in_executor(None, give_back)

    def _say(self) -> None:
        """Acknowledges what is served; where the disk is full, at a later look: nobody's answer depends on it."""
        assert self._unsaid is not None
        try:
            acknowledge(self.run, self._unsaid)
        except OSError as error:
            if not self._mute:
                self.log("unheard", f"What is served cannot be acknowledged: {error.strerror}.", level="error")
            self._mute = True
        else:
            self._unsaid, self._mute = None, False

    @property
    def _all(self) -> set[Loaded]:
        return {*self.serving.values(), *self.beside.values(), *(each.loaded for each in self.tried.values())}

    def _turn(self, route: Route) -> Candidate | None:
        """What this worker is to do with a candidate; None: nothing, or nothing yet."""
        wish = route.candidate
        if wish is None or (wish.mode == "rolling" and not has_turn(self.worker, self.workers, wish.share)):
            return None
        return wish

    def _arranged(self, table: Table) -> tuple[dict[str, Loaded], dict[str, Loaded], dict[str, Tried]]:
        """What is loaded already, by model and by version, as the table has it; a model that waits for its version
        keeps the one before, and goes on to try that version where it was tried."""
        loaded = {(each.version, each.socket): each for each in self._all}

        def found(ref: str | None) -> Loaded | None:
            placed = None if ref is None else table.versions.get(ref)
            return None if placed is None else loaded.get((placed.version, placed.socket))

        serving, tried = dict[str, Loaded](), dict[str, Tried]()
        for name, route in table.routes.items():
            stable = found(route.stable)
            waits = stable is None and route.stable is not None
            if waits:
                stable = self.serving.get(name)
            if stable is not None:
                serving[name] = stable
            wish, before = self._turn(route), self.tried.get(name)
            ready = None if wish is None else found(wish.version)
            if wish is not None and ready is not None:
                tried[name] = Tried(wish, ready)
            elif wish is None and waits and before is not None and before.wish.version == route.stable:
                tried[name] = before
        listed = [(ref, found(ref)) for route in table.routes.values() for ref in route.beside]
        return serving, {ref: each for ref, each in listed if each is not None}, tried

    async def _bring(self, called: str, placed: Placed, table: Table) -> str | None:
        """Has a version answer for a model, or, called by its own name, beside another; else why it does not, and
        what answered there before goes on."""
        beside = called == placed.version
        present = (self.beside if beside else self.serving).get(called)
        if _is_at(present, placed):
            return None
        loaded = await self._loaded(called, placed, table)
        if isinstance(loaded, str):
            return loaded
        if beside:
            self._replace(self.serving, {**self.beside, called: loaded}, self.tried)
        else:
            # What was tried until now, and takes the traffic from now on, is tried no more.
            tried = {name: each for name, each in self.tried.items() if name != called or each.wish == self._wish(name)}
            self._replace({**self.serving, called: loaded}, self.beside, tried)
        self.log("loaded", f"{placed.version} answers.", version=placed.version, worker=self.worker)
        return None

    async def _try(self, model: str, wish: Candidate, table: Table) -> str | None:
        """Has the candidate of a model's rollout ready; else why it is not, and the stable version answers alone."""
        placed, present = table.versions[wish.version], self.tried.get(model)
        if present is not None and _is_at(present.loaded, placed):
            return None
        loaded = await self._loaded(wish.version, placed, table)
        if isinstance(loaded, str):
            return loaded
        self._replace(self.serving, self.beside, {**self.tried, model: Tried(wish, loaded)})
        self.log("loaded", f"{placed.version} is ready as a candidate.", version=placed.version, worker=self.worker)
        return None

    def _wish(self, model: str) -> Candidate | None:
        route = self.routes.get(model)
        return None if route is None else self._turn(route)

    async def _loaded(self, called: str, placed: Placed, table: Table) -> Loaded | str:
        """A version that answers, or why it does not."""
        try:
            return await load(placed, Path(table.blobs), self.pool, self._queues)
        except (MainstayError, OSError) as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one version must not touch the others
            why = f"It cannot be loaded: {place_of(error)}."
        if self.errors.get(called) != why:
            self.log("refused", f"{placed.version} does not answer: {why}", level="error", version=placed.version)
        return why

    def _replace(
        self,
        serving: Mapping[str, Loaded],
        beside: Mapping[str, Loaded],
        tried: Mapping[str, Tried],
        *,
        renamed: bool = False,
    ) -> None:
        before = self._all
        self.edition += renamed or (serving, beside, tried) != (self.serving, self.beside, self.tried)
        self.serving, self.beside, self.tried = serving, beside, tried
        if gone := list(before - self._all):
            task = asyncio.create_task(_let_go(gone))
            self._letting_go.add(task)
            task.add_done_callback(self._letting_go.discard)


def _is_at(loaded: Loaded | None, placed: Placed) -> bool:
    return loaded is not None and (loaded.version, loaded.socket) == (placed.version, placed.socket)


async def _let_go(versions: list[Loaded]) -> None:
    await asyncio.sleep(LET_GO_AFTER)
    while versions:
        await versions.pop().place.close()  # the last reference but those of requests that are still under way
    await asyncio.get_running_loop().run_in_executor(None, give_back)
