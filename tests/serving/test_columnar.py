"""Arrow and Parquet over HTTP: the native model's answers in any form, and a server that lives on whatever comes."""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest
from columnar_bodies import body_of, table_of
from live import serving, until
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from subjects import ROW, SECONDS, good, loan
from test_tensor_requests import ROWS, _drafts

from mainstay.models.formats.objects import Given
from mainstay.models.registering import draft_of
from mainstay.serving.columnar.messages import FILE, KINDS, PARQUET, STREAM

JSON, CSV = "application/json", "text/csv"
FORMS = (JSON, CSV, *KINDS)
MOMENT = dt.datetime(2020, 1, 31, 12)  # noqa: DTZ001 - a time without a zone is what is meant
LOAN = pa.Table.from_pylist([{**ROW, "since": MOMENT}] * 2)


@pytest.fixture(scope="module")
def credit(shared_data, tmp_path_factory):
    """The credit data, a pipeline of scikit-learn's on it, and a server of that."""
    frame = pd.read_csv(shared_data("credit.csv"))
    X, y = frame.drop(columns="class"), frame["class"]
    texts = X.columns[X.dtypes == "str"].tolist()
    unseen = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((unseen, texts), remainder="passthrough")
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20)).fit(X, y)
    with serving(tmp_path_factory.mktemp("credit"), ("credit", draft_of(model, Given(X=X)).built.draft)) as server:
        yield X, model, server


@pytest.fixture(scope="module")
def columnar(tmp_path_factory):
    """One worker that serves `loan`."""
    with serving(tmp_path_factory.mktemp("columnar"), ("loan", loan())) as running:
        yield running


def said(reply, form: str) -> tuple[list[str], np.ndarray]:
    """The predictions, and the probabilities of each class in order of its name."""
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].partition(";")[0] == form
    if form == JSON:
        told = reply.json()
        return told["prediction"], np.array([[row[name] for name in sorted(row)] for row in told["probabilities"]])
    if form == CSV:
        rows = list(csv.DictReader(io.StringIO(reply.text)))
    else:
        table = table_of(reply.content, form)
        assert table.schema.metadata == {b"model": b"credit:1", b"id": reply.headers["x-request-id"].encode()}
        rows = table.to_pylist()
    shares = sorted(name for name in rows[0] if name.startswith("probability_"))
    return [row["prediction"] for row in rows], np.array([[float(row[name]) for name in shares] for row in rows])


@pytest.mark.parametrize("number", [1, 7, 1000])
def test_each_form_in_and_out_has_the_native_models_answers(credit, number):
    X, model, server = credit
    rows = X.sample(number, random_state=number)
    rows = rows[random.Random(number).sample(list(rows.columns), len(rows.columns))]
    labels, shares = model.predict(rows[X.columns]), model.predict_proba(rows[X.columns])
    table = pa.Table.from_pandas(rows, preserve_index=False)
    bodies = {JSON: rows.to_json(orient="records"), CSV: rows.to_csv(index=False)}
    bodies |= {kind: body_of(table, kind) for kind in KINDS}
    with server.client() as client:
        for given in FORMS:
            for form in FORMS:
                headers = {"content-type": given, "accept": form, "x-request-id": "mine"}
                predictions, found = said(client.post("/predict", content=bodies[given], headers=headers), form)
                assert predictions == labels.tolist(), (given, form)
                np.testing.assert_allclose(found, shares, atol=1e-12, err_msg=f"{given} {form}")


def test_each_of_many_callers_gets_his_own_answers(columnar):
    amounts = [[100.0 * caller + row for row in range(3)] for caller in range(24)]
    with columnar.client() as client, ThreadPoolExecutor(8) as pool:

        def ask(caller: int):
            kind = KINDS[caller % len(KINDS)]
            table = pa.Table.from_pylist([{**ROW, "since": MOMENT, "amount": amount} for amount in amounts[caller]])
            return client.post("/predict", content=body_of(table, kind), headers={"content-type": kind})

        replies = list(pool.map(ask, range(24)))
    for reply, asked in zip(replies, amounts, strict=True):
        found = [each["good"] for each in reply.json()["probabilities"]]
        np.testing.assert_allclose(found, [good(amount, 1, True, SECONDS) for amount in asked], atol=1e-12)


