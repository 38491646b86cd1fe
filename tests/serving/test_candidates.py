"""A candidate's share of the requests of real servers, and what is counted of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from itertools import count, islice

import pytest
from callers import calling as calling_without_a_pause
from calling import calling, request
from dialects import csv_of, v2
from live import serving, until
from steering import rolling_out
from subjects import ROW, SECONDS, double, good, loan

from mainstay.models.golden import Golden
from mainstay.models.package import GOLDEN, SIGNATURE, Draft, encoded
from mainstay.models.signature import Column, Signature
from mainstay.registry.plans import WHOLE, Plan, Sticky
from mainstay.serving.splitting import in_share, place_of_key

V2 = v2([ROW])
CSV = csv_of([ROW])
REQUESTS = min(int(os.environ.get("MAINSTAY_TEST_REQUESTS", "1000")), 2 * WHOLE)


PATH = "/models/loan/predict"
BAD = -4.0
"""What turns the answer to the row around."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Two workers with loan:1, and some versions that take its place; double:1, and one that takes other rows."""
    folder = tmp_path_factory.mktemp("loan")
    options = ("--workers", "2", "--grpc-port", "0")
    with serving(folder, ("loan", loan()), ("double", double()), options=options) as running:
        for shift in (1.0, BAD):
            running.add("loan", loan(shift=shift), deploy=False)
        running.add("double", truth(), deploy=False)
        yield running


def truth() -> Draft:
    """As `double`, of true and false."""
    signature = Signature(inputs=(Column(name="x", type="boolean"),), task="regression", target="y")
    golden = Golden(rows=[{"x": True}, {"x": False}], values=[2.0, 0.0])
    content = {SIGNATURE: encoded(signature), GOLDEN: encoded(golden)}
    return Draft(content={**double().content, **content})


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
        assert {client.post(PATH, json=ROW).json()["model"] for _ in range(50)} == {"loan:1"}
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
            connection.request("POST", PATH, body, kind)
            return json.load(connection.getresponse())["model"]

        return Counter(ask() for _ in range(times))


def test_a_changed_answer_and_a_refused_row_are_counted_and_callers_keep_their_answers(server):
    with rolling_out(server, "loan", 3) as rollout:
        assert server.settled("loan") == {}
        rollout.open(WHOLE)
        assert asked(server, 40) == {"loan:3": 40}
        rollout.counted(40)
        seen = rollout.seen()
        assert seen.changed == seen.compared > 0
    with rolling_out(server, "double", 2) as rollout, server.client() as client:
        assert server.settled("double") == {}
        rollout.open(WHOLE)
        said = [client.post("/models/double/predict", json={"x": 1.5}).json() for _ in range(20)]
        assert {(each["model"], each["prediction"]) for each in said} == {("double:1", 3.0)}
        wrong = client.post("/models/double/predict", json={"x": "three"})
        assert wrong.status_code == 400
        assert "double" not in wrong.text  # the stable version's own words: a number was expected
        assert client.post("/models/double/predict", json={"x": True}).json()["model"] == "double:2"
        stable, candidate = rollout.counted(22)
        assert (candidate.requests, candidate.refused, candidate.errors, stable.requests) == (22, 21, 0, 0)


def test_who_has_the_candidate_keeps_it_whichever_worker_and_protocol_he_asks(server):
    plan = Plan(strategy="canary", steps=(2500, 5000), sticky=Sticky(header="x-person"))
    with rolling_out(server, "loan", 2, plan) as rollout, calling(server.grpc) as grpc:
        assert server.settled("loan") == {}
        rollout.open(2500)
        small, large, others = (
            people_of(rollout.rollout.id, *ends) for ends in ((0, 2500), (2500, 5000), (5000, WHOLE))
        )
        people = small | large | others
        first = {person: answers_of(server, grpc, person) for person in people}
        assert all(len(versions) == 1 for versions in first.values())
        chosen = {person for person, versions in first.items() if versions == {"2"}}
        assert chosen == small
        with server.client() as client:  # who does not say who he is stays where he was
            assert {client.post(PATH, json=ROW).json()["model"] for _ in range(20)} == {"loan:1"}
            by_name = client.post("/v2/models/loan/versions/1/infer", json=V2, headers={"x-person": min(chosen)})
            assert by_name.json()["model_version"] == "1"
        stable, candidate = rollout.counted(15)
        assert (stable.requests, candidate.requests) == (10, 5)  # each person once
        rollout.open(5000, step=1)
        second = {person for person in people if answers_of(server, grpc, person) == {"2"}}
        assert second == small | large
        rollout.counted(15, step=1)


