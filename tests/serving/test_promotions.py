"""A candidate comes into the place of the stable version, or goes, under load: no request fails, and none is wrong."""

from __future__ import annotations

import os

import pytest
from callers import calling
from live import serving, until
from steering import rolling_out
from subjects import SECONDS, good, loan

from mainstay.registry.plans import WHOLE, Plan
from mainstay.registry.store import Registry

RIGHT = {f"loan:{number}": good(1200.5, 1, True, SECONDS, number - 1.0) for number in (1, 2)}
TURNS = 10 if int(os.environ.get("MAINSTAY_TEST_REQUESTS", "2000")) > 2000 else 1
HOST = "mainstay.serving.host"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Two workers with loan:1, and loan:2 beside it."""
    with serving(tmp_path_factory.mktemp("loan"), ("loan", loan()), options=("--workers", "2")) as running:
        running.add("loan", loan(shift=1.0), deploy=False)
        yield running


@pytest.fixture
def callers(server):
    with calling(server.port, RIGHT) as asking:
        until(lambda: asking.count)
        yield asking
    assert asking.failed == []
    assert asking.refused == 0


def more(callers, version: str, than: int = 50) -> None:
    """Waits until a version has answered so many more."""
    before = callers.answered[version]
    until(lambda: callers.answered[version] > before + than)


def only(callers, version: str) -> None:
    """Holds that a version answers, and that nothing else does."""
    more(callers, version, 20)
    before = callers.answered.copy()
    more(callers, version)
    assert set(callers.answered - before) == {version}


def back(server, version: str) -> None:
    """Has loan:1 take the traffic again."""
    with Registry.open(server.folder / ".mainstay") as registry:
        registry.deploy(registry.version("loan:1"), expecting=registry.version(version), actor="test")
    assert server.settled("loan") == {}


def test_a_promoted_candidate_moves_from_its_host_into_the_workers(server, callers):
    for _ in range(TURNS):
        with rolling_out(server, "loan", 2) as rollout:
            assert server.settled("loan") == {}
            rollout.open(5000)
            more(callers, "loan:2")
            assert rollout.to("off", state="promoting", traffic="candidate") == {}
            only(callers, "loan:2")
            until(lambda: not server.children(HOST))  # and its memory is given back
            rollout.to("off", state="completed")
        back(server, "loan:2")


@pytest.mark.long
def test_a_candidate_that_is_taken_away_has_no_request_a_second_later(server, callers):
    with rolling_out(server, "loan", 2) as rollout:
        assert server.settled("loan") == {}
        rollout.open(WHOLE)
        more(callers, "loan:2")
        rollout.to("off", state="rolling_back")
        only(callers, "loan:1")
        until(lambda: not server.children(HOST))


def test_blue_green_switches_at_once_and_back(server, callers):
    plan = Plan(strategy="blue-green")
    with rolling_out(server, "loan", 2, plan) as rollout:
        assert server.settled("loan") == {}
        assert rollout.to("warm") == {}
        only(callers, "loan:1")
        for _ in range(TURNS * TURNS):
            assert rollout.to("warm", state="watching", traffic="candidate") == {}
            only(callers, "loan:2")
            assert rollout.to("warm", state="rolling_back", traffic="stable") == {}
            only(callers, "loan:1")
        seen = until(lambda: found if (found := rollout.seen()).candidate.requests else None)
        assert seen.stable.requests == 0  # nobody else answered at the time
        assert seen.candidate.errors == 0


def test_a_rolling_update_goes_worker_by_worker(server, callers):
    with rolling_out(server, "loan", 2, Plan(strategy="rolling")) as rollout:
        assert server.settled("loan") == {}
        assert rollout.to("rolling", 0) == {}
        only(callers, "loan:1")
        assert rollout.to("rolling", WHOLE // 2) == {}
        until(lambda: rollout.lease().holds)
        more(callers, "loan:2")
        more(callers, "loan:1")
        assert rollout.to("rolling", WHOLE) == {}
        only(callers, "loan:2")
        assert rollout.to("off", state="promoting", traffic="candidate") == {}
        only(callers, "loan:2")
        until(lambda: not server.children(HOST))
        rollout.to("off", state="completed")
    back(server, "loan:2")


@pytest.mark.long
def test_what_a_killed_worker_had_counted_is_told_all_the_same(server):
    with rolling_out(server, "loan", 2) as rollout:
        assert server.settled("loan") == {}
        rollout.open(5000)
        with calling(server.port, RIGHT) as callers:
            until(lambda: callers.count > 200)
            for worker in server.workers():
                worker.kill()
            before = callers.count
            until(lambda: callers.count > before + 200)
        stable, candidate = rollout.counted(callers.count)
        lost = len(callers.failed)  # they had been counted, or not
        assert callers.answered["loan:1"] <= stable.requests <= callers.answered["loan:1"] + lost
        assert callers.answered["loan:2"] <= candidate.requests <= callers.answered["loan:2"] + lost


@pytest.mark.long
def test_where_nobody_looks_after_a_rollout_its_lease_ends_and_the_stable_version_answers_alone(tmp_path):
    program = "import mainstay.serving.leases as l; l.LEASE = 3.0; from mainstay.__main__ import main; main()"
    with serving(tmp_path, ("loan", loan()), program=("-c", program)) as server:
        server.add("loan", loan(shift=1.0), deploy=False)
        with rolling_out(server, "loan", 2) as rollout, calling(server.port, RIGHT) as callers:
            assert server.settled("loan") == {}
            rollout.open(WHOLE)
            more(callers, "loan:2")
            rollout.rest()
            more(callers, "loan:1")
            only(callers, "loan:1")
        assert callers.failed == []
