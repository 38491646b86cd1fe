"""Where names pointed, and the step back."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.cli.app import run
from mainstay.operations.history import Move, NothingBefore, Step, history, moves_of, rollback, step_back
from mainstay.registry.errors import AliasNotFound, DeploymentMoved, ModelNotFound
from mainstay.registry.evidence import Arm, Evidence, Seen
from mainstay.registry.plans import Plan
from mainstay.registry.store import Registry, utc_now
from mainstay.testing.drafts import draft
from mainstay.testing.rollouts import BACK, FIRST
from mainstay.testing.rollouts import moved as rolled


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """credit:1 to credit:3; the last failed its gates. Nothing is deployed."""
    with Registry.open(tmp_path / ".mainstay") as registry:
        for number in (1, 2, 3):
            registry.add("credit", draft(str(number)), passed=number < 3, actor="ann", summary={})
    return tmp_path


def deployed(folder: Path, *numbers: int | None) -> None:
    with Registry.open(folder / ".mainstay") as registry:
        for number in numbers:
            now = registry.deployment("credit")
            if number is None:
                assert now is not None
                registry.undeploy("credit", expecting=now.version, actor="ann", reason="over")
            else:
                version = registry.version(f"credit:{number}")
                registry.deploy(
                    version, expecting=now and now.version, actor="ann", reason=f"to {number}", override=number == 3
                )


def champion(folder: Path) -> str:
    with Registry.open(folder / ".mainstay") as registry:
        return registry.version("credit@champion").ref


def test_history_tells_who_when_from_to_and_why_the_newest_first(folder: Path) -> None:
    deployed(folder, 1, 2, None)
    with Registry.open(folder / ".mainstay") as registry:
        one, two = registry.version("credit:1"), registry.version("credit:2")
        registry.point("credit", "audited", one, expecting=None, actor="bob", reason="audit")
        registry.point("credit", "audited", two, expecting=one, actor="bob", reason="again")
        registry.point("credit", "audited", None, expecting=two, actor="bob", reason="done")
    moves = history(folder, "credit").moves
    assert [(m.name, m.before, m.after, m.actor, m.reason) for m in moves] == [
        ("audited", "credit:2", None, "bob", "done"),
        ("audited", "credit:1", "credit:2", "bob", "again"),
        ("audited", None, "credit:1", "bob", "audit"),
        ("champion", "credit:2", None, "ann", "over"),
        ("champion", "credit:1", "credit:2", "ann", "to 2"),
        ("champion", None, "credit:1", "ann", "to 1"),
    ]
    assert all(a.at >= b.at for a, b in pairwise(moves))
    assert [m.after for m in history(folder, "credit", alias="champion", limit=2).moves] == [None, "credit:2"]
    with pytest.raises(ModelNotFound):
        history(folder, "debit")


def test_rollbacks_go_further_back_and_never_to_and_fro(folder: Path) -> None:
    deployed(folder, 1, 2, 3)
    done = rollback(folder, "credit", reason="complaints")
    assert (done.version, done.before, champion(folder)) == ("credit:2", "credit:3", "credit:2")
    assert done.deployed is not None and done.deployed.servers == 0
    assert rollback(folder, "credit").version == "credit:1"
    with pytest.raises(NothingBefore, match=r"mainstay deploy credit:2"):
        rollback(folder, "credit")
    newest = history(folder, "credit", limit=2).moves
    assert [m.reason for m in newest] == ["rollback from credit:2", "complaints"]


def test_what_was_undeployed_comes_back_and_an_override_is_recorded_again(folder: Path) -> None:
    deployed(folder, 1, 3, None)
    assert rollback(folder, "credit").version == "credit:3"
    assert history(folder, "credit", limit=1).moves[0].override


def test_a_model_that_was_never_deployed_has_nothing_to_go_back_to(folder: Path) -> None:
    with pytest.raises(NothingBefore, match="mainstay history credit"):
        rollback(folder, "credit")
    deployed(folder, 1)
    with pytest.raises(NothingBefore):
        rollback(folder, "credit")
    with pytest.raises(AliasNotFound):
        rollback(folder, "credit", alias="audited")


def test_an_alias_is_rolled_back_where_it_pointed(folder: Path) -> None:
    with Registry.open(folder / ".mainstay") as registry:
        one, two = registry.version("credit:1"), registry.version("credit:2")
        registry.point("credit", "audited", one, expecting=None, actor="bob")
        registry.point("credit", "audited", two, expecting=one, actor="bob")
    assert rollback(folder, "credit", alias="audited").version == "credit:1"
    with Registry.open(folder / ".mainstay") as registry:
        assert registry.version("credit@audited").ref == "credit:1"
    with pytest.raises(NothingBefore, match="mainstay alias credit:2 audited"):
        rollback(folder, "credit", alias="audited")


def test_a_rollback_loses_against_whoever_deployed_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed(folder, 1, 2)
    before = Registry.latest_events

    def slowly(self: Registry, *args: object, **words: object) -> object:
        found = before(self, *args, **words)  # type: ignore[arg-type]  # passed on as they came
        monkeypatch.undo()
        deployed(folder, 3)
        return found

    monkeypatch.setattr(Registry, "latest_events", slowly)
    with pytest.raises(DeploymentMoved):
        rollback(folder, "credit")
    assert champion(folder) == "credit:3"


def test_the_commands_say_it_for_people_and_for_programs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(folder, 1, 2)
    monkeypatch.chdir(folder)
    assert run(["rollback", "credit", "--reason", "complaints"]) == 0
    assert "credit:1 is deployed again, in place of credit:2." in capsys.readouterr().out
    assert run(["history", "credit", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["moves"][0]
    assert (first["before"], first["after"], first["reason"]) == ("credit:2", "credit:1", "complaints")
    assert run(["history", "credit"]) == 0
    assert "credit@champion\tcredit:2\tcredit:1\tcomplaints" in capsys.readouterr().out
    assert run(["rollback", "credit"]) == 2


def moved(path: list[int | None]) -> list[Move]:
    names = [None if number is None else f"m:{number}" for number in path]
    return [
        Move(at=utc_now(), actor="a", name="n", before=before, after=after, reason="")
        for before, after in pairwise(names)
    ]


@given(st.lists(st.one_of(st.none(), st.integers(1, 4)), max_size=12))
def test_stepping_back_always_ends_and_ends_where_the_name_began(path: list[int | None]) -> None:
    trail = [None, *path]
    walked = [trail[0], *(b for a, b in pairwise(trail) if a != b)]
    moves, steps = moved(walked), 0
    while (step := step_back(moves)).previous is not None:
        assert step.previous != step.now
        moves.append(Move(at=utc_now(), actor="a", name="n", before=step.now, after=step.previous, reason=""))
        steps += 1
        assert steps <= len(walked)
    assert step == step_back(moves)


def test_a_deployment_that_did_not_come_up_is_not_gone_back_to() -> None:
    assert step_back(moved([None, 1, 2, 1])) == Step(now="m:1", previous=None)
    assert step_back(moved([None, 1, 2, 3, 2])) == Step(now="m:2", previous="m:1")
    assert step_back(moved([None, 1, None])) == Step(now=None, previous=None)


def test_history_tells_of_rollouts_with_what_was_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(folder, 1)
    with Registry.open(folder / ".mainstay") as registry:
        one, two = registry.version("credit:1"), registry.version("credit:2")
        plan = Plan(strategy="canary", steps=(100, 10_000))
        rollout = registry.start_rollout(two, plan, expecting=one, actor="ann", reason="better")
        rollout = rolled(registry, rollout, FIRST, "it is valid")
        arms = {"candidate": Arm(requests=1_200, errors=40, labelled=9, wrong=5), "stable": Arm(requests=99_000)}
        seen = Seen(step=0, **arms, compared=10, changed=2)
        registry.report("a", Evidence(rollout=rollout.id, steps=(seen,), deaths=1))
        rolled(registry, rollout, BACK, "too many errors")
    backwards, forwards, started, first = history(folder, "credit").moves
    assert first.rollout is None
    assert backwards.rollout is not None and forwards.rollout is not None and started.rollout is not None
    assert {move.before for move in (backwards, forwards, started)} == {"credit:1"}
    assert started.rollout.what == "canary: started, steps 1, 100 %"
    assert (forwards.rollout.what, forwards.rollout.seen) == ("canary: progressing, 1 % of the requests", "")
    assert (backwards.rollout.what, backwards.reason) == ("canary: rolling back", "too many errors")
    assert backwards.rollout.seen == (
        "candidate 1,200 requests, 40 errors, 5 of 9 wrong; stable 99,000 requests; "
        "2 of 10 answered otherwise; its process died once"
    )
    assert len(history(folder, "credit", alias="champion", limit=2).moves) == 2
    assert rollback_steps(folder) == Step(now="credit:1", previous=None)  # a candidate was never the champion
    monkeypatch.chdir(folder)
    assert run(["history", "credit"]) == 0
    assert "40 errors" in " ".join(capsys.readouterr().out.split())


def rollback_steps(folder: Path) -> Step:
    with Registry.open(folder / ".mainstay") as registry:
        return step_back(list(reversed(moves_of(registry, "credit", limit=100))))
