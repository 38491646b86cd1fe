"""The parts that a rollout is served with, each by itself: shares, keys, leases, counters, comparisons."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import LOAN

from mainstay.models.answers import Answers
from mainstay.models.package import Decision
from mainstay.models.signature import Column, Reader, Signature
from mainstay.registry.evidence import SECONDS, Arm, Seen
from mainstay.registry.plans import WHOLE
from mainstay.serving import evidence_slots
from mainstay.serving.caller_slots import ASKED, FAILED, CallerCounts, Keys
from mainstay.serving.comparing import changed, fits, scoring
from mainstay.serving.evidence_slots import CANDIDATE, STABLE, Counts
from mainstay.serving.leases import Lease, Leases
from mainstay.serving.splitting import Urn, has_turn, in_share, key_of_field, key_of_header, place_of_key

SHARES = st.integers(0, WHOLE)
NUMBER = Signature(inputs=(Column(name="x", type="number"),), task="regression", target="y")


@pytest.mark.parametrize("share", [0, 1, 2500, 9999, WHOLE])
def test_an_urn_gives_exactly_its_share_of_each_ten_thousand(share):
    urn = Urn(share)
    for _ in range(2):
        assert sum(urn.draw() for _ in range(WHOLE)) == share


def test_an_urn_does_not_tell_what_comes_next():
    wins = [[urn.draw() for _ in range(200)] for urn in (Urn(5000), Urn(5000))]
    assert wins[0] != wins[1]


@given(st.binary(max_size=40), SHARES, SHARES)
def test_who_is_in_a_share_is_in_every_larger_one(key, one, other):
    small, large = sorted((one, other))
    place = place_of_key("r1", key)
    assert in_share(place, large) or not in_share(place, small)
    assert in_share(place, WHOLE)
    assert not in_share(place, 0)


def test_keys_stand_evenly_and_otherwise_in_each_rollout():
    keys = [str(number).encode() for number in range(20_000)]
    first, second = ([in_share(place_of_key(rollout, key), 1000) for key in keys] for rollout in ("r1", "r2"))
    assert 1800 < sum(first) < 2200  # 2,000 in the mean, 42 their deviation
    both = sum(a and b for a, b in zip(first, second, strict=True))
    assert 100 < both < 300  # 200 where one says nothing about the other
    assert place_of_key("r1", b"anna") == 4_174_927_137_741_330_469  # the same on every machine and in every release


def test_the_key_of_a_field_is_its_value_however_it_is_written():
    read = Reader(LOAN).rows
    row = {"age": 35, "amount": None, "purpose": "7", "owner": True, "since": "2020-01-31T12:00:00"}
    by_age, by_amount, by_purpose = (key_of_field(LOAN, name) for name in ("age", "amount", "purpose"))
    assert by_age(read([row])) == by_age(read([{**row, "age": 35.0}])) != by_age(read([{**row, "age": 36}]))
    assert by_age(read([{**row, "age": 0.0}])) == by_age(read([{**row, "age": -0.0}]))
    assert by_purpose(read([row])) == by_purpose(read([{**row, "purpose": 7}]))
    assert by_amount(read([row])) is None
    assert by_age(read([])) is None
    with pytest.raises(ValueError, match="customer"):
        key_of_field(LOAN, "customer")
    texts = Signature(inputs=(Column(name="who", type="text", nullable=True),), task="regression", target="y")
    by_text = key_of_field(texts, "who")
    assert by_text(Reader(texts).rows([{"who": "änne"}])) == "änne".encode()
    assert by_text(Reader(texts).rows([{"who": None}])) is None
    assert (key_of_header("x"), key_of_header(""), key_of_header(None)) == (b"x", None, None)


@given(st.integers(1, 64), SHARES)
def test_a_rolling_share_of_workers_is_rounded_up(workers, share):
    turns = [has_turn(worker, workers, share) for worker in range(workers)]
    assert sum(turns) == -(-share * workers // WHOLE)
    assert all(one >= other for one, other in pairwise(turns))


def test_a_lease_lasts_for_as_long_as_somebody_looks_after_the_rollout(tmp_path):
    leases = Leases(tmp_path, seconds=60.0)
    lease = Lease(tmp_path, leases.slot("r1"))
    leases.heard({"r1": 7})
    assert not lease.holds  # it is there, which is no sign that anybody looks after it
    leases.heard({"r1": 7})
    assert not lease.holds
    leases.heard({"r1": 8})
    assert lease.holds
    assert not Lease(tmp_path, leases.slot("r2")).holds
    leases.heard({})
    assert not lease.holds
    assert not Lease(tmp_path, leases.slot("r3")).holds  # which has the slot now
    assert not Lease(tmp_path, -1).holds


def test_a_lease_that_nobody_prolongs_ends(tmp_path):
    leases = Leases(tmp_path, seconds=0.0)
    lease = Lease(tmp_path, leases.slot("r1"))
    leases.heard({"r1": 1})
    leases.heard({"r1": 2})
    assert not lease.holds


def test_what_workers_counted_is_added_up_and_outlives_them(tmp_path):
    code = """
