"""Who waits for a model, and who is asked together.

Batching is greedy: a model that is free is asked at once, never held back for company; those who come while it is busy
wait, and when it gets free, as many of them as fit are asked together. A lone caller loses nothing, and the busier a
model is, the larger its batches are.

Everybody gets the answers to his own rows. Where a batch fails, its halves are asked again, and so on, so that a row
which the model cannot take fails alone. Where the model's process died over a batch, each is asked again alone, once
it is back, and who waits in the queue waits for that: a batch is not halved there, since each death costs a start.
Where no row was at fault, or the model was lost over a batch, it may be the company that it could not take: batches
are half as large then, and grow again slowly.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from mainstay.errors import MachineError
from mainstay.models.answers import Answers
from mainstay.models.signature import Cells
from mainstay.serving.joining import form, joined, parted, weight

HEAVIEST = 1 << 24
"""Bytes of values that are joined at most: copying more costs more than asking twice."""
SOONEST, LATEST = 1, 60
"""Bounds of what a refused caller is told to wait, in seconds."""
MEMORY = 0.2
"""Weight of the last run in what a run is expected to take."""
GROWS = 0.1
"""Rows by which a batch may be larger again after each that went well, once one was too large."""

Left = Literal["timeout", "cancelled", "rejected"]
"""Why a caller has no answer: his time was up, he is gone, or there was no room."""
Run = Callable[[Cells], Awaitable[Answers]]
Back = Callable[[Exception], Awaitable[bool]]


class Busy(MachineError):
    """More requests wait for a model than are let wait."""

    def __init__(self, waiting: int, after: int) -> None:
        """`after` is in how many seconds it may be worth another try."""
        self.after = after
        super().__init__(f"{waiting} requests are waiting for this model already: try again in {after} s.")


class Late(MachineError):
    """The time that a caller had was up before his answer was there."""

    def __init__(self) -> None:
        super().__init__("The time for this request is up: give it more, or ask again when the server is less busy.")


class Watch(Protocol):
    """Who is told what happens, to count it."""

    def waiting(self, change: int) -> None:
        """So many more callers wait, or fewer."""

    def ran(self, rows: int) -> None:
        """A batch of so many rows was asked."""

    def waited(self, seconds: float) -> None:
        """A caller has waited so long for the model to get free."""

    def left(self, why: Left) -> None:
        """A caller went without an answer."""


class Unwatched:
    """Counts nothing."""

    def waiting(self, change: int) -> None:
        """Nothing."""

    def ran(self, rows: int) -> None:
        """Nothing."""

    def waited(self, seconds: float) -> None:
        """Nothing."""

    def left(self, why: Left) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How many may wait for one version in one worker, and be asked together."""

    rows: int = 128
    """Rows of a batch; a request of more is asked alone. 1: no two requests are asked together."""
    queue: int = 256
    """Requests that wait."""


class _Caller:
    """A request that waits, or is being answered."""

    __slots__ = ("_form", "_weight", "began", "cells", "deadline", "future", "since", "timer")

    def __init__(
        self,
        cells: Cells,
        future: asyncio.Future[Answers],
        since: float,
        deadline: float | None,
        began: Callable[[], None] | None,
    ) -> None:
        self.cells, self.future, self.since, self.deadline, self.began = cells, future, since, deadline, began
        self.timer: asyncio.TimerHandle | None = None
        self._form: Hashable | None = None
        self._weight = -1

    @property
    def form(self) -> Hashable:
        """Worked out where there is company: most callers have none."""
        if self._form is None:
            self._form = form(self.cells)
        return self._form

    @property
    def weight(self) -> int:
        if self._weight < 0:
            self._weight = weight(self.cells)
        return self._weight


