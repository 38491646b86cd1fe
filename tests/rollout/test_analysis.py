"""What a rollout's counts are judged to say."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.registry.evidence import SCORES, SECONDS, Arm, Evidence, Seen, added
from mainstay.registry.plans import Checks, Plan, Sticky
from mainstay.rollout.analysis import analyse
from mainstay.rollout.measuring import limits

CANARY = Plan(strategy="canary", steps=(100, 500, 2500, 5000, 10_000))
HALF = Plan(strategy="canary", steps=(5000, 10_000))
AB = Plan(strategy="ab", steps=(5000,))


def times(requests, seconds):
    """A histogram of so many requests that all took as long."""
    counts = [0] * (len(SECONDS) + 1)
    counts[int(np.searchsorted(SECONDS, seconds))] = requests
    return tuple(counts)


def scores(requests, low, high):
    """So many requests, spread evenly over the bins from one to another."""
    bins = range(low, high)
    counts = [0] * SCORES
    for at in range(requests):
        counts[bins[at % len(bins)]] += 1
    return tuple(counts)


def arm(requests, errors=0, *, took=0.004, refused=0, **counts):
    answered = requests - errors - refused
    return Arm(requests=requests, errors=errors, refused=refused, seconds=times(answered, took), **counts)


def seen(stable, candidate, step=0, **counts):
    return Evidence(rollout="r", steps=(Seen(step=step, stable=stable, candidate=candidate, **counts),))


def measure(analysis, name):
    return next(one for one in analysis.measures if one.name == name)


def test_no_evidence_is_pending():
    found = analyse(CANARY, 0, Evidence(rollout="r"))
    assert found.result == "pending"
    assert "0 of the 100 requests" in found.words


def test_a_candidate_that_always_fails_is_caught_by_its_second_request_at_one_percent():
    assert analyse(CANARY, 0, seen(arm(99), arm(1, 1))).result == "pending"
    found = analyse(CANARY, 0, seen(arm(198), arm(2, 2)))
    assert found.result == "failed"
    assert "errors: the candidate failed 2 of 2 requests (100 %), stable 0 of 198 requests (0 %)" in found.words
    assert "limit 330" in found.words


def test_a_candidate_that_fails_as_often_as_stable_goes_on_and_is_told_how_much_worse_it_may_be():
    found = analyse(CANARY, 0, seen(arm(29_700, 297), arm(300, 3)))
    assert found.result == "successful"
    errors = measure(found, "errors")
    assert errors.numbers["at_least"] < 1 < errors.numbers["at_most"] < 6
    assert "times as often as stable, with 99 % certainty" in found.words


def test_evidence_near_its_limit_holds_a_step():
    found = analyse(HALF, 0, seen(arm(200), arm(200, 8)))
    errors = measure(found, "errors")
    assert errors.result == found.result == "running"
    assert limits(HALF)["errors"] / 10 <= errors.e_value < limits(HALF)["errors"]


def test_a_slower_candidate_fails_and_one_within_the_allowance_does_not():
    """Stable's times were given the allowance where they were counted."""
    allowed = 0.050 * HALF.checks.slowdown + HALF.checks.slack
    slow = analyse(HALF, 0, seen(arm(100, took=allowed), arm(100, took=0.100)))
    assert slow.result == "failed"
    assert measure(slow, "computing time").result == "failed"
    assert measure(slow, "errors").result == "successful"
    assert analyse(HALF, 0, seen(arm(100, took=allowed), arm(100, took=allowed))).result == "successful"
    assert analyse(HALF, 0, seen(Arm(requests=100), Arm(requests=100))).result == "pending"


def test_a_candidate_that_answers_what_stable_could_not_is_not_slower_by_that():
    """Nor is it faster, where stable answers more."""
    plans = (HALF, AB)
    for plan in plans:
        found = analyse(plan, 0, seen(arm(20_000, 4000, refused=2000, took=0.0094), arm(20_000, took=0.004)))
        assert found.result == "successful" and measure(found, "computing time").e_value < 1
    found = analyse(AB, 0, seen(arm(20_000, took=0.0094), arm(20_000, 4000, refused=2000, took=0.004)))
    assert measure(found, "better in computing time").e_value < 1


