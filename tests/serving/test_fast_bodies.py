"""The fast way through a body says what the slow one says, or leaves it to that one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from serving_models import CATEGORIES, MIXED, MIXED_ROW

from examples import examples
from mainstay.models.signature import Column, Signature
from mainstay.serving.bodies import Asked, BadBody, Bodies

BODIES = Bodies(msgspec.structs.replace(MIXED, inputs=MIXED.inputs[:6]))
ODD = Bodies(MIXED)
"""One of its names needs escapes in JSON, so it has no fast way."""
CLASHING = Bodies(
    Signature(
        inputs=(Column(name="inputs", type="number"), Column(name="id", type="category", categories=("1", "x"))),
        task="regression",
    )
)
TEXTS = Bodies(
    Signature(
        inputs=(
            Column(name="a:b", type="text", nullable=True),
            Column(name="when", type="datetime", nullable=True, format="%d.%m.%Y"),
            Column(name="n", type="category", categories=("1", "-2", "03", "?"), nullable=True),
            Column(name="own", type="category", categories=("1", "?"), nullable=True, missing_tokens=("03",)),
        ),
        task="regression",
        missing_tokens=("?", "1"),
    )
)

numbers = st.one_of(
    st.integers(-100, 100),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**63, 2**64 + 1, 10**30, -0.0, 1e308]),
)
texts = st.one_of(
    st.sampled_from([*CATEGORIES, *MIXED.missing_tokens, "female", "male", "NaT", "1", "03", "31.12.1999", "x:y"]),
    st.text(max_size=5),
    st.datetimes().map(lambda moment: moment.isoformat()),
)
values: st.SearchStrategy[Any] = st.one_of(
    numbers, texts, st.none(), st.booleans(), st.sampled_from([12, 7, 1234567890123456789]), st.just([]), st.just({})
)


def fitting(column: Column) -> st.SearchStrategy[Any]:
    match column.type:
        case "number":
            fits: st.SearchStrategy[Any] = numbers
        case "boolean":
            fits = st.booleans()
        case "category":
            fits = st.sampled_from([*column.categories, 12, 1234567890123456789])
        case "datetime":
            fits = st.datetimes().map(lambda moment: moment.isoformat())
        case _:
            fits = texts
    return st.one_of(*[fits] * 9, values)


def records(bodies: Bodies) -> st.SearchStrategy[dict[str, Any]]:
    signature = bodies.reader.signature
    aside: dict[str, Any] = {name: st.one_of(texts, numbers, st.just({"a": "b:c"})) for name in signature.set_aside}
    return st.fixed_dictionaries({c.name: fitting(c) for c in signature.inputs}, optional=aside)


@st.composite
def written(draw: Any, bodies: Bodies) -> bytes:
    """A body as some client writes it: one of the forms, perhaps with a name twice, odd escapes, or cut short."""
    rows = draw(st.lists(records(bodies), max_size=3))
    names = list(bodies.reader.signature.names)
    wrapped: dict[str, Any] = draw(st.sampled_from([{}, {"id": "a.b"}, {"id": "a:b"}, {"id": None}, {"id": "not ok"}]))
    document = draw(
        st.sampled_from(
            [
                rows,
                rows[0] if rows else {},
                {"inputs": rows, **wrapped},
                {"inputs": rows[0] if rows else {}, **wrapped},
                {"features": [[row[name] for name in names] for row in rows], **wrapped},
                {**wrapped, "inputs": rows},
                {name: [row[name] for row in rows] for name in names},
            ]
        )
    )
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    if draw(st.integers(0, 4)) == 0 and text.startswith("{"):  # a name twice
        twice = draw(st.sampled_from([*names, "id", "inputs", "features"]))
        text = text[:-1].rstrip() + f", {json.dumps(twice)}: {json.dumps(draw(values))}}}"
    if draw(st.integers(0, 4)) == 0:
        text = text.replace(":", "\\u003a") if draw(st.booleans()) else text.replace("e", "\\u0065", 2)
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    return text.encode("utf-8", "surrogatepass")


def said(read: Any, body: bytes) -> Any:
    try:
        asked: Asked = read(body)
    except BadBody as bad:
        return str(bad), bad.field, bad.row
    numbers = asked.cells.numbers
    assert numbers.dtype == np.float64
    # Bytes, so that -0.0 is not 0.0 and a missing value equals itself.
    return numbers.shape, numbers.tobytes(), {i: list(t) for i, t in asked.cells.texts.items()}, asked.single, asked.id


@pytest.mark.parametrize("bodies", [BODIES, CLASHING, TEXTS, ODD], ids=["mixed", "clashing", "texts", "odd"])
@given(data=st.data())
@settings(max_examples=examples(400))
def test_both_ways_agree_on_any_body(bodies: Bodies, data: st.DataObject) -> None:
    body = data.draw(written(bodies))
    assert said(bodies.read, body) == said(bodies.diagnose, body)


@given(body=st.binary(max_size=60))
@example(body=b'{"inputs": [NaN]}')
@example(body=b"[" * 100_000)
@example(body=b'{"inputs":' * 50_000)
@example(body=b'{"age": 1e400}')
@example(body=b'{"age": ' + b"9" * 5000 + b"}")
@example(body=b"\xef\xbb\xbf{}")
@example(body=b'{"age": "\\ud800"}')
def test_both_ways_agree_on_any_bytes(body: bytes) -> None:
    assert said(BODIES.read, body) == said(BODIES.diagnose, body)


def test_a_well_formed_body_goes_the_fast_way() -> None:
    fast = BODIES._fast
    assert fast is not None
    record = {name: MIXED_ROW[name] for name in BODIES.reader.signature.names}
    row = list(record.values())
    whole = {**record, "customer": "a: b", "note: free": 7}
    for document in (
        *(record, [record], {"inputs": [record] * 3}, {"inputs": record, "id": "a"}),
        *({"features": [row]}, {"features": [row, row], "id": "a"}, whole, {"inputs": [whole, record]}),
    ):
        assert fast.read(json.dumps(document, ensure_ascii=False).encode()) is not None, document
    assert ODD._fast is None
    assert ODD.read(json.dumps(MIXED_ROW).encode()).single
