"""`mainstay up`: whole rollouts, under callers who hold each answer against what it must be."""

from __future__ import annotations

import itertools
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from live import Server, serving, until
from onnx import TensorProto, helper
from serving_models import ONE, graph, linear, package_of, slow

from mainstay.models.package import Draft
from mainstay.registry.plans import WHOLE, Checks, Plan
from mainstay.registry.records import Rollout
from mainstay.registry.store import Registry

TABLE = 50
"""What callers send is below it."""
ENDS_WITHIN = 90.0


def stable() -> Draft:
    return package_of(ONE, linear(1), [{"x": 1.0}, {"x": 2.5}])


def better(number: int = 1) -> Draft:
    """The same answers, from another file."""
    return package_of(ONE, linear(1, bias=0.0, weight=1.0 + number * 1e-12), [{"x": 3.0}])


def failing() -> Draft:
    """Right for x below 25, and fails beyond: it asks for a shape there that its values do not fill."""
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["largest"], keepdims=0),
        helper.make_node("Less", ["largest", "end"], ["fits"]),
        helper.make_node("Where", ["fits", "any", "odd"], ["shape"]),
        helper.make_node("Reshape", ["features", "shape"], ["flat"]),
        helper.make_node("Reshape", ["flat", "column"], ["value"]),
    ]
    constants = {
        "end": np.array(TABLE / 2),
        "any": np.array([-1]),
        "odd": np.array([10_007]),
        "column": np.array([-1, 1]),
    }
    model = graph(nodes, constants, width=1, outputs={"value": (TensorProto.DOUBLE, ["n", 1])})
    return package_of(ONE, model, [{"x": 3.0}, {"x": 7.0}])


def slower() -> Draft:
    """The same answers, after some tens of milliseconds."""
    return package_of(ONE, slow(size=400, times=12), [{"x": 3.0}])


@contextmanager
def asked(server: Server, callers: int = 2) -> Iterator[Counter[str]]:
    """Callers that ask without a pause; how many answers each version gave, and what went wrong."""
    met: Counter[str] = Counter()
    over = threading.Event()

    def ask() -> None:
        with server.client() as client:
            for x in itertools.cycle(range(TABLE)):
                if over.is_set():
                    return
                try:
                    answer = client.post("/predict", json={"inputs": [{"x": x}]})
                except httpx.HTTPError as error:
                    met[f"failed: {error!r}"] += 1
                    continue
                said = answer.json()
                if answer.status_code != 200:
                    met[f"failed: {said}"] += 1
                elif abs(said["prediction"][0] - x) > 1e-6:
                    met[f"wrong: {said}"] += 1
                else:
                    met[said["model"]] += 1

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield met
    finally:
        over.set()
        for thread in threads:
            thread.join()


def roll_out(server: Server, draft: Draft, plan: Plan) -> Rollout:
    with Registry.open(server.folder / ".mainstay") as registry:
        candidate = registry.add("one", draft, passed=True, actor="test", summary={})
        present = registry.deployment("one")
        assert present is not None
        return registry.start_rollout(candidate, plan, expecting=present.version, actor="test")


def ended(server: Server) -> Rollout:
    with Registry.open(server.folder / ".mainstay") as registry:

        def over() -> Rollout | None:
            newest = registry.rollouts("one", limit=1)[0]
            return None if newest.active else newest

        return until(over, ENDS_WITHIN)


def deployed(server: Server) -> str:
    with Registry.open(server.folder / ".mainstay") as registry:
        found = registry.deployment("one")
        assert found is not None
        return found.version.ref


def controllers(server: Server) -> list[psutil.Process]:
    return server.children("mainstay.operations.controlling")


def blamed(met: Counter[str]) -> list[str]:
    return [what for what in met if what.startswith(("failed", "wrong"))]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("up"), ("one", stable()), options=("--workers", "2"), command="up") as running:
        yield running


CANARY = Plan(strategy="canary", steps=(1000, 5000, WHOLE), hold=0.5, checks=Checks(least=20, slack=0.05))


def test_a_canary_that_fails_is_rolled_back_and_cost_nobody_an_answer(up: Server):
    with asked(up) as met:
        roll_out(up, failing(), CANARY)
        over = ended(up)
    assert over.state == "rolled_back" and "failed" in over.why, over.why
    assert deployed(up) == over.stable.ref
    assert not blamed(met), met


def test_a_slower_canary_is_rolled_back(up: Server):
    with asked(up) as met:
        roll_out(up, slower(), Plan(strategy="canary", steps=(5000, WHOLE), hold=600.0, checks=Checks(least=20)))
        over = ended(up)
    assert over.state == "rolled_back" and "time" in over.why, over.why
    assert not blamed(met), met


def test_a_good_one_goes_through_and_the_controller_may_be_killed_on_the_way(up: Server):
    with asked(up) as met:
        begun = roll_out(up, better(), CANARY)
        for _ in range(2):
            (controller,) = up.children("mainstay.operations.controlling")
            controller.kill()
            until(
                lambda gone=controller.pid: [c for c in up.children("mainstay.operations.controlling") if c.pid != gone]
            )
        over = ended(up)
    assert over.id == begun.id and over.state == "completed", over.why
    assert deployed(up) == over.candidate.ref
    assert not blamed(met), met
    assert met[over.stable.ref] and met[over.candidate.ref]


@pytest.mark.parametrize(
    ("number", "ends_as"),
    [(signal.SIGKILL, "completed"), pytest.param(signal.SIGSEGV, "rolled_back", marks=pytest.mark.long)],
)
def test_after_a_switch_workers_that_crash_take_it_back_and_those_that_are_killed_do_not(up: Server, number, ends_as):
    before = deployed(up)
    with asked(up):
        begun = roll_out(up, better(number), Plan(strategy="blue-green", warm=3.0, checks=Checks(least=20)))
        until(lambda: state(up) == "watching", ENDS_WITHIN)
        for _ in range(2):
            for worker in until(lambda: found if len(found := up.workers()) == 2 else None):
                worker.send_signal(number)
                psutil.wait_procs([worker], timeout=20)
        over = ended(up)
    assert (over.id, over.state) == (begun.id, ends_as), over.why
    assert deployed(up) == (over.candidate.ref if ends_as == "completed" else before)
    assert ends_as == "completed" or "died" in over.why


def state(server: Server) -> str:
    with Registry.open(server.folder / ".mainstay") as registry:
        return registry.rollouts("one", limit=1)[0].state


def test_the_controller_ends_with_its_server(tmp_path: Path):
    with serving(tmp_path, ("one", stable()), command="up") as running:
        (controller,) = until(lambda: controllers(running))
        running.process.kill()
        psutil.wait_procs([controller], timeout=20)
        assert not controller.is_running()
