"""How a new supervisor takes the port over from one that was killed, without a caller noticing.

A worker whose supervisor is gone goes on answering for a while, and offers its listening sockets at a Unix socket in
the run's folder, which is its user's alone. The next `mainstay serve` of the project that is to listen there takes
them, starts workers of its own on them, and tells the old ones to drain once the new ones are ready. A worker with
which a supervisor keeps in touch waits for that word for as long as it takes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mainstay.serving.listening import Listening, let_in, same_place
from mainstay.serving.logs import Log
from mainstay.serving.runs import has_workers, left_behind

OFFER = ".offer"
DRAIN = b"drain"
OFFERED_WITHIN = 2.0
"""Seconds in which a worker has noticed that its supervisor is gone."""
HEARD_WITHIN = 5.0
"""Seconds that a worker has to answer."""
MOST_SOCKETS = 4
"""Listening sockets that a worker may have."""
LOOK = 0.02
"""Seconds between two looks for an offer."""


class Offer:
    """A worker's offer of its listening sockets; made in its event loop."""

    def __init__(
        self, run: Path, index: int, sockets: Sequence[socket.socket], end: Callable[[], None], *, within: float
    ) -> None:
        """`end` is called when a new supervisor says so, or when none has come within so many seconds.

        Raises:
            OSError: nothing can be offered there.
        """
        self._loop = asyncio.get_running_loop()
        self._sockets, self._end, self._within = sockets, end, within
        self._taken: set[socket.socket] = set()
        self._at = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._at.setblocking(False)
        with _short(run / f"{index}{OFFER}") as path:
            Path(path).unlink(missing_ok=True)
            self._at.bind(path)
        self._at.listen(4)
        self._loop.add_reader(self._at, self._accept)
        self._timer = self._loop.call_later(within, end)

    def _accept(self) -> None:
        try:
            taker, _ = self._at.accept()
        except BlockingIOError:
            return
        taker.setblocking(False)
        try:
            socket.send_fds(taker, [b"sockets"], [each.fileno() for each in self._sockets])
        except OSError:  # it is gone again, or this worker drains already
            taker.close()
            return
        self._timer.cancel()
        self._taken.add(taker)
        self._loop.add_reader(taker, self._hear, taker)

    def _hear(self, taker: socket.socket) -> None:
        try:
            said = taker.recv(64)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self._loop.remove_reader(taker)
        taker.close()
        self._taken.discard(taker)
        if said == DRAIN:
            self._end()
        elif not self._taken:  # the one who took it died as well
            self._timer = self._loop.call_later(self._within, self._end)


class Orphans:
    """Workers whose supervisor was killed, in the supervisor that comes after it."""

    def __init__(self, root: Path, log: Log) -> None:
        """Finds those of a project, and keeps in touch with them."""
        self._log = log
        self._locks: dict[Path, int] = {}
        self._links: dict[Path, tuple[socket.socket, list[socket.socket]]] = {}
        """Of each offer's path, the connection to the worker and the listening sockets that it gave."""
        self._taken: set[Path] = set()
        self._told: set[Path] = set()
        for run, lock in left_behind(root):
            self._locks[run] = lock
            until = time.monotonic() + OFFERED_WITHIN
            while not self._linked_to(run) and has_workers(run) and time.monotonic() < until:
                time.sleep(LOOK)
                self._connect(run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in list(self._locks):
            self._forget(run)

    def listening(self, host: str, port: int) -> Listening | None:
        """The socket on which they listen at a place, to go on with; None where they do not."""
        for path, (_, sockets) in self._links.items():
            for each in sockets:
                if same_place(each, host, port):
                    self._taken.add(path.parent)
                    let_in(each)
                    # No dup() of Python's: that would make the workers' accepting wait, for they share what it sets.
                    return Listening(socket.socket(fileno=os.dup(each.fileno())))
        return None

    @property
    def left(self) -> bool:
        """Whether there are any."""
        return bool(self._locks)

    def leave_others(self) -> None:
        """Has nothing to do with those from whom nothing was taken."""
        for run in list(self._locks):
            if run not in self._taken:
                self._forget(run)
            else:
                self._log("taken_over", "The workers of a server that was killed still answer here: taking over.")

    def drain(self) -> None:
        """Tells those that have not been told to end; removes what they leave behind once they have. To be called
        every moment until nobody is left: one may be late in offering."""
        for run in list(self._locks):
            if not has_workers(run):
                self._forget(run)
                shutil.rmtree(run, ignore_errors=True)
                continue
            self._connect(run)
            for path, (link, _) in self._links.items():
                if path.parent == run and path not in self._told:
                    self._told.add(path)
                    with suppress(OSError):  # it ended meanwhile
                        link.sendall(DRAIN)

    def drain_the_late(self) -> None:
        """As `drain`, at the end of this process: waits for those who have not offered yet. They would hold the port
        for as long as orphans do, and hear nobody who connects."""
        until = time.monotonic() + OFFERED_WITHIN
        while self._locks and time.monotonic() < until:
            self.drain()
            time.sleep(LOOK)

    def _linked_to(self, run: Path) -> bool:
        return any(path.parent == run for path in self._links)

    def _connect(self, run: Path) -> None:
        for path in run.glob(f"*{OFFER}"):
            if path not in self._links and path not in self._told and (link := _linked(path)) is not None:
                self._links[path] = link

    def _forget(self, run: Path) -> None:
        for path in [path for path in self._links if path.parent == run]:
            link, sockets = self._links.pop(path)
            for each in (link, *sockets):
                each.close()
        os.close(self._locks.pop(run))


def _linked(path: Path) -> tuple[socket.socket, list[socket.socket]] | None:
    """A connection to the worker that offers there, and the listening sockets; None where it has ended."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(HEARD_WITHIN)
    try:
        with _short(path) as name:
            link.connect(name)
        _, given, _, _ = socket.recv_fds(link, 64, MOST_SOCKETS)
    except OSError:
        given = []
    if not given:
        link.close()
        path.unlink(missing_ok=True)  # nobody is there, or nobody who hears
        return None
    for number in given:
        os.set_inheritable(number, False)
    return link, [socket.socket(fileno=number) for number in given]


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of a Unix socket's path that fits, however deep its folder lies: systems allow about a hundred bytes."""
    if sys.platform != "linux":
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
