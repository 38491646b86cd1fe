"""A/B tests on real servers, from their start to the verdict and what a person makes of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from live import Server, serving, until
from subjects import ROW, loan

from mainstay.cli.app import run
from mainstay.operations.planning import Wishes
from mainstay.operations.rollouts import Started, deploy_as_planned
from mainstay.project_rollout import RolloutChecks, RolloutTable
from mainstay.registry.records import Rollout
from mainstay.registry.store import Registry

pytestmark = pytest.mark.long
FLIPS = -4.0
"""What turns the answer to the row around."""
PEOPLE = 600
ENDS_WITHIN = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers and a controller; loan:1 takes the traffic, loan:2 and loan:4 answer otherwise."""
    with serving(
        tmp_path_factory.mktemp("loan"), ("loan", loan()), options=("--workers", "2"), command="up"
    ) as running:
        for shift in (FLIPS, 0.5, FLIPS - 0.5):
            running.add("loan", loan(shift=shift), deploy=False)
        yield running


@pytest.fixture(autouse=True)
def _there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(server.folder)


def said(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    capfd.readouterr()
    assert run(words) == 0, capfd.readouterr().err
    return capfd.readouterr().out


def deploy(server: Server, ref: str, **wishes: Any) -> None:
    """As `mainstay deploy --strategy ab`, in a project whose checks allow for a machine that does much at once."""
    table = RolloutTable(checks=RolloutChecks(slack="500ms"))
    done = deploy_as_planned(server.folder, ref, Wishes(strategy="ab", **wishes), said=table)
    assert isinstance(done, Started)


def newest(server: Server) -> Rollout:
    with Registry.open(server.folder / ".mainstay") as registry:
        return registry.rollouts("loan", limit=1)[0]


def came_to(server: Server, *states: str) -> Rollout:
    return until(lambda: now if (now := newest(server)).state in states else None, ENDS_WITHIN)


def answer(client: httpx.Client, person: str) -> dict[str, str]:
    """What a person is answered, on a new connection, which either worker may accept."""
    reply = client.post("/predict", json=ROW, headers={"x-person": person, "connection": "close"})
    assert reply.status_code == 200, reply.text
    found: dict[str, str] = reply.json()
    return found


def ask(server: Server, truth: str) -> dict[str, str]:
    """Every person asks, and what came true is told; which version each of them had."""
    had, outcomes = {}, []
    with server.client() as client:
        for person in map("person {}".format, range(PEOPLE)):
            found = answer(client, person)
            had[person] = found["model"]
            outcomes.append({"id": found["id"], "value": truth})

        def all_of_them() -> bool:
            told = client.post("/labels", json={"labels": outcomes}).json()
            return told["counted"] + told["repeated"] == PEOPLE

        until(all_of_them)  # an answer is kept once it is on its way
    return had


def begun(server: Server) -> None:
    """Waits until the candidate has its share, which others than `ask` meet."""
    candidate = came_to(server, "progressing").candidate.ref
    with server.client() as client:
        early = itertools.count()
        until(lambda: answer(client, f"early {next(early)}")["model"] == candidate)


def test_a_better_version_is_found_by_its_labels_and_waits_for_a_person(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    deploy(server, "loan:2", share=30.0, hold="1s", sticky="header:x-person")
    begun(server)
    had = ask(server, "bad")
    chosen = [person for person, version in had.items() if version == "loan:2"]
    assert 0.2 * PEOPLE < len(chosen) < 0.4 * PEOPLE
    ended = came_to(server, "paused", "rolled_back")
    assert (ended.state, ended.share) == ("paused", 3000), ended.why
    assert ended.why.startswith("better: better in quality: the candidate was wrong in 0 of")
    with server.client() as client:
        kept = {person: answer(client, person)["model"] for person in had}
    assert kept == had, "each of them stays where he is, also while a person is asked"

    text = said(capfd, "status", "loan")
    assert "Verdict: better: better in quality" in text and "mainstay promote loan" in text
    (verdict,) = [
        move
        for move in json.loads(said(capfd, "history", "loan", "--json"))["moves"]
        if move["rollout"] and move["rollout"]["kind"] == "rollout_verdict"
    ]
    assert (verdict["rollout"]["verdict"], verdict["actor"]) == ("better", "controller")
    with Registry.open(server.folder / ".mainstay") as registry:
        told = next(event for event in registry.latest_events("loan") if event.kind == "rollout_verdict")
    counted = told.evidence["seen"]["steps"][0]
    assert (counted["candidate"]["wrong"], counted["stable"]["wrong"]) == (0, counted["stable"]["labelled"])
    assert any(each["name"] == "better in quality" for each in told.evidence["analysis"]["measures"])

    said(capfd, "promote", "loan", "--reason", "the test says so")
    assert came_to(server, "completed").verdict["concluded"]["answer"] == "better"
    with server.client() as client:
        assert {answer(client, person)["model"] for person in chosen[:5] + list(had)[:5]} == {"loan:2"}
    assert "(verdict: better)" in said(capfd, "status", "loan")


def test_a_worse_version_goes_back_by_itself_with_its_verdict(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    said(capfd, "deploy", "loan:2")
    deploy(server, "loan:3", share=50.0, hold="1h")
    begun(server)
    ask(server, "bad")
    ended = came_to(server, "paused", "rolled_back")
    assert (ended.state, ended.verdict["concluded"]["answer"]) == ("rolled_back", "worse")
    assert ended.why.startswith("worse: quality:")
    assert "ab: verdict: worse" in said(capfd, "history", "loan")
    with server.client() as client:
        assert {answer(client, str(person))["model"] for person in range(20)} == {"loan:2"}


def test_where_no_difference_is_found_in_its_time_a_person_is_asked(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    said(capfd, "deploy", "loan:2")
    deploy(server, "loan:4", hold="1s", patience="4s", at_end="promote")
    begun(server)
    ask(server, "bad")
    ended = came_to(server, "paused", "rolled_back", "completed")
    assert (ended.state, ended.verdict["concluded"]["answer"]) == ("paused", "no difference found")
    assert ended.why.startswith("no difference found in ") and "mainstay promote or rollback loan ends it" in ended.why
    said(capfd, "resume", "loan")
    again = came_to(server, "paused")
    assert again.revision > ended.revision, "for as long again"
    said(capfd, "rollback", "loan")
    assert came_to(server, "rolled_back").stable.ref == "loan:2"
