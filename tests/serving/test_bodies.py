"""What a body may be, and what is said of one that is not."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import LOAN, ROW

from examples import examples
from mainstay.models.signature import Column, Signature
from mainstay.serving.bodies import BadBody, Bodies

LOANS = Bodies(LOAN)

NAMES = st.sampled_from(["age", "purpose", "when", "note", "a:b", "ü", "id", "features", "x y", "1"])
TYPES = st.sampled_from(["number", "boolean", "category", "datetime", "text"])
TOKENS = ("?", "NA", "-1")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 8),
    st.sampled_from([2**53, 2**53 + 1, -(2**53), 2**64, 10**25]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["?", "NA", "-1", "car", "a:b", "5", "05", "", "NaT", "2020-01-31", "2020-01-31T10:00:00+02:00"]),
    st.sampled_from(["2020-13-31", 'quoted":"', "back\\slash", "\ud7ff"]),
    st.just([1]),
    st.just({"a": 1}),
)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")])


@st.composite
def signatures(draw) -> Signature:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    aside = draw(st.lists(st.sampled_from(["row_id", "inputs", "c:d"]), max_size=2, unique=True))
    inputs = []
    for name in names:
        kind = draw(TYPES)
        nullable = draw(st.booleans())
        known = ("car", "a:b", "5", "05", "NA") if kind == "category" else ()
        closed = kind == "category" and draw(st.booleans())
        inputs.append(Column(name=name, type=kind, nullable=nullable, categories=known, closed=closed))
    return Signature(
        inputs=tuple(inputs),
        task="regression",
        set_aside=tuple(aside),
        missing_tokens=draw(st.sampled_from([(), TOKENS])),
    )


PLAUSIBLE = {
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
    "boolean": st.booleans(),
    "category": st.sampled_from(["car", "a:b", "5", 5, "boat"]),
    "datetime": st.sampled_from(["2020-01-31", "2020-01-31T10:00:00Z"]),
    "text": st.text(max_size=5),
}


@st.composite
def bodies(draw, signature: Signature) -> bytes:
    """A body that is right, nearly right, or wrong."""

    def cell(column):
        return draw(st.one_of(PLAUSIBLE[column.type], PLAUSIBLE[column.type], PLAUSIBLE[column.type], VALUES))

    def record():
        found = {column.name: cell(column) for column in signature.inputs}
        for name in signature.set_aside:
            if draw(st.booleans()):
                found[name] = draw(VALUES)
        change = draw(st.sampled_from(["none"] * 6 + ["drop", "add"]))
        if change == "drop":
            found.pop(next(iter(found)))
        elif change == "add":
            found["extra"] = 1
        return dict(draw(st.permutations(list(found.items()))))

    rows = draw(st.integers(0, 3))
    form = draw(st.sampled_from(["one", "list", "inputs", "inputs one", "features", "features one", "columns"]))
    document = {
        "one": record,
        "list": lambda: [record() for _ in range(rows)],
        "inputs": lambda: {"inputs": [record() for _ in range(rows)]},
        "inputs one": lambda: {"inputs": record()},
        "features": lambda: {"features": [[cell(c) for c in signature.inputs] for _ in range(rows)]},
        "features one": lambda: {"features": [cell(c) for c in signature.inputs]},
        "columns": lambda: {c.name: [cell(c) for _ in range(rows)] for c in signature.inputs},
    }[form]()
    if isinstance(document, dict) and draw(st.booleans()):
        document["id"] = draw(st.sampled_from(["abc", "a:b", "", "no blanks", None, 5]))
    body = json.dumps(document, separators=draw(SPACES), ensure_ascii=draw(st.booleans()))
    damage = draw(st.sampled_from(["none"] * 6 + ["cut", "twice", "escape"]))
    if damage == "cut":
        body = body[: draw(st.integers(0, len(body)))]
    elif damage == "twice" and body.startswith("{") and len(body) > 2:
        first = body[1:].split(",")[0].rstrip("}")
        body = "{" + first + "," + body[1:]
    elif damage == "escape":
        body = body.replace('"a', '"\\u0061').replace(":b", "\\u003ab")
    return body.encode()


def seen(read, body: bytes):
    try:
        asked = read(body)
    except BadBody as bad:
        return str(bad)
    numbers = [["nan" if math.isnan(v) else v for v in row] for row in asked.cells.numbers.tolist()]
    return numbers, {i: list(t) for i, t in asked.cells.texts.items()}, asked.single, asked.id


@settings(max_examples=examples(500), deadline=None)
@given(st.data())
def test_the_fast_way_and_the_slow_way_read_the_same(data):
    signature = data.draw(signatures())
    body = data.draw(bodies(signature))
    reader = Bodies(signature)
    assert seen(reader.read, body) == seen(reader.diagnose, body)


@pytest.mark.parametrize(
    "document",
    [
        ROW,
        {**ROW, "row_id": 17},
        [ROW],
        {"inputs": [ROW]},
        {"inputs": ROW},
        {"inputs": [ROW], "id": "abc"},
        {"features": [list(ROW.values())]},
        {**ROW, "amount": None},
    ],
)
def test_common_bodies_take_the_fast_way(document):
    assert LOANS._fast.read(json.dumps(document).encode()) is not None


@pytest.mark.parametrize(
    ("document", "single", "rows"),
    [
        (ROW, True, 1),
        ({"inputs": ROW}, True, 1),
        ({"inputs": [ROW, ROW]}, False, 2),
        ([ROW, ROW, ROW], False, 3),
        ([], False, 0),
        ({"features": [list(ROW.values())]}, False, 1),
        ({"features": list(ROW.values())}, False, 1),
        ({name: [value, value] for name, value in ROW.items()}, False, 2),
        ({"inputs": {name: [value] for name, value in ROW.items()}}, False, 1),
    ],
)
def test_each_form_is_read(document, single, rows):
    asked = LOANS.read(json.dumps(document).encode())
    assert asked.single is single
    expected = np.array([[35.0, 1200.5, 1.0, 1.0, 1580472000.0]] * rows).reshape(rows, 5)
    assert asked.cells.numbers.tolist() == expected.tolist()


def test_an_input_called_features_is_a_column():
    reader = Bodies(Signature(inputs=(Column(name="features", type="number"),), task="regression"))
    assert reader.read(b'{"features": [1, 2, 3]}').cells.numbers.tolist() == [[1.0], [2.0], [3.0]]
    assert reader.read(b'{"features": 4}').single


WRONG = {
    "nothing": (b"", "empty"),
    "blanks": (b"  \n", "empty"),
    "not JSON": (b"age=35", "not JSON"),
    "cut off": (b'{"age": 35, "amount"', "too early"),
    "NaN": (b'{"age": NaN}', "NaN at byte 8"),
    "Infinity": (b'{"age": Infinity}', "Infinity at byte 8"),
    "minus Infinity": (b'{"age": -Infinity}', "Infinity"),
    "beyond a double": (b'{"age": 1e999}', "'age' holds 1e999"),
    "a list beyond a double": (b'{"inputs": {"age": [1, [-1e400]]}}', "'age' holds -1e400"),
    "more digits than a double has": (b'{"age": ' + b"9" * 5000 + b"}", "'age' holds 999"),
    "beyond a double, and no end": (b'{"age": 1e999, "purpose": ' + b"[" * 5000, "out of range"),
    "half of a surrogate pair at the end of a text": (b'{"purpose": "\\ud800"}', "surrogate"),
    "half of a surrogate pair": (b'{"purpose": "\\udc00 car"}', "surrogate"),
    "not UTF-8": (b'{"age": "\xff"}', "UTF-8"),
    "a number": (b"35", "a number"),
    "null": (b"null", "null"),
    "rows bare": (b"[[1, 2]]", "not a record"),
    "a name twice": (b'{"age": 1, "age": 2}', "twice"),
    "a name twice, escaped": (b'{"age": 1, "\\u0061ge": 2}', "twice"),
    "deep lists": (b"[" * 200_000, "deep"),
    "deep objects": (b'{"a":' * 100_000, "deep"),
    "two wrappers": (b'{"inputs": [], "features": []}', "beside"),
    "inputs of a number": (b'{"inputs": 3}', "a number"),
    "features of an object": (b'{"features": {}}', "an object"),
    "a bad id": (b'{"inputs": [], "id": "no blanks"}', "'id'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_body_that_is_none_is_refused_in_words(case):
    body, words = WRONG[case]
    with pytest.raises(BadBody, match=words):
        LOANS.read(body)


CELLS = {
    "text for a number": ({"age": "old"}, "age", "expected a number"),
    "true for a number": ({"age": True}, "age", "expected a number"),
    "beyond 2^53": ({"age": 2**53 + 1}, "age", "2\\^53"),
    "null where training saw none": ({"age": None}, "age", "expected a number"),
    "a token where training saw none": ({"age": "?"}, "age", "saw no missing value"),
    "one for true": ({"owner": 1}, "owner", "true or false"),
    "a fraction for a category": ({"purpose": 1.5}, "purpose", "a category"),
    "no date": ({"since": "yesterday"}, "since", "ISO 8601"),
    "an object for a cell": ({"age": {}}, "age", "an object"),
    "a misspelt column": ({"agee": 1}, "agee", "Did you mean 'age'"),
    "an unknown column": ({"zzz": 1}, "zzz", "[Uu]nknown column"),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_that_does_not_fit_is_named(case):
    change, field, words = CELLS[case]
    with pytest.raises(BadBody, match=words) as caught:
        LOANS.read(json.dumps({"inputs": [ROW, {**ROW, **change}]}).encode())
    assert (caught.value.field, caught.value.row) == (field, 1)


def test_a_missing_column_is_named():
    with pytest.raises(BadBody, match="'purpose' is missing") as caught:
        LOANS.read(json.dumps({name: value for name, value in ROW.items() if name != "purpose"}).encode())
    assert caught.value.field == "purpose"


def test_unseen_categories_and_missing_tokens_are_read_as_such():
    asked = LOANS.read(json.dumps({**ROW, "purpose": "boat", "amount": "?", "since": "NA"}).encode())
    age, amount, purpose, owner, since = asked.cells.numbers[0].tolist()
    assert (age, purpose, owner) == (35.0, -1.0, 1.0)
    assert math.isnan(amount)
    assert math.isnan(since)
    assert LOANS.read(json.dumps({**ROW, "purpose": 7}).encode()).cells.numbers[0, 2] == 2.0