def test_refusals_and_wrong_answers_of_the_candidate_count_against_it():
    assert analyse(HALF, 0, seen(arm(300), arm(300, refused=60))).result == "failed"
    labelled = seen(arm(300, labelled=200, wrong=20), arm(300, labelled=200, wrong=90))
    found = analyse(HALF, 0, labelled)
    assert measure(found, "quality").result == "failed"
    assert "was wrong in 90 of 200 labelled answers (45 %)" in found.words


def test_where_labels_are_wanted_a_step_waits_for_them():
    plan = Plan(strategy="canary", steps=(5000, 10_000), checks=Checks(least_labels=50))
    assert analyse(plan, 0, seen(arm(300), arm(300))).result == "pending"
    assert analyse(plan, 0, seen(arm(300, labelled=50), arm(300, labelled=50))).result == "successful"


def test_changed_answers_are_held_against_the_share_that_the_plan_allows():
    plan = Plan(strategy="canary", steps=(5000, 10_000), checks=Checks(changed=0.05))
    assert analyse(plan, 0, seen(arm(300), arm(300), compared=99, changed=0)).result == "pending"
    assert analyse(plan, 0, seen(arm(300), arm(300), compared=300, changed=15)).result == "successful"
    assert analyse(plan, 0, seen(arm(300), arm(300), compared=60, changed=30)).result == "failed"
    none = Plan(strategy="canary", steps=(5000, 10_000), checks=Checks(changed=0.0))
    assert analyse(none, 0, seen(arm(300), arm(300), compared=300, changed=1)).result == "failed"
    assert analyse(none, 0, seen(arm(300), arm(300), compared=300)).result == "successful"


@pytest.mark.parametrize("strategy", ["canary", "shadow"])
def test_scores_are_held_against_the_distance_that_the_plan_allows(strategy):
    steps = (5000, 10_000) if strategy == "canary" else (10_000,)
    plan = Plan(strategy=strategy, steps=steps, checks=Checks(shift=0.1))
    near = seen(arm(2000, scores=scores(2000, 0, 20)), arm(2000, scores=scores(2000, 1, 20)))
    assert analyse(plan, 0, near).result == "successful"
    far = seen(arm(2000, scores=scores(2000, 0, 20)), arm(2000, scores=scores(2000, 8, 20)))
    found = analyse(plan, 0, far)
    assert found.result == "failed"
    assert measure(found, "scores").numbers["distance"] == pytest.approx(0.4)
    assert analyse(plan, 0, seen(arm(300), arm(300))).result == "pending"


@pytest.mark.parametrize("strategy", ["rolling", "blue-green", "recreate"])
def test_where_no_stable_version_answers_too_errors_are_held_against_a_limit(strategy):
    plan = Plan(strategy=strategy, checks=Checks(error_limit=0.02))
    assert analyse(plan, 0, seen(Arm(), arm(1000, 20))).result == "successful"
    found = analyse(plan, 0, seen(Arm(), arm(100, 20)))
    assert found.result == "failed"
    assert "failed 20 of 100 requests (20 %), where 2 % may" in found.words


def test_the_last_step_of_a_canary_is_held_against_the_limit_and_keeps_what_was_seen_before():
    before = seen(arm(500), arm(500))
    last = seen(Arm(), arm(500, 100), step=1)
    assert analyse(HALF, 1, added([before, last], "r")).result == "failed"
    fine = analyse(HALF, 1, added([before, seen(Arm(), arm(500), step=1)], "r"))
    assert fine.result == "successful"
    assert "at 50 % of the traffic the candidate" in measure(fine, "errors").words


def test_wealth_is_carried_from_step_to_step_but_not_where_the_same_callers_come_back():
    """At 1/4 and 1/2, each step alone is not enough."""
    plan = Plan(strategy="canary", steps=(2500, 5000, 10_000))
    both = added([seen(arm(300), arm(100, 4)), seen(arm(200), arm(200, 7), step=1)], "r")
    assert analyse(plan, 1, both).result == "failed"
    sticky = msgspec.structs.replace(plan, sticky=Sticky(header="x-customer"))
    kept, alone = (measure(analyse(one, 1, both), "errors").e_value for one in (plan, sticky))
    assert alone < kept / 10


