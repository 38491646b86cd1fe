"""What fits a signature, and how clearly the rest is refused."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.signature import UNSEEN, Column, InputError, Reader, Signature, SignatureError, epoch_seconds

SIGNATURE = Signature(
    inputs=(
        Column(name="age", type="number"),
        Column(name="income", type="number", nullable=True),
        Column(name="purpose", type="category", categories=("car", "tv", "7"), nullable=True),
        Column(name="owner", type="boolean"),
        Column(name="since", type="datetime"),
        Column(name="note", type="text", nullable=True),
    ),
    task="binary",
    labels=("bad", "good"),
    set_aside=("row_id",),
    missing_tokens=("?",),
).checked()
ROW = {"age": 35, "income": 1.5, "purpose": "tv", "owner": True, "since": "2011-01-01T00:00:10", "note": "hello"}
READER = Reader(SIGNATURE)


def read(**changed):
    return READER.rows([{**ROW, **changed}])


def refusal(**changed) -> str:
    with pytest.raises(InputError) as caught:
        read(**changed)
    return str(caught.value)


def test_a_row_becomes_codes_and_texts():
    cells = read()
    assert cells.numbers[0, :5].tolist() == [35.0, 1.5, 1.0, 1.0, epoch_seconds("2011-01-01T00:00:10")]
    assert cells.texts == {5: ["hello"]}


def test_an_unseen_category_has_its_own_code_and_an_integer_is_its_decimal_text():
    assert read(purpose="boat").numbers[0, 2] == UNSEEN
    assert read(purpose=7).numbers[0, 2] == 2


@pytest.mark.parametrize("missing", [None, "?", math.nan, np.float64("nan")])
def test_missing_values_are_accepted_only_where_training_saw_them(missing):
    assert math.isnan(read(income=missing).numbers[0, 1])
    assert math.isnan(read(purpose=missing).numbers[0, 2])
    assert "column 'age'" in refusal(age=missing)
    assert "training saw no missing value" in refusal(age=missing)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"age": "35"}, "column 'age': got '35', expected a number."),
        ({"age": True}, "column 'age': got true, expected a number."),
        ({"age": math.inf}, "column 'age': got inf, expected a finite number."),
        ({"age": 2**53 + 1}, "column 'age': got 9007199254740993, expected a number that a double holds exactly"),
        ({"age": [1]}, "column 'age': got an array, expected a number."),
        ({"age": {}}, "column 'age': got an object, expected a number."),
        ({"owner": 1}, "column 'owner': got 1, expected true or false."),
        ({"purpose": 1.5}, "column 'purpose': got 1.5, expected a category, as text."),
        ({"purpose": True}, "column 'purpose': got true, expected a category, as text."),
        ({"since": "yesterday"}, "column 'since': got 'yesterday', expected a date-time in ISO 8601."),
        ({"since": 5}, "column 'since': got 5, expected a date-time in ISO 8601."),
        ({"note": 5}, "column 'note': got 5, expected text."),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(changed, said):
    assert said in refusal(**changed)


def test_a_misspelt_column_gets_a_suggestion():
    row = {**ROW, "agee": 35}
    del row["age"]
    with pytest.raises(InputError, match=r"unknown column .agee.\. Did you mean .age.\?"):
        READER.rows([row])


def test_a_missing_column_is_named_with_its_row():
    row = {name: value for name, value in ROW.items() if name != "age"}
    with pytest.raises(InputError, match="row 1, column 'age' is missing"):
        READER.rows([ROW, row])


def test_columns_set_aside_are_accepted_and_others_refused():
    assert len(READER.rows([{**ROW, "row_id": 9}])) == 1
    with pytest.raises(InputError, match="unknown column 'colour'"):
        READER.rows([{**ROW, "colour": 9}])


def test_order_never_matters_by_name_and_a_matrix_is_by_position():
    backwards = dict(reversed(ROW.items()))
    assert np.array_equal(READER.rows([backwards]).numbers, read().numbers, equal_nan=True)
    assert np.array_equal(READER.matrix([list(ROW.values())]).numbers, read().numbers, equal_nan=True)
    with pytest.raises(InputError, match="got 2 values, expected 6"):
        READER.matrix([[1, 2]])


def test_columns_of_unlike_length_are_refused():
    table = {name: [value, value] for name, value in ROW.items()}
    with pytest.raises(InputError, match="Column 'owner' has 1 values, but column 'age' has 2"):
        READER.columns({**table, "owner": [True]})


def test_values_of_a_pandas_frame_are_read_as_they_are():
    frame = pd.DataFrame(
        {
            "age": pd.array([1, 2], dtype="Int64"),
            "income": [1.0, math.nan],
            "purpose": pd.Categorical(["car", None]),
            "owner": [True, False],
            "since": pd.to_datetime(["2011-01-01", "2012-01-01"]),
            "note": ["a", None],
        }
    )
    cells = READER.columns({name: frame[name].tolist() for name in frame})
    assert cells.numbers[:, 0].tolist() == [1.0, 2.0]
    assert np.isnan(cells.numbers[1, [1, 2]]).all()
    assert cells.texts[5] == ["a", None]


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_a_date_time_keeps_its_second_in_any_zone(moment):
    moment = moment.replace(microsecond=0)
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert epoch_seconds(moment.isoformat()) == expected
    assert epoch_seconds(moment.isoformat() + "+02:00") == expected - timedelta(hours=2).total_seconds()
    assert epoch_seconds(moment.strftime("%d/%m/%Y %H.%M.%S"), "%d/%m/%Y %H.%M.%S") == expected


def test_a_date_is_its_midnight():
    assert epoch_seconds(date(1970, 1, 2)) == 86400.0


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "age": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
                "income": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "purpose": st.none() | st.text(),
                "owner": st.booleans(),
                "since": st.dates().map(str),
                "note": st.none() | st.text(),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_rows_columns_and_matrix_read_the_same(rows):
    by_row = READER.rows(rows)
    by_column = READER.columns({name: [row[name] for row in rows] for name in rows[0]})
    by_place = READER.matrix([[row[name] for name in SIGNATURE.names] for row in rows])
    for other in (by_column, by_place):
        assert np.array_equal(by_row.numbers, other.numbers, equal_nan=True)
        assert by_row.texts == other.texts
    one_by_one = np.concatenate([READER.rows([row]).numbers for row in rows])
    assert np.array_equal(by_row.numbers, one_by_one, equal_nan=True)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (Signature(inputs=(), task="regression"), "at least one input"),
        (Signature(inputs=(Column(name="a", type="number"),) * 2, task="regression"), "'a' stands more than once"),
        (Signature(inputs=(Column(name="a", type="number"),), task="regression", set_aside=("a",)), "choose one"),
        (Signature(inputs=(Column(name="a", type="number"),), task="regression", labels=(1, 2)), "no labels"),
        (Signature(inputs=(Column(name="a", type="number"),), task="binary", labels=(1,)), "two labels"),
        (Signature(inputs=(Column(name="a", type="number"),), task="multiclass"), "two labels or more"),
    ],
)
def test_a_signature_that_contradicts_itself_is_refused(signature, said):
    with pytest.raises(SignatureError, match=said):
        signature.checked()


LABELS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=4, unique=True),
    st.lists(st.text(), min_size=2, max_size=4, unique=True),
    st.just([False, True]),
)


@given(LABELS, st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True), st.lists(st.text(), max_size=3))
def test_a_signature_survives_a_round_trip(labels, names, categories):
    signature = Signature(
        inputs=tuple(Column(name=name, type="category", categories=tuple(categories)) for name in names),
        task="multiclass",
        labels=tuple(labels),
    )
    again = msgspec.json.decode(msgspec.json.encode(signature), type=Signature)
    assert again == signature
    assert [type(label) for label in again.labels] == [type(label) for label in labels]


NUMBERS = Reader(
    Signature(
        inputs=tuple(Column(name=name, type="number", nullable=name == "b") for name in "abc"), task="regression"
    ).checked()
)
CELLS = {
    "float64": st.floats() | st.just(2.0**60),
    "float32": st.floats(width=32),
    "float16": st.floats(width=16),
    "int64": st.sampled_from([0, -3, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1]),
    "uint64": st.sampled_from([0, 3, 2**53, 2**53 + 1, 2**64 - 1]),
    "uint8": st.integers(0, 255),
}


@given(st.data(), st.sampled_from(sorted(CELLS)))
def test_rows_that_are_read_whole_are_what_they_are_value_by_value(data, dtype):
    listed = data.draw(st.lists(st.lists(CELLS[dtype], min_size=3, max_size=3), min_size=1, max_size=4))
    rows = np.array(listed, dtype=dtype)
    found = NUMBERS.whole(rows)
    if found is None:
        with pytest.raises(InputError):
            NUMBERS.matrix(rows.tolist())
    else:
        np.testing.assert_array_equal(found.numbers, NUMBERS.matrix(rows.tolist()).numbers)
        assert found.numbers.dtype == np.float64
        assert found.numbers.flags.aligned
