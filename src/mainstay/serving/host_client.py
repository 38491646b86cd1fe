"""A worker's side of a host process: many requests at once over one Unix socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import cast

import msgspec

from mainstay.errors import MachineError
from mainstay.models.answers import Answers
from mainstay.models.signature import Cells, InputError
from mainstay.serving.frames import ANSWER_WITHIN, Ask, Cutter, Told, framed

BACK_WITHIN, LOOK_EVERY = 15.0, 0.1
"""Seconds that callers wait for a host that died to be there again, and between two looks."""
CONNECTED_WITHIN = 5.0
_decoded = msgspec.msgpack.Decoder(Told).decode


class HostGone(MachineError):
    """A version's host process does not answer: it crashed, hangs, or is being started again."""


class HostDied(HostGone):
    """A version's host process ended, or closed the connection, while it was answering."""


class HostSilent(HostGone):
    """A version's host process is there, and did not answer in time."""


class ModelFailed(MachineError):
    """A model in a host process failed on what it was asked; the process goes on."""


class HostClient:
    """Asks one host process. Lives in one event loop; connects at the first request, and again after a loss."""

    def __init__(self, socket: str, *, version: str, timeout: float = ANSWER_WITHIN) -> None:
        """`timeout` is how many seconds an answer may take."""
        self._socket, self._version, self._timeout = socket, version, timeout
        self._ids = itertools.count(1)
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """How many requests wait for their answer."""
        return 0 if self._line is None else len(self._line.waiting)

    def answer(self, cells: Cells) -> asyncio.Future[Answers]:
        """The host's answers for rows.

        Raises:
            HostGone: no host; HostSilent: one that does not answer in time; HostDied: one that was lost meanwhile.
            InputError: the model does not take these rows.
            ModelFailed: it failed on them.
        """
        ask, line = Ask.of(next(self._ids), cells), self._line
        if line is not None and line.open:
            return line.ask(ask, self._timeout)
        return asyncio.ensure_future(self._connected_and_asked(ask, self._timeout))

    async def back(self, error: Exception) -> bool:
        """After an error, whether it is worth asking again: the host died, and is there again.

        Waits for that, but no longer than `BACK_WITHIN`. What answers then begins anew, so that whoever is asked again
        gets what he would have got the first time.
        """
        if not isinstance(error, HostDied):
            return False
        loop = asyncio.get_running_loop()
        until = loop.time() + BACK_WITHIN
        while (left := until - loop.time()) > 0:
            try:
                # Connected is not enough: one that is just ending may still have a socket that listens.
                await self._connected_and_asked(Ask(next(self._ids), (0, 0), b"", {}, nothing=True), left)
            except HostGone:
                await asyncio.sleep(LOOK_EVERY)
            else:
                return True
        return False

    async def close(self) -> None:
        """Lets go of the connection, once those who wait have had their answers."""
        while self.waiting:
            await asyncio.sleep(0.05)  # ends, for each of them waits no longer than the timeout
        if self._line is not None:
            await self._line.close()

    async def _connected_and_asked(self, ask: Ask, within: float) -> Answers:
        async with self._connecting:
            line = self._line
            if line is None or not line.open:
                try:
                    line = await asyncio.wait_for(self._connected(), CONNECTED_WITHIN)
                except TimeoutError:
                    raise HostSilent(self._words(f"did not answer within {CONNECTED_WITHIN:g} s")) from None
                except OSError as error:
                    raise HostGone(self._words("cannot be reached")) from error
                self._line = line
        return await line.ask(ask, within)

    async def _connected(self) -> _Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_unix_connection(lambda: _Line(self._words), self._socket)
        return line

    def _words(self, what: str) -> str:
        return f"The host process of {self._version} {what}: try again in a few seconds."


class _Line(asyncio.Protocol):
    """One connection. One clock watches all who wait: a timer a request would cost as much as its frame."""

    def __init__(self, words: Callable[[str], str]) -> None:
        self._words, self._cutter = words, Cutter()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = self._loop.create_future()
        self.waiting: dict[int, tuple[asyncio.Future[Answers], float, float]] = {}
        """By the number of the request: who waits, until when on the loop's clock, and how long that is."""

    @property
    def open(self) -> bool:
        """Whether anybody may be asked here."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, ask: Ask, within: float) -> asyncio.Future[Answers]:
        """Answers, for which somebody waits so many seconds."""
        future: asyncio.Future[Answers] = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            future.set_exception(HostDied(self._words("stopped while it was answering")))
            return future
        until = self._loop.time() + within
        self.waiting[ask.id] = future, until, within
        self._watch(until)
        self._transport.write(framed(ask))
        return future

    async def close(self) -> None:
        """Lets go of it."""
        if self._transport is not None:
            self._transport.close()
            await self._lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has all of it, and another class

    def data_received(self, data: bytes) -> None:
        try:
            for document in self._cutter.cut(data):
                self._take(_decoded(document))
        except (OSError, msgspec.DecodeError, ValueError, TypeError):  # no frame, or one that holds no answers
            if self._transport is not None:
                self._transport.abort()  # whoever waits is told below

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._lost.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        waiting, self.waiting = self.waiting, {}
        for future, _, _ in waiting.values():
            if not future.done():
                future.set_exception(HostDied(self._words("stopped while it was answering")))

    def _take(self, told: Told) -> None:
        found = self.waiting.get(told.id)
        answers = told.answers() if found is not None and told.error is None else None
        if found is None:
            return  # nobody waits any more
        del self.waiting[told.id]
        future = found[0]
        if future.done():
            return
        if answers is not None:
            future.set_result(answers)
        else:
            said = told.error or ""
            future.set_exception(InputError(said) if told.refused else ModelFailed(said))

    def _watch(self, until: float) -> None:
        """Looks at who waits at that time, or before."""
        if self._timer is None or self._timer.when() > until:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(until, self._look)

    def _look(self) -> None:
        self._timer = None
        now, first = self._loop.time(), float("inf")
        for identity, (future, until, within) in list(self.waiting.items()):
            if until <= now or future.done():
                del self.waiting[identity]
                if not future.done():
                    future.set_exception(HostSilent(self._words(f"did not answer within {within:g} s")))
            else:
                first = min(first, until)
        if self.waiting:
            self._watch(first)
