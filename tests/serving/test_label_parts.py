"""Predictions that wait for their outcomes, and the labels that come: kept, joined, counted once."""

from __future__ import annotations

import os
import uuid

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.models.answers import Answers
from mainstay.models.package import Draft, Package, encoded
from mainstay.models.signature import Column, Signature
from mainstay.operations.labels import BadLabelsFile, _labels
from mainstay.serving.predictions import joining, keeping
from mainstay.serving.predictions.bodies import labels_in, told
from mainstay.serving.predictions.joining import COUNTED, REPEATED, SAME_REQUEST, UNKNOWN, Joining, Truth
from mainstay.serving.predictions.judging import CannotJudge, NotALabel, judge
from mainstay.serving.predictions.keeping import Kept
from mainstay.serving.predictions.messages import Label
from mainstay.serving.predictions.records import LABELS, PREDICTED, key_of, minute_in
from mainstay.serving.protocols.codec import Problem

STABLE, CANDIDATE = 0, 1
X = Column(name="x", type="number")


def labels(*indices):
    return Answers(labels=np.array(indices, dtype=np.int64))


def truth(identity, index, row=0):
    return Truth(key_of(identity), minute_in(identity), row, lambda arm, said: said != index)


def counts_of(joining):
    """What is told of what was joined."""
    told = {}
    joining.tell(lambda member, counts: told.update(counts))
    return told


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run" / "one"
    folder.mkdir(parents=True)
    return folder


def test_outcomes_are_counted_by_step_and_version(run, tmp_path) -> None:
    kept = Kept(run, "r", 0)
    kept.add("a", STABLE, 0, labels(1))
    kept.add("b", CANDIDATE, 0, labels(0, 1, 1))
    kept.add("c", CANDIDATE, 1, Answers(values=np.array([2.5])))
    found = Joining(tmp_path, "r")
    truths = [truth("a", 1), truth("b", 1, 0), truth("b", 1, 2), truth("b", 1, 3), truth("c", 2.5), truth("d", 1)]
    assert found.join(truths) == [COUNTED, COUNTED, SAME_REQUEST, UNKNOWN, COUNTED, UNKNOWN]
    assert counts_of(found) == {(0, STABLE): (1, 0), (0, CANDIDATE): (1, 1), (1, CANDIDATE): (1, 0)}


def test_the_rows_of_a_request_are_one_piece_of_evidence_however_their_labels_come(run, tmp_path) -> None:
    """They were drawn for a version together: counted each for itself, two equal versions were told apart by chance."""
    kept = Kept(run, "r", 0)
    for at in range(4):
        kept.add(f"batch-{at}", at % 2, 0, labels(*[1] * 50))
    first, second = Joining(tmp_path, "r"), Joining(tmp_path, "r")
    assert first.join([truth("batch-0", 0, 7)]) == [COUNTED]
    every = [truth(f"batch-{at}", 1, row) for at in range(4) for row in range(50)]
    assert second.join([*every, truth("batch-1", 0, 0)]).count(COUNTED) == 3
    assert first.join([truth("batch-0", 1, 7), truth("batch-0", 1, 8), truth("batch-3", 0, 0)]) == [
        REPEATED,
        SAME_REQUEST,
        REPEATED,
    ]
    assert counts_of(first) == counts_of(second) == {(0, STABLE): (2, 1), (0, CANDIDATE): (2, 0)}


def test_a_second_label_of_a_row_changes_nothing_after_a_restart_either(run, tmp_path) -> None:
    Kept(run, "r", 0).add("a", CANDIDATE, 0, labels(1))
    first = Joining(tmp_path, "r")
    assert first.join([truth("a", 1), truth("a", 0)]) == [COUNTED, REPEATED]
    assert first.join([truth("a", 0)]) == [REPEATED]
    second = Joining(tmp_path, "r")
    assert second.join([truth("a", 0)]) == [REPEATED]
    assert counts_of(second) == {(0, CANDIDATE): (1, 0)}
    assert Joining(tmp_path, "r").join([]) == []


