"""What a table is taken for, and what is left out of it, with the reasons."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.errors import CheckFailed
from mainstay.project import Data
from mainstay.training.inference import Inferred, infer, look, proposed
from mainstay.training.reading import read
from mainstay.training.table import DataError, Provenance, Table, from_columns

ORIGIN = Provenance(files={}, rows=0, columns=0, format="test")
RANDOM = np.random.default_rng(7)
NOISE = [repr(float(v)) for v in RANDOM.normal(size=200)]
CLASS = [str(v) for v in RANDOM.integers(0, 2, 200)]


def table(**columns: object) -> Table:
    return from_columns(columns, ORIGIN, missing=("", "?"))


def real(shared_data, name: str, target: str, **data: object) -> Inferred:
    path = shared_data(name)
    return infer(read(Data(path=path.name, **data), path.parent), target)


@pytest.mark.data
def test_bike_rentals_leave_out_what_adds_up_to_the_target(shared_data):
    found = real(shared_data, "bike_sharing.csv", "cnt")
    assert (found.task, found.time_order, found.columns["dteday"]) == ("regression", "dteday", "datetime")
    assert set(found.left_out) == {"instant", "casual", "registered"}
    assert found.left_out["instant"] == "row number: each integer from 1 to 17379 once"
    assert found.left_out["casual"] == "likely leak: adds up with 'registered' to the target 'cnt' in every row"
    split = proposed(found, name="bike", data=Data(path="bike.csv")).split
    assert (split.kind, split.by) == ("time", "dteday")


@pytest.mark.data
def test_credit_is_binary_with_the_rarer_label_positive_and_nothing_left_out(shared_data):
    found = real(shared_data, "credit.csv", "class")
    assert (found.task, found.positive, found.left_out, found.notes) == ("binary", "bad", {}, [])
    assert sum(kind == "number" for kind in found.columns.values()) == 7
    assert len(found.columns) == 20


@pytest.mark.data
def test_adult_says_that_one_column_repeats_another(shared_data):
    found = real(shared_data, "adult.csv.gz", "class")
    assert (found.positive, found.tokens, found.left_out) == (">50K", {"?": 6465}, {})
    assert [n for n in found.notes if "'education-num' repeats 'education'" in n]
    assert found.columns["fnlwgt"] == "number"


@pytest.mark.data
def test_messages_are_free_text(shared_data):
    found = real(shared_data, "sms_spam.tsv", "label", header=False, columns=("label", "text"))
    assert (found.columns, found.positive) == ({"text": "text"}, "spam")


@pytest.mark.data
def test_a_nameless_row_number_is_left_out(shared_data):
    found = real(shared_data, "fraud.csv", "Class")
    assert list(found.left_out) == ["column_1"]
    assert found.left_out["column_1"].startswith("row number")
    assert found.positive == 1
    assert len(found.columns) == 30


@pytest.mark.data
def test_a_normalised_date_that_rows_follow_is_pointed_at(shared_data):
    found = real(shared_data, "electricity.csv.gz", "class")
    assert found.time_order is None
    assert [n for n in found.notes if "seem to follow 'date'" in n]


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (["a", "b"] * 100, "binary"),
        (["a", "b", "c", "c"] * 50, "multiclass"),
        (list("12345") * 40, "multiclass"),
        ([str(v) for v in range(200)], "regression"),
        (["0.5", "1.5", "2.5", "3.5"] * 50, "regression"),
        ([True, False] * 100, "binary"),
    ],
)
def test_the_task_follows_from_the_target(target, task):
    assert infer(table(x=NOISE, y=target), "y").task == task


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "?"], "number"),
        (["0", "1"], "number"),
        (["true", "False", ""], "boolean"),
        (["01", "02"], "category"),
        (["car", "tv"], "category"),
        (["2020-01-01", "2020-01-02"], "datetime"),
        (["31.12.2020", "01.01.2021"], "datetime"),
        ([f"the quick brown fox number {v} jumps" for v in range(50)], "text"),
        ([str(2**60), str(2**60 + 1)] * 10, "category"),
    ],
)
def test_types_follow_from_the_values(cells, kind):
    found = look(table(x=cells), "x")
    assert (found.type, found.reason) == (kind, None)


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("x", ["", "?"] * 20, "every value is missing"),
        ("x", ["a"] * 40, "constant: every value is 'a'"),
        ("x", [f"u{v:04d}" for v in range(40)], "identifier: 40 different values in 40 rows"),
        ("x", [str(v) for v in RANDOM.permutation(40)], "row number: each integer from 0 to 39 once"),
        ("customer_id", [str(v * 7) for v in range(40)], "identifier: its name says so"),
        ("x", [str(2**60 + v) for v in range(40)], "identifier: integers beyond 2^53"),
    ],
)
def test_columns_that_say_nothing_are_left_out_with_a_reason(name, cells, reason):
    assert str(look(table(**{name: cells}), name).reason).startswith(reason)


def test_distinct_numbers_alone_are_no_identifier():
    assert look(table(price=[str(v * 7) for v in range(40)]), "price").reason is None


def test_numbers_with_a_few_words_are_pointed_at():
    assert "75.0 % numbers, but holds 'n.a.'" in str(look(table(x=["1", "2", "3", "n.a."] * 10), "x").note)
    assert "decimal comma" in str(look(table(x=["1,5", "2,5"] * 10), "x").note)
    assert "%m/%d/%Y would fit" in str(look(table(x=["01/02/2020", "03/04/2020"]), "x").note)


def leaks(**columns: object) -> dict[str, str]:
    return infer(table(noise=NOISE, **columns), "y").left_out


def test_copies_of_the_target_are_left_out():
    assert list(leaks(copy=["yes" if v == "1" else "no" for v in CLASS], y=CLASS)) == ["copy"]
    y = [str(v) for v in RANDOM.normal(size=200)]
    assert list(leaks(copy=y, y=y)) == ["copy"]


def test_a_number_that_orders_the_classes_is_left_out():
    score = [float(v) + float(n) / 20 for v, n in zip(CLASS, NOISE, strict=True)]
    assert "ROC AUC 1.0000" in leaks(score=[repr(v) for v in score], y=CLASS)["score"]


def test_a_value_that_is_missing_for_one_class_only_is_left_out():
    closed = ["" if v == "0" else n for v, n in zip(CLASS, reversed(NOISE), strict=True)]
    assert "whether it is missing tells" in leaks(closed=closed, y=CLASS)["closed"]


def test_a_number_that_tells_three_classes_is_left_out():
    y = [str(v % 3) for v in range(200)]
    code = [repr(10.0 * int(v) + float(n) / 10) for v, n in zip(y, NOISE, strict=True)]
    assert "tells the target" in leaks(code=code, y=y)["code"]


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda a, b: a + b, {"a", "b"}),
        (lambda a, b: a - b, {"a", "b"}),
        (lambda a, b: 3 * a + 2, {"a"}),
        (lambda a, b: np.exp(a), {"a"}),
        (lambda a, b: a * b, set()),
        (lambda a, b: a + b + 0.3 * RANDOM.normal(size=200), set()),
    ],
)
def test_columns_that_make_up_a_numeric_target_are_left_out(make, left):
    a, b = np.round(RANDOM.normal(size=200), 3), np.round(RANDOM.normal(size=200), 3)
    y = make(a, b)
    assert (
        set(leaks(a=[repr(float(v)) for v in a], b=[repr(float(v)) for v in b], y=[repr(float(v)) for v in y])) == left
    )


def test_a_merely_good_column_stays():
    good = [repr(float(v) + float(n) / 2) for v, n in zip(CLASS, NOISE, strict=True)]
    assert leaks(good=good, y=CLASS) == {}


def test_few_rows_are_no_evidence_of_a_leak():
    assert infer(table(x=["1", "2"] * 20, y=["a", "b"] * 20), "y").left_out == {}


def test_the_only_input_stays_though_it_gives_the_target_away():
    found = infer(table(x=CLASS, y=CLASS), "y")
    assert list(found.columns) == ["x"]
    assert "gives the target away" in found.notes[0]


def test_a_target_that_is_not_there_is_refused_with_the_nearest_name():
    with pytest.raises(DataError, match=r"no column 'clas'\. Did you mean 'class'"):
        infer(table(**{"class": ["a"], "x": ["1"]}), "clas")


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(DataError, match="only the column 'y'"):
        infer(table(y=CLASS), "y")
    with pytest.raises(DataError, match="missing in all 2 rows"):
        infer(table(x=["1", "2"], y=["", "?"]), "y")
    with pytest.raises(CheckFailed, match="No column is left"):
        infer(table(x=["a"] * 200, y=CLASS), "y")


def test_two_thousand_columns_are_looked_at():
    columns = {f"c{v}": RANDOM.normal(size=120) for v in range(2000)}
    found = infer(table(**columns, y=CLASS[:120]), "y")
    assert len(found.columns) + len(found.left_out) == 2000
