"""Callers that ask without a pause and hold every answer against the native one: y = x, whoever answers."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvloop

ANSWERED_WITHIN = 30.0
"""Seconds after which a caller counts his request as failed."""
LEAST, MOST = 1_000, 100_000
"""What is asked of lies between them, far from what a model was tried with before it had traffic."""


@dataclass(frozen=True)
class Failure:
    """A request that has no right answer."""

    at: float
    """By `time.monotonic`."""
    port: int
    """The caller's own end of its connection."""
    why: str


@dataclass
class Load:
    """What the callers of a server have met."""

    port: int
    path: str = "/models/one/predict"
    sent: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    """Right answers, by version."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Others, by version."""
    failed: list[Failure] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    """When each version answered last, by `time.monotonic`."""
    excused: set[int] = field(default_factory=set)
    """Ports of connections that a killed worker had."""
    faults: list[tuple[float, str]] = field(default_factory=list)
    """What was done to the server meanwhile, and when."""
    _over: bool = False

    @property
    def count(self) -> int:
        return self.answered.total()

    @property
    def blamed(self) -> list[Failure]:
        """Failures that nothing excuses."""
        return [failure for failure in self.failed if failure.port not in self.excused]

    def told(self, case: str) -> str:
        """A line of the report."""
        excused = len(self.failed) - len(self.blamed)
        wrong = f"{self.wrong.total()} wrong" + (f" ({dict(self.wrong)})" if self.wrong else "")
        return (
            f"{case}: {self.sent:,} requests sent, {len(self.blamed)} failed, {excused} failed on killed workers' own "
            f"connections, {wrong}; right: {dict(self.answered)}"
            + "".join(f"\n  {failure}, after {self.before(failure.at)}" for failure in self.blamed[:20])
        )

    def before(self, at: float) -> str:
        """The last faults until then."""
        return (
            ", ".join(f"{fault} ({at - when:.2f} s)" for when, fault in self.faults[-200:] if at - when < 30.0)
            or "none"
        )

    def by(self, version: str) -> int:
        """Answers of a version, right and wrong."""
        return self.answered[version] + self.wrong[version]

    async def ask(self, *, kept: int, fresh: int, seed: int) -> None:
        """`kept` callers keep their connections; `fresh` make a new one for each request."""
        await asyncio.gather(
            *(self._go_on(random.Random(seed * 1000 + number), number < kept) for number in range(kept + fresh))
        )

    async def _go_on(self, chance: random.Random, keeps: bool) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._over:
            port = 0
            self.sent += 1
            try:
                async with asyncio.timeout(ANSWERED_WITHIN):
                    streams = streams or await asyncio.open_connection("127.0.0.1", self.port)
                    port = streams[1].get_extra_info("sockname")[1]
                    closes = await self._once(chance.randrange(LEAST, MOST), *streams)
            except (OSError, TimeoutError, EOFError, ValueError, KeyError) as error:
                self.failed.append(Failure(time.monotonic(), port, repr(error)))
                closes = True
            if streams is not None and (closes or not keeps):
                streams[1].close()
                streams = None
        if streams is not None:
            streams[1].close()

    async def _once(self, x: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Asks once; whether the server says that it closes the connection.

        Raises:
            ValueError: the answer is none, or says that there is none.
        """
        body = b'{"x": %d}' % x
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (self.path.encode(), len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        said = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        if not head.startswith(b"http/1.1 200 "):
            raise ValueError(f"{head[:20]!r} {said!r}")
        answer = json.loads(said)
        right = abs(answer["prediction"] - x) <= 1e-6 * x
        (self.answered if right else self.wrong)[answer["model"]] += 1
        self.last[answer["model"]] = time.monotonic()
        return b"connection: close" in head


@contextmanager
def loaded(port: int, *, seed: int, kept: int = 6, fresh: int = 2, path: str = Load.path) -> Iterator[Load]:
    """Callers that ask for as long as the block runs, in a thread of their own."""
    load = Load(port, path)
    thread = threading.Thread(target=lambda: uvloop.run(load.ask(kept=kept, fresh=fresh, seed=seed)))
    thread.start()
    try:
        yield load
    finally:
        load._over = True
        thread.join()