def test_values_are_typed_as_in_json(columnar):
    """Nulls, dictionaries, decimals, small and large types, zones, and a column that training set aside."""
    tokyo = pa.array([MOMENT, None], pa.timestamp("ns", "UTC")).cast(pa.timestamp("ns", "Asia/Tokyo"))
    table = pa.table(
        {
            "row_id": pa.array([{"any": "thing"}] * 2),
            "since": tokyo,
            "owner": [True, False],
            "purpose": pa.array(["7", "radio/tv"], pa.large_string()).dictionary_encode(),
            "amount": pa.array(["1200.50", None]).cast(pa.decimal128(9, 2)),
            "age": pa.array([35, 61], pa.uint8()),
        }
    )
    rows = [
        {**ROW, "purpose": "7"},
        {**ROW, "since": None, "owner": False, "amount": None, "age": 61},
    ]
    with columnar.client() as client:
        expected = client.post("/predict", json={"inputs": rows}).json()
        for kind in KINDS:
            found = client.post("/predict", content=body_of(table, kind), headers={"content-type": kind}).json()
            assert found["prediction"] == expected["prediction"]
            assert found["probabilities"] == expected["probabilities"]
        none = client.post("/predict", content=body_of(table.slice(0, 0), STREAM), headers={"content-type": STREAM})
        assert none.json()["prediction"] == []


def change(name, values):
    return LOAN.set_column(LOAN.schema.get_field_index(name), name, values)


REFUSED = {
    "missing": (LOAN.drop_columns("age"), "Column 'age' is missing."),
    "unknown": (LOAN.append_column("agee", pa.array([1, 2])), "Did you mean 'age'?"),
    "twice": (LOAN.append_column("age", pa.array([1, 2])), "Column 'age' stands twice in the body: send each once."),
    "null where none was seen": (change("age", pa.array([1, None])), "Row 1, column 'age': got null"),
    "text for a number": (change("age", pa.array(["1", "old"])), "Row 0, column 'age': got '1', expected a number"),
    "a truth for a number": (change("age", pa.array([True, True])), "Row 0, column 'age': got true, expected a number"),
    "beyond a double": (change("age", pa.array([1, 2**53 + 1])), "Row 1, column 'age': got 9007199254740993"),
    "not finite": (change("age", pa.array([1, np.inf])), "Row 1, column 'age': got inf, expected a finite number"),
    "lists": (change("age", pa.array([[1], [2]])), "Column 'age': got lists, expected one value a row."),
    "a struct": (change("age", pa.array([{"a": 1}] * 2)), "Column 'age' is of type struct<a: int64>"),
    "a decimal for a category": (
        change("purpose", pa.array(["7", "7"]).cast(pa.decimal128(9, 2))),
        "Row 0, column 'purpose': got Decimal('7.00'), expected a category",
    ),
    "a year 30000": (
        change("since", pa.array([0, 900_000_000_000], pa.timestamp("s"))),
        "Row 1, column 'since': got a time outside of the years 1 to 9999.",
    ),
    "a time of day": (change("since", pa.array([1, 2], pa.time32("s"))), "Column 'since' is of type time32["),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_field_row_and_expectation(columnar, case):
    table, sentence = REFUSED[case]
    with columnar.client() as client:
        for kind in (STREAM, FILE) if case == "twice" else (STREAM, PARQUET):
            reply = client.post("/predict", content=body_of(table, kind), headers={"content-type": kind})
            assert reply.status_code == 400, reply.text
            assert sentence in reply.json()["error"]
            assert "field" in reply.json()


def bombs():
    """Small bodies that hold much; and what is said of them."""
    nothing = pa.table({"age": pa.nulls(10**8)})
    yield PARQUET, body_of(pa.table({"age": pa.nulls(10**7, pa.int8())}), PARQUET), "too many at once"
    yield STREAM, body_of(nothing, STREAM, rows=10**8), "too many at once"
    texts = pa.table({"age": pa.array([f"{row:04}" + "x" * 1_000_000 for row in range(250)])})
    yield STREAM, body_of(texts, STREAM, compression="zstd"), "bytes: send fewer rows"
    # One text of a megabyte, and 1,500 rows that point at it: written without its type, so that it is unfolded.
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1500, dtype=np.int32)), ["x" * 1_000_000])
    yield PARQUET, body_of(pa.table({"age": same}), PARQUET, store_schema=False), "more memory"


