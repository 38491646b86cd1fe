"""Callers that ask without a pause, and hold every answer against what it must be."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvloop
from subjects import ROW

BODY = json.dumps(ROW).encode()
HEAD = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"


def asking(path: str) -> bytes:
    """A whole request."""
    return HEAD.format(path, len(BODY)).encode() + BODY


REQUEST = asking("/predict")
ANSWERED_WITHIN = 30.0
"""Seconds after which a caller counts his request as failed."""


class Callers:
    """What some callers of `loan` have met."""

    def __init__(self, port: int, expected: Mapping[str, float], path: str = "/predict") -> None:
        """`expected` is the probability of "good" by version."""
        self.port, self.expected = port, expected
        self._request = asking(path)
        self.answered: Counter[str] = Counter()
        """Right answers, by version."""
        self.failed: list[str] = []
        """Requests without a right answer, though the system had said that they were connected."""
        self.refused = 0
        """Connections that were not made."""
        self._over = False
        self._asking = 0

    @property
    def count(self) -> int:
        return self.answered.total()

    @property
    def done(self) -> bool:
        """Whether nobody asks any more."""
        return not self._asking

    def end(self) -> None:
        self._over = True

    async def ask(self, *, kept: int, fresh: int) -> None:
        """`kept` callers keep their connections; `fresh` make a new one for each request."""
        await asyncio.gather(*(self._go_on(number < kept) for number in range(kept + fresh)))

    async def _go_on(self, keeps: bool) -> None:
        streams = None
        self._asking += 1
        while not self._over:
            if streams is None:
                try:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    self.refused += 1
                    await asyncio.sleep(0.02)
                    continue
            try:
                async with asyncio.timeout(ANSWERED_WITHIN):
                    closes = await self._once(*streams)
            except (OSError, TimeoutError, EOFError, ValueError, KeyError, AssertionError) as error:
                self.failed.append(repr(error))
                closes = True
            if closes or not keeps:
                streams[1].close()
                streams = None
        self._asking -= 1
        if streams is not None:
            streams[1].close()

    async def _once(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Asks once; whether the server says that it closes the connection."""
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        said = await reader.readexactly(length)
        assert head.startswith(b"http/1.1 200 "), (head, said)
        answer = json.loads(said)
        share = self.expected[answer["model"]]
        assert math.isclose(answer["probabilities"]["good"], share, abs_tol=1e-12), answer
        self.answered[answer["model"]] += 1
        return b"connection: close" in head


@contextmanager
def calling(
    port: int, expected: Mapping[str, float], *, kept: int = 6, fresh: int = 2, path: str = "/predict"
) -> Iterator[Callers]:
    """Callers that ask for as long as the block runs, in a thread of their own."""
    callers = Callers(port, expected, path)
    thread = threading.Thread(target=lambda: uvloop.run(callers.ask(kept=kept, fresh=fresh)))
    thread.start()
    try:
        yield callers
    finally:
        callers.end()
        thread.join()
