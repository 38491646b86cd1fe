"""What a table says, what its signature says, and what is then taken: the rows of docs/explanation/signatures.md.

A signature is never guessed: what is missing or contradicts itself is an error when a model is registered.
"""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from live import serving
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mainstay.errors import MainstayError
from mainstay.models.formats.frames import cells_of, take
from mainstay.models.formats.objects import CannotRegister, Given
from mainstay.models.package import Draft
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError, Reader, Signature, SignatureError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "signatures.md"
ROWS = 60
NUMBERS = np.random.default_rng(0).normal(size=ROWS)
CODES = np.arange(ROWS) % 3
Y = np.where(NUMBERS > 0, "yes", "no")


def with_missing(values: Any) -> pd.Series:
    series = pd.Series(values)
    series.iloc[3] = None
    return series


def column(values: Any) -> pd.DataFrame:
    return pd.DataFrame({"v": values, "other": NUMBERS})


def boosted(X: pd.DataFrame) -> Any:
    return HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2).fit(X, Y)


def one_hot(X: pd.DataFrame) -> Any:
    encoded = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["v"]), remainder="passthrough")
    return make_pipeline(encoded, LogisticRegression()).fit(X, Y)


def registered(model: Any, X: Any, **given: Any) -> Draft:
    return draft_of(model, Given(X=X, **given)).built.draft


MOMENTS = pd.Series(pd.date_range("2024-03-30T20:30", periods=ROWS, freq="h", tz="Europe/Berlin"))

