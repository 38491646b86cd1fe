"""Loaded versions: checked, replayed, measured, and ready to answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.golden import Golden
from mainstay.models.package import Decision, Manifest, Package
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, Reader, Signature
from mainstay.models.tensors import empty
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving.batching import Back, Batcher, Bounds, Run, Unwatched, Watch
from mainstay.serving.bodies import Bodies
from mainstay.serving.company import ALONE, most_rows_here, most_rows_there, sample
from mainstay.serving.frames import ANSWER_WITHIN
from mainstay.serving.host_client import HostClient, HostGone
from mainstay.serving.replies import Replies
from mainstay.serving.routing import Placed

LONGEST_INLINE = 0.001
"""Seconds that a model may keep the event loop; what takes longer is computed in slices, or in a thread."""
SLICES = 4
"""Slices in which rows are computed at most, between which the others are answered; of more, a thread costs less."""
MIXED = 256
"""Rows that a model is timed with. They are all different: the processor foresees what it is asked again."""
APART = 2
"""Requests that a slow model in this process computes at once, each in a thread, where joining them gains nothing; a
host process computes one."""


class Place(Protocol):
    """Where a version is computed."""

    def now(self, cells: Cells, rows: int) -> Answers | None:
        """The answers to so many rows, at once; None where that would keep the event loop too long."""

    def later(
        self, cells: Cells, deadline: float | None = None, began: Callable[[], None] | None = None
    ) -> asyncio.Future[Answers]:
        """The answers, computed elsewhere; `deadline` is on the event loop's clock, `began` called when the wait for
        the model is over. Who does not wait any more cancels it.

        Raises:
            Busy, Late: too many wait already, or the deadline has come.
        """

    async def close(self) -> None:
        """Lets go of what the version holds."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A version that answers."""

    model: str
    version: str
    signature: Signature
    manifest: Manifest
    decision: Decision | None
    bodies: Bodies
    replies: Replies
    place: Place
    socket: str | None
    """Of its host process; None inside the worker."""
    nothing: Answers
    """The answers to no rows, which many a model cannot be asked for."""


@dataclass(frozen=True, kw_only=True)
class Queues:
    """What the queues in front of models are like."""

    bounds: Bounds = field(default_factory=Bounds)
    watch: Callable[[str, str], Watch] = lambda model, version: Unwatched()
    """By model and version, who is told what happens in its queue."""
    timeout: float = ANSWER_WITHIN
    """Seconds that a request may take."""


class Inside:
    """In this process: at once where that is fast, else in slices or in a thread."""

    def __init__(self, model: Model, pool: Executor, *, inline_rows: int, queue: Callable[..., Batcher]) -> None:
        """`inline_rows` is how many rows at most keep the event loop at a time; `queue` is for what takes longer, with
        its lanes."""
        self._answer, self._inline_rows = model.answer, inline_rows
        # The queues know nothing of this object: a circle would keep the model until Python looks for circles.
        self._in_thread = queue(_in_thread(model.answer, pool), lanes=APART).answer
        self._in_slices = queue(_in_slices(model.answer, inline_rows), lanes=1).answer
        signature = model.signature
        self._most_sliced = 0 if signature.tensors or signature.outputs else SLICES * inline_rows

    def now(self, cells: Cells, rows: int) -> Answers | None:
        return self._answer(cells) if rows <= self._inline_rows else None

    def later(
        self, cells: Cells, deadline: float | None = None, began: Callable[[], None] | None = None
    ) -> asyncio.Future[Answers]:
        way = self._in_slices if len(cells) <= self._most_sliced else self._in_thread
        return way(cells, deadline, began)

    async def close(self) -> None:
        """Nothing to let go of: the model's memory goes with its last reference."""


def _in_thread(answer: Callable[[Cells], Answers], pool: Executor) -> Run:
    async def run(cells: Cells) -> Answers:
        return await asyncio.get_running_loop().run_in_executor(pool, answer, cells)

    return run


