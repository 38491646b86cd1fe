"""Protocol buffers as fields by number, without the messages' own classes.

https://protobuf.dev/programming-guides/encoding/. Every occurrence of a field is given, also of one that a parser
would merge or replace: whoever looks for something forbidden misses nothing that any parser could see.
"""

from __future__ import annotations

from mainstay.errors import MainstayError

Field = bytes | int
Message = dict[int, list[Field]]
_LONGEST = 10
"""Bytes of a varint."""


class BadMessage(MainstayError):
    """Bytes that are no protocol buffer."""


def fields(data: bytes) -> Message:
    """The fields of a message: a number for a varint, bytes for all else. Raises BadMessage."""
    found: Message = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise BadMessage("A field of the message has a number that none has: the file is damaged.")
        value: Field
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 2, 5):
            size, at = _varint(data, at) if kind == 2 else (8 if kind == 1 else 4, at)
            if at + size > len(data):
                raise BadMessage("The message ends in the middle of a field: the file is damaged.")
            value, at = data[at : at + size], at + size
        else:
            raise BadMessage("The message has a field of a kind that is no longer written: the file is damaged.")
        found.setdefault(number, []).append(value)
    return found


def messages(message: Message, number: int) -> list[Message]:
    """The messages in a field. Raises BadMessage."""
    return [fields(value) for value in message.get(number, ()) if isinstance(value, bytes)]


def texts(message: Message, number: int) -> list[str]:
    """The texts in a field. Raises BadMessage."""
    try:
        return [value.decode("utf-8") for value in message.get(number, ()) if isinstance(value, bytes)]
    except UnicodeDecodeError:
        raise BadMessage("The message holds a name that is no text: the file is damaged.") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST):
        if at + place >= len(data):
            break
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise BadMessage("The message ends in the middle of a number: the file is damaged.")
