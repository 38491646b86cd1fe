"""A host process's side of its sockets: one thread listens, and computes what takes no time.

It is a plain loop. Who asks is a handful of workers, each with one connection; and a class that runs an event loop of
its own, where it answers, must not find itself inside another.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Protocol

import msgspec

from mainstay.serving.frames import Ask, Cutter, Told, framed
from mainstay.serving.logs import Log

LEFT_ALONE = 5.0
"""Seconds without a worker after which a host ends whose agent is gone."""
TICK = 0.02
"""Seconds between two looks at whether it may end."""
AT_ONCE = 65_536
"""Bytes that are read at a time."""
_decoded = msgspec.msgpack.Decoder(Ask).decode


class Answering(Protocol):
    """A model, one request at a time."""

    spent: bool
    """Whether the process has no memory left to go on with."""

    def __call__(self, ask: Ask) -> bytes:
        """The answer as a frame, whatever comes of it."""

    def quick(self, rows: int) -> bool:
        """Whether so many rows are computed in no time."""

    def rest(self) -> float | None:
        """Nothing is computed at this moment; after how many seconds that is to be said again, if at all."""


class _Worker:
    """One connection: what was asked over it, and what it has not yet taken of the answers."""

    __slots__ = ("asks", "attended", "busy", "cutter", "left", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket, self.cutter = connected, Cutter()
        self.asks: deque[Ask] = deque()
        self.left = memoryview(b"")
        self.busy = False
        """Whether its request is in the thread: nothing more is heard of it meanwhile."""
        self.attended = 0
        """What the selector looks for."""


class Listening:
    """Answers on a Unix socket. One request at a time is computed: what is quick here, anything else in a thread."""

    def __init__(self, answering: Answering, path: Path, log: Log, *, agent: int) -> None:
        """`agent` is a file descriptor that ends when the agent does."""
        self._answering, self._path, self._log, self._agent = answering, path, log, agent
        self._selector = selectors.DefaultSelector()
        self._pool = ThreadPoolExecutor(1)
        self._aside = 0
        """Requests in the thread, or waiting for it."""
        self._done: deque[tuple[_Worker, Future[bytes]]] = deque()
        self._woken, self._waker = socket.socketpair()
        self._talking: set[_Worker] = set()
        self._told = self._orphaned = False
        """Whether the process is told to end; whether its agent is gone."""

    def until_let_go(self, ready: Callable[[], None], *, within: float) -> None:
        """Answers until the process is told to end (SIGTERM), or its agent is gone, and nobody is connected any more.

        Args:
            ready: called when it can be asked.
            within: seconds that the workers have to let go of it; after that the process ends all the same.
        """
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        listener.listen(128)
        for each in (listener, self._woken, self._waker):
            each.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, partial(self._accept, listener))
        self._selector.register(self._woken, selectors.EVENT_READ, self._awake)
        self._selector.register(self._agent, selectors.EVENT_READ, self._hear_agent)
        signal.signal(signal.SIGTERM, lambda number, frame: self._tell())
        ready()
        while not (self._told or self._orphaned):
            self._step()
        alone = monotonic() + LEFT_ALONE
        while not self._told and monotonic() < alone:  # nobody tells: the workers outlive the agent for a while
            self._step(TICK)
            alone = monotonic() + LEFT_ALONE if self._talking else alone
        until = monotonic() + within
        while self._talking and monotonic() < until:
            self._step(TICK)
        self._path.unlink(missing_ok=True)
        if self._talking:
            # The model hangs in its thread, which nothing but the end of the process can stop.
            self._log("host_cut_off", "The host process ends in the middle of a request.", level="error")
            os._exit(1)
        self._pool.shutdown(wait=False)
        self._selector.close()
        for each in (listener, self._woken, self._waker):
            each.close()

    def _step(self, seconds: float | None = None) -> None:
        if not self._aside:
            rest = self._answering.rest()
            seconds = rest if seconds is None else seconds
        for key, _ in self._selector.select(seconds):
            key.data()

    def _tell(self) -> None:
        self._told = True
        self._wake()

    def _wake(self) -> None:
        """Has the loop look at what is new; called by a signal, and in the thread."""
        with suppress(BlockingIOError):  # it has been told often enough
            self._waker.send(b"\0")

    def _awake(self) -> None:
        self._woken.recv(4096)
        while self._done:
            worker, future = self._done.popleft()
            self._aside -= 1
            worker.busy = False
            self._say(worker, future.result())
            self._go_on(worker)

    def _hear_agent(self) -> None:
        if not os.read(self._agent, 4096):
            self._selector.unregister(self._agent)
            self._orphaned = True

    def _accept(self, listener: socket.socket) -> None:
        try:
            connected, _ = listener.accept()
        except OSError:
            return  # who came is gone again
        connected.setblocking(False)
        worker = _Worker(connected)
        self._talking.add(worker)
        self._attend(worker)

    def _move(self, worker: _Worker) -> None:
        """Something can be read of a worker, or written to him who had not taken it all."""
        try:
            if worker.left:
                worker.left = worker.left[worker.socket.send(worker.left) :]
            else:
                data = worker.socket.recv(AT_ONCE)
                if not data:
                    self._part(worker)
                    return
                worker.asks.extend(map(_decoded, worker.cutter.cut(data)))
        except BlockingIOError:
            return
        except (OSError, msgspec.DecodeError):
            self._part(worker)
        else:
            self._go_on(worker)

    def _go_on(self, worker: _Worker) -> None:
        """Answers what was asked."""
        answering, said = self._answering, []
        while worker.asks and not worker.left and not worker.busy:
            ask = worker.asks.popleft()
            if ask.nothing:
                said.append(framed(Told(ask.id)))
            elif not self._aside and answering.quick(ask.shape[0]):
                said.append(answering(ask))
            else:
                self._put_aside(worker, ask)
        if said:
            self._say(worker, said[0] if len(said) == 1 else b"".join(said))
        self._attend(worker)

    def _put_aside(self, worker: _Worker, ask: Ask) -> None:
        def done(future: Future[bytes]) -> None:
            self._done.append((worker, future))
            self._wake()

        self._aside += 1
        worker.busy = True
        self._pool.submit(self._answering, ask).add_done_callback(done)

    def _say(self, worker: _Worker, data: bytes) -> None:
        if worker.left:
            data = b"".join((worker.left, data))
        try:
            sent = worker.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._part(worker)
            sent = len(data)
        if self._answering.spent:
            self._log("host_spent", "The host process ends, since the model found no memory left.", level="error")
            os._exit(1)
        worker.left = memoryview(data)[sent:]

    def _attend(self, worker: _Worker) -> None:
        """Looks for what can happen next with a worker."""
        wanted = 0
        if worker in self._talking:
            wanted = selectors.EVENT_WRITE if worker.left else 0 if worker.busy else selectors.EVENT_READ
        if wanted == worker.attended:
            return
        if not wanted:
            self._selector.unregister(worker.socket)
        elif worker.attended:
            self._selector.modify(worker.socket, wanted, partial(self._move, worker))
        else:
            self._selector.register(worker.socket, wanted, partial(self._move, worker))
        worker.attended = wanted

    def _part(self, worker: _Worker) -> None:
        """A worker is gone, and does not wait any more; or it is none of ours."""
        self._talking.discard(worker)
        worker.asks.clear()
        self._attend(worker)
        worker.socket.close()
