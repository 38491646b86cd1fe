"""Loaded versions: checked, replayed, measured, and ready to answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from mainstay.errors import MachineError
from mainstay.models.answers import Answers
from mainstay.models.golden import Golden
from mainstay.models.package import Decision, Manifest, Package
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, Signature
from mainstay.models.tensors import empty
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving.bodies import Bodies
from mainstay.serving.host_client import HostClient
from mainstay.serving.replies import Replies
from mainstay.serving.routing import Placed

LONGEST_INLINE = 0.001
"""Seconds that a model may keep the event loop; what takes longer is computed in a thread."""
MOST_WAITING = 256
"""Requests of one version that may wait for a thread; more are refused at once rather than late."""


class Busy(MachineError):
    """More requests wait for a slow model than it can answer soon."""


class Place(Protocol):
    """Where a version is computed."""

    def now(self, cells: Cells) -> Answers | None:
        """The answers, at once; None where that would keep the event loop too long."""

    async def later(self, cells: Cells) -> Answers:
        """The answers, computed elsewhere."""

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


class Line:
    """Those who wait for one version: a bounded number."""

    def __init__(self) -> None:
        self._length = 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Waits in line for as long as the block runs. Raises Busy where the line is full."""
        if self._length >= MOST_WAITING:
            raise Busy(f"{self._length} requests are waiting for this model already: try again in a second.")
        self._length += 1
        try:
            yield
        finally:
            self._length -= 1


class Inside:
    """In this process: at once where that is fast, in a thread otherwise."""

    def __init__(self, model: Model, pool: Executor, *, inline_rows: int) -> None:
        """`inline_rows` is how many rows at most are computed in the event loop."""
        self._answer = model.answer
        self._pool, self._inline_rows, self._line = pool, inline_rows, Line()

    def now(self, cells: Cells) -> Answers | None:
        return self._answer(cells) if len(cells) <= self._inline_rows else None

    async def later(self, cells: Cells) -> Answers:
        with self._line.joined():
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, cells)

    async def close(self) -> None:
        """Nothing to let go of: the model's memory goes with its last reference."""


class Beside:
    """In a host process on this machine."""

    def __init__(self, client: HostClient) -> None:
        self._client, self._line = client, Line()
        self.close = client.close

    def now(self, cells: Cells) -> Answers | None:
        del cells
        return None

    async def later(self, cells: Cells) -> Answers:
        with self._line.joined():
            return await self._client.answer(cells)


async def load(placed: Placed, blobs: Path, pool: Executor) -> Loaded:
    """Loads a version, without keeping the event loop, and replays its golden predictions where it will be computed.

    Raises:
        PackageCorrupt: a file is missing or was changed.
        GoldenMismatch: it does not answer here as the native model did.
        HostGone: its host process does not answer.
    """
    package = Package(placed.manifest, FolderBlobs(blobs).get)
    read = asyncio.get_running_loop().run_in_executor
    place: Place
    if placed.socket is None:
        signature, golden, decision, inside, rows = await read(None, _inside, package)
        place = Inside(inside, pool, inline_rows=rows)
    else:
        signature, golden, decision = await read(None, _documents, package)
        place = Beside(HostClient(placed.socket, version=placed.version))
    bodies = Bodies(signature)
    if placed.socket is not None and golden.rows:
        try:
            golden.check(await place.later(bodies.reader.rows(golden.rows)))
        except BaseException:
            await place.close()
            raise
    return Loaded(
        model=placed.version.rpartition(":")[0],
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


def _inside(package: Package) -> tuple[Signature, Golden, Decision | None, Model, int]:
    model = Model.load(package)
    model.check_golden()
    signature, golden, decision = _documents(package)
    if not golden.rows:
        return signature, golden, decision, model, 0
    cells = model.read.rows(golden.rows)
    one = _fastest(model, cells.rows(slice(0, 1)))
    return signature, golden, decision, model, inline_rows(one, _fastest(model, cells), len(cells))


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
