"""The listening socket of a server: opened once, inherited by the workers, so that it outlives each of them.

All workers accept from this one socket. Connections that wait in its queue belong to none of them: whichever worker is
free takes the next, and a worker that dies takes along those alone that it had accepted.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from mainstay.serving.ports import CannotListen, PortTaken

BACKLOG = 16_384
"""Connections that may wait to be accepted; the system has a bound of its own (on Linux, net.core.somaxconn)."""
UNREAD_FOR = 60_000
"""Milliseconds after which a connection is cut whose client takes nothing of what it is sent."""
FIRST_PASSED = 3
"""File descriptor of the first socket that systemd passes, as sd_listen_fds(3) says."""
EMPTY_WITHIN = 1.0
"""Seconds that the end of a server waits for the queue to be accepted."""
SETTLE = 0.25
"""Seconds that handshakes which had begun may still take, where callers are on other machines."""
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
"""SO_ATTACH_FILTER and SO_DETACH_FILTER of Linux, which Python has no names for."""
_QUEUE_AT = 24
"""Where Linux's tcp_info has the length of a listening socket's queue, `tcpi_unacked`."""


@dataclass(frozen=True)
class Listening:
    """A socket that listens, in the supervisor."""

    socket: socket.socket
    own: bool = True
    """Whether it ends with this server; systemd's go on without it."""

    @property
    def address(self) -> str:
        return str(self.socket.getsockname()[0])

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        self.socket.close()

    def finish(self, alive: Callable[[], bool]) -> None:
        """Takes no more connections, and waits until those who were let in have been accepted.

        A listening socket that is closed resets whoever waits in its queue, though the system has told him that he is
        connected. So new callers are turned away first, then the queue runs empty, then it may be closed. Where the
        system cannot do that (or systemd goes on listening), nothing is done.

        Args:
            alive: whether anybody is left who accepts.
        """
        if not self.own or not _refuse_new(self.socket):
            return
        if not ip_address(self.address.partition("%")[0]).is_loopback:
            time.sleep(SETTLE)
        until = time.monotonic() + EMPTY_WITHIN
        while waiting(self.socket) and alive() and time.monotonic() < until:
            time.sleep(0.005)


def opened(host: str, port: int) -> Listening:
    """A new listening socket; port 0 takes a free one.

    Raises:
        PortTaken, CannotListen.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotListen(f"{host!r} is no address of this machine: give another --host.") from error
    family, _, _, _, where = found[0]
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier server may linger
        _set_up(made)
        made.bind(where)
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, port) from error
        raise CannotListen(
            f"Cannot listen on {host}:{port} ({error.strerror}): give another --host or --port."
        ) from error
    return Listening(made)


def passed(environment: MutableMapping[str, str]) -> tuple[Listening, ...]:
    """The sockets that systemd (or who speaks as it does) opened for this process: that for HTTP, then that for gRPC.

    Of two, the one that is called grpc (FileDescriptorName= of its unit) is gRPC's; where none is, or both are, the
    second is. What the environment says of them is removed: it is said to this process alone.

    Raises:
        CannotListen: more than two, or one that is none of TCP.
    """
    said = [environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    if said[0] != str(os.getpid()) or said[1] in ("", "0"):
        return ()
    if said[1] not in ("1", "2"):
        raise CannotListen(
            f"systemd passes {said[1]} sockets: give the socket unit a ListenStream= for HTTP, and maybe one for gRPC."
        )
    given = [_given(FIRST_PASSED + number) for number in range(int(said[1]))]
    names = said[2].split(":")
    if names[0] == "grpc" and names[1:] not in ([], ["grpc"]):
        given.reverse()
    return tuple(given)


def _given(number: int) -> Listening:
    os.set_inheritable(number, False)
    given = socket.socket(fileno=number)
    if given.family not in (socket.AF_INET, socket.AF_INET6) or given.type != socket.SOCK_STREAM:
        given.detach()
        raise CannotListen("systemd passes a socket that is none of TCP: write ListenStream=HOST:PORT in its unit.")
    _set_up(given)
    return Listening(given, own=False)


def _set_up(listening: socket.socket) -> None:
    """What connections inherit from the socket that they are accepted from."""
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_FOR)


def same_place(listening: socket.socket, host: str, port: int) -> bool:
    """Whether a socket listens where a server is asked to."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        return False
    return bool(port) and listening.getsockname()[:2] == found[0][4][:2]


def waiting(listening: socket.socket) -> int:
    """How many connections wait to be accepted; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    return int(struct.unpack_from("I", listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), _QUEUE_AT)[0])


def let_in(listening: socket.socket) -> None:
    """Has the system take new connections again, where a server that was about to end had it drop them: the filter is
    the socket's, whoever has it next."""
    if sys.platform == "linux":
        with suppress(OSError):  # there is none
            listening.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)


def _refuse_new(listening: socket.socket) -> bool:
    """Has the system drop what asks for a new connection, by a filter of the socket's own (see socket(7)); whether it
    can. Whoever is dropped asks again a second later, and is told then that nobody listens."""
    if sys.platform != "linux":
        return False
    program = (
        (0x30, 0, 0, 13),  # load the byte of TCP's flags
        (0x54, 0, 0, 0x12),  # of which SYN and ACK
        (0x15, 0, 1, 0x02),  # where it is SYN alone,
        (0x06, 0, 0, 0),  # drop,
        (0x06, 0, 0, 0xFFFFFFFF),  # else take
    )
    code = array.array("B", b"".join(struct.pack("HBBI", *step) for step in program))
    with suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", len(program), code.buffer_info()[0]))
        return True
    return False