# What stands in the page's first table: given, as the signature tells it, taken, refused.
TAKEN: list[tuple[str, Any, Any, str, list[Any], list[Any]]] = [
    ("integers", CODES, boosted, "number", [1, 1.5, -7], ["1", True, None, 2**53 + 1]),
    ("nullable integers (`Int64`) that miss none", pd.array(CODES, dtype="Int64"), boosted, "number", [2], [None]),
    (
        "nullable integers (`Int64`) that miss one",
        with_missing(pd.array(CODES, dtype="Int64")),
        boosted,
        "number, may be missing",
        [2, None],
        ["", "NaN"],
    ),
    (
        "integers that miss one (`float64`)",
        with_missing(CODES.astype(float)),
        boosted,
        "number, may be missing",
        [2, None],
        ["2"],
    ),
    ("`float32`, `Float32`", pd.array(NUMBERS, dtype="Float32"), boosted, "number", [0.1], ["0.1", None]),
    ("integers behind a one-hot encoder that takes unseen ones", CODES, one_hot, "number", [1, 77], ["1"]),
    (
        'texts such as `"001"`',
        np.array(["001", "01", "1"])[CODES],
        one_hot,
        "category",
        ["001", "1", 1, "new"],
        [None, 1.0, True],
    ),
    (
        "texts that miss one",
        with_missing(pd.Series(np.array(["x", "y", "z"])[CODES], dtype=object)),
        one_hot,
        "category, may be missing",
        ["x", None],
        [0.5],
    ),
    (
        "pandas categories of texts",
        pd.Categorical(np.array(["x", "y", "z"])[CODES]),
        boosted,
        "category",
        ["x", "new"],
        [None, 2.0],
    ),
    ("pandas categories of integers", pd.Categorical(CODES), boosted, "category", [1, "1", 77], [1.0, None]),
    ("booleans", CODES > 1, boosted, "boolean", [True, False], [1, "true", None]),
    (
        "booleans as objects that miss one",
        with_missing(pd.Series((CODES > 1).tolist(), dtype=object)),
        one_hot,
        "boolean, may be missing",
        [True, None],
        [0],
    ),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("integers beyond 2^53", CODES + 2**60, "2^53"),
    ("bytes, texts that were not decoded", pd.Series([b"caf\xe9", b"b", b"c"] * 20, dtype=object), "holds bytes"),
    ("texts with a lone surrogate", pd.Series(["caf\udce9", "b", "c"] * 20, dtype=object), "no Unicode"),
    ("integers and texts in one column", pd.Series([1, "a", 2] * 20, dtype=object), "holds int and str"),
    ("integers as objects", pd.Series([1, 2, 3] * 20, dtype=object), "holds int"),
    ("`decimal.Decimal`", pd.Series([decimal.Decimal("1.10")] * ROWS, dtype=object), "holds Decimal"),
    ("`datetime.date` as objects", pd.Series([dt.date(2024, 1, 1)] * ROWS, dtype=object), "holds date"),
    (
        "moments with and without a zone in one column",
        pd.Series([pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01", tz="UTC")] * 30, dtype=object),
        "holds Timestamp",
    ),
    ("time differences", pd.Series(pd.to_timedelta(CODES, unit="h")), "timedelta64"),
    ("periods", pd.Series(pd.period_range("2024-01", periods=ROWS, freq="M")), "period"),
    ("intervals", pd.Series(pd.cut(NUMBERS, 3)), "neither all texts nor all integers"),
    ("pandas categories of fractions or booleans", pd.Categorical(CODES / 2), "neither all texts nor all integers"),
    ("complex numbers", NUMBERS + 1j, "complex128"),
    ("`longdouble`", NUMBERS.astype(np.longdouble), "more than a double holds"),
    ("sparse columns", pd.arrays.SparseArray(NUMBERS), "sparse"),
    ("lists", pd.Series([[1, 2]] * ROWS, dtype=object), "holds list"),
    ("objects", pd.Series([{"a": 1}] * ROWS, dtype=object), "holds dict"),
]


def told(draft: Draft) -> str:
    found = Model.load(draft.package()).signature.inputs[0]
    return found.type + (", may be missing" if found.nullable else "")


def shown(values: list[Any]) -> str:
    """Values as JSON spells them."""
    spelled = {None: "null"}
    return ", ".join(
        f"`{str(v).lower() if isinstance(v, bool) else spelled[v] if v is None else repr(v)}`".replace("'", '"')
        for v in values
    )


@pytest.mark.parametrize("case", TAKEN, ids=[case[0] for case in TAKEN])
def test_a_table_says_what_its_signature_says_and_what_is_taken(case):
    given, values, fit, says, takes, refuses = case
    X = column(values)
    draft = registered(fit(X), X)
    assert told(draft) == says
    model = Model.load(draft.package())
    model.predict([{"v": value, "other": 0.0} for value in takes])
    for value in refuses:
        with pytest.raises(InputError, match="column 'v'"):
            model.predict([{"v": value, "other": 0.0}])
    assert f"| {given} | {says} | {shown(takes)} | {shown(refuses)} |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(("given", "values", "why"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_column_that_a_signature_cannot_hold_is_refused_by_name(given, values, why):
    X = column(values)
    codes = pd.DataFrame({"v": CODES, "other": NUMBERS})
    with pytest.raises((SignatureError, InputError)) as refused:
        registered(boosted(codes), X)
    assert "'v'" in str(refused.value)
    assert why in str(refused.value)
    assert f"| {given} |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("names", "why"),
    [([0, 1], "must be texts"), ([("a", "b"), ("a", "c")], "must be texts"), (["v", "v"], "more than once"),
     (["", "v"], "empty name"), (["  ", "v"], "empty name")],
)  # fmt: skip
def test_names_that_are_none_are_refused(names, why):
    X = pd.DataFrame(np.c_[NUMBERS, NUMBERS], columns=pd.Index(names, tupleize_cols=False))
    with pytest.raises(SignatureError, match=why):
        registered(boosted(pd.DataFrame(np.c_[NUMBERS, NUMBERS])), X)


def test_names_such_as_001_stay_as_they_are():
    X = pd.DataFrame({"1": NUMBERS, "001": NUMBERS})
    assert Model.load(registered(boosted(X), X).package()).signature.names == ("1", "001")


def test_another_table_than_the_models_own_is_refused():
    X = pd.DataFrame({"v": NUMBERS, "w": CODES})
    model = boosted(X)
    for other, why in (
        (X[["w", "v"]], "same order"),
        (X.assign(z=1), "unseen at fit time: - z"),
        (X[["v"]], "no column 'w'"),
        (X.to_numpy(), "no column 'v'"),
        (X[:0], "no rows"),
    ):
        with pytest.raises((CannotRegister, SignatureError), match=why):
            registered(model, other)


def test_test_rows_that_contradict_the_table_are_refused():
    X = pd.DataFrame({"v": NUMBERS, "w": CODES})
    model = boosted(X)
    for test, why in (
        (X.assign(z=1), "have a column 'z'"),
        (X[["v"]], "have no column 'w'"),
        (X.assign(w="1"), "expected a number"),
        (X.assign(w=True), "expected a number"),
        (X.assign(w=np.inf), "finite"),
        (X[:0], "no rows"),
    ):
        with pytest.raises(MainstayError, match=why):
            registered(model, X, X_test=test, y_test=Y[: len(test)])
    registered(model, X, X_test=X[["w", "v"]], y_test=Y)  # names say which is which
    missing = Model.load(registered(model, X, X_test=X.assign(w=np.nan), y_test=Y).package())
    assert missing.signature.inputs[1].nullable


@pytest.mark.parametrize(
    ("classes", "truth"),
    [
        (["1", "2"], [1, "2"]), (["1", "2"], [1, 2]), ([1, 2], ["1", "2"]), ([0, 1], [True, False]),
        ([False, True], [0, 1]), (["no", "yes"], ["yes", None]), (["no", "yes"], ["yes", "maybe"]),
    ],
)  # fmt: skip
def test_true_labels_of_another_type_are_refused(classes, truth):
    X = pd.DataFrame({"v": NUMBERS})
    model = LogisticRegression().fit(X, np.array(classes, dtype=np.asarray(classes).dtype)[CODES % 2])
    with pytest.raises(CannotRegister, match="y_test holds"):
        registered(model, X, X_test=X, y_test=truth * (ROWS // 2))


def test_labels_that_are_fractions_are_refused():
    X = pd.DataFrame({"v": NUMBERS})
    model = LogisticRegression().fit(X, (CODES > 1).astype(int))
    model.classes_ = np.array([0.0, 0.5])
    with pytest.raises(CannotRegister, match=r"class 0\.5"):
        registered(model, X)


def test_the_server_takes_and_refuses_the_same(tmp_path):
    X = pd.DataFrame(
        {
            "whole": with_missing(CODES.astype(float)),
            "code": np.array(["001", "01", "1"])[CODES],
            "other": NUMBERS,
        }
    )
    encoded = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["code"]), remainder="passthrough")
    draft = registered(make_pipeline(encoded, HistGradientBoostingClassifier(max_iter=3)).fit(X, Y), X)
    row = {"whole": None, "code": "001", "other": 0.5}
    with serving(tmp_path, ("strict", draft)) as server, server.client() as client:

        def status(**changes: Any) -> int:
            return client.post("/predict", json={**row, **changes}).status_code

        assert {status(), status(whole=2), status(code="new"), status(code=1)} == {200}
        backwards = client.post("/predict", json=dict(reversed(row.items())))
        assert backwards.json()["probabilities"] == client.post("/predict", json=row).json()["probabilities"]
        for changes in ({"whole": "2"}, {"whole": 2**53 + 1}, {"code": None}, {"code": 1.0}, {"other": True}, {"z": 1}):
            assert status(**changes) == 400, changes
        latin = '{"whole": 1, "code": "caf\xe9", "other": 0}'.encode("latin-1")
        assert client.post("/predict", content=latin, headers={"content-type": "application/json"}).status_code == 400


def test_moments_of_any_zone_are_read_as_the_same_instant():
    taken = take(pd.DataFrame({"t": MOMENTS}))
    signature = Signature(inputs=taken.inputs, task="regression", target="y")
    assert taken.inputs[0].type == "datetime"
    cells = cells_of(taken.frame, signature)
    # Berlin's clock goes from 02:00 to 03:00 in that night: an hour is an hour all the same.
    assert set(np.diff(cells.numbers[:, 0])) == {3600.0}
    read = Reader(signature).rows
    same = ["2024-03-31T01:30:00Z", "2024-03-31T03:30:00+02:00", "2024-03-31T01:30:00", "2024-03-30T20:30:00-05:00"]
    assert len({read([{"t": text}]).numbers[0, 0] for text in same}) == 1
    for wrong in ("31.03.2024", 1711848600, True, ""):
        with pytest.raises(InputError, match="column 't'"):
            read([{"t": wrong}])
