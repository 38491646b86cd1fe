"""Each check finds what it is for, says how many, and stays silent otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.errors import CheckFailed
from mainstay.project import Cleaning, Data, Project, Split
from mainstay.training.checks import check, examine
from mainstay.training.findings import DataRefused
from mainstay.training.inference import infer, proposed
from mainstay.training.reading import read
from mainstay.training.table import Provenance, Table, from_columns

ORIGIN = Provenance(files={}, rows=0, columns=0, format="test")
RANDOM = np.random.default_rng(3)
ROWS = 200


def good(**changed: object) -> dict[str, object]:
    columns = {
        "n": [repr(round(float(v), 4)) for v in RANDOM.normal(size=ROWS)],
        "c": [f"k{v}" for v in RANDOM.integers(0, 4, ROWS)],
        "y": [str(v % 2) for v in range(ROWS)],
    }
    return {**columns, **changed}


def findings(
    task: str = "binary",
    rest: dict[str, object] | None = None,
    **changed: object,
):
    data = from_columns(good(**changed), ORIGIN, missing=("", "?"))
    return examine(data, project(task, **(rest or {}))).findings


def project(task: str = "binary", columns: dict[str, str] | None = None, **rest: object) -> Project:
    kinds = {"n": "number", "c": "category"} if columns is None else columns
    return Project(name="m", target="y", data=Data(path="t.csv"), task=task, columns=kinds, **rest)


def test_good_data_has_no_findings():
    assert findings() == ()


def first(found: tuple, code: str):
    return next((f.level, f.message) for f in found if f.code == code)


@pytest.mark.parametrize(
    ("changed", "code", "level", "said"),
    [
        ({"y": ["a"] * ROWS}, "one_class", "error", "is 'a' in all 200 rows"),
        ({"y": [""] * ROWS}, "target_missing", "error", "missing in all 200 rows"),
        ({"y": ["", "", *"01" * 99]}, "target_missing", "warning", "2 rows are left out"),
        ({"y": ["2", *"01" * 99, "0"]}, "target_type", "error", "has 3 classes, not 2"),
        ({"y": ["1"] * 5 + ["0"] * 195}, "rare_class", "warning", "fewer than 10 rows (1)"),
        ({"y": ["1"] * 15 + ["0"] * 185}, "imbalance", "warning", "15 rows of 200 (7.5 %)"),
        ({"y": ["yes", "Yes "] * 100}, "suspicious_target", "warning", "capitals or blanks"),
        ({"n": ["", *[str(v % 50) for v in range(199)]]}, "missing_values", "note", "missing in 1 rows (0.5 %)"),
        ({"n": ["7"] * ROWS}, "constant", "warning", "constant: every value is '7'"),
        ({"n": [""] * ROWS}, "all_missing", "warning", "every value is missing"),
        ({"n": [str(v) for v in range(ROWS)]}, "identifier", "warning", "row number"),
        ({"n": ["x", "y", *[str(v % 50) for v in range(198)]]}, "column_type", "error", "2 values are not"),
        ({"c": ["k"] * 20 + [str(v % 9) for v in range(180)]}, "mixed_types", "warning", "180 numbers and 20 other"),
        ({"c": ["k", 1] * 100}, "mixed_types", "warning", "100 numbers and 100 other"),
        ({"c": ["k"] * 80 + [f"u{v}" for v in range(120)]}, "near_unique", "warning", "121 values in 200 rows"),
        ({"c": [f"k{v % 2}" for v in range(ROWS)]}, "giveaway", "warning", "gives the target away"),
        ({"n": ["1", "1"] * 100, "c": ["a", "b", "a", "b"] * 50}, "duplicates", "note", "198 rows repeat an earlier"),
        ({"n": ["1", "2"] * 100, "c": ["a"] * 100 + ["b"] * 100, "y": ["0"] * 51 + ["1"] * 149},
         "contradictions", "warning", "100 rows are the same in every input as another row of a different class"),
        ({"extra": ["1"] * ROWS}, "unknown_columns", "warning", "not used: 'extra'"),
    ],
)  # fmt: skip
def test_each_finding_says_what_and_how_many(changed, code, level, said):
    found = first(findings(**changed), code)
    assert found[0] == level
    assert said in found[1]


def test_a_single_row_of_a_class_is_an_error():
    found = findings("multiclass", y=["odd", *"01" * 99, "0"])
    assert "single row ('odd')" in first(found, "single_row_class")[1]


@pytest.mark.parametrize(
    ("y", "level", "said"),
    [
        (["n/a", *map(str, range(199))], "error", "1 values that are no finite numbers, such as 'n/a'"),
        (["1", "2"] * 100, "warning", 'set task = "binary"'),
        (["1e9", *[str(v % 30) for v in range(199)]], "warning", "1 values far from all others, such as 1e+09"),
        (["0"] * 189 + [str(v) for v in range(11)], "warning", "is 0 in 95.0 % of the rows"),
    ],
)
def test_suspicious_numbers_to_predict(y, level, said):
    assert [f for f in findings("regression", y=y) if f.level == level and said in f.message]


def test_many_classes_look_like_a_quantity():
    assert "100 classes" in first(findings("multiclass", y=[str(v // 2) for v in range(ROWS)]), "suspicious_target")[1]


def test_what_the_project_names_must_be_there():
    data = from_columns(good(), ORIGIN)
    found = examine(
        data, project(columns={"nn": "number"}, slices=("n",), split=Split(kind="time", by="when"))
    ).findings
    assert [f.column for f in found] == ["nn", "when"]
    assert "Did you mean" in found[0].message


def test_a_positive_label_must_be_a_label():
    assert "positive = 'yes' is no value" in first(findings(rest={"positive": "yes"}), "positive")[1]
    assert not [f for f in findings(rest={"positive": 1}) if f.code == "positive"]
    assert [f for f in findings(rest={"positive": True}) if f.code == "positive"]


def test_rows_that_cleaning_refuses_are_counted():
    found = findings(n=["", "", *[str(v % 50) for v in range(198)]], rest={"cleaning": Cleaning(impute="refuse")})
    assert first(found, "refused_rows")[1].startswith("2 rows are left out")


def small(rows: int) -> Table:
    return from_columns({name: list(cells)[:rows] for name, cells in good().items()}, ORIGIN)


def test_three_rows_are_too_few_and_the_minimum_is_said():
    with pytest.raises(CheckFailed, match="3 rows are too few to learn from: at least 20 are needed"):
        check(small(3), project())


def test_no_rows_are_refused():
    with pytest.raises(CheckFailed, match="has no rows"):
        check(small(0), project())


def test_a_table_of_the_target_alone_is_refused():
    with pytest.raises(CheckFailed, match="one column, the target 'y'"):
        check(from_columns({"y": ["0", "1"] * 50}, ORIGIN), project())


def test_all_errors_are_told_at_once():
    data = from_columns(good(n=["x"] * ROWS, y=["a"] * ROWS), ORIGIN)
    with pytest.raises(
        DataRefused, match=r"2 checks of the data failed: \(1\).*all 200 rows.*\(2\) Column 'n'"
    ) as caught:
        check(data, project())
    assert len(caught.value.checks.errors) == 2
    assert caught.value.exit_code == 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "target", "codes"),
    [
        ("credit.csv", "class", set()),
        ("bike_sharing.csv", "cnt", set()),
        ("adult.csv.gz", "class", {"contradictions", "duplicates", "missing_values"}),
    ],
)
def test_real_data_passes_with_what_is_known_of_it(shared_data, name, target, codes):
    path = shared_data(name)
    data = Data(path=path.name)
    table = read(data, path.parent)
    found = check(table, proposed(infer(table, target), name="m", data=data)).findings
    assert {f.code for f in found} == codes
