"""Slices: each row stands in exactly one of a column's own groups, and rare values are not shown alone."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.signature import Column, Reader, Signature
from mainstay.training.metrics import EvaluationError
from mainstay.training.slicing import AT_MOST, FEW, MISSING, OTHER, UNSEEN_VALUE, column_values, groups

cells = st.one_of(
    st.lists(st.sampled_from(["a", "b", "c", None]), max_size=80),
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=80),
    st.lists(st.integers(0, 5), max_size=80),
    st.lists(st.booleans(), max_size=80),
    st.lists(st.datetimes().map(lambda moment: moment.replace(year=1990 + moment.year % 40, day=1)), max_size=80),
)


@given(cells)
def test_each_row_stands_in_exactly_one_group(values):
    found = groups(values)
    assert sorted(row for group in found for row in group.rows.tolist()) == list(range(len(values)))
    assert len({group.value for group in found}) == len(found)


@given(st.lists(st.floats(-1e5, 1e5), min_size=50, max_size=80, unique=True))
def test_the_name_of_a_range_gives_its_rows(values):
    for group in groups(values):
        (again,) = [other for other in groups(values, keep=[group.value]) if other.value == group.value]
        assert again.rows.tolist() == group.rows.tolist()


def test_rare_values_are_merged_unless_a_gate_names_them():
    values = ["common"] * 50 + ["rare"] * 5 + ["rarer"] * 2 + ["once"]
    assert [(group.value, len(group.rows), group.merged) for group in groups(values)] == [
        ("common", 50, 0),
        (OTHER, 8, 3),
    ]
    assert [(group.value, len(group.rows)) for group in groups(values, keep=["rare"])] == [
        ("common", 50),
        ("rare", 5),
        (OTHER, 3),
    ]


def test_a_single_rare_value_keeps_its_name():
    assert [group.value for group in groups(["a"] * 50 + ["b"] * 3)] == ["a", "b"]


def test_many_values_are_told_by_the_most_frequent():
    values = [f"v{i:02}" for i in range(40) for _ in range(FEW + i)]
    found = groups(values)
    assert len(found) == AT_MOST + 1
    assert found[-1].merged == 40 - AT_MOST


def test_numbers_are_cut_into_quarters_and_named_ranges():
    found = {
        group.value: len(group.rows) for group in groups([*range(100), None], keep=["10..20", "90..", "..5", "x..y"])
    }
    assert found == {"..24": 24, "24..49": 25, "49..74": 25, "74..": 26, MISSING: 1, "10..20": 10, "90..": 10, "..5": 5}


def test_few_distinct_numbers_are_values():
    assert [group.value for group in groups([3, 1, 10, 2, 1] * 40)] == ["1", "2", "3", "10"]


def test_times_are_cut_at_days():
    start = datetime(2024, 1, 1, 5, tzinfo=UTC)
    found = groups([start + timedelta(hours=7 * i) for i in range(200)], keep=["2024-02-01.."])
    assert [group.value for group in found] == [
        "..2024-01-15",
        "2024-01-15..2024-01-30",
        "2024-01-30..2024-02-13",
        "2024-02-13..",
        "2024-02-01..",
    ]


def test_dates_as_text_are_times_and_codes_are_not():
    days = [(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=i)).date().isoformat() for i in range(100)]
    assert next(group.value for group in groups([*days, None])) == "..2024-01-25"
    assert [group.value for group in groups([day.replace("-", "") for day in days])] == [OTHER]
    assert [group.value for group in groups([*days, "soon"])] == [OTHER]


def test_one_value_for_all_rows_is_one_group():
    assert [group.value for group in groups([math.nan] * 5)] == [MISSING]
    assert [group.value for group in groups([True] * 5)] == ["true"]
    assert groups([]) == []


def test_columns_of_cells_are_read_back_as_they_were():
    signature = Signature(
        inputs=(
            Column(name="sex", type="category", categories=("f", "m"), nullable=True),
            Column(name="new", type="boolean"),
            Column(name="age", type="number"),
            Column(name="note", type="text"),
            Column(name="at", type="datetime"),
        ),
        task="regression",
    )
    rows = [
        {"sex": "m", "new": True, "age": 3, "note": "x", "at": "2024-01-02T03:04:05"},
        {"sex": "?", "new": False, "age": 4.5, "note": "y", "at": "2024-01-03"},
        {"sex": None, "new": False, "age": 4.5, "note": "y", "at": "2024-01-03"},
    ]
    read = Reader(signature).rows(rows)
    found = column_values(read, signature, ["sex", "new", "age", "at"])
    assert found["sex"] == ["m", UNSEEN_VALUE, None]
    assert found["new"] == [True, False, False]
    assert found["age"] == [3, 4.5, 4.5]
    assert found["at"][0] == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    with pytest.raises(EvaluationError, match="Did you mean 'age'"):
        column_values(read, signature, ["agee"])
    with pytest.raises(EvaluationError, match="free text"):
        column_values(read, signature, ["note"])


def test_numbers_of_numpy_are_numbers():
    found = groups(list(np.arange(100.0)))
    assert [group.value for group in found] == ["..24", "24..49", "49..74", "74.."]
