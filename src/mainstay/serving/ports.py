"""The port of a server: whether it is free, and how it is held while workers come and go."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from mainstay.errors import MachineError


class PortTaken(MachineError):
    """Somebody listens there already."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        super().__init__(f"Port {port} on {host} is in use: stop what listens there, or choose another with --port.")


class CannotListen(MachineError):
    """The address is none of this machine, or the port needs rights."""


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        with reserved(host, port):
            return True
    except MachineError:
        return False


@contextmanager
def reserved(host: str, asked: int) -> Iterator[tuple[str, int]]:
    """The address and the port, held by a socket that does not listen, so that nobody takes them between two workers.

    Raises:
        PortTaken, CannotListen.
    """
    try:
        found = socket.getaddrinfo(host or None, asked, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, where = found[0]
        address = str(where[0])
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, asked))
            port = int(probe.getsockname()[1])
            if asked:
                probe.listen(1)  # with SO_REUSEADDR, only this tells that another one listens
        held = _held(family, address, port)
    except socket.gaierror as error:
        raise CannotListen(f"{host!r} is no address of this machine: give another --host.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, asked) from error
        raise CannotListen(
            f"Cannot listen on {host}:{asked} ({error.strerror}): give another --host or --port."
        ) from error
    with held:
        yield address, port


def _held(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """Holds a port for whoever shares it (SO_REUSEPORT), so that a second server finds it taken at once."""
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        try:
            held.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Connections of an earlier server may linger there, which only this passes over.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((address, port))
    except BaseException:
        held.close()
        raise
    return held


def shown(host: str) -> str:
    """The host as it stands in a URL that a person on this machine can open."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there; a name that is not known is not."""
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        return False
    return all(ip_address(where[4][0]).is_loopback for where in found)