def test_a_caller_who_asks_four_servers_is_no_more_evidence_than_if_he_asked_one():
    sticky = Plan(
        strategy="canary", steps=(2500, 10_000), sticky=Sticky(header="x-customer"), checks=Checks(changed=0.01)
    )
    one = seen(arm(300), arm(100, 4))
    one = msgspec.structs.replace(one, steps=(msgspec.structs.replace(one.steps[0], compared=100, changed=3),))
    idle = Evidence(rollout="r", deaths=1)  # a server that nobody asks, and labels that came
    four = added([one, one, one, one, idle], "r")
    for name in ("errors", "computing time", "changed"):
        of_one, of_four = (measure(analyse(sticky, 0, each), name).e_value for each in (added([one], "r"), four))
        assert of_four == pytest.approx(of_one)
    shown = measure(analyse(sticky, 0, four), "errors").numbers
    assert (shown["candidate"], shown["candidate_of"]) == (16, 400)
    loose = msgspec.structs.replace(sticky, sticky=None)  # there, each request was drawn for itself
    assert analyse(loose, 0, four).result == "failed"
    assert analyse(sticky, 0, four).result != "failed"


def test_a_shadow_that_fails_where_stable_does_is_no_worse():
    plan = Plan(strategy="shadow")
    assert analyse(plan, 0, seen(arm(1000, 200), arm(1000, 200))).result == "successful"
    assert analyse(plan, 0, seen(arm(1000, 2), arm(1000, 30))).result == "failed"


@pytest.mark.parametrize(
    "wrong",
    [
        seen(arm(100), Arm(requests=100, errors=120)),
        seen(arm(100), arm(100, labelled=10, wrong=40)),
        seen(arm(100), arm(100), compared=10, changed=40),
        seen(arm(100), Arm(requests=100, seconds=times(150, 0.01))),
        seen(arm(100), arm(100), step=7),
        seen(arm(100), arm(900)),
    ],
)
def test_counts_that_cannot_be_are_an_error(wrong):
    assert analyse(HALF, 0, wrong).result == "error"


def test_a_caller_who_met_a_failure_and_a_refusal_is_no_contradiction_and_is_called_a_caller():
    sticky = Plan(strategy="canary", steps=(5000, 10_000), sticky=Sticky(header="x-user"), checks=Checks(least=50))
    said = analyse(sticky, 0, seen(arm(40), Arm(requests=40, errors=30, refused=20)))
    assert said.result == "failed" and "failed 30 of 40 callers" in said.words
    assert "of the 50 callers that the candidate is to answer" in said.measures[0].words
    last = analyse(sticky, 1, seen(arm(0), arm(40), step=1))
    assert "of the 50 requests that the candidate" in last.measures[0].words


def test_what_a_process_needed_is_told():
    evidence = msgspec.structs.replace(seen(arm(300), arm(300)), deaths=2, memory=310_000_000)
    assert measure(analyse(HALF, 0, evidence), "process").words == "its process died 2 times and takes 310 MB"


COUNTS = st.integers(0, 300)


@st.composite
def servers(draw):
    """What one to four servers saw in the first step."""

    def one():
        errors, good = draw(st.integers(0, 40)), draw(COUNTS)
        return arm(errors + good, errors, took=draw(st.sampled_from((0.001, 0.02, 0.3))))

    return [seen(one(), one(), compared=5, changed=draw(st.integers(0, 5))) for _ in range(draw(st.integers(1, 4)))]


@settings(max_examples=25)
@given(servers(), st.randoms(use_true_random=False))
def test_it_does_not_matter_which_server_saw_what_and_who_told_first(parts, random):
    shuffled = list(parts)
    random.shuffle(shuffled)
    half = len(shuffled) // 2
    merged = added([added(shuffled[:half], "r"), added(shuffled[half:], "r")], "r")
    assert analyse(HALF, 0, merged) == analyse(HALF, 0, added(parts, "r"))