def _in_slices(answer: Callable[[Cells], Answers], most: int) -> Run:
    """A run of tables, `most` rows at a time, between which the event loop has its turn."""

    async def run(cells: Cells) -> Answers:
        rows = len(cells)
        each = -(-rows // -(-rows // most))  # slices of one size
        parts = [answer(cells.rows(slice(0, each)))]
        for start in range(each, rows, each):
            await asyncio.sleep(0)
            parts.append(answer(cells.rows(slice(start, start + each))))
        return Answers.joined(parts)

    return run


class Beside:
    """In a host process on this machine."""

    def __init__(self, client: HostClient, queue: Batcher) -> None:
        self._client, self._queue = client, queue
        self.later = queue.answer

    def now(self, cells: Cells, rows: int) -> Answers | None:
        del cells, rows
        return None

    async def close(self) -> None:
        """Lets go of the host, once those who wait have had their answers."""
        while self._queue.busy:
            await asyncio.sleep(0.05)  # ends, for a host answers in time or is given up
        await self._client.close()


async def load(placed: Placed, blobs: Path, pool: Executor, queues: Queues | None = None) -> Loaded:
    """Loads a version, without keeping the event loop, and replays its golden predictions where it will be computed.

    Raises:
        PackageCorrupt: a file is missing or was changed.
        GoldenMismatch: it does not answer here as the native model did.
        HostGone, ModelFailed: its host process does not answer.
    """
    package = Package(placed.manifest, FolderBlobs(blobs).get)
    name, queues = placed.version.rpartition(":")[0], queues or Queues()
    read = asyncio.get_running_loop().run_in_executor

    def queue(run: Run, *, most: int, lanes: int = 1, back: Back | None = None) -> Batcher:
        bounds = replace(queues.bounds, rows=min(most, queues.bounds.rows))
        watch = queues.watch(name, placed.version)
        return Batcher(run, bounds, lanes=lanes, watch=watch, lost=(HostGone,), back=back)

    signature, golden, decision = await read(None, _documents, package)
    bodies = Bodies(signature)
    place: Place
    if placed.socket is None:
        model, rows, most = await read(None, _inside, package)
        place = Inside(model, pool, inline_rows=rows, queue=partial(queue, most=most))
    else:
        client = HostClient(placed.socket, version=placed.version, timeout=max(ANSWER_WITHIN, queues.timeout))
        try:
            most = await _beside(client, signature, golden, bodies.reader)
        except BaseException:
            await client.close()
            raise
        place = Beside(client, queue(client.answer, most=most, back=client.back))
    return Loaded(
        model=name,
        version=placed.version,
        signature=signature,
        manifest=placed.manifest,
        decision=decision,
        bodies=bodies,
        replies=Replies(signature, placed.version),
        place=place,
        socket=placed.socket,
        nothing=_nothing(signature, golden),
    )


def _nothing(signature: Signature, golden: Golden) -> Answers:
    if signature.task == "general":
        return Answers(outputs={output.name: empty(output) for output in signature.outputs})
    if signature.task == "regression":
        return Answers(values=np.empty(0))
    shares = None if golden.probabilities is None else np.empty((0, len(signature.labels)))
    return Answers(labels=np.empty(0, dtype=np.int64), probabilities=shares)


def _documents(package: Package) -> tuple[Signature, Golden, Decision | None]:
    return package.signature, package.golden, package.spec.decision


def _inside(package: Package) -> tuple[Model, int, int]:
    """A checked model; how many rows are computed in the event loop; how many of several requests at once beside it."""
    model = Model.load(package)
    model.check_golden()
    golden = package.golden
    if not golden.rows:
        return model, 0, ALONE
    cells = model.read.rows(golden.rows)
    one = _fastest(model, cells.rows(slice(0, 1)))
    rows = inline_rows(one, _fastest(model, cells), len(cells))
    if rows > len(cells):
        mixed = mixed_rows(cells, min(rows, MIXED))
        rows = inline_rows(one, _fastest(model, mixed), len(mixed))
    several = None if rows else sample(model.signature, golden, model.read)
    return model, rows, ALONE if several is None else most_rows_here(model.answer, several)


async def _beside(client: HostClient, signature: Signature, golden: Golden, read: Reader) -> int:
    """Checks a model in a host process; how many rows it may be asked at once."""
    if not golden.rows:
        return ALONE
    golden.check(await client.answer(read.rows(golden.rows)))
    several = sample(signature, golden, read)
    return ALONE if several is None else await most_rows_there(client.answer, several)


def inline_rows(one: float, several: float, rows: int) -> int:
    """How many rows take no longer than `LONGEST_INLINE`.

    Args:
        one: seconds for one row.
        several: seconds for `rows` rows.
        rows: at least 1.
    """
    if one > LONGEST_INLINE:
        return 0
    each = max(several - one, 0.0) / max(rows - 1, 1)
    # A share of the first row is assumed where no difference could be measured.
    return 1 + int((LONGEST_INLINE - one) / max(each, one / 20))


def mixed_rows(cells: Cells, rows: int) -> Cells:
    """So many rows, of which each number is that of its column in some row of a table; the rest is row by row."""
    chosen = np.random.default_rng(0).integers(0, len(cells), (rows, cells.numbers.shape[1] + 1))
    mixed = cells.rows(chosen[:, -1])
    return Cells(np.take_along_axis(cells.numbers, chosen[:, :-1], 0), mixed.texts, mixed.tensors)


def _fastest(model: Model, cells: Cells, times: int = 10) -> float:
    """Seconds of this thread's own work: a clock on the wall would count whom it shares the processor with."""
    fastest = float("inf")
    for _ in range(times):
        start = time.thread_time()
        model.answer(cells)
        fastest = min(fastest, time.thread_time() - start)
        if fastest > LONGEST_INLINE:
            break  # it is slow: once told is enough
    return fastest