def test_a_server_lives_on_through_bombs_and_damaged_bodies(columnar):
    whole = {kind: body_of(LOAN, kind) for kind in KINDS}
    worker = columnar.workers()[0]
    headers = {kind: {"content-type": kind} for kind in KINDS}
    with columnar.client() as client:
        for kind in KINDS:
            for cut in (0, 1, 9, len(whole[kind]) // 2, len(whole[kind]) - 9):
                reply = client.post("/predict", content=whole[kind][:cut], headers=headers[kind])
                assert reply.status_code == 400, (kind, cut, reply.text)
        before = worker.memory_info().rss
        for kind, body, sentence in bombs():
            assert len(body) < 2_000_000
            reply = client.post("/predict", content=body, headers=headers[kind])
            assert reply.status_code == 413, reply.text
            assert sentence in reply.json()["error"]
        assert worker.memory_info().rss - before < 100_000_000
        for kind in KINDS:
            assert client.post("/predict", content=whole[kind], headers=headers[kind]).status_code == 200
    assert columnar.workers() == [worker]


def test_a_killed_reader_costs_one_request_and_ends_with_its_worker(columnar):
    body, headers = body_of(LOAN, STREAM), {"content-type": STREAM}
    with columnar.client() as client:
        assert client.post("/predict", content=body, headers=headers).status_code == 200
        (reader,) = columnar.workers()[0].children()
        reader.kill()
        assert [client.post("/predict", content=body, headers=headers).status_code for _ in range(3)][1:] == [200, 200]
        (another,) = columnar.workers()[0].children()
        assert another != reader
        os.kill(columnar.workers()[0].pid, signal.SIGKILL)
        until(lambda: not another.is_running() or another.status() == psutil.STATUS_ZOMBIE)


def test_tensors_are_lists_of_one_length(tmp_path):
    twice, _ = _drafts()
    ragged = pa.table({"x": pa.array([[[1.0] * 4] * 2, [[1.0] * 4]])})
    lists = pa.table({"x": pa.array(ROWS.tolist(), pa.list_(pa.list_(pa.float32(), 4), 2))})
    plain = pa.table({"x": pa.array(ROWS.tolist(), pa.list_(pa.list_(pa.float64())))})
    tensor = pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(ROWS)})
    with serving(tmp_path, ("twice", twice)) as server, server.client() as client:
        for kind in KINDS:
            headers = {"content-type": kind, "accept": kind}
            for table in (lists, plain, tensor):
                reply = client.post("/predict", content=body_of(table, kind), headers=headers)
                assert reply.status_code == 200, reply.text
                found = table_of(reply.content, kind).column("y").to_pylist()
                np.testing.assert_array_equal(found, 2 * ROWS)
            reply = client.post("/predict", content=body_of(ragged, kind), headers=headers)
            assert (reply.status_code, reply.json()["field"]) == (400, "x")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text("import sys\nsys.modules['pyarrow'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    with serving(tmp_path, ("loan", loan())) as server, server.client() as client:
        reply = client.post("/predict", content=body_of(LOAN, STREAM), headers={"content-type": STREAM})
        assert reply.status_code == 415
        assert "pip install 'mainstay[arrow]'" in reply.json()["error"]
        reply = client.post("/predict", json=ROW, headers={"accept": PARQUET})
        assert reply.status_code == 406
        assert "pip install 'mainstay[arrow]'" in reply.json()["error"]
        reply = client.post("/predict", json=ROW, headers={"accept": f"{PARQUET}, text/csv"})
        assert reply.headers["content-type"].startswith(CSV)
