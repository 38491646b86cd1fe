"""Everything around the stable version is killed, stopped, starved and corrupted: no caller has a wrong answer, and who
was not connected to a killed worker has one.

`make chaos` runs it for minutes; `make test` for some seconds. MAINSTAY_TEST_SEED repeats a run.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from besieged import CONTROLLER, HOST, WORKER, Besieged, besieged
from live import until
from load import Load, loaded
from serving_models import ONE, linear, package_of
from siege_report import GONE, SECONDS, SEED, Report, counted, dealt

from mainstay.models.package import Draft

FEW = ("worker", "supervisor")
AT_REST = 0.4
"""Seconds between two faults at most."""


def stable(number: int = 0) -> Draft:
    """y = x, from another file for each number."""
    return package_of(ONE, linear(1), [{"x": 1.0}, {"x": 2.5 + number}])


def befall(fault: str, running: Besieged, load: Load, chance: random.Random) -> None:
    match fault:
        case "worker":
            running.kill_worker(load, chance.randrange(99))
        case "supervisor":
            running.kill_supervisor()
        case "controller":
            running.kill(CONTROLLER)
        case "terms":
            running.storm(chance.choice([WORKER, CONTROLLER, HOST, None]), chance.randrange(1, 8))
        case "database":
            with running.locked_database():
                time.sleep(chance.uniform(0.5, GONE))
        case "disk":
            with running.full_disk():
                running.kill_worker(load, 0)
                time.sleep(chance.uniform(0.5, 5.0))


def deployed(running: Besieged, draft: Draft) -> str:
    """Another version, once all workers have it: that all has healed."""
    with running.registry() as registry:
        version = registry.add("one", draft, passed=True, actor="test", summary={})
        present = registry.deployment("one")
        registry.deploy(version, expecting=present and present.version, actor="test")
    running.ready()
    return version.ref


def test_a_storm_of_faults_costs_the_connections_of_killed_workers_alone(tmp_path: Path, report: Report) -> None:
    chance = random.Random(SEED)
    with besieged(tmp_path, ("one", stable()), disk="64m") as running, loaded(running.port, seed=SEED) as load:
        kinds = ["worker", "supervisor", "controller", "terms", "database", *["disk"] * running.small]
        faults: list[str] = []
        until(lambda: load.count > 100)
        over, least = time.monotonic() + SECONDS, len(kinds) if SECONDS else len(FEW)
        for fault in dealt(chance, kinds) if SECONDS else FEW:
            load.faults.append((time.monotonic(), fault))
            befall(fault, running, load, chance)
            faults.append(fault)
            time.sleep(chance.uniform(0.0, AT_REST))
            if not SECONDS or len(faults) % 5 == 0:
                running.ready()
                asked = load.count
                until(lambda asked=asked: load.count > asked + 100)
            if time.monotonic() > over and len(faults) >= least:
                break
        running.ready()
        newest = deployed(running, stable(1))
        until(lambda: load.answered[newest] > 100)
    again = f", after which the supervisor started {running.ended_itself} times in vain" if running.ended_itself else ""
    report.on(load, f"a storm of {counted(faults)}{again}")


@pytest.mark.skipif(not SECONDS, reason="make chaos runs it")
def test_a_damaged_file_of_the_stable_version_costs_nobody_an_answer(tmp_path: Path, report: Report) -> None:
    with besieged(tmp_path, ("one", stable())) as running, loaded(running.port, seed=SEED) as load:
        until(lambda: load.count > 100)
        with running.registry() as registry:
            mend = running.damage(registry.package(registry.version("one:1")))
        running.kill_worker(load, 0)
        time.sleep(3.0)
        asked = load.count
        until(lambda: load.count > asked + 200)
        mend()
        running.ready()
        newest = deployed(running, stable(1))
        until(lambda: load.answered[newest] > 100)
    report.on(load, "a damaged file")
