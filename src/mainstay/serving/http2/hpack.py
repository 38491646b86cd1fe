"""Header compression (RFC 7541): a decoder with the tables of one connection, and literals to write."""

from __future__ import annotations

import re
from collections import deque

from mainstay.serving.http2.frames import COMPRESSION_ERROR, Broken
from mainstay.serving.http2.huffman import decoded

Fields = dict[str, str]
"""Names in lower case; the values of one that is given several times are joined by commas."""

TABLE = 4096
"""Octets of the dynamic table."""
LONGEST = 32_768
"""Octets of the fields of a request, each counted with 32 more, as the tables count them."""
_OVERHEAD = 32
_REMEMBERED, _LONGEST_REMEMBERED = 64, 512

_STATIC = (
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    *((":status", code) for code in ("200", "204", "206", "304", "400", "404", "500")),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    *(
        (name, "")
        for name in re.findall(
            r"[a-z-]+",
            "accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control "
            "content-disposition content-encoding content-language content-length content-location content-range "
            "content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range "
            "if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range "
            "referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary "
            "via www-authenticate",
        )
    ),
)
STATUS_200 = b"\x88"
"""`:status: 200`, written."""


class Decoder:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._table: deque[tuple[str, str]] = deque()
        self._size, self._most = 0, TABLE
        self._seen: dict[bytes, Fields] = {}
        """What blocks said that neither changed the table nor would be read otherwise now."""

    def read(self, block: bytes) -> Fields:
        """The fields of a block; not to be changed.

        Raises:
            Broken: it is no such block, or too long: what is left out of account would spoil all blocks to come.
        """
        known = self._seen.get(block)
        if known is not None:
            return known
        fields: Fields = {}
        at, end, length, changed = 0, len(block), 0, False
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                name, value = self._field(index)
            elif first & 0xE0 == 0x20:
                if fields:
                    raise Broken(COMPRESSION_ERROR, "the table's size changes within a header block")
                size, at = _integer(block, at, 5)
                self._resize(size)
                changed = True
                continue
            else:
                kept = bool(first & 0x40)
                index, at = _integer(block, at, 6 if kept else 4)
                if index:
                    name = self._field(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                if kept:
                    self._add(name, value)
                    changed = True
            length += len(name) + len(value) + _OVERHEAD
            if length > LONGEST:
                raise Broken(COMPRESSION_ERROR, f"the headers are longer than {LONGEST} octets")
            fields[name] = f"{fields[name]},{value}" if name in fields else value
        if changed:
            self._seen.clear()
        elif end <= _LONGEST_REMEMBERED and len(self._seen) < _REMEMBERED:
            self._seen[block] = fields
        return fields

    def _field(self, index: int) -> tuple[str, str]:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        at = index - len(_STATIC) - 1
        if not 0 <= at < len(self._table):
            raise Broken(COMPRESSION_ERROR, f"the header index {index} stands for nothing")
        return self._table[at]

    def _add(self, name: str, value: str) -> None:
        size = len(name) + len(value) + _OVERHEAD
        self._shrink(self._most - size)
        if size <= self._most:
            self._table.appendleft((name, value))
            self._size += size

    def _resize(self, most: int) -> None:
        if most > TABLE:
            raise Broken(COMPRESSION_ERROR, f"a header table of {most} octets is more than the {TABLE} allowed")
        self._most = most
        self._shrink(most)

    def _shrink(self, most: int) -> None:
        while self._table and self._size > most:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + _OVERHEAD


def literal(name: str, value: str) -> bytes:
    """A field, written: without a place in any table, and without Huffman's code."""
    said = name.encode("latin-1"), value.encode("latin-1")
    return b"\x00" + b"".join(_length(len(each)) + each for each in said)


def _length(size: int) -> bytes:
    if size < 127:
        return bytes((size,))
    octets, rest = bytearray((127,)), size - 127
    while rest >= 128:
        octets.append(rest & 127 | 128)
        rest >>= 7
    octets.append(rest)
    return bytes(octets)


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """A number of a prefix of so many bits, and where the next begins."""
    most = (1 << bits) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    for shift in (0, 7, 14, 21):
        if at >= len(block):
            break
        octet = block[at]
        at += 1
        value += (octet & 127) << shift
        if octet < 128:
            return value, at
    raise Broken(COMPRESSION_ERROR, "a number in the headers is cut off, or too large")


def _string(block: bytes, at: int) -> tuple[str, int]:
    if at >= len(block):
        raise Broken(COMPRESSION_ERROR, "the headers are cut off")
    coded = bool(block[at] & 0x80)
    size, at = _integer(block, at, 7)
    data = block[at : at + size]
    if len(data) != size:
        raise Broken(COMPRESSION_ERROR, "the headers are cut off")
    return (decoded(data) if coded else data).decode("latin-1"), at + size