def test_what_a_killed_server_had_counted_is_told_by_the_next_and_once(run, tmp_path) -> None:
    kept = Kept(run, "r", 0)
    for name in ("a", "b"):
        kept.add(name, CANDIDATE, 0, labels(1))
    told: dict[str, object] = {}
    killed = Joining(tmp_path, "r")
    assert killed.join([truth("a", 0)]) == [COUNTED]
    (file,) = (tmp_path / "predictions" / "r").glob(f"*{LABELS}")
    file.write_bytes(file.read_bytes() + b"half")
    following = Joining(tmp_path, "r")
    following.tell(told.__setitem__)
    assert told == {file.stem: {(0, CANDIDATE): (1, 1)}}
    assert following.join([truth("a", 0), truth("b", 1)]) == [REPEATED, COUNTED]
    for each in (following, killed, Joining(tmp_path, "r")):
        each.tell(told.__setitem__)
        assert told == {file.stem: {(0, CANDIDATE): (2, 1)}}

    def away(member: str, counts: object) -> None:
        raise OSError

    again = Joining(tmp_path, "r")
    with pytest.raises(OSError):
        again.tell(away)
    assert counts_of(again) == {(0, CANDIDATE): (2, 1)}
    assert counts_of(again) == {}  # nothing is new


def test_of_a_shadow_both_versions_are_judged_by_one_label(run, tmp_path) -> None:
    kept = Kept(run, "r", 0)
    kept.add("a", STABLE, 0, labels(1))
    found = Joining(tmp_path, "r")
    assert found.join([truth("a", 1)]) == [COUNTED]
    kept.add("a", CANDIDATE, 0, labels(0))
    assert found.join([truth("a", 1)]) == [COUNTED]
    assert counts_of(found) == {(0, STABLE): (1, 0), (0, CANDIDATE): (1, 1)}


def test_labels_reach_what_other_workers_and_an_earlier_server_kept(run, tmp_path) -> None:
    earlier = tmp_path / "run" / "before"
    Kept(earlier, "r", 0).add("a", STABLE, 0, labels(1))
    Kept(run, "r", 3).add("b", STABLE, 0, labels(1))
    Kept(run, "other", 3).add("c", STABLE, 0, labels(1))
    assert Joining(tmp_path, "r").join([truth("a", 1), truth("b", 1), truth("c", 1)]) == [
        COUNTED,
        COUNTED,
        UNKNOWN,
    ]


def test_an_id_tells_its_minute_and_is_found_where_it_does_not(run, tmp_path) -> None:
    assert minute_in("0190163d-8694-739b-aea5-966c26f8ad91") == 0x0190163D8694 // 60_000
    assert minute_in(str(uuid.uuid4())) is None
    assert minute_in("order-17") is None
    assert minute_in("z" * 12 + "7" + "z" * 19) is None
    long_ago = "0190163d-8694-739b-aea5-966c26f8ad91"  # a caller's own, of another clock
    Kept(run, "r", 0).add(long_ago, STABLE, 0, labels(1))
    assert Joining(tmp_path, "r").join([truth(long_ago, 1)]) == [COUNTED]


def test_the_oldest_answers_go_first_and_a_minute_cannot_take_everything(run, tmp_path) -> None:
    now = 60.0 * 1000
    kept = Kept(run, "r", 0, clock=lambda: now, most=8 * PREDICTED.itemsize)
    for minute in range(6):
        now = 60.0 * (1000 + minute)
        for at in range(2):
            kept.add(f"{minute}-{at}", STABLE, 0, labels(1))
    found = Joining(tmp_path, "r")
    assert found.join([truth("0-0", 1), truth("5-0", 1), truth("5-1", 1)]) == [UNKNOWN, COUNTED, COUNTED]
    for at in range(2, 6):
        kept.add(f"5-{at}", STABLE, 0, labels(1))
    assert found.join([truth("5-3", 1), truth("5-4", 1), truth("5-5", 1)]) == [COUNTED, UNKNOWN, UNKNOWN]
    now += 3600 * keeping.HOURS + 60
    kept.add("new", STABLE, 0, labels(1))
    assert found.join([truth("4-0", 1), truth("new", 1)]) == [UNKNOWN, COUNTED]
    assert sum(path.stat().st_size for path in (tmp_path / "predictions" / "r").glob("*.kept")) == PREDICTED.itemsize


