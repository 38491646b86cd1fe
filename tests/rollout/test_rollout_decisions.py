"""The rules of rollouts, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from rollout_values import ALICE, CANDIDATE, OTHER, STABLE, after, rollout, said, seen, world

from mainstay.registry.evidence import Probe
from mainstay.registry.plans import WHOLE, Plan, Strategy
from mainstay.rollout import persons
from mainstay.rollout.decide import DEATHS, ERRORS, decide, noted
from mainstay.rollout.errors import IllegalMove, NotToBePromoted
from mainstay.rollout.results import Analysis, Verdict
from mainstay.rollout.states import FINAL, FORWARD, MOVES, STATES, drawn
from mainstay.rollout.strategies import STRATEGIES, next_worker
from mainstay.serving.splitting import has_turn

CANARY = Plan(strategy="canary", steps=(100, 5000, WHOLE), hold=60.0)
BLUE_GREEN = Plan(strategy="blue-green", warm=60.0)
BAD_PROBE = Probe(problem="it answers its golden rows otherwise")
SWITCHED = {"mode": "warm", "share": WHOLE}
AT_STEP = {"state": "progressing", "mode": "split", "share": 100}
ACTIVE = [
    rollout(CANARY),
    rollout(CANARY, state="waiting"),
    rollout(CANARY, **AT_STEP),
    rollout(CANARY, **AT_STEP | {"state": "paused"}),
    rollout(CANARY, state="promoting", mode="off", share=WHOLE),
    rollout(BLUE_GREEN, state="promoting", **SWITCHED),
    rollout(BLUE_GREEN, state="watching", **SWITCHED),
    rollout(BLUE_GREEN, state="paused", **SWITCHED),
]


def called(running):
    return f"{running.plan.strategy}-{running.state}"


def takes_traffic(running):
    return CANDIDATE if running.state in ("promoting", "watching") or running.share == WHOLE else STABLE


@pytest.mark.parametrize("running", ACTIVE, ids=called)
@pytest.mark.parametrize(
    "facts, result, cause",
    [
        ({}, "failed", "failed"),
        ({"evidence": seen(deaths=DEATHS)}, "running", "crashed"),
        ({"evidence": seen(probes=(Probe(rows=8), BAD_PROBE))}, "running", "refused"),
        ({"errors": {"http://b": "its file is damaged"}}, "running", "refused"),
    ],
    ids=["analysis", "deaths", "probe", "server"],
)  # fmt: skip
def test_one_reason_brings_it_back_at_once_from_every_state(running, facts, result, cause):
    at = world(stable_is=takes_traffic(running), frozen="Fri 16:00 - Mon 08:00 UTC", acknowledged=False, **facts)
    back = decide(running, at, said(result))
    assert back.cause == cause
    assert (back.change.state, back.change.mode, back.change.share) == ("rolling_back", "off", 0)
    assert back.change.traffic == ("stable" if takes_traffic(running) == CANDIDATE else None)


@pytest.mark.parametrize("running", ACTIVE, ids=called)
@pytest.mark.parametrize("now", [OTHER, None], ids=["another", "undeployed"])
def test_a_deployment_by_hand_ends_it_and_stays(running, now):
    back = decide(running, world(stable_is=now), said("successful"))
    assert (back.cause, back.change.state, back.change.traffic) == ("moved", "rolling_back", None)


@pytest.mark.parametrize("running", ACTIVE, ids=called)
def test_a_person_brings_it_back_from_every_state(running):
    back = persons.roll_back(running, "I saw something")
    assert (back.change.state, back.why) == ("rolling_back", "I saw something")
    assert back.change.traffic == ("stable" if takes_traffic(running) == CANDIDATE else None)


@pytest.mark.parametrize("result", ["pending", "running", "error"])
def test_no_evidence_holds_and_never_passes(result):
    running = rollout(CANARY, held=CANARY.patience - 1, **AT_STEP)
    assert decide(running, world(), said(result)) is None
    assert noted(running, world(), said(result)).verdict["waits_for"] == said(result).words


@pytest.mark.parametrize("result", ["pending", "running", "error"])
def test_a_step_that_lacks_evidence_for_too_long_pauses_with_its_share(result):
    running = rollout(CANARY, held=CANARY.patience, **AT_STEP)
    paused = decide(running, world(), said(result))
    assert (paused.cause, paused.change.state, paused.change.mode, paused.change.share) == (
        "inconclusive", "paused", "split", 100
    )  # fmt: skip
    waits = after(running, paused)
    told = "error" if result == "error" else "inconclusive"
    assert waits.verdict["result"] == noted(waits, world(), said(result)).verdict["result"] == told
    assert noted(waits, world(), said("successful")).verdict["result"] == "successful"
    going = after(waits, persons.resume(waits, "wait"))
    assert decide(going, world(elapsed=1.0), said(result)) is None, "its patience begins anew"
    assert noted(going, world(elapsed=1.0), said(result)).verdict["result"] == result


def test_what_no_rule_decides_pauses_for_a_person():
    paused = decide(rollout(CANARY, **AT_STEP), world(), said("inconclusive"))
    assert (paused.cause, paused.change.state, paused.change.share) == ("inconclusive", "paused", 100)


def test_a_measurement_that_fails_again_and_again_pauses_and_one_that_succeeds_forgives():
    running = rollout(CANARY, **AT_STEP)
    for _ in range(ERRORS - 1):
        assert decide(running, world(), said("error")) is None
        running = replace(running, verdict=noted(running, world(), said("error")).verdict)
    forgiven = replace(running, verdict=noted(running, world(), said("running")).verdict)
    assert decide(forgiven, world(), said("error")) is None
    assert decide(running, world(), said("error")).cause == "unmeasured"


def test_whoever_was_away_has_seen_ten_seconds_at_most():
    running = rollout(CANARY, **AT_STEP)
    assert noted(running, world(elapsed=3600.0), said("successful")).held == 10.0
    assert decide(running, world(elapsed=3600.0), said("successful")) is None


@pytest.mark.parametrize("elapsed", [-3600.0, float("nan"), float("inf"), float("-inf")])
def test_a_clock_that_jumps_holds_nothing(elapsed):
    running = rollout(CANARY, held=7.0, **AT_STEP)
    assert noted(running, world(elapsed=elapsed), said("running")).held == 7.0
    assert decide(running, world(elapsed=elapsed), said("successful")) is None


@pytest.mark.parametrize("running", ACTIVE, ids=called)
@pytest.mark.parametrize("result", ["successful", "failed"])
def test_no_date_of_the_record_is_read(running, result):
    at = world(stable_is=takes_traffic(running), elapsed=10.0)
    jumped = replace(running, since=running.since + timedelta(days=999), started_at=running.since - timedelta(days=999))
    assert decide(jumped, at, said(result)) == decide(running, at, said(result))


def test_servers_that_lag_hold_a_step_and_its_time():
    running = rollout(CANARY, held=60.0, **AT_STEP)
    assert decide(running, world(acknowledged=False, elapsed=9.0), said("successful")) is None
    assert noted(running, world(acknowledged=False, elapsed=9.0), said("successful")).held == 60.0


def test_validation_needs_every_server():
    running = rollout(CANARY)
    assert decide(running, world(servers=2), said("pending")) is None
    assert decide(running, world(acknowledged=False), said("pending")) is None
    assert decide(running, world(servers=0, acknowledged=False, evidence=seen()), said("pending")) is None
    assert decide(running, world(), said("pending")).change.share == 100


def test_approval_and_windows_hold_what_is_valid_and_are_told():
    plan = Plan(strategy="canary", approvers=("alice", "bob"))
    waiting = after(rollout(plan), decide(rollout(plan), world(), said("pending")))
    assert (waiting.state, waiting.mode, waiting.share) == ("waiting", "probe", 0)
    assert "alice or bob has to approve" in waiting.why
    assert decide(waiting, world(), said("pending")) is None
    approved = replace(waiting, approvals=(ALICE,))
    assert "freeze window" in noted(approved, world(frozen="the window"), said("pending")).verdict["waits_for"]
    assert decide(approved, world(), said("pending")).change.state == "progressing"


def test_a_freeze_window_holds_a_step_that_passed():
    running = rollout(CANARY, held=60.0, **AT_STEP)
    assert decide(running, world(frozen="the window"), said("successful")) is None
    assert decide(running, world(), said("successful")).change.share == 5000


def test_a_pause_keeps_the_share_and_the_time_held():
    running = rollout(CANARY, held=40.0, **AT_STEP)
    paused = after(running, persons.pause(running, "lunch"))
    assert (paused.mode, paused.share, paused.held) == ("split", 100, 40.0)
    assert noted(paused, world(elapsed=9.0), said("successful")).held == 40.0
    assert decide(paused, world(elapsed=9.0), said("successful")) is None
    resumed = after(paused, persons.resume(paused, "back"))
    assert (resumed.state, resumed.mode, resumed.share, resumed.held) == ("progressing", "split", 100, 40.0)


def test_a_promotion_by_a_person_skips_steps_but_neither_validation_nor_approval_nor_windows():
    running = rollout(CANARY, **AT_STEP)
    promoted = persons.promote(running, world(), "good enough")
    assert (promoted.change.state, promoted.change.traffic, promoted.change.share) == ("promoting", "candidate", WHOLE)
    with pytest.raises(NotToBePromoted, match="1 of 2 servers have tried it"):
        persons.promote(rollout(CANARY), world(servers=2), "now")
    with pytest.raises(NotToBePromoted, match="alice has to approve"):
        persons.promote(rollout(Plan(strategy="canary", approvers=("alice",)), state="waiting"), world(), "now")
    with pytest.raises(NotToBePromoted, match="freeze window"):
        persons.promote(running, world(frozen="the window"), "now")
    with pytest.raises(NotToBePromoted, match="ready on every server"):
        persons.promote(rollout(BLUE_GREEN, state="waiting"), world(), "now")
    with pytest.raises(NotToBePromoted, match="damaged"):
        persons.promote(running, world(errors={"http://b": "its file is damaged"}), "now")
    with pytest.raises(IllegalMove, match="promoting"):
        persons.promote(rollout(CANARY, state="promoting", mode="off", share=WHOLE), world(), "now")


def test_blue_green_is_ready_everywhere_then_switches_then_is_watched():
    running = rollout(BLUE_GREEN)
    running = after(running, decide(running, world(), said("pending")))
    assert (running.state, running.mode, running.share) == ("progressing", "warm", 0)
    assert decide(running, world(acknowledged=False), said("pending")) is None
    switch = decide(running, world(), said("pending"))
    assert (switch.change.state, switch.change.mode, switch.change.traffic) == ("promoting", "warm", "candidate")
    running = after(running, switch)
    assert decide(running, world(stable_is=CANDIDATE, acknowledged=False), said("pending")) is None
    running = after(running, decide(running, world(stable_is=CANDIDATE), said("pending")))
    assert (running.state, running.mode, running.held) == ("watching", "warm", 0.0)
    warm = replace(running, held=60.0)
    assert decide(running, world(stable_is=CANDIDATE), said("successful")) is None, "it is watched for a while"
    assert decide(warm, world(stable_is=CANDIDATE), said("running")) is None, "and with evidence"
    assert decide(warm, world(stable_is=CANDIDATE, frozen="the window"), said("successful")) is None
    kept = decide(warm, world(stable_is=CANDIDATE), said("successful"))
    assert (kept.change.state, kept.change.mode, kept.change.traffic) == ("completed", "off", None)


def test_a_rolling_update_takes_the_next_worker_when_the_last_one_follows_and_was_held():
    plan = Plan(strategy="rolling", hold=20.0)
    running, shares = rollout(plan), []
    at = world(elapsed=10.0, evidence=seen(probes=(Probe(rows=8, workers=3),)))
    while running.state in ("validating", "progressing"):
        assert decide(running, replace(at, acknowledged=False), said("successful")) is None
        decision = decide(running, at, said("successful"))
        if decision is None:
            running = replace(running, held=noted(running, at, said("successful")).held)
            continue
        running = after(running, decision)
        shares.append((running.state, running.mode, running.share))
    assert shares == [
        ("progressing", "rolling", 3333),
        ("progressing", "rolling", 6666),
        ("progressing", "rolling", WHOLE),
        ("promoting", "off", WHOLE),
    ]


@pytest.mark.parametrize("workers", range(1, 65))
def test_every_worker_follows_one_after_the_other(workers):
    shares = [0]
    while shares[-1] < WHOLE:
        shares.append(next_worker(shares[-1], workers))
    turns = [sum(has_turn(worker, workers, share) for worker in range(workers)) for share in shares]
    assert turns == list(range(workers + 1))


def test_recreate_is_validated_and_then_takes_all():
    validated = decide(rollout(Plan(strategy="recreate")), world(), said("pending"))
    assert (validated.change.state, validated.change.traffic, validated.change.mode) == (
        "promoting",
        "candidate",
        "off",
    )


AB = Plan(strategy="ab", steps=(3000,), hold=60.0, at_end="ask")
AT_AB = {"state": "progressing", "mode": "split", "share": 3000}


def judged(result, answer):
    """What an A/B test's counts say."""
    words = f"{answer}: by its errors"
    return Analysis(result=result, words=words, verdict=Verdict(answer=answer, words=words))


