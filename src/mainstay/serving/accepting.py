"""A worker's side of the listening socket: it accepts from the one that it inherits, and loses nobody when it stops.

granian, told to stop, closes at once each connection that is between two requests, and one that was accepted a moment
ago too. So a worker first accepts no more, then says `Connection: close` with each answer, and tells granian to stop
when nobody is left, or nobody has asked for a while.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

from granian.net import SocketHolder  # type: ignore[attr-defined] # granian re-exports it without saying so
from granian.server.embed import Server

from mainstay.serving.draining import LAST_CALL
from mainstay.serving.listening import BACKLOG

CONNECTIONS = 16_384
"""Connections a worker keeps; granian's own bound would let a thousand idle ones shut everybody out."""
OTHER_FILES = 256
"""Files that a worker needs beside its connections."""
QUIET = 1.0
"""Seconds without an answer after which those who are still connected are taken for idle."""
LOOK = 0.02
"""Seconds between two looks at them."""


def most_connections() -> int:
    """How many connections this process may keep, having raised its limit of open files as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return max(16, min(CONNECTIONS, files - OTHER_FILES))


class InheritedServer(Server):
    """granian on a listening socket that exists already."""

    def __init__(self, target: Any, listening: socket.socket, **settings: Any) -> None:
        """`settings` are granian's own."""
        host, port = listening.getsockname()[:2]
        super().__init__(target, address=host, port=port, backlog=BACKLOG, **settings)
        self._listening, self._fd = listening, -1

    def _init_shared_socket(self) -> None:
        self._fd = os.dup(self._listening.fileno())  # granian closes its own
        known = (self._fd, False, BACKLOG) if sys.platform.startswith(("linux", "freebsd")) else (self._fd, False)
        self._ssp: Any = None
        self._shd: Any = SocketHolder(*known)

    def accept_no_more(self) -> None:
        """Leaves the listening socket to the others; the connections that were accepted go on."""
        # granian's number gets a socket that nobody ever connects to: its loop finds nothing more to accept.
        with socket.socket(self._listening.family, socket.SOCK_STREAM) as nobody:
            nobody.setblocking(False)
            nobody.bind(("::1" if nobody.family == socket.AF_INET6 else "127.0.0.1", 0))
            nobody.listen(1)
            os.dup2(nobody.fileno(), self._fd, inheritable=False)
        self._listening.close()


async def quiet(port: int, answered: Callable[[], int]) -> None:
    """Waits until nobody is connected to a port of this process, or nobody has been answered for a while.

    Args:
        answered: how many requests have been answered, ever.
    """
    loop = asyncio.get_running_loop()
    begun = since = loop.time()
    before = answered()
    while connected(port):
        now, count = loop.time(), answered()
        if count != before:
            before, since = count, now
        if now - since > QUIET or now - begun > LAST_CALL:  # then they are taken for idle in any case
            return
        await asyncio.sleep(LOOK)


def connected(port: int) -> bool:
    """Whether this process has a TCP connection at its own port."""
    return any(_is_connection(int(name), port) for name in os.listdir("/dev/fd"))  # noqa: PTH208 - names alone


def _is_connection(fd: int, port: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return False
        with socket.socket(fileno=os.dup(fd)) as known:
            if known.family not in (socket.AF_INET, socket.AF_INET6) or known.getsockname()[1] != port:
                return False
            known.getpeername()
    except OSError:  # closed meanwhile, or no connection
        return False
    return True