def test_half_a_record_of_one_who_died_is_overwritten(run, tmp_path) -> None:
    first = Kept(run, "r", 0, clock=lambda: 60.0)
    first.add("a", STABLE, 0, labels(1))
    first.close()
    (path,) = (tmp_path / "predictions" / "r").iterdir()
    path.write_bytes(path.read_bytes() + b"half")
    Kept(run, "r", 0, clock=lambda: 60.0).add("b", STABLE, 0, labels(1))
    found = Joining(tmp_path, "r")
    assert found.join([truth("a", 1), truth("b", 1)]) == [COUNTED, COUNTED]


def test_no_room_fails_no_request(run, tmp_path) -> None:
    kept = Kept(run, "r", 0)
    kept.add("a", STABLE, 0, labels(1))
    os.close(kept._file)  # whatever the system says of the file
    kept._file = os.open("/dev/full", os.O_WRONLY)
    kept.add("b", STABLE, 0, labels(1))
    kept.add("c", STABLE, 0, labels(1))
    assert Joining(tmp_path, "r").join([truth(name, 1) for name in "abc"]) == [COUNTED, UNKNOWN, COUNTED]


def test_what_nobody_waits_for_any_more_is_removed(run, tmp_path) -> None:
    for rollout in ("runs", "ended", "left"):
        Kept(run, rollout, 0).add("a", STABLE, 0, labels(1))
    os.utime(tmp_path / "predictions" / "left", (0, 0))
    joining.forget(tmp_path, "ended")
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {"runs"}


IDS = st.sampled_from([f"id-{at}" for at in range(6)])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(IDS, st.integers(0, 1), st.integers(0, 2)), max_size=12),
    st.lists(st.lists(st.tuples(IDS, st.integers(0, 1)), max_size=6), max_size=4),
)
def test_each_row_and_version_counts_once_however_its_labels_come(tmp_path_factory, answered, batches) -> None:
    root = tmp_path_factory.mktemp("root")
    kept = Kept(root / "run" / "x", "r", 0)
    expected = {}
    for identity, arm, index in answered:
        kept.add(identity, arm, 0, labels(index))
        expected.setdefault((identity, arm), index)
    kept.close()
    first: dict[str, int] = {}
    found = Joining(root, "r")
    for batch in batches:
        found.join([truth(identity, index) for identity, index in batch])
        for identity, index in batch:
            first.setdefault(identity, index)
    counts = counts_of(found)
    for arm in (STABLE, CANDIDATE):
        judged = [
            said != first[identity] for (identity, of), said in expected.items() if of == arm and identity in first
        ]
        assert counts.get((0, arm), (0, 0)) == (len(judged), sum(judged))
    assert len(list((root / "predictions").rglob(f"*{LABELS}"))) <= 1


