"""Candidates that do something else to their callers than they did while they were tried: each is caught by its
evidence and taken back by itself, and costs its callers nothing but what it answered wrongly itself.

`make chaos` runs it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_candidates import DOES, bad_candidates
from besieged import CONTROLLER, Besieged, besieged
from live import until
from load import loaded
from rolled import ENDS_WITHIN, begun, deployed, ended, present
from siege_report import GONE, HOLD, SECONDS, SEED, counted, dealt
from test_stable_under_siege import stable

from mainstay.models.package import Draft
from mainstay.operations import rollouts
from mainstay.registry.plans import WHOLE, Checks, Plan
from python_classes import wheels

pytestmark = [
    pytest.mark.skipif(not SECONDS, reason="make chaos runs it"),
    pytest.mark.timeout(600),
]
SHARE = 3000
CANARY = Plan(strategy="canary", steps=(SHARE, WHOLE), hold=600.0, checks=Checks(least=50, changed=0.02))
"""It stays at its first step until something is found."""
PATIENT = Plan(strategy="canary", steps=(SHARE, WHOLE), hold=600.0, checks=Checks(least=50, slack=0.5))
"""Of a machine that does too much at once, a process of its own is a slow one."""
CASES = [(does, after) for does in DOES for after in (1, 1000)]


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[tuple[str, int], Draft]]]:
    """The project's folder, and the bad candidates that its operator trusts."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("UV_FIND_LINKS", str(wheels(tmp_path_factory.mktemp("index"))))
        patched.setenv("UV_NO_INDEX", "1")
        project = tmp_path_factory.mktemp("candidates")
        yield project, bad_candidates(project, CASES)


@pytest.fixture(scope="module")
def running(drafts: tuple[Path, dict[tuple[str, int], Draft]]) -> Iterator[Besieged]:
    with besieged(drafts[0], ("one", stable())) as started:
        yield started


@pytest.mark.parametrize("does, after", CASES, ids=str)
def test_a_bad_candidate_is_caught_and_costs_its_share_at_most(does, after, running, drafts, report):
    with loaded(running.port, seed=SEED) as load:
        until(lambda: load.count > 100)
        before = load.sent
        rollout = begun(running, drafts[1][does, after], CANARY)
        over = ended(running, rollout)
        sent = load.sent - before
        asked = load.count
        until(lambda: load.count > asked + 100)
    case = f"a candidate that {does} after {after} requests: {over.why[:120]}"
    report.on(load, case, wrong=over.candidate.ref if does == "answers wrongly" else None)
    assert over.state == "rolled_back", over
    assert deployed(running) == rollout.stable.ref
    # Its share is exact in each worker; what is under way when it is looked at is the rest.
    assert load.by(over.candidate.ref) <= sent * SHARE / WHOLE + 200
    if after == 1000 and does != "answers slowly":
        assert load.answered[over.candidate.ref] > 0, "it has to have been asked"


def test_a_candidate_whose_host_is_killed_again_and_again_is_taken_back(running, report):
    with loaded(running.port, seed=SEED) as load:
        rollout = begun(running, stable(10), PATIENT)
        with running.registry() as registry:
            package = registry.package(rollout.candidate)
        until(lambda: present(running, rollout).state == "progressing", ENDS_WITHIN)
        killed = 0
        while present(running, rollout).state == "progressing" and killed < 20:
            killed += running.kill_host(package)
            time.sleep(0.2)
        over = ended(running, rollout)
    report.on(load, f"a candidate whose host is killed {killed} times: {over.why[:120]}")
    assert over.state == "rolled_back" and killed > 0
    assert "died" in over.why or "errors" in over.why


def test_a_candidate_with_a_damaged_file_gets_no_traffic(running, report):
    with loaded(running.port, seed=SEED) as load, running.registry() as registry:
        draft = stable(11)
        candidate = registry.add("one", draft, passed=True, actor="test", summary={})
        running.damage(registry.package(candidate))
        found = registry.deployment("one")
        assert found is not None
        over = ended(running, registry.start_rollout(candidate, CANARY, expecting=found.version, actor="test"))
    report.on(load, f"a candidate with a damaged file: {over.why[:120]}")
    assert over.state == "rolled_back" and not load.by(candidate.ref)


def test_a_blue_green_switch_and_the_way_back_lose_nothing_and_take_less_than_a_second(running, report):
    with loaded(running.port, seed=SEED) as load:
        rollout = begun(running, stable(12), Plan(strategy="blue-green", warm=600.0))
        until(lambda: present(running, rollout).state == "watching", ENDS_WITHIN)
        until(lambda: load.answered[rollout.candidate.ref] > 200)
        assert deployed(running) == rollout.candidate.ref
        with running.registry() as registry:
            at = time.monotonic()
            rollouts.roll_back(registry, present(running, rollout), reason="chaos", timeout=30)
        over = ended(running, rollout)
        asked = load.count
        until(lambda: load.count > asked + 200)
    took = load.last[rollout.candidate.ref] - at
    report.on(load, f"a blue-green switch and its way back, which took {took:.2f} s")
    assert over.state == "rolled_back" and deployed(running) == rollout.stable.ref
    assert took < max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), "a second, of a machine with nothing else to do"


