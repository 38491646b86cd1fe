"""One POST to one address: no redirect, no proxy, no private machine, an end in bounded time."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from mainstay.errors import MainstayError
from mainstay.webhooks.addresses import admitted, check_peer
from mainstay.webhooks.errors import NotDelivered

TIMEOUT = 10.0
"""Seconds without a byte."""
DEADLINE = 20.0
"""Seconds for a whole attempt, however its bytes trickle."""
PORTS = {"http": 80, "https": 443}


class BadWebhookUrl(MainstayError):
    """A URL that no webhook can have."""


@dataclass(frozen=True)
class Place:
    """Where messages go."""

    scheme: str
    host: str
    port: int
    path: str
    """With its query."""
    allow_private: bool


def place_of(url: str, *, shown: str, allow_private: bool) -> Place:
    """The parts of a URL; `shown` stands in errors.

    Raises:
        BadWebhookUrl: not https (nor, with `allow_private`, http), without a host, or with a name and a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadWebhookUrl(f"[[webhooks]] url = {shown!r} is no URL, such as https://example.com/hook.") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise BadWebhookUrl(f"[[webhooks]] url = {shown!r} is no URL, such as https://example.com/hook.")
    if parts.scheme == "http" and not allow_private:
        raise BadWebhookUrl(
            f"[[webhooks]] url = {shown!r} would send in the clear: use https, or, inside of your own network, "
            "write allow_private = true."
        )
    if parts.username is not None or parts.password is not None:
        raise BadWebhookUrl(f"[[webhooks]] url = {shown!r} holds a name or password: the signature takes its place.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(ord(letter) <= 32 for letter in path):
        raise BadWebhookUrl(f"[[webhooks]] url = {shown!r} holds a space or letter that must be percent-encoded.")
    return Place(parts.scheme, parts.hostname, port or PORTS[parts.scheme], path, allow_private)


def send(
    place: Place,
    body: bytes,
    headers: Mapping[str, str],
    *,
    deadline: float = DEADLINE,
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> int:
    """Posts a body; the status of the answer, from 200 to 299. What it says is not read.

    Raises:
        NotDelivered: no connection, no answer in time, another status; or the host may not be spoken to.
    """
    until = time.monotonic() + deadline
    reason = ""
    for address in admitted(place.host, place.port, allow_private=place.allow_private):
        try:
            connected = _connected(address, place, until)
        except OSError as error:
            reason = f"{address} cannot be connected to ({_words(error)})"
            continue
        return _post(connected, place, body, headers, until=until, tls=tls)
    raise NotDelivered(reason)


def _post(
    connected: socket.socket,
    place: Place,
    body: bytes,
    headers: Mapping[str, str],
    *,
    until: float,
    tls: Callable[[], ssl.SSLContext],
) -> int:
    connection = http.client.HTTPConnection(place.host, place.port, timeout=TIMEOUT)
    connection.default_port = PORTS[place.scheme]  # which is then left out of the header Host
    try:
        with _ended(connected, until):
            wrapped = connected
            if place.scheme == "https":
                wrapped = tls().wrap_socket(connected, server_hostname=place.host)
            connection.sock = wrapped
            connection.request("POST", place.path, body=body, headers=dict(headers))
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() >= until
        raise NotDelivered("no answer in time" if late else f"no answer ({_words(error)})") from error
    finally:
        connection.close()
        connected.close()
    if 300 <= status < 400:
        raise NotDelivered(f"it answered {status}, and redirects are not followed")
    if not 200 <= status < 300:
        raise NotDelivered(f"it answered {status}")
    return status


def _connected(address: str, place: Place, until: float) -> socket.socket:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    connected = socket.create_connection((address, place.port), timeout=min(TIMEOUT, left))
    try:
        check_peer(str(connected.getpeername()[0]), allow_private=place.allow_private)
    except BaseException:
        connected.close()
        raise
    return connected


@contextmanager
def _ended(connected: socket.socket, until: float) -> Iterator[None]:
    """Cuts a connection at its deadline: a timeout alone counts from the last byte."""
    # A copy of the descriptor: once TLS has taken the socket over, the socket itself has none.
    with connected.dup() as held:
        timer = threading.Timer(max(0.0, until - time.monotonic()), _cut, [held])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _cut(held: socket.socket) -> None:
    try:
        held.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side was faster
        return


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
