"""A text means in training what the same value means to the server."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.signature import UNSEEN, InputError, Reader
from mainstay.project import Cleaning, Data, Project
from mainstay.training.kinds import boolean, canonical, datetime_format, integer, number, plain
from mainstay.training.table import DataError, Provenance, Table, from_columns
from mainstay.training.values import cells_of, default_positive, labels_of, prepared, repeated, signature_of, target_of

NUMBER_TEXTS = st.one_of(st.floats().map(repr), st.integers().map(str), st.sampled_from(["-0", "1e3", "007", " 1"]))
ORIGIN = Provenance(files={}, rows=0, columns=0, format="test")
TOKENS = ("", "?", "NA")


def table(**columns: list[object]) -> Table:
    return from_columns(columns, ORIGIN, missing=TOKENS)


def project(columns: dict[str, str], task: str = "binary", **rest: object) -> Project:
    data = Data(path="t.csv", missing=TOKENS)
    return Project(name="m", target="y", data=data, task=task, columns=columns, **rest)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), ("-0.5", -0.5), (".5", 0.5), ("1e3", 1000.0), (" 7 ", 7.0), ("+3", 3.0), (str(2**53), 2.0**53)],
)
def test_decimal_text_is_a_number(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "001",
        "1_000",
        "0x10",
        "inf",
        "nan",
        "1e999",
        "",
        "1,5",
        "١",
        "--1",
        "1e",
        str(2**53 + 1),
        "-9007199254740993",
        "$5",
    ],
)
def test_what_a_number_would_lose_or_guess_is_none(text):
    assert number(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_from_its_shortest_text(value):
    whole = repr(value).lstrip("-").isdigit()
    assert number(repr(value)) == value or whole


@given(st.integers())
def test_an_integer_is_a_number_only_where_a_double_holds_it(value):
    assert number(str(value)) == number(value) == (float(value) if abs(value) <= 2**53 else None)


def test_integers_and_booleans_are_read_as_they_are_spelled():
    assert [integer(v) for v in ("7", "-7", "07", "7.0", 7, 7.0, True, "x")] == [7, -7, None, None, 7, 7, None, None]
    assert [boolean(v) for v in ("true", "FALSE", "yes", "1", True, 1)] == [True, False, None, None, True, None]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["2011-01-01", "2012-12-31 10:00:00"], "iso"),
        (["2011-01-01T00:00:00+02:00"], "iso"),
        (["31.12.2011", "01.02.2012"], "%d.%m.%Y"),
        (["12/31/2011", "01/02/2012"], "%m/%d/%Y"),
        (["31/12/2011 10:20", "01/02/2012 00:00"], "%d/%m/%Y %H:%M"),
        (["20110101"], None),
        (["2011-02-30"], None),
        (["31.12.2011", "x"], None),
    ],
)
def test_one_format_reads_all_date_times_or_none_does(values, form):
    assert datetime_format(values) == form


@pytest.mark.parametrize(
    "same",
    [("1", "1.0", 1, 1.0, "1e0"), ("true", "TRUE", True), ("2011-01-01", "2011-01-01 00:00:00"), ("0", "-0", -0.0)],
)
def test_spellings_of_one_value_have_one_canonical_text(same):
    assert len({canonical(value) for value in same}) == 1


@given(st.lists(st.one_of(st.text(max_size=12), NUMBER_TEXTS), min_size=1))
def test_a_column_s_canonical_texts_are_those_of_its_values(texts):
    factor = table(x=texts).factor("x")
    assert factor.canonical == [canonical(value) for value in factor.values]


NUMBERS = st.one_of(st.floats(-1e9, 1e9).map(repr), st.integers(-(2**53), 2**53).map(str), st.sampled_from(TOKENS))
RECORDS = st.lists(
    st.tuples(NUMBERS, st.sampled_from(["true", "False", ""]), st.text(max_size=3), st.dates().map(str)),
    min_size=1,
    max_size=20,
)


@given(RECORDS)
def test_training_reads_what_the_server_reads(records):
    numbers, truths, words, days = (list(column) for column in zip(*records, strict=True))
    data = table(n=numbers, b=truths, c=words, d=days, t=words, y=["0"] * len(records))
    kinds = {"n": "number", "b": "boolean", "c": "category", "d": "datetime", "t": "text"}
    signature = signature_of(data, project(kinds, task="regression"))
    served = {
        "n": [None if text in TOKENS else float(text) for text in numbers],
        "b": [{"true": True, "False": False, "": None}[text] for text in truths],
        "c": words,
        "d": days,
        "t": words,
    }
    expected, got = Reader(signature).columns(served), cells_of(data, signature)
    np.testing.assert_array_equal(got.numbers, expected.numbers)
    assert dict(got.texts) == dict(expected.texts)


def test_a_signature_describes_the_rows_trained_on():
    data = table(
        n=["3", "?", "1", "9"],
        c=["b", "a", "b", "z"],
        d=["01.02.2020", "02.02.2020", "03.02.2020", "04.02.2020"],
        y=list("0101"),
    )
    rows = np.array([True, True, True, False])
    signature = signature_of(
        data, project({"n": "number", "c": "category", "d": "datetime"}, left_out={"id": "row number"}), rows
    )
    n, c, d = signature.inputs
    assert (n.minimum, n.maximum, n.typical, n.nullable) == (1.0, 3.0, 1.0, True)
    assert (c.categories, c.typical, c.nullable) == (("a", "b"), "b", False)
    assert (d.format, d.minimum) == ("%d.%m.%Y", 1580515200.0)
    assert signature.labels == (0, 1)
    assert signature.set_aside == ("id", "y")
    assert signature.missing_tokens == TOKENS
    assert cells_of(data, signature).numbers[3, 1] == UNSEEN


def test_rare_categories_count_as_unseen():
    data = table(c=["a", "a", "b"], y=list("010"))
    signature = signature_of(data, project({"c": "category"}, cleaning=Cleaning(rare=2)))
    assert signature.inputs[0].categories == ("a",)


def test_leading_zeros_and_big_integers_survive_as_categories():
    big = str(2**60 + 1)
    data = table(c=["001", "1", big], y=list("010"))
    assert signature_of(data, project({"c": "category"})).inputs[0].categories == tuple(sorted(["001", "1", big]))


def test_a_wrong_value_names_row_column_value_and_the_way_out():
    data = table(n=["1", "x", "x"], y=list("010"))
    with pytest.raises(InputError, match=r"row 1, column 'n': 'x' is not a finite decimal.*\(2 such values\).*missing"):
        signature_of(data, project({"n": "number"}))


def test_infinity_is_refused():
    data = table(n=[1.0, float("inf")], y=list("01"))
    with pytest.raises(InputError, match="inf is not a finite"):
        signature_of(data, project({"n": "number"}))


def test_a_missing_value_is_refused_where_training_saw_none():
    signature = signature_of(table(n=["1", "2"], y=list("01")), project({"n": "number"}))
    with pytest.raises(InputError, match="row 1, column 'n': the value is missing"):
        cells_of(table(n=["1", ""], y=list("01")), signature)


def test_a_column_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(DataError, match=r"no column 'agee'\. Did you mean 'age'"):
        signature_of(table(age=["1"], y=["0"]), project({"agee": "number"}))


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["10", "9", "10"], (9, 10)),
        (["true", "False", "TRUE"], (False, True)),
        (["b", "a", "B"], ("B", "a", "b")),
        (["01", "1"], ("01", "1")),
        ([1.0, 0.0], (0, 1)),
        (["1.0", "0.0"], ("0.0", "1.0")),
        ([True, False], (False, True)),
    ],
)
def test_labels_keep_their_type_and_are_sorted(cells, labels):
    data = table(y=cells, x=["1"] * len(cells))
    found = labels_of(data.factor("y"))
    assert found == labels
    assert [type(a) for a in found] == [type(b) for b in labels]
    if len({type(label) for label in labels}) == 1:
        assert list(np.unique(np.array(labels))) == list(labels)


def test_a_target_is_indices_into_its_labels():
    data = table(y=["b", "a", "b"], x=list("123"))
    target = target_of(data, project({"x": "number"}))
    assert (target.labels, target.y.tolist(), target.y.dtype) == (("a", "b"), [1, 0, 1], np.dtype("int64"))
    with pytest.raises(DataError, match="holds 'b', which is none of the labels"):
        target_of(data, project({"x": "number"}), labels=("a", "c"))


def test_a_regression_target_is_numbers():
    data = table(y=["1.5", "2"], x=list("12"))
    assert target_of(data, project({"x": "number"}, task="regression")).y.tolist() == [1.5, 2.0]
    with pytest.raises(InputError, match="'n/a' is not a finite"):
        target_of(table(y=["1", "n/a"], x=list("12")), project({"x": "number"}, task="regression"))


def test_rows_without_a_target_must_be_left_away_first():
    data = table(y=["1", "", "0"], x=list("123"))
    wanted = project({"x": "number"})
    with pytest.raises(DataError, match="1 rows have no 'y'"):
        target_of(data, wanted)
    assert prepared(data, wanted).frame["x"].tolist() == ["1", "3"]


def test_cleaning_leaves_rows_away_only_where_it_says_so():
    data = table(x=["1", "", "1", "1"], c=["", "a", "", "b"], y=["0", "1", "0", "0"])
    kinds = {"x": "number", "c": "category"}
    assert len(prepared(data, project(kinds))) == 4
    assert prepared(data, project(kinds, cleaning=Cleaning(impute="refuse"))).frame["c"].tolist() == ["", "", "b"]
    assert prepared(data, project(kinds, cleaning=Cleaning(drop_duplicates=True))).frame["x"].tolist() == ["1", "", "1"]


@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", ""])] * 3), min_size=1, max_size=30))
def test_a_row_is_repeated_if_an_earlier_one_is_equal(rows):
    a, b, c = (list(column) for column in zip(*rows, strict=True))
    same = repeated(table(a=a, b=b, c=c), ("a", "b", "c"))
    assert same.tolist() == [row in rows[:position] for position, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("labels", "counts", "positive"),
    [
        ((0, 1), (1, 9), 1),
        ((False, True), (1, 9), True),
        (("no", "Yes"), (1, 9), "Yes"),
        (("bad", "good"), (3, 7), "bad"),
        (("a", "b"), (5, 5), "b"),
        ((1, 2), (1, 9), 1),
    ],
)
def test_the_positive_label_is_the_affirmative_or_the_rarer(labels, counts, positive):
    assert default_positive(labels, counts) is positive


def test_a_category_of_a_whole_number_is_spelled_without_a_point():
    assert [plain(v) for v in (3, 3.0, 2.5, True, "3.0")] == ["3", "3", "2.5", "true", "3.0"]
