"""Every protocol gives the plain one's answers and refuses what it refuses."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor

import dialects
import numpy as np
import pytest
from live import until
from subjects import LOAN, ROW, SECONDS, good

from mainstay.models.signature import Reader
from mainstay.serving.protocols.csv_rows import read_csv

PURPOSES = ("car", "radio/tv", "7", "boat")


def rows_of(number: int, seed: int = 0) -> dialects.Rows:
    chosen = np.random.default_rng(seed)
    return [
        {
            **ROW,
            "amount": None if chosen.random() < 0.2 else round(float(chosen.uniform(0, 4000)), 2),
            "purpose": PURPOSES[chosen.integers(4)],
            "owner": bool(chosen.integers(2)),
        }
        for _ in range(number)
    ]


def expected(rows: dialects.Rows) -> list[float]:
    codes = {"car": 0, "radio/tv": 1, "7": 2}
    return [good(row["amount"], codes.get(row["purpose"], -1), row["owner"], SECONDS) for row in rows]


def check(reply, rows: dialects.Rows) -> None:
    shares = expected(rows)
    predictions, probabilities = dialects.said(reply)
    assert predictions == ["good" if share >= 0.5 else "bad" for share in shares]
    if probabilities is not None:
        np.testing.assert_allclose(probabilities, [[1 - share, share] for share in shares], atol=1e-12)


@pytest.mark.parametrize("number", [1, 7, 1000])
@pytest.mark.parametrize("how", dialects.BODIES)
def test_each_protocol_gives_the_models_answers_whatever_the_order_of_the_names(client, how, number):
    rows = rows_of(number)
    check(dialects.post(client, how, "loan", dialects.shuffled(rows)), rows)


@pytest.mark.parametrize("how", dialects.BODIES)
def test_each_of_many_callers_gets_his_own_answer(server, how):
    asked = [rows_of(3, seed) for seed in range(24)]
    with server.client() as client, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda rows: dialects.post(client, how, "loan", rows), asked))
    for rows, reply in zip(asked, replies, strict=True):
        check(reply, rows)


REFUSED = {
    "a column is missing": ([{k: v for k, v in ROW.items() if k != "age"}], "'age'", "missing", ""),
    "a column too many": ([{**ROW, "zzz": 1}], "'zzz'", "unknown column", ""),
    "a misspelt column": ([{**ROW, "agee": 1}], "'agee'", "did you mean 'age'", ""),
    "text for a number": ([ROW, {**ROW, "age": "old"}], "row 1, ", "expected", "'age': got 'old'"),
    "a number for a truth": ([{**ROW, "owner": 3}], "'owner'", "true or false", "3"),
    "null where none was seen": ([{**ROW, "age": None}], "column 'age'", "no missing value", "null"),
    "a date that is none": ([{**ROW, "since": "soon"}], "column 'since'", "iso 8601", "'soon'"),
    "an integer beyond a double": ([{**ROW, "age": 2**53 + 1}], "'age'", "2^53", "9007199254740993"),
    "an integer beyond 64 bits": ([{**ROW, "age": 2**70}], "'age'", "2^53", "1180591620717411303424"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("how", dialects.BODIES)
def test_each_protocol_names_field_value_and_expectation(client, how, case):
    rows, place, wanted, value = REFUSED[case]
    reply = dialects.post(client, how, "loan", rows)
    assert reply.status_code == 400, reply.text
    sentence = dialects.words(reply).lower()
    assert place in sentence
    assert wanted in sentence
    assert value in sentence or (value == "null" and "got nan" in sentence)  # as bytes have it


HOSTILE = {
    "nothing": b"",
    "no json": b"{",
    "deep": b'{"instances":' + b"[" * 100_000,
    "deep objects": b'{"instances":' + b'{"a":' * 100_000,
    "deep and whole": b'{"instances": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number of a million digits": b'{"instances": [' + b"9" * 1_000_000 + b"]}",
    "a number beyond a double": b'{"instances": [{"age": 1e999}]}',
    "a name twice": b'{"instances": [], "instances": []}',
    "null": b"null",
    "a list of nothing": b"[[],[],{}]",
    "not utf-8": b'{"instances": ["\xff\xfe"]}',
    "a lone surrogate": b'{"inputs": {"purpose": ["\\ud800"]}}',
    "a lone surrogate beside a token": b'{"inputs": {"age": [1], "amount": [NaN], "purpose": ["\\ud800"], '
    b'"owner": [true], "since": [null]}}',
    "wrong kinds": b'{"instances": {"a": 1}}',
    "strange lists": b'{"inputs": {"age": 3, "amount": [], "purpose": [[[]]], "owner": {}, "since": [1]}}',
    "unequal columns": b'{"inputs": {"age": [1], "amount": [], "purpose": [], "owner": [], "since": []}}',
    "an unknown form": b'{"columns": ["age"], "data": [[1]]}',
    "a ragged frame": b'{"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}}',
    "a frame of a column twice": b'{"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}',
    "a frame of nothing": b'{"dataframe_split": {}}',
    "parameters": b'{"instances": [], "params": {"t": 1}}',
    "two forms": b'{"instances": [], "inputs": {}}',
    "another signature": b'{"instances": [], "signature_name": "other"}',
    "bad base64": b'{"instances": [{"purpose": {"b64": "*"}}]}',
}
PATHS = ("/predict", "/v1/models/loan:predict", "/invocations")


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("path", PATHS)
def test_hostile_bodies_are_refused_in_words(client, path, case):
    reply = client.post(path, content=HOSTILE[case], headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert dialects.words(reply)


CSV_REFUSED = {
    "nothing": (b"", "empty"),
    "a name twice": (b"age,age\n1,2\n", "twice"),
    "a short line": (b"age,amount\n1\n", "Row 0 has 1 cells"),
    "an open quote": (b'age,amount\n"1,2\n', "not CSV"),
    "a cell without end": (b"age\n" + b"x" * 200_000, "not CSV"),
    "not utf-8": (b"age\n\xff\n", "UTF-8"),
    "a number with an underscore": (b"age,amount,purpose,owner,since\n1_0,1,car,true,\n", "got '1_0'"),
    "not a number": (b"age,amount,purpose,owner,since\nnan,1,car,true,\n", "got 'nan'"),
    "infinity": (b"age,amount,purpose,owner,since\ninf,1,car,true,\n", "got 'inf'"),
    "beyond a double": (b"age,amount,purpose,owner,since\n1e999,1,car,true,\n", "finite"),
    "a nought": (b"age,amount\n1\x00,2\n", "age"),
}


@pytest.mark.parametrize("case", CSV_REFUSED)
@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_csv_that_does_not_fit_is_refused_in_words(client, path, case):
    body, wanted = CSV_REFUSED[case]
    reply = client.post(path, content=body, headers={"content-type": "text/csv; charset=utf-8"})
    assert reply.status_code == 400
    assert wanted in dialects.words(reply) or "missing" in dialects.words(reply)


def test_csv_is_typed_by_the_signature(client):
    lines = '\ufeffsince,owner,purpose,amount,age,row_id\r\n,TRUE,7,?,+35.0,"a,b"\r\n'.encode()
    said = client.post("/predict", content=lines, headers={"content-type": "text/csv"}).json()
    assert said["probabilities"][0]["good"] == pytest.approx(good(None, 2, True, None), abs=1e-12)


@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_a_cell_of_csv_may_be_as_long_as_its_body(client, path):
    limit = csv.field_size_limit()
    row = {**ROW, "purpose": 'a "quoted"\r\n' * 100_000}
    check(client.post(path, content=dialects.csv_of([row, ROW]), headers=dialects.CSV), [row, ROW])
    read_csv(dialects.csv_of([row]), Reader(LOAN))
    assert csv.field_size_limit() == limit, "it is of the whole process"


def test_what_is_accepted_decides_the_form_of_the_answer(client):
    for accept, kind in (
        ("text/csv", "text/csv"),
        ("text/csv;q=0.1, application/json", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
        ("text/*", "text/csv"),
        ("", "application/json"),
        (",", "application/json"),
    ):
        reply = client.post("/predict", json={"inputs": [ROW]}, headers={"accept": accept, "x-request-id": "mine"})
        assert reply.headers["content-type"].startswith(kind)
    table = client.post("/predict", json={"inputs": [ROW]}, headers={"accept": "text/csv", "x-request-id": "mine"})
    assert (table.headers["x-request-id"], table.headers["x-model"]) == ("mine", "loan:1")
    assert client.post("/predict", json=ROW, headers={"accept": "image/png"}).status_code == 406


@pytest.mark.parametrize("said", ["soon", "-1", "1.5", "", "9" * 16])
def test_a_time_to_wait_that_makes_no_sense_is_refused_whatever_the_model(client, said):
    """Also by one that is answered at once."""
    for how in ("plain", "tf rows", "mlflow records", "v2"):
        path, body, _ = dialects.BODIES[how]("loan", [ROW])
        reply = client.post(path, json=body, headers={"x-envoy-expected-rq-timeout-ms": said})
        assert (reply.status_code, "whole milliseconds" in reply.text) == (400, True)
        assert client.post(path, json=body, headers={"x-envoy-expected-rq-timeout-ms": "1"}).status_code == 200


def test_an_unknown_version_label_or_model_is_a_404(client, two_models):
    for path in (
        "/v1/models/loan/versions/9:predict",
        "/v1/models/loan/versions/x:predict",
        "/v1/models/loan/labels/canary:predict",
        "/v1/models/none:predict",
        "/models/none/invocations",
        "/x/invocations",
    ):
        reply = client.post(path, json={"instances": [ROW]})
        assert reply.status_code == 404, path
        assert dialects.words(reply)
    for path in ("/v1/models/none", "/v1/models/none/metadata", "/v1/models/loan/versions/2"):
        assert client.get(path).status_code == 404
    with two_models.client() as several:
        reply = several.post("/invocations", json={"instances": [{"x": 1}]})
        assert reply.status_code == 404
        assert "/models/double/invocations" in dialects.words(reply)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/loan:predict", 405),
        ("POST", "/v1/models/loan", 405),
        ("POST", "/v1/models/loan:classify", 400),
        ("GET", "/v1/models/loan/what/is/this", 400),
        ("GET", "/v1/models/", 400),
        ("GET", "/invocations", 405),
        ("DELETE", "/ping", 405),
    ],
)
def test_other_methods_and_paths_are_refused_in_the_protocols_shape(client, method, path, status):
    reply = client.request(method, path)
    assert reply.status_code == status
    assert dialects.words(reply)


def test_tensorflow_serving_tells_status_and_metadata(client):
    for path in ("/v1/models/loan", "/v1/models/loan/versions/1", "/v1/models/loan/labels/stable"):
        said = client.get(path).json()["model_version_status"]
        assert said == [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    said = client.get("/v1/models/loan/metadata").json()
    served = said["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert {name: each["dtype"] for name, each in served["inputs"].items()} == {
        "age": "DT_DOUBLE",
        "amount": "DT_DOUBLE",
        "purpose": "DT_STRING",
        "owner": "DT_BOOL",
        "since": "DT_STRING",
    }
    assert served["outputs"]["probabilities"]["tensor_shape"]["dim"][1]["size"] == "2"
    assert said["model_spec"] == {"name": "loan", "signature_name": "", "version": "1"}


def test_tensorflow_serving_takes_its_own_spellings(client, two_models):
    row = {**ROW, "purpose": {"b64": "Y2Fy"}}
    body = b'{"instances": [%s]}'
    text = json.dumps(row).replace("1200.5", "NaN").encode()
    said = client.post("/v1/models/loan:predict", content=body % text).json()
    assert said["predictions"][0]["probabilities"][1] == pytest.approx(good(None, 0, True, SECONDS), abs=1e-12)
    refused = client.post("/v1/models/loan:predict", content=body % text.replace(b"NaN", b"-Infinity"))
    assert refused.status_code == 400
    assert "finite" in refused.json()["error"]
    lists = {"instances": [list(ROW.values())]}
    assert client.post("/v1/models/loan:predict", json=lists).json()["predictions"][0]["prediction"]
    with two_models.client() as several:  # of one input, its values; of one output, its values
        for body in ([3, 4.5], [[3], [4.5]], [{"x": 3}, {"x": 4.5}]):
            said = several.post("/v1/models/double:predict", json={"instances": body}).json()
            assert said == {"predictions": [6.0, 9.0]}
        for body in ([3, 4.5], [[3], [4.5]], {"x": [3, 4.5]}):
            said = several.post("/v1/models/double:predict", json={"inputs": body}).json()
            assert said == {"outputs": [6.0, 9.0]}


def test_mlflow_tells_health_and_version(client):
    for path in ("/ping", "/health"):
        assert client.get(path).status_code == 200
    assert client.get("/version").text.startswith("0.")


def test_requests_are_counted_by_protocol(server):
    with server.client() as client:
        for how in dialects.BODIES:
            dialects.post(client, how, "loan", [ROW])
        for protocol in ("plain", "tf-serving", "mlflow", "open-inference"):
            line = f'mainstay_requests_total{{model="loan",version="loan:1",protocol="{protocol}",code="200"}}'
            until(lambda line=line: line in client.get("/metrics").text)


def test_tables_in_and_out_of_the_bodies_of_no_rows(client):
    for how in ("tf rows", "mlflow records"):
        path, _, _ = dialects.BODIES[how]("loan", [ROW])
        body = {"instances": []} if "tf" in how else {"dataframe_records": []}
        assert client.post(path, json=body).json()["predictions"] == []
    head = ",".join(ROW).encode() + b"\n"
    assert client.post("/predict", content=head, headers=dialects.CSV).json()["prediction"] == []
