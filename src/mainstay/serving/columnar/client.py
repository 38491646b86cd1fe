"""A worker's side of the process that reads and writes Arrow and Parquet: started at need, and again after it died."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from importlib.util import find_spec

import msgspec

from mainstay.errors import MachineError, MainstayError, MissingExtra
from mainstay.serving.columnar.messages import CALLED, Done, Read, Write
from mainstay.serving.frames import framed, next_frame
from mainstay.serving.strict import BadBody

START_WITHIN = 30.0
"""Seconds in which the process has to be ready."""
WITHIN = 10.0
"""Seconds that a body may take."""
MOST_WAITING = 64
"""Requests that may wait for the process; more are refused at once rather than late."""
_SEEN = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables of the environment that it sees: no password is among them."""
_OWN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
"""Allocators that reserve nothing ahead, so that its bound of memory means what it says."""
_OF_THE_FILE = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP)
"""Signals that end a parser which what it parsed has led astray."""


class TooBig(MainstayError):
    """A body that holds more than may be read at once, or takes too long."""


class ReaderBusy(MachineError):
    """Too many bodies wait to be read."""


class ReaderGone(MachineError):
    """The process cannot be started, or was ended by somebody else."""


def missing() -> MissingExtra | None:
    """Why Arrow and Parquet are not taken here; None where they are."""
    return None if find_spec("pyarrow") else MissingExtra("A body in Arrow or Parquet", "arrow", "pyarrow")


class ColumnarClient:
    """Asks one process, one request at a time. Lives in one event loop."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._decode = msgspec.msgpack.Decoder(Done).decode

    @property
    def pid(self) -> int | None:
        """Of the process, where one was started."""
        return None if self._process is None else self._process.pid

    async def ask(self, asked: Read | Write) -> Done:
        """What becomes of a request.

        Raises:
            BadBody: no such body, or one that ended the process; TooBig: it holds too much, or takes too long.
            ReaderBusy, ReaderGone.
        """
        if self._waiting >= MOST_WAITING:
            raise ReaderBusy(f"{self._waiting} bodies wait to be read already: try again in a second.")
        self._waiting += 1
        try:
            async with self._turn:
                done = await self._asked(asked)
        finally:
            self._waiting -= 1
        if done.error is not None:
            raise TooBig(done.error) if done.large else BadBody(done.error, field=done.column)
        return done

    async def close(self) -> None:
        """Ends the process."""
        await self._ended()

    async def _asked(self, asked: Read | Write) -> Done:
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(WITHIN):
                process.stdin.write(framed(asked))
                await process.stdin.drain()
                done = self._decode(await next_frame(process.stdout))
        except TimeoutError:
            await self._ended()
            raise TooBig(f"The body could not be read within {WITHIN:g} s: send fewer rows at a time.") from None
        except (OSError, EOFError, msgspec.DecodeError):
            raise _gone(await self._ended(), CALLED[asked.kind]) from None
        except BaseException:  # the caller is gone, and nobody would take the answer out of the pipe
            await self._ended()
            raise
        if done.ends:
            await self._ended()
        return done

    async def _running(self) -> Process:
        process = self._process
        if process is not None and process.returncode is None:
            return process
        await self._ended()
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is imported from the folder that the server happens to run in
            "-W",
            "ignore",
            "-m",
            "mainstay.serving.columnar.process",
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={name: os.environ[name] for name in _SEEN if name in os.environ}
            | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_WITHIN):
                await next_frame(process.stdout)
        except (TimeoutError, OSError, EOFError):
            code = await self._ended()
            raise ReaderGone(
                f"The process that reads Arrow and Parquet could not be started (exit code {code}): "
                "see whether pip install 'mainstay[arrow]' is whole, or send application/json."
            ) from None
        except BaseException:
            await self._ended()
            raise
        return process

    async def _ended(self) -> int | None:
        """Ends the process if there is one; its exit code, minus the signal that ended it."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.stdin is not None:
            process.stdin.close()
        # One that crashed is on its way out, and its own signal says more than ours would.
        try:
            async with asyncio.timeout(0.5):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()


def _gone(code: int | None, what: str) -> Exception:
    if code is not None and -code in _OF_THE_FILE:
        return BadBody(f"The body is not {what} that can be read: its reader stopped on it.")
    if code == -signal.SIGALRM:
        return TooBig(f"The body could not be read within {WITHIN:g} s: send fewer rows at a time.")
    return ReaderGone(f"The process that reads {what} ended (exit code {code}): try again.")
