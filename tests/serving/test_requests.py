"""What a real server answers, over HTTP."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from live import until
from subjects import GOOD, ROW, SECONDS, good

PREDICT = "/predict"


def test_one_named_row_is_answered_by_one_value(client):
    reply = client.post(PREDICT, json=ROW)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    said = reply.json()
    assert said["prediction"] == ("good" if GOOD >= 0.5 else "bad")
    assert said["probabilities"]["good"] == pytest.approx(GOOD, abs=1e-12)
    assert said["probabilities"]["bad"] == pytest.approx(1 - GOOD, abs=1e-12)
    assert said["model"] == "loan:1"
    assert uuid.UUID(said["id"]).version == 7


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [ROW, {**ROW, "row_id": "x", "amount": "?"}]},
        [ROW, {**ROW, "amount": None}],
        {"features": [list(ROW.values()), [35, None, "radio/tv", True, "2020-01-31T12:00:00+00:00"]]},
        {**{name: [value, value] for name, value in ROW.items()}, "amount": [1200.5, "NA"]},
    ],
)
def test_each_form_of_several_rows_is_answered_by_a_list(client, body):
    said = client.post("/models/loan/predict", json=body).json()
    assert [each["good"] for each in said["probabilities"]] == pytest.approx(
        [GOOD, good(None, 1, True, SECONDS)], abs=1e-12
    )
    assert len(said["prediction"]) == 2


def test_a_model_of_one_column_takes_its_value_alone(two_models):
    with two_models.client() as client:
        assert client.post("/models/double/predict", json={"x": 3}).json()["prediction"] == 6.0
        assert client.post("/models/double/predict", json={"features": [[1], [2.5]]}).json()["prediction"] == [2.0, 5.0]
        assert client.post("/models/double/predict", json={"x": [1, 2]}).json()["prediction"] == [2.0, 4.0]


def test_no_rows_are_answered_by_no_predictions(client):
    assert client.post(PREDICT, json={"inputs": []}).json()["prediction"] == []


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json; charset=utf-8", "application/x-www-form-urlencoded", "APPLICATION/JSON"],
)
def test_a_body_is_taken_as_a_bare_curl_sends_it(client, content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    assert client.post(PREDICT, content=json.dumps(ROW).encode(), headers=headers).status_code == 200


def test_a_callers_own_id_comes_back(client):
    assert client.post(PREDICT, json={"inputs": [ROW], "id": "mine-1"}).json()["id"] == "mine-1"
    assert client.post(PREDICT, json=ROW, headers={"x-request-id": "mine:2"}).json()["id"] == "mine:2"
    strange = client.post(PREDICT, json=ROW, headers={"x-request-id": "<b>"})
    assert uuid.UUID(strange.json()["id"]).version == 7


REFUSED = {
    "a column is missing": ({"age": 1}, 400, "amount", None, "missing"),
    "a column is misspelt": ({**ROW, "agee": 1}, 400, "agee", None, "Did you mean 'age'"),
    "a column too many": ({**ROW, "zzz": 1}, 400, "zzz", None, "nknown column"),
    "text for a number": ({**ROW, "age": "old"}, 400, "age", 0, "expected a number"),
    "in the second row": ({"inputs": [ROW, {**ROW, "owner": "yes"}]}, 400, "owner", 1, "true or false"),
    "a row too short": ({"features": [[1, 2]]}, 400, None, 0, "expected 5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_with_its_place(client, case):
    body, status, field, row, words = REFUSED[case]
    reply = client.post(PREDICT, json=body)
    assert reply.status_code == status
    said = reply.json()
    assert words in said["error"]
    assert said.get("field") == field
    if row is not None:
        assert said["row"] == row


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"age": NaN}', "NaN at byte"),
        (b'{"age": Infinity}', "Infinity at byte"),
        (b'{"age": 35', "too early"),
        (b"", "empty"),
        (b"[" * 100_000, "deep"),
        (b'{"age": 1, "age": 2}', "twice"),
        (b"\x00\xff\xfe", "not"),
    ],
)
def test_what_is_no_json_is_refused_in_words(client, body, words):
    reply = client.post(PREDICT, content=body)
    assert reply.status_code == 400
    assert words in reply.json()["error"]


def test_other_content_types_are_refused(client):
    reply = client.post(PREDICT, content=b"<a/>", headers={"content-type": "application/xml"})
    assert reply.status_code == 415
    assert "application/json" in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/predict", 405, "POST"),
        ("DELETE", "/models/loan/predict", 405, "POST"),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("POST", "/models/loan", 405, "GET, HEAD"),
        ("GET", "/nothing", 404, None),
        ("GET", "/models/none", 404, None),
        ("POST", "/models/none/predict", 404, None),
        ("GET", "/page/../app.py", 404, None),
        ("GET", "/page/%2e%2e/app.py", 404, None),
    ],
)
def test_other_paths_and_methods_are_refused(client, method, path, status, allow):
    reply = client.request(method, path, content=b"{}" if method == "POST" else None)
    assert reply.status_code == status
    assert reply.json()["error"]
    assert reply.headers.get("allow") == allow


def test_a_misspelt_model_is_suggested(client):
    assert "Did you mean 'loan'" in client.post("/models/laon/predict", json=ROW).json()["error"]


def test_with_several_models_a_request_must_say_which(two_models):
    with two_models.client() as client:
        reply = client.post(PREDICT, json=ROW)
        assert reply.status_code == 404
        assert "/models/double/predict" in reply.json()["error"]
        assert "/models/loan/predict" in reply.json()["error"]
        assert [each["name"] for each in client.get("/models").json()["models"]] == ["double", "loan"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_and_takes_no_memory(server, chunked):
    megabyte = b"x" * 1_000_000
    peaks = [worker.memory_info().rss for worker in server.workers()]

    def pieces():
        for _ in range(100):
            yield megabyte
            peaks.append(max(worker.memory_info().rss for worker in server.workers()))

    headers = {"content-type": "application/json"} | ({} if chunked else {"content-length": str(100 * len(megabyte))})
    before = max(peaks)
    with server.client() as client:
        reply = client.post(PREDICT, content=pieces(), headers=headers)
        assert reply.status_code == 413
        assert "20000000 bytes" in reply.json()["error"]
        assert client.post(PREDICT, json=ROW).status_code == 200
    assert max(peaks) - before < 60_000_000


def test_each_of_many_callers_gets_his_own_answer(server):
    amounts = [float(amount) for amount in range(0, 4000, 10)]
    with server.client() as client, ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda amount: client.post(PREDICT, json={**ROW, "amount": amount}).json(), amounts))
    shares = [reply["probabilities"]["good"] for reply in replies]
    assert shares == pytest.approx([good(amount, 1, True, SECONDS) for amount in amounts], abs=1e-12)
    assert len({reply["id"] for reply in replies}) == len(amounts)


def test_a_large_batch_is_answered_beside_small_requests(client):
    amounts = [float(number % 3000) for number in range(20_000)]
    said = client.post(PREDICT, json={"inputs": [{**ROW, "amount": amount} for amount in amounts]}).json()
    expected = [good(amount, 1, True, SECONDS) for amount in amounts[:3000]]
    assert [share["good"] for share in said["probabilities"][:3000]] == pytest.approx(expected, abs=1e-12)
    assert len(said["prediction"]) == 20_000


def test_health_and_readiness(client):
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    head = client.head("/readyz")
    assert (head.status_code, head.content) == (200, b"")


def test_a_model_tells_its_signature(client):
    said = client.get("/models/loan").json()
    assert [column["name"] for column in said["signature"]["inputs"]] == list(ROW)
    assert said["version"] == 1
    assert said["decision"] == {"positive": 1, "threshold": 0.5}


def test_pages_are_served_with_a_policy_that_keeps_them_offline(client):
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"


def counted(client: httpx.Client, line: str) -> float:
    """A counter's value at a scrape; 0 where it is not there yet."""
    return next(
        (float(each.rsplit(" ", 1)[1]) for each in client.get("/metrics").text.splitlines() if each.startswith(line)),
        0.0,
    )