def test_what_takes_all_of_the_traffic_at_once_costs_nobody_an_answer(running, report):
    """The stable version answers until the other one is ready in every worker."""
    with loaded(running.port, seed=SEED) as load:
        over = ended(running, begun(running, stable(13), Plan(strategy="recreate")))
        until(lambda: load.answered[over.candidate.ref] > 200)
        last = load.last[over.stable.ref]
        asked = load.count
        until(lambda: load.count > asked + 200)
    report.on(load, f"a version that takes all of the traffic at once: {over.why[:80]}")
    assert over.state == "completed" and deployed(running) == over.candidate.ref
    assert load.last[over.stable.ref] == last, "the version before has no request more"


def test_what_cannot_be_loaded_once_it_takes_the_traffic_brings_the_old_one_back(running, report):
    """It was valid in its own process; then its file was damaged, before the workers load it themselves."""
    with loaded(running.port, seed=SEED) as load:
        rollout = begun(running, stable(14), Plan(strategy="recreate"))
        rollouts.pause(running.folder, "one")
        with running.registry() as registry:
            until(lambda: registry.evidence(rollout.id).probes, ENDS_WITHIN)
            running.damage(registry.package(rollout.candidate))
        rollouts.resume(running.folder, "one")
        over = ended(running, rollout)
        assert (over.state, deployed(running)) == ("rolled_back", rollout.stable.ref), over
        asked = load.by(over.stable.ref)
        until(lambda: load.by(over.stable.ref) > asked + 200)
        running.ready()
        with running.registry() as registry:
            states = [event.evidence["state"] for event in registry.latest_events("one") if "state" in event.evidence]
    report.on(load, f"a version that cannot be loaded once it has the traffic: {over.why[:80]}")
    assert states[:3] == ["rolled_back", "rolling_back", "promoting"], "it had come as far as that"
    assert not load.by(over.candidate.ref)


def test_a_good_canary_goes_through_a_storm(tmp_path, report):
    """Its own host is left alone: who kills that says something against it."""
    chance = random.Random(SEED)
    plan = Plan(strategy="canary", steps=(500, 2500, 5000, WHOLE), hold=HOLD, checks=Checks(least=50, slack=0.5))
    with besieged(tmp_path, ("one", stable()), disk="64m") as running, loaded(running.port, seed=SEED) as load:
        rollout = begun(running, stable(1), plan)
        faults: list[str] = []
        for fault in dealt(chance, ["worker", "controller", "database", *["disk"] * running.small]):
            if not present(running, rollout).active:
                break
            load.faults.append((time.monotonic(), fault))
            match fault:
                case "worker":
                    running.kill_worker(load, chance.randrange(99))
                case "controller":
                    running.kill(CONTROLLER)
                case "database":
                    with running.locked_database():
                        time.sleep(chance.uniform(0.5, GONE))
                case "disk":
                    with running.full_disk():
                        time.sleep(chance.uniform(0.5, 5.0))
            faults.append(fault)
            time.sleep(chance.uniform(0.5, 3.0))
        running.ready()
        over = ended(running, rollout)
        until(lambda: load.answered[over.candidate.ref] > 100)
    report.on(load, f"a good canary through {counted(faults)}: {over.why[:60]}")
    assert over.state == "completed", over


def test_a_supervisor_that_is_killed_in_a_rollout_costs_nobody_an_answer(tmp_path, report):
    """Whatever becomes of the rollout: the traffic is where it says."""
    plan = Plan(strategy="canary", steps=(2500, WHOLE), hold=2 * HOLD, checks=Checks(least=50, slack=0.5))
    with besieged(tmp_path, ("one", stable())) as running, loaded(running.port, seed=SEED) as load:
        rollout = begun(running, stable(1), plan)
        until(lambda: load.answered[rollout.candidate.ref] > 50, ENDS_WITHIN)
        running.kill_supervisor()
        running.ready()
        running.storm(None, 5)
        running.ready()
        over = ended(running, rollout)
        answers_with = over.candidate.ref if over.state == "completed" else over.stable.ref
        assert deployed(running) == answers_with
        asked = load.by(answers_with)
        until(lambda: load.by(answers_with) > asked + 100)
    report.on(load, f"a supervisor killed, another told to end, in a rollout that was {over.state}: {over.why[:120]}")
