"""Whatever is done to a registry, it is what a dictionary says it should be."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import backends
from examples import examples
from mainstay.registry.changes import Change
from mainstay.registry.errors import (
    AliasMoved,
    DeploymentMoved,
    InRollout,
    NotBeside,
    NotDeployable,
    RolloutMoved,
    TakesTraffic,
)
from mainstay.registry.plans import Plan
from mainstay.registry.records import Beside, Rollout, Version
from mainstay.registry.store import Registry
from mainstay.testing.drafts import draft

MODELS = st.sampled_from(["credit", "churn"])
GRAPHS = st.sampled_from(["1", "2", "3"])
ALIASES = st.sampled_from(["live", "canary"])
PLAN = Plan(strategy="canary", steps=(100, 10_000))
RUNNING = st.builds(
    Change,
    state=st.sampled_from(["waiting", "progressing", "paused", "promoting", "watching", "rolling_back"]),
    step=st.sampled_from([0, 1]),
    mode=st.sampled_from(["probe", "split", "warm", "off"]),
    share=st.sampled_from([0, 100]),
    held=st.sampled_from([0.0, 1.5]),
    traffic=st.sampled_from([None, "candidate", "stable"]),
)
ENDED = st.builds(
    lambda state, step: Change(
        state=state, step=step, mode="off", share=0, traffic="candidate" if state == "completed" else "stable"
    ),
    st.sampled_from(["completed", "rolled_back"]),
    st.sampled_from([0, 1]),
)


class RegistryMachine(RuleBasedStateMachine):
    """A subclass may say where else the database is."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.database = ExitStack()
        self.location = self.place()
        self.registry = self.opened()
        self.versions: dict[str, list[Version]] = {"credit": [], "churn": []}
        self.known: dict[tuple[str, str, str, bool], Version] = {}
        self.aliases: dict[tuple[str, str], Version] = {}
        self.deployed: dict[str, Version] = {}
        self.beside: dict[str, dict[str, Beside]] = {"credit": {}, "churn": {}}
        self.taken: list[Beside] = []
        self.rollouts: dict[str, Rollout] = {}
        self.stale: list[Rollout] = []
        self.generation = 0
        self.happened = 0

    def place(self) -> Path | str:
        return self.folder

    def opened(self, *, create: bool = True) -> Registry:
        return Registry.open(self.location, create, blobs=self.folder / "blobs")

    def teardown(self) -> None:
        self.registry.close()
        self.database.close()
        shutil.rmtree(self.folder)

    def one_of(self, model: str, data: Any, *, or_none: bool) -> Version | None:
        return data.draw(st.sampled_from([*self.versions[model], *([None] if or_none else [])]))

    @initialize(begun=st.booleans())
    def begin(self, begun: bool) -> None:
        """Half of the runs begin within a rollout: it takes many steps to come there by chance."""
        if begun:
            for graph in "123":
                self.register("credit", graph, "a", True)
            one, two, _ = self.versions["credit"]
            self.registry.deploy(one, expecting=None, actor="ada")
            self.deployed["credit"] = one
            self.rollouts["credit"] = self.registry.start_rollout(two, PLAN, expecting=one, actor="ada")
            self.happened, self.generation = 5, 2

    @rule(model=MODELS, graph=GRAPHS, evaluation=st.sampled_from(["a", "b"]), passed=st.booleans())
    def register(self, model: str, graph: str, evaluation: str, passed: bool) -> None:
        added = self.registry.add(model, draft(graph, evaluation=evaluation), passed=passed, actor="ada", summary={})
        self.happened += 1
        key = (model, graph, evaluation, passed)
        if key in self.known:
            assert added.id == self.known[key].id
        else:
            self.known[key] = added
            self.versions[model].append(added)

    @rule(model=MODELS, alias=ALIASES, right=st.booleans(), data=st.data())
    def point(self, model: str, alias: str, right: bool, data: Any) -> None:
        if not self.versions[model]:
            return
        now = self.aliases.get((model, alias))
        to = self.one_of(model, data, or_none=True)
        expecting = now if right else self.one_of(model, data, or_none=True)
        if (expecting and expecting.id) != (now and now.id):
            with pytest.raises(AliasMoved):
                self.registry.point(model, alias, to, expecting=expecting, actor="ada")
            return
        self.registry.point(model, alias, to, expecting=expecting, actor="ada")
        self.happened += (to and to.id) != (now and now.id)
        self.aliases.pop((model, alias), None)
        if to is not None:
            self.aliases[model, alias] = to

    @rule(model=MODELS, override=st.booleans(), right=st.booleans(), data=st.data())
    def deploy(self, model: str, override: bool, right: bool, data: Any) -> None:
        if not self.versions[model]:
            return
        now = self.deployed.get(model)
        to = self.one_of(model, data, or_none=False)
        assert to is not None
        expecting = now if right else self.one_of(model, data, or_none=True)

        def deploy() -> int:
            return self.registry.deploy(
                to, expecting=expecting, actor="ada", reason="because", override=override
            ).generation

        if not to.passed and not override:
            with pytest.raises(NotDeployable):
                deploy()
            return
        if (expecting and expecting.id) != (now and now.id):
            with pytest.raises(DeploymentMoved):
                deploy()
            return
        generation = deploy()
        if now is None or now.id != to.id:
            self.happened += 1
            self.generation += 1
            self.end_rollout(model)
            assert generation == self.generation
        self.deployed[model] = to
        self.beside[model].pop(to.id, None)
        self.taken = []  # it may be what takes the traffic now

    @rule(model=MODELS, data=st.data())
    def deploy_beside(self, model: str, data: Any) -> None:
        if model not in self.deployed:
            return
        to, now = self.one_of(model, data, or_none=False), self.deployed[model]
        assert to is not None
        if to.id == now.id or not to.passed:
            with pytest.raises(TakesTraffic if to.passed else NotDeployable):
                self.registry.deploy_beside(to, expecting=now, actor="ada")
            return
        if to.id in self.in_rollout(model):
            with pytest.raises(InRollout):
                self.registry.deploy_beside(to, expecting=now, actor="ada")
            return
        placed = self.registry.deploy_beside(to, expecting=now, actor="ada")
        if to.id not in self.beside[model]:
            self.happened += 1
            self.generation += 1
            assert placed.generation == self.generation
        self.beside[model][to.id] = placed

    @rule(model=MODELS, data=st.data())
    def undeploy_beside(self, model: str, data: Any) -> None:
        for gone in self.taken:
            with pytest.raises(NotBeside):
                self.registry.undeploy_beside(gone, actor="eve")
        if not self.beside[model]:
            return
        seen = data.draw(st.sampled_from(sorted(self.beside[model].values(), key=lambda each: each.version.number)))
        self.happened += 1
        self.generation += 1
        assert self.registry.undeploy_beside(seen, actor="ada") == self.generation
        del self.beside[model][seen.version.id]
        self.taken = [seen]

    @rule(model=MODELS)
    def undeploy(self, model: str) -> None:
        if model not in self.deployed:
            return
        now = self.deployed.pop(model)
        self.beside[model], self.taken = {}, []
        self.happened += 1
        self.generation += 1
        assert self.registry.undeploy(model, expecting=now, actor="ada") == self.generation
        self.end_rollout(model)

    def in_rollout(self, model: str) -> set[str]:
        running = self.rollouts.get(model)
        return set() if running is None else {running.stable.id, running.candidate.id}

    def end_rollout(self, model: str) -> None:
        """What runs ends as rolled back, which is told."""
        gone = self.rollouts.pop(model, None)
        if gone is not None:
            self.happened += 1
            self.stale = [gone]

    @rule(model=MODELS, data=st.data())
    def start_rollout(self, model: str, data: Any) -> None:
        if model not in self.deployed:
            return
        to, now = self.one_of(model, data, or_none=False), self.deployed[model]
        assert to is not None
        if to.id == now.id or not to.passed:
            with pytest.raises(TakesTraffic if to.passed else NotDeployable):
                self.registry.start_rollout(to, PLAN, expecting=now, actor="ada")
            return
        self.generation += 1
        self.happened += 1
        self.end_rollout(model)
        started = self.registry.start_rollout(to, PLAN, expecting=now, actor="ada")
        assert (started.stable.id, started.candidate.id) == (now.id, to.id)
        assert (started.generation, started.revision, started.mode) == (self.generation, 1, "probe")
        self.rollouts[model] = started
        self.beside[model].pop(to.id, None)
        self.taken = []

    @precondition(lambda self: self.rollouts or self.stale)
    @rule(change=RUNNING | RUNNING | ENDED, data=st.data())
    def move(self, change: Change, data: Any) -> None:
        for stale in self.stale:
            with pytest.raises(RolloutMoved):
                self.registry.move_rollout(stale, change, actor="eve", why="", evidence={})
        if not self.rollouts:
            return
        model = data.draw(st.sampled_from(sorted(self.rollouts)))
        seen = self.rollouts[model]
        onto = seen.candidate if change.traffic == "candidate" else seen.stable
        switches = change.traffic is not None and self.deployed[model].id != onto.id
        moved = self.registry.move_rollout(seen, change, actor="ada", why="so", evidence={})
        asked = (change.mode, change.share, change.step) != (seen.mode, seen.share, seen.step)
        self.generation += switches or asked
        self.happened += 1 + switches
        assert (moved.state, moved.step, moved.mode, moved.share) == (
            change.state,
            change.step,
            change.mode,
            change.share,
        )
        assert (moved.revision, moved.held, moved.active) == (
            seen.revision + 1,
            change.held,
            change.state not in ("completed", "rolled_back"),
        )
        assert moved.generation == (self.generation if switches or asked else seen.generation)
        self.stale = [seen]
        self.deployed[model] = onto if switches else self.deployed[model]
        if moved.active:
            self.rollouts[model] = moved
        else:
            del self.rollouts[model]

    @rule()
    def reopen(self) -> None:
        self.registry.close()
        self.registry = self.opened(create=False)

    @invariant()
    def numbers_are_dense(self) -> None:
        for model, versions in self.versions.items():
            if versions:
                found = self.registry.versions(model)
                assert [v.number for v in found] == list(range(len(versions), 0, -1))
                assert {v.id for v in found} == {v.id for v in versions}

    @invariant()
    def aliases_name_what_they_should(self) -> None:
        for model, versions in self.versions.items():
            if versions:
                expected = {name: v.ref for (of, name), v in self.aliases.items() if of == model}
                if model in self.deployed:
                    expected["champion"] = self.deployed[model].ref
                assert {alias.name: alias.ref for alias in self.registry.aliases(model)} == expected
                for name, ref in expected.items():
                    assert self.registry.version(f"{model}@{name}").ref == ref

    @invariant()
    def deployments_are_what_they_should_be(self) -> None:
        assert {d.model: d.version.id for d in self.registry.deployments()} == {
            model: version.id for model, version in self.deployed.items()
        }
        for deployment in self.registry.deployments():
            found = {each.version.id: each for each in deployment.beside}
            assert {name: each.generation for name, each in found.items()} == {
                name: each.generation for name, each in self.beside[deployment.model].items()
            }
            running = self.rollouts.get(deployment.model)
            if running is None or running.mode == "off":
                assert deployment.candidate is None
                continue
            switched = deployment.version.id == running.candidate.id
            slot = deployment.candidate
            assert slot is not None and slot.version.id == (running.stable if switched else running.candidate).id
            assert (slot.mode, slot.share, slot.step) == (running.mode, running.share, running.step)
        assert self.registry.generation() == self.generation

    @invariant()
    def one_rollout_runs_of_a_model(self) -> None:
        running = {each.model: each for each in self.registry.rollouts(active=True)}
        assert {model: (each.id, each.revision) for model, each in running.items()} == {
            model: (each.id, each.revision) for model, each in self.rollouts.items()
        }
        for model in self.versions:
            found = self.registry.versions(model) if self.versions[model] else []
            deployed = self.deployed.get(model)
            assert {v.id for v in found if v.candidate} == self.in_rollout(model) - {deployed and deployed.id}

    @invariant()
    def every_change_was_told_once(self) -> None:
        assert len(self.registry.events(limit=10_000)) == self.happened


def runs(asked: int) -> settings:
    return settings(
        max_examples=examples(asked), stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )


TestRegistryModel = RegistryMachine.TestCase
TestRegistryModel.settings = runs(24)


def test_on_postgresql_too(postgres_server: str) -> None:
    class OnPostgres(RegistryMachine):
        def place(self) -> str:
            return self.database.enter_context(backends.schema(postgres_server))

    run_state_machine_as_test(OnPostgres, settings=runs(8))