class Batcher:
    """The queue of one version in one event loop."""

    def __init__(
        self,
        run: Run,
        bounds: Bounds,
        *,
        lanes: int = 1,
        watch: Watch | None = None,
        lost: tuple[type[Exception], ...] = (),
        back: Back | None = None,
    ) -> None:
        """A queue in front of a model.

        Args:
            run: asks the model.
            bounds: of the queue and of a batch.
            lanes: how many runs of it there may be at once, where requests are not joined.
            watch: is told what happens.
            lost: errors of which no row is known to be at fault, so that a batch is not halved after one.
            back: after such an error, whether it is worth asking again; waits until the model can be asked.
        """
        self._run, self._bounds, self._lost, self._back = run, bounds, lost, back
        self._watch: Watch = watch or Unwatched()
        self._joins = bounds.rows > 1
        self._lanes = self._free = 1 if self._joins else lanes
        self._queue: dict[_Caller, None] = {}
        self._running: set[asyncio.Future[Any]] = set()
        self._seconds = 0.0
        self._loss: Exception | None = None
        """Over which the model was lost just now; it has not been waited for since."""
        self._most = float(bounds.rows)
        """Rows that are joined at present."""

    @property
    def busy(self) -> bool:
        """Whether anybody waits or is being answered."""
        return bool(self._queue or self._running)

    def answer(
        self, cells: Cells, deadline: float | None = None, began: Callable[[], None] | None = None
    ) -> asyncio.Future[Answers]:
        """The answers to a caller's rows. He leaves the queue when he cancels that.

        Args:
            cells: his rows.
            deadline: on the event loop's clock, when he stops waiting.
            began: called when his wait for the model is over.

        Raises:
            Busy: too many wait already.
            Late: the deadline has come; what was not begun by then is not computed.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        if deadline is not None and deadline <= now:
            self._watch.left("timeout")
            raise Late
        if len(self._queue) >= self._bounds.queue:
            self._watch.left("rejected")
            raise Busy(len(self._queue), self._after())
        caller = _Caller(cells, loop.create_future(), now, deadline, began)
        caller.future.add_done_callback(partial(self._over, caller))
        if deadline is not None:
            caller.timer = loop.call_at(deadline, self._give_up, caller)
        self._queue[caller] = None
        self._watch.waiting(1)
        self._begin()
        return caller.future

    def _over(self, caller: _Caller, future: asyncio.Future[Answers]) -> None:
        """A caller has his answer, or went without one."""
        if caller.timer is not None:
            caller.timer.cancel()
        if future.cancelled():
            self._forget(caller)
            self._watch.left("cancelled")
        else:
            future.exception()  # seen, also where its caller went in the same moment

    def _give_up(self, caller: _Caller) -> None:
        if not caller.future.done():
            self._forget(caller)
            self._watch.left("timeout")
            caller.future.set_exception(Late())

    def _forget(self, caller: _Caller) -> None:
        if caller in self._queue:
            del self._queue[caller]
            self._watch.waiting(-1)

    def _begin(self) -> None:
        """Asks whoever waits, for as long as the model is free."""
        while self._free > 0 and self._queue:
            callers = self._present(self._next())
            if callers:
                self._free -= 1
                begun, asked = asyncio.get_running_loop().time(), self._asked(callers)
                self._running.add(asked)
                asked.add_done_callback(partial(self._served, callers, begun))

    def _next(self) -> list[_Caller]:
        """Who has waited longest, and those who can be asked together with him; they wait no more."""
        now, most = asyncio.get_running_loop().time(), int(self._most)
        first = next(iter(self._queue))
        chosen, rows, heavy = [first], len(first.cells), first.weight
        for caller in self._queue if self._joins else ():
            if rows >= most:
                break
            fits = rows + len(caller.cells) <= most and heavy + caller.weight <= HEAVIEST
            if caller is not first and fits and caller.form == first.form:
                chosen.append(caller)
                rows += len(caller.cells)
                heavy += caller.weight
        for caller in chosen:
            self._forget(caller)
            self._watch.waited(now - caller.since)
            if caller.began is not None:
                caller.began()
        return chosen

    def _present(self, asked: Sequence[_Caller]) -> list[_Caller]:
        """Those who still wait."""
        now = asyncio.get_running_loop().time()
        for caller in asked:
            if caller.deadline is not None and caller.deadline <= now:
                self._give_up(caller)  # before its timer has come to say so
        return [caller for caller in asked if not caller.future.done()]

    def _asked(self, callers: Sequence[_Caller]) -> asyncio.Future[Answers]:
        """Asks the model for callers together."""
        self._watch.ran(sum([len(caller.cells) for caller in callers]))
        try:
            return asyncio.ensure_future(self._run(joined([caller.cells for caller in callers])))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to whom it is about
            failed: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    def _tell(self, callers: Sequence[_Caller], answers: Answers) -> None:
        """Gives callers what the model has answered them."""
        parts = parted(answers, [len(caller.cells) for caller in callers])
        for caller, part in zip(callers, parts, strict=True):
            if not caller.future.done():
                caller.future.set_result(part)
        self._most = min(self._most + GROWS, self._bounds.rows)

    def _served(self, callers: Sequence[_Caller], begun: float, asked: asyncio.Future[Answers]) -> None:
        """The model has answered callers, or failed."""
        self._running.discard(asked)
        try:
            self._tell(callers, asked.result())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to whom it is about
            task = asyncio.get_running_loop().create_task(self._recover(callers, error, begun))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        except asyncio.CancelledError:
            for caller in callers:
                caller.future.cancel()
            self._free_again(begun)
        else:
            self._free_again(begun)

    def _free_again(self, begun: float) -> None:
        """The model is done with whom it was asked for at a time."""
        self._loss = None
        seconds = asyncio.get_running_loop().time() - begun
        self._seconds += (seconds - self._seconds) * (MEMORY if self._seconds else 1.0)
        self._free += 1
        self._begin()

    async def _recover(self, callers: Sequence[_Caller], error: Exception, begun: float) -> None:
        """Goes on after the model has failed on callers."""
        try:
            await self._mend(callers, error)
            if self._queue and self._loss is not None and self._back is not None:
                await self._back(self._loss)  # those who wait had no part in it
        finally:
            self._free_again(begun)

    async def _mend(self, callers: Sequence[_Caller], error: Exception) -> int:
        """Answers as many of those as it can over whom the model has failed; how many they are."""
        rows, lost = sum([len(caller.cells) for caller in callers]), isinstance(error, self._lost)
        if len(callers) == 1:
            _fail(callers, error)
            self._loss = error if lost else None
            return 0
        if lost:
            self._shrink(rows)
            return await self._ask_each(callers, error)
        half = len(callers) // 2
        answered = await self._ask(callers[:half]) + await self._ask(callers[half:])
        if answered == len(callers):
            self._shrink(rows)
        return answered

    async def _ask(self, asked: Sequence[_Caller]) -> int:
        """Asks for callers again; how many of them the model has answered."""
        callers = self._present(asked)
        if not callers:
            return 0
        try:
            self._tell(callers, await self._asked(callers))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to whom it is about
            return await self._mend(callers, error)
        return len(callers)

    async def _ask_each(self, callers: Sequence[_Caller], error: Exception) -> int:
        """Asks callers again, over whom the model was lost, each alone, so that it is lost over the one at fault alone;
        how many of them it has answered. Where it does not come back, the others are told why."""
        answered = 0
        for place, caller in enumerate(callers):
            if caller.future.done():
                continue
            self._loss = None
            if self._back is None or not await self._back(error):
                _fail(callers[place:], error)
                break
            answered += await self._ask([caller])
        return answered

    def _shrink(self, rows: int) -> None:
        """So many rows were too many at once."""
        self._most = max(1.0, min(self._most, rows / 2))

    def _after(self) -> int:
        """Seconds until those who wait now are answered, as far as can be told."""
        runs = len(self._queue) / self._lanes
        if self._joins:
            runs = sum(len(caller.cells) for caller in self._queue) / int(self._most)
        return min(max(SOONEST, math.ceil(runs * self._seconds)), LATEST)


def _fail(callers: Sequence[_Caller], error: Exception) -> None:
    for caller in callers:
        if not caller.future.done():
            caller.future.set_exception(error)
