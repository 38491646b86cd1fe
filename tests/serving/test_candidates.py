"""A candidate's share of the requests of real servers, and what is counted of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection

import pytest
from live import serving, until
from steering import rolling_out
from subjects import ROW, loan

from mainstay.registry.plans import WHOLE

REQUESTS = int(os.environ.get("MAINSTAY_TEST_REQUESTS", "1000"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One worker that serves loan:1; loan:2 says the same rows are better."""
    with serving(tmp_path_factory.mktemp("loan"), ("loan", loan())) as running:
        running.add("loan", loan(shift=1.0), deploy=False)
        yield running


@pytest.fixture
def rollout(server):
    with rolling_out(server, "loan", 2) as steering:
        assert server.settled("loan") == {}
        yield steering


def test_a_candidate_is_probed_in_a_process_of_its_own_before_it_has_any_request(server, rollout):
    (probe,) = until(lambda: rollout.evidence().probes)
    assert (probe.problem, probe.rows) == (None, 3)
    assert 0 < probe.seconds < 1
    assert 0 < probe.stable_seconds < 1
    assert probe.memory > 10 << 20
    assert len(server.children("mainstay.serving.host")) == 1
    with server.client() as client:
        assert {client.post("/predict", json=ROW).json()["model"] for _ in range(50)} == {"loan:1"}
    assert rollout.seen().stable.requests == 0


def test_a_share_is_exact_and_what_was_counted_is_what_callers_saw(server, rollout):
    rollout.open(2500)
    said = asked(server, REQUESTS)
    if REQUESTS % WHOLE == 0:
        assert said["loan:2"] * 4 == REQUESTS
    stable, candidate = rollout.counted(REQUESTS)
    assert (stable.requests, candidate.requests) == (said["loan:1"], said["loan:2"])
    assert stable.errors + stable.refused + candidate.errors + candidate.refused == 0
    assert sum(candidate.seconds) == sum(candidate.scores) == candidate.requests
    assert sum(stable.seconds) == sum(stable.scores) == stable.requests
    seen = rollout.seen()
    assert 0 < seen.compared <= candidate.requests
    assert seen.changed == 0  # the label is the same, however much better


def asked(server, times: int) -> Counter[str]:
    """How often which version has answered."""
    body, kind = json.dumps(ROW), {"Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", server.port)) as connection:

        def ask() -> str:
            connection.request("POST", "/predict", body, kind)
            return json.load(connection.getresponse())["model"]

        return Counter(ask() for _ in range(times))