def test_metrics_count_every_request_whichever_worker_answers(server):
    ok = 'mainstay_requests_total{model="loan",version="loan:1",protocol="plain",code="200"}'
    bad = 'mainstay_requests_total{model="loan",version="loan:1",protocol="plain",code="400"}'
    rows = 'mainstay_rows_total{model="loan",version="loan:1",protocol="plain"}'
    with server.client() as client:
        before = [counted(client, line) for line in (ok, bad, rows)]
        for _ in range(30):  # each on a connection of its own, so that both workers are met
            assert httpx.post(f"{server.url}/predict", json={"inputs": [ROW, ROW]}).status_code == 200
            assert httpx.post(f"{server.url}/predict", json={"age": 1}).status_code == 400
        # A worker counts once the answer is on its way, so the last few may come a moment later.
        until(
            lambda: (
                [counted(client, line) for line in (ok, bad, rows)]
                == [b + d for b, d in zip(before, (30, 30, 60), strict=True)]
            )
        )
        text = client.get("/metrics").text
        assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'mainstay_requests_in_flight{model="loan",version="loan:1"} 0\n' in text


def test_unknown_models_make_no_label_of_their_own(client):
    for number in range(20):
        client.post(f"/models/none-{number}/predict", json={})
    assert "none-" not in client.get("/metrics").text


def test_a_worker_has_no_part_of_the_training_stack_in_its_memory(server):
    for worker in server.workers():
        files = {mapped.path for mapped in psutil.Process(worker.pid).memory_maps()}
        assert any("onnxruntime" in path for path in files)
        heavy = ("pandas", "sklearn", "scipy", "lightgbm", "xgboost", "pyarrow", "sqlalchemy", "matplotlib")
        assert not [path for path in files if any(f"/{name}" in path for name in heavy)]


def test_logs_are_one_json_object_a_line_without_input_values(server):
    with server.client() as client:
        client.post(PREDICT, json={**ROW, "purpose": "confidential-value", "age": "secret-value"})
        client.post("/models/secret-model/predict", json=ROW)
    lines = server.log.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert {"at", "level", "kind", "message"} <= set(events[0])
    assert "loaded" in {event["kind"] for event in events}
    assert not [line for line in lines if "confidential-value" in line or "secret-value" in line]
