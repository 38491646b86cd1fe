"""What a person asks of rollouts: started only by what can serve, paused, resumed, promoted, taken back; and told."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from loan_projects import changed, project_in
from rich.console import Console

from mainstay.cli.app import run
from mainstay.cli.standing import clock, picture, sentences
from mainstay.models.golden import Golden
from mainstay.models.package import GOLDEN, Draft
from mainstay.operations.beats import Beats
from mainstay.operations.deploying import Deployed
from mainstay.operations.history import rollback
from mainstay.operations.keys import create
from mainstay.operations.planning import BadPlan, Wishes
from mainstay.operations.registries import opened
from mainstay.operations.remote import BadKeyFile
from mainstay.operations.rollouts import NothingToStartFrom, Started, approve, deploy_as_planned, pause, promote, resume
from mainstay.operations.standing import ServerNow, status, status_of
from mainstay.operations.training import train
from mainstay.operations.validating import NotValid
from mainstay.registry.errors import NoRollout, NotAnApprover, NotDeployed
from mainstay.registry.evidence import Arm, Evidence, Seen
from mainstay.registry.plans import WHOLE, Plan
from mainstay.registry.records import Rollout
from mainstay.rollout.decide import moved
from mainstay.rollout.errors import IllegalMove, NotToBePromoted

CANARY = Wishes(strategy="canary", steps="5,100", hold="0s")
PLAN = Plan(strategy="canary", steps=(500, WHOLE), hold=0.0)


def started(folder: Path, wishes: Wishes = CANARY, ref: str = "loans:2") -> Started:
    done = deploy_as_planned(folder, ref, wishes, reason="better")
    assert isinstance(done, Started)
    return done


def begun(folder: Path, plan: Plan = PLAN) -> Rollout:
    """A rollout of loans:2, of which it is known that it can serve."""
    with opened(folder) as registry:
        one, two = registry.version("loans:1"), registry.version("loans:2")
        return registry.start_rollout(two, plan, expecting=one, actor="test")


def running(folder: Path) -> Rollout | None:
    with opened(folder) as registry:
        return registry.rollout("loans")


def let_go(folder: Path) -> None:
    """As a controller does where the candidate is valid."""
    with opened(folder) as registry:
        rollout = registry.rollout("loans")
        assert rollout is not None
        decision = moved(rollout, "valid", "progressing", "is valid on every server")
        registry.move_rollout(rollout, decision.change, actor="controller", why=decision.why, evidence={})


def test_a_candidate_is_tried_beside_the_stable_version_before_its_rollout(in_project: Path) -> None:
    done = started(in_project)
    assert (done.version, done.stable, done.steps) == ("loans:2", "loans:1", [5.0, 100.0])
    assert done.validated.rows == 80
    assert 0 < done.validated.changed < 80
    assert done.validated.golden > 0
    assert done.validated.notes == []
    for took in (done.validated.candidate, done.validated.stable):
        assert took is not None
        assert took.seconds is not None
        assert took.memory > 10_000_000
    rollout = running(in_project)
    assert rollout is not None
    assert (rollout.id, rollout.state, rollout.reason) == (done.rollout, "validating", "better")
    ended = deploy_as_planned(in_project, "loans:2", Wishes())
    assert isinstance(ended, Deployed)
    assert (ended.ended, ended.before) == ("loans:2", "loans:1")
    assert running(in_project) is None


def test_a_candidate_that_answers_otherwise_than_it_did_is_refused(in_project: Path) -> None:
    with opened(in_project) as registry:
        package = registry.package(registry.version("loans:2"))
        golden = msgspec.json.decode(package.read(GOLDEN), type=Golden)
        assert golden.probabilities is not None
        turned = msgspec.structs.replace(golden, probabilities=[row[::-1] for row in golden.probabilities])
        content = {name: package.read(name) for name in package.manifest.content}
        broken = Draft({**content, GOLDEN: msgspec.json.encode(turned)}, {})
        registry.add("loans", broken, passed=True, actor="test", summary={})
        events = len(registry.events(limit=1000))
    with pytest.raises(NotValid, match=r"loans:3 is not rolled out, for it cannot serve: Golden predictions differ"):
        started(in_project, ref="loans:3")
    assert running(in_project) is None
    with opened(in_project) as registry:
        assert len(registry.events(limit=1000)) == events


def test_a_person_pauses_resumes_and_takes_back(in_project: Path) -> None:
    with pytest.raises(NoRollout):
        pause(in_project, "loans")
    begun(in_project)
    let_go(in_project)
    assert pause(in_project, "loans", reason="month's end").state == "paused"
    with pytest.raises(IllegalMove, match="is paused"):
        pause(in_project, "loans")
    again = resume(in_project, "loans")
    assert (again.state, again.share) == ("progressing", 5.0)
    back = rollback(in_project, "loans", reason="complaints")
    assert back.rollout is not None
    assert (back.version, back.before, back.rollout.before) == ("loans:1", "loans:2", "progressing")
    assert running(in_project) is None
    now = status(in_project).models[0]
    assert now.version == "loans:1"
    assert now.rollout is not None
    assert (now.rollout.state, now.rollout.why) == ("rolled_back", "complaints")


def test_a_person_promotes_what_is_valid(in_project: Path) -> None:
    begun(in_project)
    with pytest.raises(NotToBePromoted, match="no server is there to try it"):
        promote(in_project, "loans")
    let_go(in_project)
    done = promote(in_project, "loans", reason="looks good")
    assert (done.state, done.version, done.stable) == ("promoting", "loans:2", "loans:1")
    assert status(in_project, "loans").models[0].version == "loans:2"
    back = rollback(in_project, "loans")
    assert back.version == "loans:1"
    assert status(in_project, "loans").models[0].version == "loans:1"


def test_a_person_approves_by_his_key_and_nobody_by_another(in_project: Path, tmp_path: Path) -> None:
    begun(in_project, msgspec.structs.replace(PLAN, approvers=("alice",)))
    alice, bob = tmp_path / "alice.key", tmp_path / "bob.key"
    create(in_project, "alice", output=alice)
    create(in_project, "bob", output=bob)
    with pytest.raises(NotAnApprover, match="'bob' may not approve of the rollout of loans:2: ask alice"):
        approve(in_project, "loans", key_file=bob)
    assert approve(in_project, "loans", key_file=alice).approvals == ["alice"]
    alice.chmod(0o644)
    with pytest.raises(BadKeyFile, match="Others can read the key"):
        approve(in_project, "loans", key_file=alice)


def test_a_column_that_tells_callers_apart_is_one_of_the_version_that_answers(in_project: Path) -> None:
    """Who has the candidate is read as the stable version reads its rows: a column that it lacks would hold up a
    rollout that looks as if it went on."""
    changed(in_project, columns={"age": "number", "income": "number"}, left_out={"purpose": "by hand"}, slices=())
    assert train(in_project).version == "loans:3"
    with opened(in_project) as registry:
        three, one = registry.version("loans:3"), registry.version("loans:1")
        registry.deploy(three, expecting=one, actor="test", override=not three.passed, reason="test")
    columns = {"age": "number", "income": "number", "purpose": "category"}
    changed(in_project, columns=columns, left_out={})
    refusal = r"'purpose' is no input column; there are age, income\.$"
    with pytest.raises(BadPlan, match=refusal):
        started(in_project, msgspec.structs.replace(CANARY, sticky="field:purpose"))
    changed(in_project, rollout={"sticky": "field:purpose"})
    with pytest.raises(BadPlan, match=refusal):
        started(in_project)
    assert running(in_project) is None


def test_the_first_version_has_none_to_start_from(tmp_path: Path) -> None:
    folder = project_in(tmp_path / "project", rollout={"strategy": "canary", "require_approval": ("alice",)})
    ref = train(folder).version
    with pytest.raises(NotDeployed):
        deploy_as_planned(folder, ref, CANARY)
    with pytest.raises(NothingToStartFrom, match="give mainstay deploy --override and --reason"):
        deploy_as_planned(folder, ref, Wishes())
    changed(folder, rollout={"require_approval": ()})
    done = deploy_as_planned(folder, ref, Wishes())
    assert isinstance(done, Deployed)
    assert done.before is None


def test_the_commands_tell_it_in_sentences(in_project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def said(*words: str, code: int = 0) -> str:
        capfd.readouterr()
        assert run(words) == code
        return capfd.readouterr().out

    changed(in_project, rollout={"strategy": "canary", "require_approval": ("alice",), "steps": (1, 100)})
    begun(in_project)
    text = said("deploy", "loans:2", "--steps", "5,100", "--hold", "10m")
    assert re.search(r"loans:2 answered \d+ golden predictions and 80 held-out rows, \d+ of them otherwise", text)
    assert "has started (canary, 5, 100 %)" in text
    assert "The rollout of loans:2 is ended by this." in text
    assert "alice has to approve it: mainstay approve loans --key-file FILE" in text
    assert "Next: mainstay up" in text
    let_go(in_project)
    with opened(in_project) as registry:
        rollout = registry.rollout("loans")
        assert rollout is not None
        arms = {"stable": Arm(requests=1900), "candidate": Arm(requests=100, errors=2)}
        registry.report("m", Evidence(rollout=rollout.id, steps=(Seen(step=0, **arms),)))
        words = "2 of 100; evidence 3.5, limit 333; at most 40 times"
        measure = {"name": "errors", "result": "running", "words": words, "numbers": {}, "e_value": 3.5}
        verdict = {"result": "running", "words": f"errors: {words}", "measures": [measure], "waits_for": "evidence"}
        registry.note_rollout(rollout, held=192.0, verdict=verdict)
    text = said("status")
    assert "loans:1 takes the traffic" in text
    assert "(canary): progressing, step 1 of 2, 5 % of the traffic, held 3m 12s of 10m 00s." in text
    assert "loans:2 had 100 requests (2 failed, 0 refused), loans:1 1,900" in text
    assert "loans:2 errors\trunning\t3.5\t2 of 100 …\n" in text
    assert "Evidence, running: errors: 2 of 100; evidence 3.5, limit 333 …\n" in text
    text = said("status", "--verbose")
    assert f"loans:2 errors\trunning\t3.5\t{words}\n" in text
    assert f"Evidence, running: errors: {words}\n" in text
    document = json.loads(said("status", "loans", "--json"))
    assert document["models"][0]["rollout"]["counts"]["candidate"]["errors"] == 2
    assert "is paused at 5 %" in said("pause", "loans")
    assert "goes on, at 5 %" in said("resume", "loans")
    drawn = Console(force_terminal=True, width=140)
    with drawn.capture() as captured:
        drawn.print(picture(status(in_project)))
    assert "loans:2 errors" in captured.get()
    back = said("rollback", "loans", "--reason", "one; two; three")
    assert "rolled back: loans:1 answers all of loans's traffic" in back
    assert "one; two …" in said("history", "loans") and "one; two; three" in said("history", "loans", "--verbose")
    assert "was rolled back at" in said("status", "loans")
    assert "started" not in said("deploy", "loans:2", "--strategy", "canari", code=2)


def test_who_leads_and_says_nothing_any_more_is_told_of(in_project: Path) -> None:
    """One that was stopped, or could not write, was said to move rollouts for as long as its process was there."""
    begun(in_project)
    now = [0.0]
    beats = Beats(lambda: now[0])
    with opened(in_project) as registry:
        lead = registry.take_lead("some controller", seen=registry.lead())
        for seconds, beat, silent in ((0.0, True, None), (4.0, False, None), (9.0, True, None), (14.5, False, 5.5)):
            lead = registry.keep_lead(lead) if beat else lead
            now[0] = seconds
            found = status_of(registry, "loans", beats)
            assert (found.leader, found.silent) == ("some controller", silent)
    server = ServerNow(url="http://a", host="a", pid=1, current=True, errors={})
    found = msgspec.structs.replace(found, servers=[server])
    assert any("stand still: some controller has said nothing for 6 s" in line for line in sentences(found))
    with opened(in_project) as registry, ThreadPoolExecutor(1) as aside:
        looked = aside.submit(status, in_project)
        while not looked.done():  # it waits for a sign of life, and no longer
            lead = registry.keep_lead(lead)
        assert looked.result().silent is None


def test_a_watched_rollout_ends_with_its_result(in_project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from mainstay.cli.standing import watch

    rollout = begun(in_project)
    looks = []

    def look() -> object:
        looks.append(status(in_project, "loans"))
        if len(looks) == 2:
            rollback(in_project, "loans", reason="enough seen")
        return looks[-1]

    ended = watch(look, rollout=rollout.id)  # type: ignore[arg-type]
    assert ended is not None
    assert ended.state == "rolled_back"
    out = capfd.readouterr().out
    assert out.count("validating") == 1
    assert "enough seen" in out


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "0.25s"), (5, "5s"), (65, "1m 05s"), (3900, "1h 05m")])
def test_a_clock_reads_well(seconds: float, text: str) -> None:
    assert clock(seconds) == text
