"""A candidate's first test on a server, before any traffic: its golden predictions, and how long it takes for them.

The agent runs it as `python -m mainstay.serving.probing`, in a process of its own: whatever the versions do there, the
agent goes on. It asks the candidate in its host process, and the stable version the same rows, where it takes them; it
says a `Probe` on its standard output, as one line of JSON.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.package import Package
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, InputError, Reader
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.evidence import Probe
from mainstay.serving.host_client import HostClient
from mainstay.serving.routing import Placed

WITHIN = 60.0
"""Seconds in which a probe has to end."""
SECONDS, TIMES = 2.0, 200
"""How long, and how often at most, one row is asked to see how long it takes."""

Ask = Callable[[Cells], Awaitable[Answers]]


class Wanted(msgspec.Struct, frozen=True):
    """What is probed."""

    blobs: str
    """Root folder of the blob store."""
    candidate: Placed
    """In its host."""
    stable: Placed | None = None


class Probing:
    """A probe under way. Nothing here waits."""

    def __init__(self, wanted: Wanted) -> None:
        """Starts it."""
        self.wanted, self._begun = wanted, time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "mainstay.serving.probing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(wanted))
        self.process.stdin.close()
        self._found: Probe | None = None

    def found(self) -> Probe | None:
        """What it found; None while it is under way."""
        if self._found is None:
            version, late = self.wanted.candidate.version, time.monotonic() - self._begun > WITHIN
            if self.process.poll() is None and not late:
                return None
            if late:
                self._found = Probe(problem=f"{version} did not answer its golden predictions within {WITHIN:g} s.")
            else:
                assert self.process.stdout is not None
                self._found = _read(self.process.stdout.read(), version, self.process.returncode)
            self.end()
        return self._found

    def end(self) -> None:
        """Ends it, whether it is done or not."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def _read(said: bytes, version: str, code: int) -> Probe:
    try:
        return msgspec.json.decode(said.strip().rpartition(b"\n")[2], type=Probe)
    except msgspec.DecodeError:
        return Probe(problem=f"The probe of {version} ended without a word (exit code {code}).")


async def probe(wanted: Wanted) -> Probe:
    """Asks a candidate in its host, and the stable version where it is."""
    fetch = FolderBlobs(Path(wanted.blobs)).get
    package = Package(wanted.candidate.manifest, fetch)
    assert wanted.candidate.socket is not None
    client = HostClient(wanted.candidate.socket, version=wanted.candidate.version)
    try:
        golden = package.golden
        if not golden.rows:
            return Probe()
        cells = Reader(package.signature).rows(golden.rows)
        try:
            golden.check(await client.answer(cells))
            seconds = await _seconds(client.answer, cells)
        except (MainstayError, InputError) as error:
            return Probe(problem=f"{wanted.candidate.version} in its host process: {error}")
        stable = None if wanted.stable is None else await _of_stable(wanted.stable, golden.rows, fetch)
        return Probe(rows=len(cells), seconds=seconds, stable_seconds=stable)
    finally:
        await client.close()


async def _of_stable(placed: Placed, rows: list[dict[str, object]], fetch: Callable[[str], bytes]) -> float | None:
    """How long the stable version takes for a row; None where it does not take these rows, or does not answer."""
    package = Package(placed.manifest, fetch)
    client = None if placed.socket is None else HostClient(placed.socket, version=placed.version)
    try:
        cells = Reader(package.signature).rows(rows)
        ask = _inside(Model.load(package)) if client is None else client.answer
        return await _seconds(ask, cells)
    except (MainstayError, InputError):
        return None
    finally:
        if client is not None:
            await client.close()


def _inside(model: Model) -> Ask:
    async def ask(cells: Cells) -> Answers:
        return model.answer(cells)

    return ask


async def _seconds(ask: Ask, cells: Cells) -> float:
    """The median time of computing for one row, the first time aside."""
    each = [cells.rows(slice(row, row + 1)) for row in range(len(cells))]
    await ask(each[0])
    found: list[float] = []
    over = time.monotonic() + SECONDS
    while not found or (len(found) < TIMES and time.monotonic() < over):
        begun = time.perf_counter()
        answers = await ask(each[len(found) % len(each)])
        found.append(time.perf_counter() - begun if answers.seconds is None else answers.seconds)
    return float(np.median(found))


def main() -> None:
    """Probes what the standard input says."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    found = asyncio.run(probe(wanted))
    sys.stdout.buffer.write(b"\n" + msgspec.json.encode(found) + b"\n")


if __name__ == "__main__":
    main()
