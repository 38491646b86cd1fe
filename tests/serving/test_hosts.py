"""Native models answer from a host process beside the workers."""

from __future__ import annotations

import pytest
from live import serving, until
from subjects import ROW, linear_leaves, loan, native

from mainstay.models.formats import skops

ASKED = {"a": 1.0, "b": 2.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("native"), ("loan", loan()), ("native", native())) as running:
        yield running


def test_a_native_model_answers_as_it_does_itself(server):
    with server.client() as client:
        said = client.post("/models/native/predict", json={"inputs": [ASKED, {"a": 30, "b": 31}]}).json()
    assert said["prediction"] == ["low", "high"]
    assert said["model"] == "native:1"
    assert said["probabilities"][0]["low"] > 0.9


def test_no_rows_are_answered_by_no_predictions(server):
    with server.client() as client:
        reply = client.post("/models/native/predict", json={"inputs": []})
    assert (reply.status_code, reply.json()["prediction"]) == (200, [])


def test_a_host_that_dies_costs_its_own_model_alone_and_comes_back(server):
    with server.client() as client:
        assert client.post("/models/native/predict", json=ASKED).status_code == 200
        (host,) = server.children("mainstay.serving.host")
        host.suspend()
        host.kill()
        host.wait(10)
        refused = client.post("/models/native/predict", json=ASKED)
        assert refused.status_code == 503
        assert "native:1" in refused.json()["error"]
        assert refused.headers["retry-after"] == "1"
        assert client.post("/models/loan/predict", json=ROW).status_code == 200
        until(lambda: client.post("/models/native/predict", json=ASKED).status_code == 200)
    assert server.children("mainstay.serving.host")[0].pid != host.pid


def test_types_that_the_operator_does_not_trust_are_not_restored(server):
    before = {host.pid for host in server.children("mainstay.serving.host")}
    server.add("native", native(boosted=True))
    errors = server.settled("native")
    assert "not trusted" in errors["native"]
    assert "TreePredictor" in errors["native"]
    with server.client() as client:
        assert client.post("/models/native/predict", json=ASKED).json()["model"] == "native:1"
    assert before <= {host.pid for host in server.children("mainstay.serving.host")}


def test_an_operators_trust_file_lets_them_in(tmp_path):
    model = native(boosted=True)
    types = skops.untrusted(model.content[skops.FILE])
    (tmp_path / "trust.txt").write_text("# of the gradient boosting\n" + "\n".join(types))
    with serving(tmp_path, ("native", model), options=("--trust", "trust.txt")) as server, server.client() as client:
        assert server.settled("native") == {}
        assert client.post("/predict", json=ASKED).json()["model"] == "native:1"


def test_a_librarys_own_file_answers_as_the_library_and_needs_nobodys_trust(tmp_path):
    model, rows, expected = linear_leaves()
    with serving(tmp_path, ("leaves", model)) as server, server.client() as client:
        assert server.settled("leaves") == {}
        assert len(server.children("mainstay.serving.host")) == 1
        said = client.post("/predict", json={"inputs": [dict(zip("ab", row, strict=True)) for row in rows]}).json()
    assert [answer["yes"] for answer in said["probabilities"]] == expected