def test_an_experiment_that_found_the_candidate_better_asks_a_person_or_promotes():
    running, better = rollout(AB, held=60.0, **AT_AB), judged("successful", "better")
    early = replace(running, held=20.0)
    assert decide(early, world(), better) is None, "not before it was held"
    ended = decide(running, world(), better)
    assert (ended.cause, ended.change.state, ended.change.share) == ("asked", "paused", 3000)
    assert ended.change.answer == "better" and "mainstay promote" in ended.why
    at_once = decide(replace(running, plan=Plan(strategy="ab", steps=(3000,), hold=60.0)), world(), better)
    assert (at_once.change.state, at_once.change.traffic, at_once.change.answer) == (
        "promoting", "candidate", "better"
    )  # fmt: skip


def test_an_experiment_that_found_the_candidate_worse_goes_back_at_once():
    back = decide(rollout(AB, **AT_AB), world(), judged("failed", "worse"))
    assert (back.cause, back.change.state, back.change.answer) == ("failed", "rolling_back", "worse")


@pytest.mark.parametrize("held, result", [(60.0, "inconclusive"), (AB.patience, "running"), (AB.patience, "pending")])
def test_an_experiment_that_found_nothing_in_its_requests_or_time_asks_a_person(held, result):
    running, nothing = rollout(AB, held=held, **AT_AB), judged(result, "no difference found")
    ended = decide(running, world(), nothing)
    assert (ended.cause, ended.change.state, ended.change.answer) == ("inconclusive", "paused", "no difference found")
    assert ended.why.startswith("no difference found") and "mainstay promote or rollback" in ended.why
    validating = rollout(AB, held=AB.patience)
    assert decide(validating, world(servers=2), said("pending")).change.answer is None, "nothing was compared yet"