@settings(max_examples=25)
@given(servers())
def test_an_analysis_can_be_written_as_json_and_more_failures_are_never_better(parts):
    evidence = added(parts, "r")
    found = analyse(HALF, 0, evidence)
    assert json.loads(msgspec.json.encode(found))["result"] == found.result
    if found.result == "error":
        return
    step = evidence.steps[0]
    worse = msgspec.structs.replace(step.candidate, requests=step.candidate.requests, errors=step.candidate.errors + 1)
    again = analyse(HALF, 0, seen(step.stable, worse, compared=step.compared, changed=step.changed))
    if again.result != "error":
        assert measure(again, "errors").e_value >= measure(found, "errors").e_value


@pytest.mark.parametrize(
    ("stable", "candidate", "answer", "result"),
    [(90, 20, "better", "successful"), (20, 90, "worse", "failed"), (50, 52, "no difference found", "running")],
)
def test_an_ab_test_is_judged_on_both_sides_by_labels_where_there_are_any(stable, candidate, answer, result):
    evidence = seen(arm(300, 30, labelled=200, wrong=stable), arm(300, 25, labelled=200, wrong=candidate))
    found = analyse(AB, 0, evidence)
    assert (found.result, found.verdict.answer) == (result, answer)
    assert found.words.startswith(answer) and found.verdict.words.startswith(answer)
    assert [one.name for one in found.measures if one.name.startswith("better")] == ["better in quality"]


def test_an_ab_test_without_labels_is_judged_by_errors_and_times():
    def answer(*arms):
        return analyse(AB, 0, seen(*arms)).verdict.answer

    assert analyse(AB, 0, Evidence(rollout="r")).verdict.answer == "no difference found"
    assert answer(arm(300, 40), arm(300, 2)) == "better"
    assert answer(arm(300, 2), arm(300, 40)) == "worse"
    assert answer(arm(300, 2, took=0.200), arm(300, 40, took=0.020)) == "worse", "better in one thing alone"
    assert answer(arm(300, took=0.225), arm(300, took=0.02)) == "better"
    # Both take 4 ms, and stable's are counted with 1.1 times that and 5 ms more.
    assert answer(arm(3000, took=0.0094), arm(3000, took=0.004)) == "no difference found"


def test_where_an_ab_test_waits_for_labels_errors_and_times_do_not_end_it():
    plan = Plan(strategy="ab", steps=(5000,), checks=Checks(least_labels=50))
    assert analyse(plan, 0, seen(arm(300, 40), arm(300, 2))).result == "pending"
    labelled = seen(arm(300, 40, labelled=60, wrong=6), arm(300, 2, labelled=60, wrong=6))
    assert analyse(plan, 0, labelled).result == "running"


def test_an_ab_test_that_found_nothing_in_its_requests_is_for_a_person():
    plan = Plan(strategy="ab", steps=(5000,), checks=Checks(most=1000))
    assert analyse(plan, 0, seen(arm(499, 5), arm(500, 5))).result == "running"
    found = analyse(plan, 0, seen(arm(500, 5), arm(500, 5)))
    assert found.result == "inconclusive"
    assert found.words.startswith("no difference found") and "1,000 requests were to be enough" in found.words
    assert analyse(plan, 0, seen(arm(500, 60), arm(500, 2))).result == "successful"


def test_chance_brings_verdicts_no_more_often_than_stated_and_a_difference_brings_its_own():
    """Looked at 6 times each; both sides together. benchmarks/rollouts.py has more of it."""
    plan = Plan(strategy="ab", steps=(3000,), checks=Checks(false_alarms=0.2))
    random = np.random.default_rng(20)

    def ended(bad, runs):
        answers = []
        for _ in range(runs):
            answer, counts = "no difference found", np.zeros((2, 2), dtype=int)
            for _ in range(6):
                theirs = random.binomial(150, 0.3)
                asked = np.array([150 - theirs, theirs])
                counts += np.stack([asked, random.binomial(asked, bad)])
                arms = (Arm(requests=n, errors=k, seconds=times(n - k, 0.004)) for n, k in counts.T.tolist())
                answer = analyse(plan, 0, seen(*arms)).verdict.answer
                if answer != "no difference found":
                    break
            answers.append(answer)
        return answers

    equal = ended([0.2, 0.2], 30)
    assert sum(answer != "no difference found" for answer in equal) <= 0.2 * 30
    assert ended([0.1, 0.3], 3) == ["worse"] * 3
    assert ended([0.3, 0.1], 3) == ["better"] * 3
