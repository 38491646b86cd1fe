"""What every registry promises of rollouts and of who moves them; part of the contract in `registry`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace as changed

from mainstay.errors import MainstayError
from mainstay.registry import key_text
from mainstay.registry.changes import Change
from mainstay.registry.errors import (
    DeploymentMoved,
    InRollout,
    NotAnApprover,
    NotDeployable,
    NotDeployed,
    NotLeading,
    RolloutMoved,
    TakesTraffic,
    UnknownRollout,
)
from mainstay.registry.evidence import Arm, Evidence, Probe, Seen
from mainstay.registry.outbox import Subscription
from mainstay.registry.plans import Checks, Plan, Sticky
from mainstay.registry.records import Lead, Rollout, Version
from mainstay.registry.store import Registry
from mainstay.testing.drafts import Clock, draft

CANARY = Plan(
    strategy="canary",
    steps=(100, 2_500, 10_000),
    hold=60.0,
    sticky=Sticky(header="x-user"),
    checks=Checks(least=50, changed=0.1),
    approvers=("alice",),
)
PROBE = Change(state="validating", step=0, mode="probe", share=0)
FIRST = Change(state="progressing", step=0, mode="split", share=100)
PROMOTED = Change(state="promoting", step=2, mode="off", share=0, traffic="candidate")
DONE = Change(state="completed", step=2, mode="off", share=0)
BACK = Change(state="rolling_back", step=0, mode="off", share=0)
GONE = Change(state="rolled_back", step=0, mode="off", share=0)


def deployed(registry: Registry, count: int = 2) -> list[Version]:
    """Versions of `credit`, the first of them deployed."""
    found = [registry.add("credit", draft(str(n)), passed=True, actor="ada", summary={}) for n in range(1, count + 1)]
    registry.deploy(found[0], expecting=None, actor="ada")
    return found


def started(registry: Registry, plan: Plan = CANARY) -> Rollout:
    one, two = deployed(registry)
    return registry.start_rollout(two, plan, expecting=one, actor="ada", reason="better")


def moved(registry: Registry, seen: Rollout, change: Change, why: str = "so", **how: Any) -> Rollout:
    return registry.move_rollout(seen, change, actor="controller", why=why, evidence={"n": 1}, **how)


def kinds_of(registry: Registry) -> list[str]:
    return [event.kind for event in registry.events(limit=1000)]


class RolloutsContract:
    """Takes the fixtures of `RegistryContract`."""

    def test_a_verdict_is_told_by_an_event_of_its_own_before_the_move_that_it_brings(self, registry: Registry) -> None:
        url = "https://example.com/hook"
        registry.outbox.subscribe("credit", [Subscription(url=url, kinds=("rollout_verdict",))])
        rollout = moved(registry, started(registry), FIRST)
        asks = changed(FIRST, state="paused", answer="better", verdict={"concluded": {"answer": "better"}})
        assert moved(registry, rollout, asks, "better: errors").verdict == {"concluded": {"answer": "better"}}
        verdict, paused = registry.events(limit=1000)[-2:]
        assert (verdict.kind, paused.kind) == ("rollout_verdict", "rollout_paused")
        for event in (verdict, paused):
            assert (event.reason, event.evidence["verdict"], event.evidence["n"]) == ("better: errors", "better", 1)
            assert event.evidence["seen"]["steps"] == []
        assert "verdict" not in registry.events(limit=1000)[-3].evidence
        [due] = registry.outbox.due("credit", url, limit=10)
        assert due.event == verdict

    def test_a_rollout_is_found_as_it_was_started(self, registry: Registry, clock: Clock) -> None:
        one, two = deployed(registry)
        clock.turn(5)
        rollout = registry.start_rollout(two, CANARY, expecting=one, actor="ada", reason="better")
        assert (rollout.model, rollout.stable.ref, rollout.candidate.ref) == ("credit", "credit:1", "credit:2")
        assert (rollout.state, rollout.step, rollout.mode, rollout.share) == ("validating", 0, "probe", 0)
        assert (rollout.held, rollout.beat, rollout.revision, rollout.generation) == (0.0, 0, 1, 2)
        assert (rollout.actor, rollout.reason, rollout.plan) == ("ada", "better", CANARY)
        assert rollout.started_at == rollout.since == clock.now
        assert rollout.active and rollout.approvals == () and rollout.verdict == {}
        assert registry.rollout("credit") == rollout
        assert registry.rollouts() == registry.rollouts("credit", active=True) == [rollout]
        assert registry.rollouts(active=False) == []
        assert (registry.generation(), registry.beats()) == (2, {rollout.id: 0})
        [told] = registry.latest_events(limit=1)
        assert (told.kind, told.version, told.actor, told.reason) == ("rollout_started", 2, "ada", "better")
        assert told.evidence["steps"] == [100, 2_500, 10_000]
        assert registry.rollout("churn") is None

    def test_servers_are_told_of_a_candidate(self, registry: Registry) -> None:
        rollout = started(registry)
        candidate = (registry.deployments()[0]).candidate
        assert candidate is not None
        assert (candidate.rollout, candidate.version.ref, candidate.mode) == (rollout.id, "credit:2", "probe")
        assert (candidate.share, candidate.step, candidate.plan) == (0, 0, CANARY)
        assert [registry.version(ref).status for ref in ("credit:1", "credit:2")] == ["deployed", "candidate"]
        moved(registry, rollout, FIRST)
        found = registry.deployment("credit")
        assert found is not None and found == registry.deployments()[0]
        assert found.candidate is not None and (found.candidate.mode, found.candidate.share) == ("split", 100)
        assert (found.version.ref, found.generation, registry.generation()) == ("credit:1", 1, 3)

    def test_a_rollout_starts_from_the_expected_version_to_one_that_may_be_served(self, registry: Registry) -> None:
        one = registry.add("credit", draft("1"), passed=True, actor="ada", summary={})
        two = registry.add("credit", draft("2"), passed=False, actor="ada", summary={})

        def start(candidate: Version, expecting: Version, plan: Plan = CANARY, **how: Any) -> Rollout:
            return registry.start_rollout(candidate, plan, expecting=expecting, actor="ada", **how)

        with pytest.raises(NotDeployed):
            start(one, two)
        registry.deploy(one, expecting=None, actor="ada")
        with pytest.raises(TakesTraffic):
            start(one, one)
        with pytest.raises(NotDeployable):
            start(replace(two, passed=True), one)
        with pytest.raises(MainstayError, match="needs a reason"):
            start(two, one, override=True)
        with pytest.raises(DeploymentMoved, match="credit:1 is deployed"):
            start(two, two, override=True, reason="a trial")
        with pytest.raises(MainstayError, match="steps"):
            start(two, one, Plan(strategy="canary", steps=()), override=True, reason="a trial")
        assert registry.rollouts() == [] and registry.generation() == 1
        assert start(two, one, override=True, reason="a trial").override
        assert registry.events()[-1].evidence["override"] is True

    def test_a_move_takes_what_was_seen(self, registry: Registry, clock: Clock) -> None:
        rollout = started(registry)
        clock.turn(7)
        stepped = moved(registry, rollout, changed(FIRST, verdict={"result": "running"}), "it is valid")
        assert (stepped.state, stepped.revision, stepped.why) == ("progressing", 2, "it is valid")
        assert (stepped.since, stepped.started_at) == (clock.now, clock.now - timedelta(seconds=7))
        assert stepped.verdict == {"result": "running"}
        with pytest.raises(RolloutMoved, match=r"credit:2 is progressing \(revision 2: it is valid\)"):
            moved(registry, rollout, BACK)
        with pytest.raises(RolloutMoved):
            registry.note_rollout(rollout, held=1.0, verdict={})
        with pytest.raises(UnknownRollout):
            moved(registry, replace(rollout, id="gone"), BACK)
        assert registry.rollout("credit") == stepped
        [told] = registry.latest_events(limit=1)
        assert (told.kind, told.actor, told.reason) == ("rollout_step", "controller", "it is valid")
        assert (told.evidence["n"], told.evidence["before"], told.evidence["share"]) == (1, "validating", 100)
        assert registry.generation() == told.evidence["generation"] == stepped.generation == 3

    def test_only_what_servers_are_to_do_changes_the_generation(self, registry: Registry, clock: Clock) -> None:
        rollout = moved(registry, started(registry), FIRST)
        noted = registry.note_rollout(rollout, held=12.5, verdict={"result": "pending"})
        assert (noted.held, noted.beat, noted.revision) == (12.5, 1, rollout.revision)
        assert registry.note_rollout(noted, held=13.0, verdict={"result": "pending"}).beat == 2
        assert registry.beats() == {rollout.id: 2}
        clock.turn(1)
        paused = moved(registry, noted, changed(FIRST, state="paused", held=12.5))
        assert (paused.held, paused.beat, paused.since) == (12.5, 2, clock.now)
        assert paused.verdict == {"result": "pending"}
        assert registry.generation() == rollout.generation == paused.generation == 3
        resumed = moved(registry, paused, FIRST)
        stepped = moved(registry, resumed, changed(FIRST, step=1, share=2_500))
        assert (registry.generation(), stepped.generation, stepped.held) == (4, 4, 0.0)
        assert kinds_of(registry)[4:] == ["rollout_step", "rollout_paused", "rollout_resumed", "rollout_step"]

    def test_a_promoted_candidate_is_the_deployed_version_from_the_same_move_on(self, registry: Registry) -> None:
        rollout = started(registry)
        registry.report("a", Evidence(rollout=rollout.id, steps=(Seen(step=0, candidate=Arm(requests=7)),)))
        promoted = moved(registry, rollout, PROMOTED, "it is no worse")
        found = registry.deployment("credit")
        assert found is not None
        assert (found.version.ref, found.candidate, found.generation) == ("credit:2", None, 3)
        assert (found.actor, found.reason) == ("controller", "it is no worse")
        assert registry.version("credit@champion").ref == "credit:2"
        assert registry.generation() == promoted.generation == 3
        done = moved(registry, promoted, DONE)
        assert not done.active and done.ended_at == done.since and registry.rollout("credit") is None
        assert registry.rollouts("credit", active=False) == [done] and registry.beats() == {}
        assert [registry.version(ref).status for ref in ("credit:1", "credit:2")] == ["ready", "deployed"]
        assert kinds_of(registry)[-3:] == ["rollout_promoting", "deployed", "rollout_completed"]
        promoting, switch, completed = registry.events()[-3:]
        assert (switch.evidence["from"], switch.evidence["rollout"]) == (1, rollout.id)
        assert promoting.evidence["seen"]["steps"][0]["candidate"]["requests"] == 7
        assert completed.evidence["seen"] == promoting.evidence["seen"]
        with pytest.raises(RolloutMoved, match="is completed"):
            moved(registry, done, BACK)

    def test_a_switch_keeps_the_version_before_at_hand_and_goes_back_to_it(self, registry: Registry) -> None:
        rollout = started(registry, Plan(strategy="blue-green"))
        warm = moved(registry, rollout, Change(state="progressing", step=0, mode="warm", share=0))
        switched = moved(registry, warm, Change(state="promoting", step=0, mode="warm", share=0, traffic="candidate"))
        found = registry.deployment("credit")
        assert found is not None and found.candidate is not None
        assert (found.version.ref, found.candidate.version.ref, found.candidate.mode) == (
            "credit:2",
            "credit:1",
            "warm",
        )
        assert [registry.version(ref).status for ref in ("credit:1", "credit:2")] == ["candidate", "deployed"]
        assert registry.generation() == switched.generation == 4
        with pytest.raises(InRollout, match="mainstay rollback credit"):
            registry.deploy_beside(found.candidate.version, expecting=found.version, actor="eve")
        with pytest.raises(MainstayError, match="while its candidate version takes the traffic"):
            moved(registry, switched, GONE)
        back = moved(registry, switched, changed(BACK, traffic="stable"))
        found = registry.deployment("credit")
        assert found is not None and (found.version.ref, found.candidate) == ("credit:1", None)
        assert not moved(registry, back, GONE).active
        assert [event.evidence["from"] for event in registry.latest_events(kinds=["deployed"])] == [2, 1, None]

    def test_a_change_that_cannot_be_meant_is_refused(self, registry: Registry) -> None:
        rollout = started(registry)
        for wrong in (
            changed(GONE, mode="split"),
            changed(FIRST, step=3),
            changed(FIRST, share=10_001),
            DONE,
        ):
            with pytest.raises(MainstayError):
                moved(registry, rollout, wrong)
        assert registry.rollout("credit") == rollout

    def test_a_new_rollout_supersedes_the_one_that_runs(self, registry: Registry, clock: Clock) -> None:
        one, two, three = deployed(registry, 3)
        first = registry.start_rollout(two, CANARY, expecting=one, actor="ada")
        first = moved(registry, first, FIRST)
        clock.turn(1)
        second = registry.start_rollout(three, CANARY, expecting=one, actor="grace")
        newest, ended = registry.rollouts("credit")
        assert newest == second == registry.rollout("credit")
        assert (ended.id, ended.state, ended.mode, ended.ended_at) == (first.id, "rolled_back", "off", clock.now)
        assert ended.why == "superseded by a rollout of credit:3"
        assert [registry.version(f"credit:{n}").status for n in (1, 2, 3)] == ["deployed", "ready", "candidate"]
        assert kinds_of(registry)[-2:] == ["rollout_superseded", "rollout_started"]
        assert registry.events()[-1].evidence["superseded"] == first.id
        assert registry.generation() == 4  # once for both
        with pytest.raises(RolloutMoved, match="superseded by a rollout of credit:3"):
            moved(registry, first, PROMOTED)

    def test_one_that_is_superseded_with_the_traffic_is_completed(self, registry: Registry, clock: Clock) -> None:
        one, two, three = deployed(registry, 3)
        first = registry.start_rollout(two, CANARY, expecting=one, actor="ada")
        watched = Change(state="watching", step=0, mode="warm", share=10_000, traffic="candidate")
        moved(registry, first, watched)
        clock.turn(1)
        second = registry.start_rollout(three, CANARY, expecting=two, actor="grace")
        ended = registry.rollouts("credit")[1]
        assert (ended.id, ended.state, ended.mode, ended.share) == (first.id, "completed", "off", 10_000)
        assert (ended.ended_at, ended.why) == (clock.now, "superseded by a rollout of credit:3")
        assert kinds_of(registry)[-2:] == ["rollout_completed", "rollout_started"]
        # Who deploys a candidate by hand ends its rollout likewise.
        registry.deploy(three, expecting=two, actor="eve")
        ended = registry.rollouts("credit")[0]
        assert (ended.id, ended.state, ended.why) == (second.id, "completed", "eve deployed credit:3")
        assert kinds_of(registry)[-2:] == ["rollout_completed", "deployed"]
        # And who deploys another version while one is watched takes it out of the traffic.
        third = registry.start_rollout(two, CANARY, expecting=three, actor="ada")
        moved(registry, third, watched)
        registry.deploy(one, expecting=two, actor="eve")
        assert registry.rollouts("credit")[0].state == "rolled_back"

    def test_a_candidate_is_not_beside_too(self, registry: Registry) -> None:
        one, two = deployed(registry)
        registry.deploy_beside(two, expecting=one, actor="ada")
        registry.start_rollout(two, CANARY, expecting=one, actor="ada")
        found = registry.deployment("credit")
        assert found is not None and found.beside == () and found.refs == ["credit:1"]
        with pytest.raises(InRollout):
            registry.deploy_beside(two, expecting=one, actor="ada")

    def test_what_a_person_does_by_hand_ends_a_rollout(self, registry: Registry) -> None:
        one, two, three = deployed(registry, 3)
        first = registry.start_rollout(two, CANARY, expecting=one, actor="ada")
        assert registry.deploy(one, expecting=one, actor="eve").candidate is not None  # nothing changed
        assert registry.deploy(three, expecting=one, actor="grace").candidate is None
        [ended] = registry.rollouts("credit")
        assert (ended.id, ended.state, ended.why) == (first.id, "rolled_back", "grace deployed credit:3")
        assert kinds_of(registry)[-2:] == ["rollout_rolled_back", "deployed"]
        registry.start_rollout(two, CANARY, expecting=three, actor="ada")
        generation = registry.generation()
        assert registry.undeploy("credit", expecting=three, actor="grace") == generation + 1
        assert registry.rollouts("credit")[0].why == "grace undeployed credit"
        assert registry.rollout("credit") is None and registry.version("credit:2").status == "ready"

    # Evidence

    def test_what_servers_saw_is_added_up_and_kept(self, registry: Registry) -> None:
        rollout = started(registry)
        seen = Seen(step=0, stable=Arm(requests=90, seconds=(80, 10)), candidate=Arm(requests=10, errors=1))
        probe = Probe(rows=5, seconds=0.01, memory=9)
        assert registry.evidence(rollout.id) == Evidence(rollout=rollout.id)
        registry.report("a", Evidence(rollout=rollout.id, steps=(Seen(step=0),)))
        registry.report("a", Evidence(rollout=rollout.id, steps=(seen,), memory=5, probes=(probe,)))
        registry.report("b", Evidence(rollout=rollout.id, steps=(seen, changed(seen, step=1)), deaths=2, memory=7))
        total = registry.evidence(rollout.id)
        assert [each.step for each in total.steps] == [0, 1]
        assert total.steps[0].stable == Arm(requests=180, seconds=(160, 20))
        assert (total.steps[0].candidate.errors, total.deaths, total.memory, total.probes) == (2, 2, 7, (probe,))
        moved(registry, moved(registry, rollout, BACK), GONE)
        assert registry.evidence(rollout.id) == total
        with pytest.raises(UnknownRollout):
            registry.report("a", Evidence(rollout="gone"))
        assert registry.mark()[0] == registry.rollouts()[0].generation  # reports are no change

    def test_what_servers_saw_is_forgotten_long_after_the_end_and_stays_in_the_events(
        self, registry: Registry, clock: Clock
    ) -> None:
        rollout = started(registry)
        seen = Seen(step=0, candidate=Arm(requests=10, errors=3))
        registry.report("a", Evidence(rollout=rollout.id, steps=(seen,)))
        moved(registry, moved(registry, rollout, BACK), GONE)
        clock.turn(29 * 86_400)
        later = registry.start_rollout(rollout.candidate, CANARY, expecting=rollout.stable, actor="ada")
        registry.report("a", Evidence(rollout=later.id, steps=(seen,)))
        assert registry.evidence(rollout.id).steps == (seen,)
        clock.turn(2 * 86_400)
        registry.start_rollout(rollout.candidate, CANARY, expecting=rollout.stable, actor="ada")
        assert registry.evidence(rollout.id).steps == ()
        assert registry.evidence(later.id).steps == (seen,)  # it ended just now
        told = next(event for event in registry.events(limit=1000) if event.kind == "rollout_rolling_back")
        assert told.evidence["seen"]["steps"][0]["candidate"]["errors"] == 3

    # Approvals

    def test_who_approves_is_known_by_his_key(self, registry: Registry, clock: Clock) -> None:
        rollout = started(registry)
        alice, bob = (key(registry, name) for name in ("alice", "bob"))
        approved = registry.approve(rollout, alice)
        assert [(each.name, each.at) for each in approved.approvals] == [("alice", clock.now)]
        assert approved.revision == rollout.revision + 1  # who was about to move it has to look again
        assert registry.approve(rollout, alice) == approved
        told = registry.events()[-1]
        assert (told.kind, told.actor, told.version) == ("rollout_approved", "alice", 2)
        assert kinds_of(registry).count("rollout_approved") == 1
        with pytest.raises(NotAnApprover, match=r"The key 'bob' may not .* ask alice"):
            registry.approve(rollout, bob)
        for other in ("", alice[:-1], alice.swapcase(), key_text.new_text(key_text.new_id())):
            with pytest.raises(NotAnApprover, match="no key in force"):
                registry.approve(rollout, other)

    def test_an_approval_is_told_as_what_came_of_the_waiting(self, registry: Registry) -> None:
        waiting = moved(registry, started(registry), changed(PROBE, state="waiting"), why="alice has to approve it")
        assert registry.approve(waiting, key(registry, "alice")).why == "approved by alice"

    def test_a_key_that_is_not_in_force_approves_of_nothing(self, registry: Registry, clock: Clock) -> None:
        rollout = started(registry)
        old = key(registry, "alice", expires_at=clock.now + timedelta(hours=10))
        new = key_text.new_text(str(key_text.id_of(old)))
        registry.keys.rotate(
            registry.keys.named("alice"), sha256=key_text.hashed(new), grace=timedelta(hours=1), actor="ada"
        )
        clock.turn(3600)
        with pytest.raises(NotAnApprover):  # its secret before the last one, too late
            registry.approve(rollout, old)
        clock.turn(9 * 3600)
        with pytest.raises(NotAnApprover):  # expired
            registry.approve(rollout, new)
        registry.keys.revoke("alice", actor="ada")
        with pytest.raises(NotAnApprover):
            registry.approve(rollout, new)
        elsewhere = key(registry, "alice", models=("churn-*",))
        with pytest.raises(NotAnApprover, match=r"'alice' may not"):
            registry.approve(rollout, elsewhere)
        registry.keys.revoke("alice", actor="ada")
        mine = key(registry, "alice", models=("cred*",))
        assert registry.approve(rollout, mine).approvals[0].name == "alice"
        ended = moved(registry, moved(registry, registry.rollouts()[0], BACK), GONE)
        with pytest.raises(RolloutMoved):
            registry.approve(ended, mine)

    # The lead

    def test_the_lead_is_taken_as_it_was_seen(self, registry: Registry) -> None:
        assert registry.lead() is None
        first = registry.take_lead("a", seen=None)
        assert registry.lead() == first == Lead(holder="a", fence=1, beat=0)
        with pytest.raises(NotLeading, match="a moves rollouts"):
            registry.take_lead("b", seen=None)
        kept = registry.keep_lead(first)
        assert kept == Lead(holder="a", fence=1, beat=1)
        with pytest.raises(NotLeading):  # it beat since it was seen
            registry.take_lead("b", seen=first)
        second = registry.take_lead("b", seen=kept)
        assert second == Lead(holder="b", fence=2, beat=0)
        with pytest.raises(NotLeading, match="fence 2, not 1"):
            registry.keep_lead(kept)
        registry.leave_lead(kept)  # nothing of his
        assert registry.lead() == second
        registry.leave_lead(second)
        given = registry.lead()
        assert given == Lead(holder="", fence=2, beat=0)
        with pytest.raises(NotLeading, match="Nobody"):
            registry.keep_lead(second)
        assert registry.take_lead("a", seen=given).fence == 3
        assert registry.events() == []

    def test_who_lost_the_lead_can_write_nothing(self, registry: Registry) -> None:
        rollout = started(registry)
        lead = registry.take_lead("a", seen=None)
        rollout = registry.note_rollout(rollout, held=1.0, verdict={}, fence=lead.fence)
        rollout = moved(registry, rollout, FIRST, fence=lead.fence)
        happened, now = len(registry.events()), registry.take_lead("b", seen=lead)
        registry.leave_lead(now)  # given back is not held any more either
        for fence in (lead.fence, now.fence, now.fence + 1):
            with pytest.raises(NotLeading):
                moved(registry, rollout, BACK, fence=fence)
            with pytest.raises(NotLeading):
                registry.note_rollout(rollout, held=2.0, verdict={}, fence=fence)
        now = registry.take_lead("b", seen=registry.lead())
        assert (registry.rollout("credit"), len(registry.events())) == (rollout, happened)
        assert moved(registry, rollout, BACK, fence=now.fence).state == "rolling_back"

    def test_webhooks_are_told_of_moves(self, registry: Registry) -> None:
        registry.outbox.subscribe("credit", [Subscription(url="https://example.com/hook", kinds=("rollout_started",))])
        moved(registry, started(registry), FIRST)
        [due] = registry.outbox.due("credit", "https://example.com/hook", limit=10)
        assert (due.event.kind, due.event.evidence["strategy"]) == ("rollout_started", "canary")


def key(registry: Registry, name: str, **how: Any) -> str:
    """The text of a new key."""
    key_id = key_text.new_id()
    text = key_text.new_text(key_id)
    registry.keys.create(key_id, name, sha256=key_text.hashed(text), actor="ada", **how)
    return text