def test_a_verdict_stays_as_it_ended_the_experiment_until_that_is_resumed():
    ended = rollout(AB, held=60.0, **AT_AB)
    ended = after(ended, decide(ended, world(), judged("successful", "better")))
    later = judged("running", "no difference found")
    kept = noted(ended, world(), later).verdict
    assert kept["concluded"]["answer"] == "better" and kept["verdict"]["answer"] == "no difference found"
    again = after(ended, persons.resume(ended, "longer"))
    assert "concluded" not in noted(again, world(), later).verdict


def test_nothing_but_an_experiment_ends_with_a_verdict():
    for result in ("successful", "failed", "inconclusive"):
        decision = decide(rollout(CANARY, held=60.0, **AT_STEP), world(), said(result))
        assert decision.change.answer is None and "concluded" not in decision.change.verdict


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("result", ["successful", "failed"])
def test_what_has_ended_stays_so(state, result):
    ended = rollout(CANARY, state=state, mode="off")
    assert decide(ended, world(stable_is=OTHER, evidence=seen(deaths=9)), said(result)) is None
    for asked in (persons.pause, persons.resume, persons.roll_back):
        with pytest.raises(IllegalMove, match=state.replace("_", " ")):
            asked(ended, "")
    with pytest.raises(IllegalMove):
        persons.promote(ended, world(), "")


def test_the_table_leads_everywhere_and_back_from_everywhere():
    assert {move.source for move in MOVES} == set(STATES) - FINAL
    assert {move.target for move in MOVES} == set(STATES)
    for state in FORWARD:
        assert {"failed", "crashed", "refused", "withdrawn", "moved"} <= {
            move.cause for move in MOVES if (move.source, move.target) == (state, "rolling_back")
        }
        assert any((move.source, move.cause) == (state, "superseded") for move in MOVES)
    assert all(f"{state}" in drawn() for state in STATES)
    assert set(STRATEGIES) == set(get_args(Strategy))
