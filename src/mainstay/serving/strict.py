"""JSON bodies, decoded strictly: each name once in an object, and whatever is wrong said in words."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from typing import Any

import msgspec

from mainstay.errors import MainstayError

_BYTE = re.compile(r"\(byte (\d+)\)")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = "The body holds half of a surrogate pair (\\ud800 to \\udfff): send both halves, or the character in UTF-8."
_NOT_NUMBERS = (b"NaN", b"Infinity", b"-Infinity")


class BadBody(MainstayError):
    """A body that is not one of the forms, or whose values do not fit the signature.

    `field` and `row` (from 0) say where, as far as that is known.
    """

    def __init__(self, message: str, *, field: str | None = None, row: int | None = None) -> None:
        self.field, self.row = field, row
        super().__init__(message)


def decoded(body: bytes, *, forms: str, tokens: bool = False) -> Any:
    """The document of a body.

    Args:
        body: JSON in UTF-8.
        forms: what may be sent, as a sentence for the refusal of an empty body.
        tokens: whether NaN, Infinity and -Infinity are taken, as some protocols do.

    Raises:
        BadBody: it is no JSON, is nested too deeply, or has a name twice in one object.
    """
    if not body.strip():
        raise BadBody(f"The body is empty. {forms}")
    try:
        if tokens and any(token in body for token in (b"NaN", b"Infinity")):
            document = json.loads(body.decode(), object_pairs_hook=_once)
            if _SURROGATE.search(body):
                json.dumps(document, ensure_ascii=False).encode()  # no text has half of a pair
            return document
        document = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_once)
    except msgspec.DecodeError as error:
        if "out of range" in str(error):
            _refuse_numbers(body)
        raise BadBody(_not_json(body, str(error))) from error
    except UnicodeEncodeError:
        raise BadBody(_HALF) from None
    except UnicodeDecodeError as error:
        raise BadBody(f"The body is not UTF-8 (byte {error.start}): send JSON in UTF-8.") from error
    except RecursionError:
        raise BadBody("The body is nested too deeply: no form needs that many levels.") from None
    except json.JSONDecodeError as error:
        raise BadBody(f"The body is not JSON: {error}.") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise BadBody(f"The body holds a number that cannot be read: {error}.") from error
    return document


def kind(value: Any) -> str:
    """What a decoded value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def _is_lax_json(body: bytes) -> bool:
    """Whether Python reads a body, which takes halves of surrogate pairs too."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in pairs:
        if name in named:
            raise BadBody(f"{name!r} is given twice in one object: send each name once.", field=name)
        named[name] = value
    return named


class _Beyond(str):
    """A number as it was written, where a double does not hold it."""

    __slots__ = ()


def _refuse_numbers(body: bytes) -> None:
    """Refuses (BadBody) the first number that is beyond what a double holds, with the name that it stands under."""

    def number(text: str) -> Any:
        return _Beyond(text) if math.isinf(float(text)) else 0

    def named(pairs: list[tuple[str, Any]]) -> None:
        for name, value in pairs:
            refuse(f"{name[:100]!r}", value, name)

    def refuse(where: str, value: Any, name: str | None) -> None:
        left = [value]
        while left:
            each = left.pop()
            if isinstance(each, list):
                left += reversed(each)
            elif isinstance(each, _Beyond):
                raise BadBody(f"{where} holds {each[:60]}: expected a number that a double holds.", field=name)

    with suppress(ValueError, RecursionError):  # what else is wrong with it is told by who called
        refuse("The body", json.loads(body, parse_float=number, parse_int=number, object_pairs_hook=named), None)


def _not_json(body: bytes, said: str) -> str:
    if ("truncated" in said or "surrogate" in said) and _SURROGATE.search(body) and _is_lax_json(body):
        return _HALF
    if "truncated" in said:
        return f"The body is not JSON: it ends too early, after {len(body)} bytes."
    if "utf-8" in said.lower():
        return "The body is not UTF-8: send JSON in UTF-8."
    place = _BYTE.search(said)
    if place is not None:
        at = int(place[1])
        for literal in _NOT_NUMBERS:
            if body[max(at - 1, 0) :].startswith(literal) or body[at:].startswith(literal):
                return f"{literal.decode()} at byte {at} is not JSON: send null where a value is missing."
    return f"The body is not JSON: {said.removeprefix('JSON is malformed: ')}."
