"""JSON bodies, decoded strictly: each name once in an object, and whatever is wrong said in words."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from mainstay.errors import MainstayError

_BYTE = re.compile(r"\(byte (\d+)\)")
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
            return json.loads(body.decode(), object_pairs_hook=_once)
        document = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_once)
    except msgspec.DecodeError as error:
        raise BadBody(_not_json(body, str(error))) from error
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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in pairs:
        if name in named:
            raise BadBody(f"{name!r} is given twice in one object: send each name once.", field=name)
        named[name] = value
    return named


def _not_json(body: bytes, said: str) -> str:
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
