"""Which machines may be spoken to: those of the public internet, unless the project file says otherwise.

A name is resolved once, and the address that was looked at is the one that is connected to, so that a name which
changes its mind in between (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket

from mainstay.webhooks.errors import NotDelivered

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address."""


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may be meant: not private, loopback, link-local, shared, reserved or multicast,
    and no IPv6 form of an IPv4 address that is."""
    if isinstance(address, ipaddress.IPv6Address):
        inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inside.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(inner is not None and not is_public(inner) for inner in inside):
            return False
        if address.ipv4_mapped is not None or address in _NAT64:
            return True
    return address.is_global and not address.is_multicast


def admitted(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host that may be connected to, in the order in which the system prefers them.

    Raises:
        NotDelivered: the name is unknown, or none of its addresses may be.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotDelivered(f"the name {host} cannot be resolved") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    chosen = [each for each in addresses if allow_private or _public(each)]
    if not chosen:
        raise NotDelivered(
            f"{host} is {addresses[0]}, which is no public address: write allow_private = true if that is meant"
        )
    return chosen


def check_peer(address: str, *, allow_private: bool) -> None:
    """Raises NotDelivered where a connection led to a machine that may not be spoken to."""
    if not allow_private and not _public(address):
        raise NotDelivered(f"the connection led to {address}, which is no public address")


def _public(text: str) -> bool:
    # A zone ("fe80::1%eth0") says which of this machine's links is meant.
    return is_public(ipaddress.ip_address(text.partition("%")[0]))
