"""A worker's side of a host process: many requests at once over one Unix socket."""

from __future__ import annotations

import asyncio
import itertools

import msgspec

from mainstay.errors import MachineError
from mainstay.models.answers import Answers
from mainstay.models.signature import Cells, InputError
from mainstay.serving.frames import ANSWER_WITHIN, Ask, Told, framed, next_frame

Waiting = dict[int, asyncio.Future[Answers]]
BACK_WITHIN, LOOK_EVERY = 15.0, 0.1
"""Seconds that callers wait for a host that died to be there again, and between two looks."""


class HostGone(MachineError):
    """A version's host process does not answer: it crashed, hangs, or is being started again."""


class HostDied(HostGone):
    """A version's host process ended, or closed the connection, while it was answering."""


class ModelFailed(MachineError):
    """A model in a host process failed on what it was asked; the process goes on."""


class HostClient:
    """Asks one host process. Lives in one event loop; connects at the first request, and again after a loss."""

    def __init__(self, socket: str, *, version: str, timeout: float = ANSWER_WITHIN) -> None:
        """`timeout` is how many seconds an answer may take."""
        self._socket, self._version, self._timeout = socket, version, timeout
        self._ids = itertools.count(1)
        self._waiting: Waiting = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """How many requests wait for their answer."""
        return len(self._waiting)

    async def answer(self, cells: Cells) -> Answers:
        """The host's answers for rows.

        Raises:
            HostGone: no host, or one that does not answer in time; HostDied: one that was lost meanwhile.
            InputError: the model does not take these rows.
            ModelFailed: it failed on them.
        """
        return await self._told(Ask.of(next(self._ids), cells), self._timeout)

    async def _told(self, ask: Ask, within: float) -> Answers:
        future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        waiting: Waiting = {}
        try:
            writer, waiting = await self._connected()
            waiting[ask.id] = future
            writer.write(framed(ask))
            await writer.drain()
            return await asyncio.wait_for(future, within)
        except TimeoutError:
            raise HostGone(self._words(f"did not answer within {within:g} s")) from None
        except OSError as error:
            if ask.id in waiting:
                raise HostDied(self._words("stopped while it was answering")) from error
            raise HostGone(self._words("cannot be reached")) from error
        finally:
            waiting.pop(ask.id, None)
            if future.done() and not future.cancelled():
                future.exception()  # seen, also where the connection broke in the midst of sending

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
                await self._told(Ask(next(self._ids), (0, 0), b"", {}, nothing=True), left)
            except HostGone:
                await asyncio.sleep(LOOK_EVERY)
            else:
                return True
        return False

    async def close(self) -> None:
        """Lets go of the connection, once those who wait have had their answers."""
        while self._waiting:
            await asyncio.sleep(0.05)  # ends, for each of them waits no longer than the timeout
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _connected(self) -> tuple[asyncio.StreamWriter, Waiting]:
        async with self._connecting:
            if self._writer is None or self._writer.is_closing():
                reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(self._socket), 5.0)
                self._writer, self._waiting = writer, {}
                self._listening = asyncio.create_task(self._listen(reader, writer, self._waiting))
            return self._writer, self._waiting

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: Waiting) -> None:
        try:
            while True:
                told = msgspec.msgpack.decode(await next_frame(reader), type=Told)
                future = waiting.get(told.id)
                if future is None or future.done():
                    continue  # its caller is gone
                if told.error is None:
                    future.set_result(told.answers())
                else:
                    future.set_exception(InputError(told.error) if told.refused else ModelFailed(told.error))
        except (OSError, EOFError, msgspec.DecodeError):
            pass  # whoever waits is told below
        finally:
            writer.close()
            for future in waiting.values():
                if not future.done():
                    future.set_exception(HostDied(self._words("stopped while it was answering")))

    def _words(self, what: str) -> str:
        return f"The host process of {self._version} {what}: try again in a few seconds."
