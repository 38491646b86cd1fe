"""A case with one thing of its JSON changed: bytes changed blindly seldom get past the parser."""

from __future__ import annotations

import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53,
    2**53 + 1,
    2**63,
    2**64,
    10**40,
    -0.0,
    1e308,
    1.5,
    1e999,
    "",
    "?",
    "NaN",
    "é\ud800",
    "a" * 300,
    "AAAA",
    "2020-13-01",
    [],
    {},
    [[]],
    [None],
    {"b64": "AA=="},
    {"b64": "!"},
    [[[[[[[[[[1]]]]]]]]]],
    [1] * 50,
)
DEEP = 200
"""Lists in each other, of the deepest change."""


def changed(case: bytes, seed: int) -> bytes | None:
    """The case with something of its JSON replaced, removed, repeated, renamed or moved; None where that cannot be."""
    if case.count(b"[") + case.count(b"{") > DEEP:
        return None
    draw = random.Random(seed)
    length = int.from_bytes(case[2:4], "little")
    body, tail = case[4:], b""
    try:
        document = json.loads(body)
    except ValueError:
        body, tail = case[4 : 4 + length], case[4 + length :]
        try:
            document = json.loads(body)
        except ValueError:
            return None
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        document = _change(document, draw)
        text = json.dumps(document).encode()
        if text.count(b"[") + text.count(b"{") > DEEP:
            break
    if draw.random() < 0.05 and b'": ' in text:
        text = _twice(text, draw)
    told = len(text) + draw.choice((0,) * 20 + (-1, 1, 2**15)) if tail else length
    return case[:2] + max(told, 0).to_bytes(8, "little")[:2] + text + tail


def _change(document: Any, draw: random.Random) -> Any:
    places = list(_places(document, []))
    path = draw.choice(places)
    if not path:
        return draw.choice(ODD) if draw.random() < 0.2 else [document] if draw.random() < 0.1 else document
    made = _copy(document)
    parent = made
    for step in path[:-1]:
        parent = parent[step]
    last = path[-1]
    match draw.randrange(7):
        case 0 | 1:
            parent[last] = draw.choice(ODD)
        case 2:
            del parent[last]
        case 3:
            other: Any = made
            for step in draw.choice(places):
                other = other[step] if isinstance(other, dict | list) and _has(other, step) else None
            parent[last] = _copy(other)
        case 4 if isinstance(parent, dict):
            parent[draw.choice((str(last) + "x", "id", "inputs", "features", "", "\u0000"))] = parent.pop(last)
        case 5:
            parent[last] = [parent[last]] * draw.choice((1, 2, 3))
        case _:
            nested: Any = parent[last]
            for _ in range(draw.choice((1, 2, DEEP))):
                nested = [nested] if draw.random() < 0.9 else {"a": nested}
            parent[last] = nested
    return made


def _copy(document: Any) -> Any:
    return json.loads(json.dumps(document))


def _has(parent: Any, step: Any) -> bool:
    return step in parent if isinstance(parent, dict) else isinstance(step, int) and step < len(parent)


def _places(document: Any, path: list[Any]) -> Any:
    yield list(path)
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _places(value, [*path, name])
    elif isinstance(document, list):
        for index, value in enumerate(document[:6]):
            yield from _places(value, [*path, index])


def _twice(text: bytes, draw: random.Random) -> bytes:
    """A name given twice."""
    at = draw.choice([index for index in range(len(text)) if text[index : index + 1] == b'"'])
    end = text.find(b",", at)
    return text if end < 0 else text[: end + 1] + b" " + text[at : end + 1] + text[end + 1 :]
