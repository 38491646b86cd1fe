"""A worker's side of a host process: many requests at once over one Unix socket."""

from __future__ import annotations

import asyncio
import itertools

import msgspec

from mainstay.errors import MachineError
from mainstay.models.answers import Answers
from mainstay.models.signature import Cells, InputError
from mainstay.serving.frames import Ask, Told, framed, next_frame

Waiting = dict[int, asyncio.Future[Answers]]


class HostGone(MachineError):
    """A version's host process does not answer: it crashed, hangs, or is being started again."""


class ModelFailed(MachineError):
    """A model in a host process failed on what it was asked; the process goes on."""


class HostClient:
    """Asks one host process. Lives in one event loop; connects at the first request, and again after a loss."""

    def __init__(self, socket: str, *, version: str, timeout: float = 30.0) -> None:
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
            HostGone: no host, a lost one, or one that does not answer in time.
            InputError: the model does not take these rows.
            ModelFailed: it failed on them.
        """
        identity = next(self._ids)
        future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        waiting: Waiting = {}
        try:
            writer, waiting = await self._connected()
            waiting[identity] = future
            writer.write(framed(Ask.of(identity, cells)))
            await writer.drain()
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            raise self._gone(f"did not answer within {self._timeout:g} s") from None
        except OSError as error:
            raise self._gone("cannot be reached") from error
        finally:
            waiting.pop(identity, None)
            if future.done() and not future.cancelled():
                future.exception()  # seen, also where the connection broke in the midst of sending

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
                    future.set_exception(self._gone("stopped while it was answering"))

    def _gone(self, what: str) -> HostGone:
        return HostGone(f"The host process of {self._version} {what}: try again in a few seconds.")