import os, sys
from pathlib import Path
from mainstay.serving.evidence_slots import *
counts = Counts(Path(sys.argv[1]), "r1", 1, 0)
for _ in range(2):
    counts.asked(CANDIDATE)
counts.took(CANDIDATE, 0.0)
counts.scored(CANDIDATE, 3)
counts.failed(CANDIDATE)
os.kill(os.getpid(), 9)
"""
    for _ in range(2):  # the second goes on with what the first has left
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    other = Counts(tmp_path, "r1", 1, 1)
    assert [other.asked(arm) for arm in (STABLE, STABLE, STABLE, CANDIDATE)] == [True] * 4
    other.took(STABLE, 1e9)
    other.refused(STABLE)
    other.took(CANDIDATE, SECONDS[0])
    other.compared(changed=True)
    other.compared(changed=False)
    other.dropped()
    Counts(tmp_path, "r1", 0, 0)
    Counts(tmp_path, "r2", 0, 0).asked(STABLE)
    late = (*[0] * len(SECONDS), 1)
    early = (3, *[0] * len(SECONDS))
    scores = (0, 0, 0, 2, *[0] * 16)
    assert evidence_slots.seen(tmp_path, "r1") == (
        Seen(
            step=1,
            stable=Arm(requests=3, refused=1, seconds=late),
            candidate=Arm(requests=5, errors=2, seconds=early, scores=scores),
            compared=2,
            changed=1,
            dropped=1,
        ),
    )
    evidence_slots.forget(tmp_path, "r1")
    assert evidence_slots.seen(tmp_path, "r1") == ()


def test_a_key_is_counted_once_whichever_worker_meets_it(tmp_path):
    one, other = Keys(tmp_path, "r1", 0), Keys(tmp_path, "r1", 0)
    places = [place_of_key("r1", str(number).encode()) for number in range(2000)]
    firsts = [(one if number % 2 else other).meets(place, ASKED) for number, place in enumerate(places)]
    assert sum(firsts) > 1990  # some find another's key in their place, as there are two million places
    assert not any(one.meets(place, ASKED) or other.meets(place, ASKED) for place in places)
    counted = [place for place, first in zip(places, firsts, strict=True) if first]
    assert all(one.meets(place, FAILED) for place in counted)
    assert not any(other.meets(place, FAILED) for place in places)  # nor of those whose place is another's
    assert Keys(tmp_path, "r1", 1).meets(places[0], ASKED)


MET = st.tuples(st.integers(0, 3), st.sampled_from(["answers", "fails", "refuses"]), st.sampled_from((0.001, 0.1, 2.0)))


@settings(max_examples=40, deadline=None)
@given(st.lists(MET, max_size=30))
def test_a_caller_counts_once_with_the_worst_that_he_met_whichever_worker_he_asked(tmp_path_factory, met):
    """Only his first request counted, so that a version that failed all later ones went through."""
    run = tmp_path_factory.mktemp("run")
    workers = [(Counts(run, "r", 0, worker), Keys(run, "r", 0)) for worker in range(2)]
    worst: dict[int, tuple[set[str], float]] = {}
    for number, (caller, what, seconds) in enumerate(met):
        tally = CallerCounts(*workers[number % 2], place_of_key("r", str(caller).encode()))
        assert tally.asked(caller % 2) == (caller not in worst)
        known, slowest = worst.get(caller, (set(), 0.0))
        if what == "answers":
            tally.took(caller % 2, seconds)
        else:
            (tally.failed if what == "fails" else tally.refused)(caller % 2)
        worst[caller] = known | {what}, max(slowest, seconds if what == "answers" else 0.0)
    for arm in (STABLE, CANDIDATE):
        of = [each for caller, each in worst.items() if caller % 2 == arm]
        times = Counter(evidence_slots.bin_of(slowest) for known, slowest in of if "answers" in known)
        (seen,) = evidence_slots.seen(run, "r") or (Seen(step=0),)
        found = seen.candidate if arm else seen.stable
        assert found.requests == len(of)
        assert (found.errors, found.refused) == (
            sum("fails" in known for known, _ in of),
            sum("refuses" in known for known, _ in of),
        )
        assert {at: count for at, count in enumerate(found.seconds) if count} == times


def classified(*shares: float, label: int = 0) -> Answers:
    return Answers(labels=np.array([label]), probabilities=np.array([shares]))


def test_scores_are_put_into_the_same_bins_for_both():
    binary = scoring(LOAN, Decision(0, 0.5), ())
    assert [binary(classified(share, 1 - share)) for share in (0.0, 0.049, 0.05, 0.999, 1.0, -1e-9)] == [
        0,
        0,
        1,
        19,
        19,
        0,
    ]
    assert scoring(LOAN, None, ())(classified(0.0, 1.0)) == 19
    assert binary(Answers(labels=np.array([1]))) == 1
    assert binary(classified(np.nan, np.nan)) is None
    number = scoring(NUMBER, None, (0.0, 1.0))
    assert [number(Answers(values=np.array([value]))) for value in (-1.0, 0.0, 5.0, np.nan)] == [0, 1, 2, None]
    assert scoring(NUMBER, None, ())(Answers(values=np.array([1.0]))) is None
    assert number(Answers(values=np.empty(0))) is None


def test_another_label_or_number_is_a_change_and_a_label_elsewhere_is_none():
    turned = Signature(inputs=LOAN.inputs, task="binary", target="class", labels=("good", "bad"))
    said = classified(0.9, 0.1, label=0)
    assert not changed(said, classified(0.6, 0.4, label=0), LOAN, LOAN)
    assert changed(said, classified(0.6, 0.4, label=1), LOAN, LOAN)
    assert not changed(said, classified(0.1, 0.9, label=1), LOAN, turned)
    for near, far in ((1.0 + 9e-7, 1.0 + 2e-6), (1.0, np.nan)):
        one = Answers(values=np.array([1.0]))
        assert not changed(one, Answers(values=np.array([near])), NUMBER, NUMBER)
        assert changed(one, Answers(values=np.array([far])), NUMBER, NUMBER)
    assert changed(said, Answers(values=np.array([1.0])), LOAN, NUMBER)
    texts = [Answers(outputs={"t": np.array([text], dtype=object)}) for text in ("a", "a", "b")]
    assert not changed(texts[0], texts[1], NUMBER, NUMBER)
    assert changed(texts[0], texts[2], NUMBER, NUMBER)


def test_answers_of_another_shape_are_no_answers():
    assert fits(classified(0.5, 0.5), 1, LOAN)
    assert not fits(classified(0.5, 0.5), 2, LOAN)
    assert not fits(classified(0.5, 0.5, label=2), 1, LOAN)
    assert not fits(Answers(labels=np.array([0]), probabilities=np.ones((1, 3))), 1, LOAN)
    assert not fits(Answers(values=np.array([1.0])), 1, LOAN)
    assert fits(Answers(values=np.array([1.0])), 1, NUMBER)
    assert not fits(Answers(values=np.empty((1, 1))), 1, NUMBER)
