"""The controller over a real registry: servers that only say what a test has them say, and a clock that is turned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mainstay.errors import MachineError
from mainstay.operations.beats import Beats
from mainstay.operations.standing import status_of
from mainstay.registry.evidence import SECONDS, Arm, Evidence, Probe, Seen
from mainstay.registry.plans import WHOLE, Checks, Plan
from mainstay.registry.records import Member, Rollout
from mainstay.registry.store import Registry
from mainstay.rollout.controller import Controller
from mainstay.rollout.leading import SILENT, Leading
from mainstay.targets.local import Local
from mainstay.testing.drafts import Clock
from mainstay.testing.registry import add

CANARY = Plan(strategy="canary", steps=(100, 5000, WHOLE), hold=10.0, checks=Checks(least=100))
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class _Stage:
    """A registry with a rollout of credit:2, one server, and as many controllers as a test wants."""

    registry: Registry
    clock: Clock
    seconds: float = 0.0
    log: list[tuple[str, str]] = field(default_factory=list)
    seen: dict[int, Seen] = field(default_factory=dict)

    def controller(self, name: str = "one", facts: Any = None) -> Controller:
        leading = Leading(facts or self.registry, name, clock=lambda: self.seconds)
        return Controller(
            facts or self.registry,
            Local(self.registry),
            leading,
            clock=lambda: self.seconds,
            now=lambda: self.clock.now,
            log=lambda kind, message, **more: self.log.append((kind, message)),
        )

    def follow(self) -> None:
        """The server does all that the registry says."""
        self.registry.beat(
            Member(
                id="server",
                host="here",
                pid=1,
                url="http://127.0.0.1:1",
                started_at=STARTED,
                generation=self.registry.generation(),
            )
        )
        for rollout in self.registry.rollouts(active=True):
            steps = tuple(self.seen[step] for step in sorted(self.seen))
            said = Evidence(rollout=rollout.id, steps=steps, probes=(Probe(rows=3, seconds=0.001),))
            self.registry.report("server", said)

    def answered(self, step: int, *, stable: int, candidate: int, errors: int = 0) -> None:
        """What servers saw of a step until now."""
        arms = (
            Arm(requests=requests, errors=failed, seconds=(requests - failed, *(0 for _ in SECONDS)))
            for requests, failed in ((stable, 0), (candidate, errors))
        )
        self.seen[step] = Seen(step=step, stable=next(arms), candidate=next(arms))

    def pass_time(self, controller: Controller, seconds: float, *, each: float = 1.0) -> None:
        for _ in range(int(seconds / each)):
            self.seconds += each
            self.clock.turn(each)
            self.follow()
            controller.step()

    @property
    def rollout(self) -> Rollout:
        return self.registry.rollouts(limit=1)[0]

    @property
    def deployed(self) -> str:
        deployment = self.registry.deployment("credit")
        assert deployment is not None
        return deployment.version.ref


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[_Stage]:
    clock = Clock()
    with Registry.open(tmp_path / "state", clock=clock) as registry:
        stable = add(registry, "credit", "1")
        registry.deploy(stable, expecting=None, actor="ada")
        registry.start_rollout(add(registry, "credit", "2"), CANARY, expecting=stable, actor="ada")
        yield _Stage(registry, clock)


def test_a_candidate_with_nothing_against_it_goes_through_every_step(stage: _Stage):
    controller = stage.controller()
    stage.pass_time(controller, 3)
    assert (stage.rollout.state, stage.rollout.step, stage.rollout.share) == ("progressing", 0, 100)
    stage.pass_time(controller, 60)
    assert (stage.rollout.step, stage.rollout.share) == (0, 100), "without evidence nothing passes"
    stage.answered(0, stable=19_800, candidate=200)
    stage.pass_time(controller, 2)
    assert (stage.rollout.step, stage.rollout.share) == (1, 5000)
    stage.answered(1, stable=300, candidate=300)
    stage.pass_time(controller, 5)
    assert stage.rollout.step == 1, "it has to be held too"
    stage.pass_time(controller, 60)
    stage.answered(2, stable=0, candidate=400)
    stage.pass_time(controller, 30)
    assert (stage.rollout.state, stage.deployed) == ("completed", "credit:2")
    deployment = stage.registry.deployment("credit")
    assert deployment is not None and deployment.candidate is None
    told = [event.kind for event in stage.registry.events("credit")]
    assert told.index("rollout_started") < told.index("rollout_promoting") < told.index("rollout_completed")


def test_a_candidate_that_fails_is_taken_back_with_the_first_look_at_it(stage: _Stage):
    controller = stage.controller()
    stage.pass_time(controller, 3)
    stage.answered(0, stable=9_900, candidate=100, errors=60)
    stage.follow()
    controller.step()
    assert (stage.rollout.state, stage.rollout.mode) == ("rolling_back", "off")
    stage.pass_time(controller, 1)
    assert (stage.rollout.state, stage.deployed) == ("rolled_back", "credit:1")
    (back,) = [event for event in stage.registry.events("credit") if event.kind == "rollout_rolling_back"]
    assert back.actor == "controller" and "60" in back.reason
    assert any(measure["name"] == "errors" for measure in back.evidence["analysis"]["measures"])


def test_a_successor_goes_on_where_the_one_before_was_killed(stage: _Stage):
    controller = stage.controller()
    stage.pass_time(controller, 3)
    stage.answered(0, stable=19_800, candidate=200)
    stage.pass_time(controller, 8)
    held = stage.rollout.held
    assert (stage.rollout.step, held) == (0, pytest.approx(8, abs=1.1))
    successor = stage.controller("two")
    stage.pass_time(successor, SILENT)
    assert stage.rollout.held == held, "nobody looked after it meanwhile, and that does not count"
    stage.pass_time(successor, 4)
    assert stage.rollout.step == 1
    before = stage.rollout
    controller.step()  # it was only asleep
    assert stage.rollout == before
    assert stage.log[-1] == ("leading", "Another controller moves rollouts.")


def test_a_person_who_is_faster_is_not_overruled(stage: _Stage):
    controller = stage.controller()
    stage.pass_time(controller, 3)

    class Slow:
        """Somebody undeploys between the controller's look and its move."""

        def __getattr__(self, name: str) -> Any:
            return getattr(stage.registry, name)

        def rollouts(self, **how: Any) -> list[Rollout]:
            found = stage.registry.rollouts(**how)
            if found:
                stable = stage.registry.version("credit:1")
                stage.registry.undeploy("credit", expecting=stable, actor="ada", reason="not now")
            return found

    stage.answered(0, stable=9_900, candidate=100, errors=60)
    stage.follow()
    stage.seconds += SILENT
    late = stage.controller("late", Slow())
    late.step()
    stage.seconds += SILENT
    late.step()
    assert stage.rollout.state == "rolled_back" and stage.registry.deployment("credit") is None
    kinds = [event.kind for event in stage.registry.events("credit")]
    assert "rollout_rolling_back" not in kinds


