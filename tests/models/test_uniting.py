"""One signature of several: each part gets of every row exactly what it would get alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mainstay.models.answers import Answers
from mainstay.models.signature import Column, InputError, Reader, Signature
from mainstay.models.uniting import CannotBlend, united, view_of

WORDS = ("a", "b", "c", "?", "NA", "2020-01-01", "1")
TYPES = {"n": "number", "m": "number", "k": "category", "l": "category", "t": "text", "d": "datetime", "f": "boolean"}
VALUES = st.one_of(st.sampled_from((*WORDS, "2021-05-06", "z")), st.none(), st.booleans(), st.integers(-3, 3))


@st.composite
def columns(draw, name: str) -> Column:
    kind = TYPES[name]
    if name == "l" and draw(st.booleans()):
        kind = "text"  # a category to one and a text to another can be both
    if kind != "category":
        return Column(name=name, type=kind, nullable=draw(st.booleans()))
    categories = tuple(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True)))
    return Column(name=name, type=kind, nullable=draw(st.booleans()), categories=categories, closed=draw(st.booleans()))


@st.composite
def signatures(draw) -> Signature:
    names = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4, unique=True))
    return Signature(
        inputs=tuple(draw(columns(name)) for name in names),
        task="binary",
        labels=tuple(draw(st.permutations(["bad", "good"]))),
        missing_tokens=tuple(draw(st.lists(st.sampled_from(WORDS), max_size=3, unique=True))),
    ).checked()


def read(signature: Signature, row: dict):
    """The cells of the row's own columns, or None where the signature refuses them."""
    try:
        return Reader(signature).rows([{name: row[name] for name in signature.names}])
    except InputError:
        return None


@given(st.lists(signatures(), min_size=2, max_size=3), st.fixed_dictionaries(dict.fromkeys(TYPES, VALUES)))
def test_each_part_gets_what_it_would_get_alone_and_a_row_that_one_refuses_is_refused(parts, row):
    try:
        whole = united([(f"m:{i}", part) for i, part in enumerate(parts)])
    except CannotBlend:
        assume(False)
    found = read(whole, row)
    alone = [read(part, row) for part in parts]
    if found is None:
        assert None in alone
        return
    for part, expected in zip(parts, alone, strict=True):
        view = view_of(whole, part)
        if expected is None and any(spelling.closed for spelling in view.spelled.values()):
            with pytest.raises(InputError, match="column 'l'"):
                view.cells(found)
            return
        assert expected is not None, f"{whole} takes what {part} refuses"
        seen = view.cells(found)
        np.testing.assert_array_equal(seen.numbers, expected.numbers)
        assert {i: list(texts) for i, texts in seen.texts.items()} == {i: list(t) for i, t in expected.texts.items()}


@given(st.permutations(range(3)))
def test_labels_stand_in_one_order(order):
    labels = ("a", "b", "c")
    first = Signature(inputs=(Column(name="x", type="number"),), task="multiclass", labels=labels)
    other = Signature(inputs=first.inputs, task="multiclass", labels=tuple(labels[i] for i in order))
    whole = united([("m:1", first), ("m:2", other)])
    shares = np.array([[0.5, 0.3, 0.2]])
    found = view_of(whole, other).answers(Answers(labels=np.array([0]), probabilities=shares))
    assert whole.labels == labels
    assert labels[found.labels[0]] == other.labels[0]
    assert {label: found.probabilities[0, i] for i, label in enumerate(labels)} == dict(
        zip(other.labels, shares[0], strict=True)
    )


def signature(*inputs: Column, **words) -> Signature:
    return Signature(**{"inputs": inputs, "task": "binary", "labels": ("bad", "good"), **words}).checked()


AGE = Column(name="age", type="number", minimum=1.0, maximum=5.0, typical=3.0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (signature(Column(name="age", type="category", categories=("1",))), "'age' is a number in m:1 and a category"),
        (signature(AGE, labels=("bad", "fair")), "m:2 answers 'fair', which m:1 does not know"),
        (signature(AGE, labels=(False, True)), "does not know"),
        (signature(AGE, task="regression", labels=()), "m:1 is a binary model and m:2 a regression one"),
        (signature(AGE, target="risk"), "m:1 predicts 'class' and m:2 predicts 'risk'"),
    ],
)
def test_contradictions_are_refused_by_name(other, said):
    with pytest.raises(CannotBlend, match=said):
        united([("m:1", signature(AGE, target="class")), ("m:2", other)])


def test_dates_of_two_formats_and_closed_lists_that_share_nothing_are_refused():
    iso, german = (signature(Column(name="day", type="datetime", format=form)) for form in ("iso", "%d.%m.%Y"))
    with pytest.raises(CannotBlend, match=r"like iso in m:1 and like %d.%m.%Y in m:2"):
        united([("m:1", iso), ("m:2", german)])
    one, two = (signature(Column(name="k", type="category", categories=(c,), closed=True)) for c in "ab")
    with pytest.raises(CannotBlend, match="'k' has no category that m:1 and m:2 all take"):
        united([("m:1", one), ("m:2", two)])


def test_a_text_that_is_a_date_to_one_and_missing_to_the_other_is_refused():
    day = Column(name="day", type="datetime", nullable=True)
    with pytest.raises(CannotBlend, match="'1900-01-01' in column 'day' is a missing value to m:2 and a date to m:1"):
        united([("m:1", signature(day)), ("m:2", signature(day, missing_tokens=("1900-01-01",)))])


def test_what_one_part_leaves_out_is_still_an_input_where_the_other_takes_it():
    size = Column(name="size", type="number")
    whole = united([("m:1", signature(AGE, set_aside=("size", "id"))), ("m:2", signature(size, set_aside=("age",)))])
    assert whole.names == ("age", "size")
    assert whole.set_aside == ("id",)


def test_ranges_are_joined_and_a_target_may_be_named():
    other = signature(Column(name="age", type="number", minimum=-2.0, maximum=4.0), target="risk")
    whole = united([("m:1", signature(AGE, target="class")), ("m:2", other)], target="default")
    column = whole.inputs[0]
    assert (whole.target, column.minimum, column.maximum, column.typical) == ("default", -2.0, 5.0, 3.0)


def test_a_token_of_one_part_is_a_category_to_the_other():
    purpose = Column(name="purpose", type="category", categories=("car",), nullable=True)
    knows, does_not = signature(purpose, missing_tokens=("?",)), signature(purpose)
    whole = united([("m:1", knows), ("m:2", does_not)])
    cells = Reader(whole).rows([{"purpose": "?"}])
    assert math.isnan(view_of(whole, knows).cells(cells).numbers[0, 0])
    assert view_of(whole, does_not).cells(cells).numbers[0, 0] == -1.0