def test_a_body_is_one_label_or_many() -> None:
    assert labels_in("m", b'{"id": "a", "value": "good"}').labels == [Label("a", 0, "good")]
    several = labels_in("m", b'{"labels": [{"id": "a", "row": 2.0, "value": 1}, {"id": "b", "value": true}]}')
    assert several.labels == [Label("a", 2, 1), Label("b", 0, True)]
    assert msgspec.json.decode(told(several, [COUNTED, UNKNOWN])) == {
        "counted": 1,
        "repeated": 0,
        "same_request": 0,
        "unknown": [{"id": "b", "row": 0}],
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"good",
        b"[" * 10_000,
        b'{"id": "a", "id": "b", "value": 1}',
        b"[]",
        b"{}",
        b'{"labels": []}',
        b'{"id": "a"}',
        b'{"id": "a", "value": null}',
        b'{"id": "a b", "value": 1}',
        b'{"id": "a", "value": 1, "row": -1}',
        b'{"id": "a", "value": 1, "row": 0.5}',
        b'{"id": "a", "value": 1, "row": 4294967296}',
        b'{"id": "a", "value": 1, "more": 1}',
        b'{"id": "a", "value": "' + b"x" * 129 + b'"}',
        b'{"labels": [' + b",".join([b'{"id": "a", "value": 1}'] * 2001) + b"]}",
    ],
)
def test_any_other_body_is_refused_with_the_form_that_is_taken(body) -> None:
    with pytest.raises(Problem, match="Send ") as refused:
        labels_in("m", body)
    assert refused.value.status == 400


def package(signature, **attestations):
    """A version's signature, and what is attested of it."""
    draft = Draft(content={"signature.json": encoded(signature)}, attestations=attestations)
    blobs = {draft.manifest().files[name].sha256: data for name, data in (draft.content | attestations).items()}
    return Package(draft.manifest(), blobs.__getitem__)


def test_a_label_is_right_where_it_is_the_one_that_was_answered_by_each_version_s_own_order() -> None:
    stable = Signature(inputs=(X,), task="multiclass", target="y", labels=(1, 2, 3))
    candidate = Signature(inputs=(X,), task="multiclass", target="y", labels=(3, 2, 1, 4))
    judged = judge(package(stable), package(candidate))
    assert [judged(3)(STABLE, 2.0), judged("3")(CANDIDATE, 0.0), judged(3)(CANDIDATE, 2.0)] == [False, False, True]
    assert (judged(4)(STABLE, 0.0), judged(4)(CANDIDATE, 3.0)) == (True, False)
    assert judged(1.0)(STABLE, 0.0) is False  # JSON has one kind of number
    for wrong in (5, "5", True, 1.5, "one"):
        with pytest.raises(NotALabel, match=r"no label of this model\. Known: 1, 2, 3"):
            judged(wrong)


def test_a_number_is_wrong_where_it_is_further_off_than_the_stable_version_usually_is() -> None:
    signature = Signature(inputs=(X,), task="regression", target="y")
    evaluated = package(signature, **{"evaluation.json": b'{"metrics": {"mae": {"value": 2.0}}}'})
    judged = judge(evaluated, package(signature))
    said = [judged(10)(CANDIDATE, answer) for answer in (10.0, 12.0, 12.1, 7.9, float("nan"))]
    assert said == [False, False, True, True, True]
    assert judged("1e1")(STABLE, 10.0) is False
    for wrong in ("ten", "nan", "inf", True, 10**400):
        with pytest.raises(NotALabel, match="send a number"):
            judged(wrong)
    with pytest.raises(CannotJudge, match="without an evaluation"):
        judge(package(signature), evaluated)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "id,row,value\na,0,good\nb,2,bad\n"),
        ("a.CSV", "\ufeffvalue,id\ngood,a\n"),
        ("a.jsonl", '{"id": "a", "value": true}\n\n{"id": "b", "row": 1, "value": 2.5}\n'),
    ],
)
def test_labels_are_read_from_files_as_people_have_them(tmp_path, name, text) -> None:
    file = tmp_path / name
    file.write_text(text)
    found = list(_labels(file))
    assert found[0]["id"] == "a"
    assert labels_in("m", msgspec.json.encode({"labels": found}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "id,value\na\n"),
        ("a.csv", "id,value\na,b,c\n"),
        ("a.csv", "id,row,value\na,x,b\n"),
        ("a.csv", "row,value\n0,b\n"),
        ("a.jsonl", "good\n"),
        ("a.jsonl", b"\xff\n"),
    ],
)
def test_a_file_that_has_no_labels_is_refused_by_its_line(tmp_path, name, text) -> None:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadLabelsFile, match=r"Line [12] of "):
        list(_labels(file))
