"""Keeps web pages of others out: what a browser sends by itself, on behalf of whatever page it shows.

Two things are held against each request. `Host`: a name that an attacker owns, and makes point to this machine (DNS
rebinding), gives his page the rights of a page of ours, and is told only by this header. `Origin`, and where a browser
sends none `Sec-Fetch-Site`: a page of another site may send a request that looks like ours, and is named there.

Programs that are no browsers send neither `Origin` nor `Sec-Fetch-Site`, and name the host that they were told.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mainstay.serving.protocols.codec import CLOSE, Given, Headers, Problem, Reply, kind_of
from mainstay.serving.way_out import Changed

REMEMBERED = 256
"""Hosts that are not looked at again."""
_EXPOSED = "x-request-id, x-model, retry-after, inference-header-content-length, www-authenticate"
_METHODS = "GET, HEAD, POST"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""Content types that a page may send anywhere without asking (https://fetch.spec.whatwg.org/#cors-safelisted-request-header)."""


def names_us(host: str, names: Iterable[str], *, dotless: bool) -> bool:
    """Whether a `Host` cannot be a name that somebody else owns: an address, localhost, or one of `names`.

    Args:
        dotless: a name without a dot is one of a network's own, such as a container's; nobody outside has any.
    """
    name = _name(host)
    if name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return dotless and bool(name) and "." not in name
    return True


def same_origin(origin: str, host: str | None, fetch_site: str | None) -> bool:
    """Whether a page may ask whose `Origin` was sent: it is of this very server, by its name or the browser's word.

    The scheme is not compared: behind a proxy that ends TLS it differs.
    """
    if fetch_site is not None:
        return fetch_site == "same-origin"
    return host is not None and origin.lower().partition("://")[2] == host.lower()


class Door:
    """Decides for the requests of one worker."""

    def __init__(
        self,
        *,
        loopback: bool,
        own: Iterable[str] = (),
        hosts: Sequence[str] = (),
        origins: Iterable[str] = (),
        is_open: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        Args:
            loopback: whether only this machine can reach the server.
            own: names of this machine.
            hosts: names that the server is called by, as its operator says.
            origins: pages that may ask it, such as "https://ml.example.org".
            is_open: whether callers need no key. Where they do, and no host is named, any `Host` is right: a page that
                has no key gets nothing by it.
        """
        self._names = frozenset(_name(each) for each in (*own, *hosts))
        self._origins = frozenset(each.lower().rstrip("/") for each in origins)
        self._dotless, self._always, self._is_open = not loopback, bool(hosts), is_open
        self._known: set[str | None] = {None}  # HTTP/1.0 has no Host; browsers do not speak it

    def passes(self, host: str | None, origin: str | None) -> bool:
        """Whether nothing is to be looked at more closely; what almost every request is asked alone."""
        return origin is None and (host in self._known or not (self._always or self._is_open()))

    def check(self, given: Given) -> None:
        """Refuses what a page of others may have sent.

        Raises:
            Problem: 421, the host is none of ours; 403, the page is of another site.
        """
        self.check_host(given.get("host"))
        self.check_page(given)

    def check_host(self, host: str | None) -> None:
        """Refuses a request under a name that may be an attacker's. Raises Problem."""
        if host in self._known or not (self._always or self._is_open()):
            return
        if not names_us(host or "", self._names, dotless=self._dotless):
            raise Problem(
                421,
                f"This server does not answer as {(host or '')[:100]!r}: a web page could be behind that. If it is "
                'yours, write hosts = ["NAME"] under [serve] in mainstay.toml.',
            )
        if len(self._known) >= REMEMBERED:
            self._known = {None}
        self._known.add(host)

    def check_page(self, given: Given) -> None:
        """Refuses a request that a page of another site has sent. Raises Problem."""
        origin, fetch_site = given.get("origin"), given.get("sec-fetch-site")
        if origin is None:
            # Somebody follows a link to here: he sees the answer, the page that has the link does not.
            if fetch_site in ("cross-site", "same-site") and given.get("sec-fetch-mode") != "navigate":
                raise _foreign("another site")
        elif not (self.shares(origin) or same_origin(origin, given.get("host"), fetch_site)):
            raise _foreign(repr(origin[:100]))

    def shares(self, origin: str | None) -> bool:
        """Whether pages of an origin may ask, and read the answers."""
        return origin is not None and bool(self._origins) and origin.lower() in self._origins

    def preflight(self, given: Given) -> Reply:
        """What a browser asks before a page of an origin that we share with asks for something."""
        headers: Headers = [
            *_shared(given.get("origin") or ""),
            ("access-control-allow-methods", _METHODS),
            ("access-control-allow-headers", given.get("access-control-request-headers") or "content-type"),
            ("access-control-max-age", "600"),
        ]
        return Reply(204, headers, b"")


def one_host(hosts: Sequence[str]) -> None:
    """Refuses (Problem) a request of several `Host` lines (RFC 9112, 3.2): a proxy may have gone by another one."""
    if len(hosts) > 1:
        raise Problem(400, f"The request has {len(hosts)} Host headers: send one.", headers=[CLOSE])


def no_form(content_type: str | None) -> None:
    """Refuses what a form of a web page sends, where no prediction is asked for. Raises Problem."""
    if content_type is not None and kind_of(content_type) in _FORMS:
        raise Problem(415, f"Content type {kind_of(content_type)!r} is not taken here: send application/json.")


def shared(proto: Any, origin: str) -> Changed:
    """The way out of a request of a page that we share with: its answers say so."""
    return Changed(proto, lambda headers: [*headers, *_shared(origin)])


def _shared(origin: str) -> Headers:
    return [
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", _EXPOSED),
        ("vary", "origin"),
    ]


def _foreign(page: str) -> Problem:
    return Problem(
        403,
        f"A web page of {page} asks: this server answers its own pages, and those of [serve] origins in mainstay.toml.",
    )


def _name(host: str) -> str:
    """The name of a `Host`, without its port, as names are compared."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")