def test_a_registry_that_is_away_is_told_once_and_waited_for(stage: _Stage):
    class Away:
        gone = False

        def __getattr__(self, name: str) -> Any:
            if self.gone:
                raise MachineError("The database does not answer.")
            return getattr(stage.registry, name)

    facts = Away()
    controller = stage.controller("one", facts)
    stage.pass_time(controller, 3)
    facts.gone = True
    for _ in range(5):
        stage.seconds += 1
        controller.step()
    assert [kind for kind, _ in stage.log].count("registry_away") == 1
    facts.gone = False
    stage.pass_time(controller, 2)
    assert stage.rollout.state == "progressing"


def test_nothing_happens_without_servers_and_nothing_is_lost(stage: _Stage):
    controller = stage.controller()
    for _ in range(100):
        stage.seconds += 1
        stage.clock.turn(1)
        controller.step()
    assert (stage.rollout.state, stage.deployed) == ("validating", "credit:1")
    assert "no server" in str(stage.rollout.verdict)


def test_an_experiment_ends_with_an_event_that_stays_true(stage: _Stage):
    plan = Plan(strategy="ab", steps=(5000,), hold=2.0, at_end="ask")
    stage.registry.start_rollout(
        add(stage.registry, "credit", "3"), plan, expecting=stage.registry.version("credit:1"), actor="ada"
    )
    controller = stage.controller()
    stage.pass_time(controller, 3)
    assert stage.rollout.state == "progressing"
    bare = (440, *(0 for _ in SECONDS)), (498, *(0 for _ in SECONDS))
    stage.seen[0] = Seen(
        step=0,
        stable=Arm(requests=500, errors=60, seconds=bare[0]),
        candidate=Arm(requests=500, errors=2, seconds=bare[1]),
    )
    stage.pass_time(controller, 4)
    told = stage.registry.events("credit")[-2:]
    assert [event.kind for event in told] == ["rollout_verdict", "rollout_paused"]
    assert told[0].evidence["verdict"] == "better" and "60 of 500 requests" in told[0].reason
    stage.seen[0] = Seen(step=0, stable=Arm(requests=500, seconds=(500, *(0 for _ in SECONDS))))
    stage.pass_time(controller, 4)
    rollout = status_of(stage.registry, None, Beats()).models[0].rollout
    assert rollout is not None and rollout.verdict is not None
    assert (rollout.state, rollout.verdict.answer, rollout.result) == ("paused", "better", "pending")