def people_of(rollout: str, least: int, below: int) -> set[str]:
    """Five whose keys stand between two shares."""
    everybody = ((name, place_of_key(rollout, name.encode())) for name in map("person {}".format, count()))
    return set(islice((name for name, at in everybody if in_share(at, below) and not in_share(at, least)), 5))


def answers_of(server, grpc, person: str) -> set[str]:
    """The versions that answer a person, in every protocol, on new connections, which any worker may accept."""
    said = {"x-person": person, "connection": "close"}
    found = set()
    with server.client() as client:
        for _ in range(2):
            found.add(client.post(PATH, json=ROW, headers=said).json()["model"].partition(":")[2])
            found.add(client.post("/v2/models/loan/infer", json=V2, headers=said).json()["model_version"])
            for path, body in (
                ("/v1/models/loan:predict", {"instances": [ROW]}),
                ("/models/loan/invocations", {"dataframe_records": [ROW]}),
            ):
                found.add(client.post(path, json=body, headers=said).headers["x-model"].partition(":")[2])
            csv = {**said, "content-type": "text/csv", "accept": "text/csv"}
            reply = client.post(PATH, content=CSV, headers=csv)
            found.add(reply.headers["x-model"].partition(":")[2])
    reply = grpc.infer(request("loan", V2["inputs"], raw=False), metadata=[("x-person", person)])
    return found | {reply.model_version}


def test_a_shadow_never_answers_and_is_compared_with_who_does(server):
    with rolling_out(server, "loan", 3, Plan(strategy="shadow", steps=(5000,))) as rollout:
        assert server.settled("loan") == {}
        rollout.open(5000, "shadow")

        def enough():  # where the machine has much to do, copies are left out
            assert asked(server, 50) == {"loan:1": 50}
            return found if (found := rollout.seen()).candidate.requests > 50 else None

        seen = until(enough)
        assert seen.stable.requests >= seen.candidate.requests == seen.compared == seen.changed
        assert seen.candidate.errors == 0


@pytest.mark.long
def test_a_candidate_that_hangs_or_is_killed_costs_no_answer(server, tmp_path):
    right = {f"loan:{number}": good(1200.5, 1, True, SECONDS, number - 1.0) for number in (1, 2)}
    with rolling_out(server, "loan", 2) as rollout:
        assert server.settled("loan") == {}
        rollout.open(5000)
        with calling_without_a_pause(server.port, right, path=PATH) as callers:
            until(lambda: callers.answered["loan:2"] > 20)
            for end in (lambda host: host.suspend(), lambda host: host.kill()):
                host = until(lambda: only(server.children("mainstay.serving.host")))
                end(host)
                before = callers.answered["loan:1"]
                until(lambda before=before: callers.answered["loan:1"] > before + 50)
                if host.is_running() and host.status() == "stopped":
                    host.kill()
                before = callers.answered["loan:2"]
                until(lambda before=before: callers.answered["loan:2"] > before + 20)
        assert callers.failed == []
        # Who killed it was somebody else, and what was on its way to it says no more than one death does.
        evidence = rollout.evidence()
        assert (evidence.steps[0].stable.errors, evidence.steps[0].candidate.errors, evidence.deaths) == (0, 0, 0)


def only(hosts):
    """The one that is there; None while those of earlier rollouts are still ending."""
    return hosts[0] if len(hosts) == 1 else None


def test_a_candidate_that_does_not_give_its_golden_predictions_has_no_host_and_no_request(server):
    bad = server.add("loan", loan(wrong=True), deploy=False)
    with rolling_out(server, "loan", int(bad.partition(":")[2])):
        assert "Golden predictions differ" in until(lambda: server.settled("loan"))[bad]
        assert asked(server, 20) == {"loan:1": 20}
