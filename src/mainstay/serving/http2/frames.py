"""Frames of HTTP/2: their types and flags, how one is written, and what breaks a connection."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9
"""Octets before a frame's payload."""
LONGEST = 16_384
"""Octets of the longest payload that is taken: what is allowed without asking."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, WITH_PRIORITY = 0x4, 0x8, 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x2, 0x3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 0x5, 0x6, 0x7, 0x8, 0x9
ENHANCE_YOUR_CALM = 0xB

LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
"""Octets that either side may send before it hears more."""

_HEAD = struct.Struct(">HBBBL")
_LONG, _SETTING, _LEAVE = struct.Struct(">L"), struct.Struct(">HL"), struct.Struct(">LL")


class Broken(Exception):
    """The other side broke the protocol: the connection ends with this code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame, whole."""
    return head(kind, flags, stream, len(payload)) + payload


def head(kind: int, flags: int, stream: int, length: int) -> bytes:
    """What stands before a payload of so many octets."""
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


def settings(**chosen: int) -> bytes:
    """A SETTINGS frame, by the names of this module in lower case."""
    numbers = globals()
    return frame(
        SETTINGS, 0, 0, b"".join(_SETTING.pack(numbers[name.upper()], value) for name, value in chosen.items())
    )


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The settings of a frame, in their order; the length is a multiple of six."""
    return list(_SETTING.iter_unpack(payload))


def reset(stream: int, code: int) -> bytes:
    """A frame that ends a stream."""
    return frame(RST_STREAM, 0, stream, _LONG.pack(code))


def window_update(stream: int, more: int) -> bytes:
    """A frame that lets the other side send so many octets more."""
    return frame(WINDOW_UPDATE, 0, stream, _LONG.pack(more))


def going_away(last: int, code: int, why: str = "") -> bytes:
    """A frame that ends a connection; streams up to `last` are still answered."""
    return frame(GOAWAY, 0, 0, _LEAVE.pack(last, code) + why.encode()[:200])


def number(payload: bytes) -> int:
    """The 31 bits of a payload of four octets."""
    (value,) = _LONG.unpack(payload)
    return int(value) & LARGEST_WINDOW
