"""The small parts of a server: ids, replies, frames, the routing table, counters, the choice of a place."""

from __future__ import annotations

import functools
import itertools
import operator
import time
import uuid

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from subjects import LOAN, loan

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells, Signature
from mainstay.serving import exposition, metrics, routing
from mainstay.serving.frames import Ask, Told
from mainstay.serving.ids import ids
from mainstay.serving.models import LONGEST_INLINE, inline_rows
from mainstay.serving.replies import Replies

FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def test_prediction_ids_are_uuids_of_version_7_in_the_order_of_time():
    before = time.time_ns() // 1_000_000
    found = [uuid.UUID(text) for text in itertools.islice(ids(), 1000)]
    after = time.time_ns() // 1_000_000
    assert len(set(found)) == 1000
    assert {(each.version, each.variant) for each in found} == {(7, uuid.RFC_4122)}
    times = [each.int >> 80 for each in found]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after
    # All 74 bits are drawn: a bit that were always the same would be so in one run of 2^990.
    drawn = [each.int & ~(0xF << 76 | 3 << 62) & (1 << 80) - 1 for each in found]
    assert functools.reduce(operator.or_, drawn).bit_count() == 74
    assert functools.reduce(operator.and_, drawn) == 0


def test_a_reply_names_labels_and_has_the_shape_of_the_question():
    replies = Replies(LOAN, "loan:3")
    answers = Answers(labels=np.array([1, 0]), probabilities=np.array([[0.25, 0.75], [1.0, 0.0]]))
    assert msgspec.json.decode(replies.write(answers, single=False, identity="i")) == {
        "prediction": ["good", "bad"],
        "probabilities": [{"bad": 0.25, "good": 0.75}, {"bad": 1.0, "good": 0.0}],
        "model": "loan:3",
        "id": "i",
    }
    one = Answers(labels=answers.labels[:1], probabilities=answers.probabilities[:1])
    assert msgspec.json.decode(replies.write(one, single=True, identity="i"))["prediction"] == "good"


@pytest.mark.parametrize("label", ['say "no"', "back\\slash", "line\nbreak", "", "é", "c1", "prediction"])
def test_a_label_of_any_text_names_its_probability(label):
    replies = Replies(msgspec.structs.replace(LOAN, labels=(label, "other")), "loan:3")
    answers = Answers(labels=np.array([0]), probabilities=np.array([[0.75, 0.25]]))
    said = msgspec.json.decode(replies.write(answers, single=True, identity="i"))
    assert said == {
        "prediction": label,
        "probabilities": {label: 0.75, "other": 0.25},
        "model": "loan:3",
        "id": "i",
    }
    assert list(said) == ["prediction", "probabilities", "model", "id"]
    values = Replies(msgspec.structs.replace(LOAN, task="regression", labels=()), "loan:3")
    assert values.write(Answers(np.array([1.5])), single=True, identity="i") == (
        b'{"prediction":1.5,"model":"loan:3","id":"i"}'
    )


@pytest.mark.parametrize(("labels", "keys"), [((False, True), {"false", "true"}), ((0, 1), {"0", "1"})])
def test_labels_that_are_no_text_keep_their_type(labels, keys):
    signature = Signature(inputs=LOAN.inputs, task="binary", labels=labels)
    answers = Answers(labels=np.array([1]), probabilities=np.array([[0.25, 0.75]]))
    reply = msgspec.json.decode(Replies(signature, "m:1").write(answers, single=True, identity="i"))
    assert reply["prediction"] is labels[1] or reply["prediction"] == labels[1]
    assert set(reply["probabilities"]) == keys


@given(st.lists(st.tuples(FLOATS, FLOATS), max_size=5), st.lists(st.none() | st.text(max_size=5), max_size=5))
def test_cells_survive_the_way_to_a_host_to_the_last_bit(rows, texts):
    cells = Cells(np.array(rows, dtype=np.float64).reshape(len(rows), 2), {1: texts})
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(Ask.of(7, cells)), type=Ask)
    assert sent.cells().numbers.tobytes() == cells.numbers.tobytes()
    assert sent.cells().numbers.shape == cells.numbers.shape
    assert sent.cells().texts == {1: texts}


@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS), max_size=5))
def test_answers_survive_the_way_from_a_host_to_the_last_bit(rows):
    answers = Answers(labels=np.arange(len(rows)), probabilities=np.array(rows).reshape(len(rows), 3))
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(Told.of(7, answers)), type=Told).answers()
    assert back.values is None
    assert back.labels.tolist() == answers.labels.tolist()
    assert back.probabilities.tobytes() == answers.probabilities.tobytes()


def test_a_routing_table_is_read_as_it_was_written_and_its_mark_changes(tmp_path):
    manifest = loan().manifest()
    assert routing.read_table(tmp_path) is None
    assert routing.mark(tmp_path) is None
    marks = set()
    for generation in range(3):
        table = routing.Table(
            generation=generation,
            blobs="/blobs",
            routes={"loan": routing.Route(stable="loan:1")},
            versions={"loan:1": routing.Placed(version="loan:1", manifest=manifest)},
        )
        routing.write_table(tmp_path, table)
        marks.add(routing.mark(tmp_path))
        assert routing.read_table(tmp_path) == table
    assert len(marks) == 3
    assert [path.name for path in tmp_path.iterdir()] == [routing.TABLE]


def test_slow_models_and_large_batches_leave_the_event_loop():
    assert inline_rows(LONGEST_INLINE * 1.01, 1.0, 10) == 0
    assert inline_rows(LONGEST_INLINE / 100, LONGEST_INLINE / 100, 10) > 100
    rows = inline_rows(1e-5, 1e-5 + 9 * 1e-5, 10)
    assert 1e-5 * rows <= LONGEST_INLINE
    assert rows > 50


def test_counters_are_summed_over_workers(tmp_path):
    for worker in range(3):
        counted = metrics.Counted(metrics.Slots(tmp_path / f"{worker}.slots"), "loan", "loan:1", "plain")
        counted.answered(200, rows=5, seconds=0.002)
        counted.answered(400, rows=0, seconds=9.0)
    text = exposition.text(metrics.summed(tmp_path))
    assert 'mainstay_requests_total{model="loan",version="loan:1",protocol="plain",code="200"} 3' in text
    assert 'mainstay_requests_total{model="loan",version="loan:1",protocol="plain",code="400"} 3' in text
    assert 'mainstay_rows_total{model="loan",version="loan:1",protocol="plain"} 15' in text
    assert 'mainstay_request_seconds_bucket{model="loan",version="loan:1",protocol="plain",le="0.001"} 0' in text
    assert 'mainstay_request_seconds_bucket{model="loan",version="loan:1",protocol="plain",le="0.0025"} 3' in text
    assert 'mainstay_request_seconds_bucket{model="loan",version="loan:1",protocol="plain",le="+Inf"} 6' in text
    assert 'mainstay_request_seconds_count{model="loan",version="loan:1",protocol="plain"} 6' in text


def test_what_waits_is_counted_and_what_went_down_with_a_worker_is_not(tmp_path):
    slots = metrics.Slots(tmp_path / "0.slots")
    queued = metrics.Queued(slots, "loan", "loan:1")
    for _ in range(3):
        queued.waiting(1)
    queued.waiting(-1)
    queued.waited(0.3)
    queued.ran(5)
    queued.ran(20_000)
    queued.left("timeout")
    slots.add(metrics.in_flight(slots, "loan", "loan:1"), 7.0)
    labels = 'model="loan",version="loan:1"'
    text = exposition.text(metrics.summed(tmp_path))
    assert f"mainstay_queue_requests{{{labels}}} 2\n" in text
    assert f'mainstay_queue_seconds_bucket{{{labels},le="0.25"}} 0\n' in text
    assert f'mainstay_queue_seconds_bucket{{{labels},le="0.5"}} 1\n' in text
    assert f'mainstay_batch_rows_bucket{{{labels},le="4"}} 0\n' in text
    assert f'mainstay_batch_rows_bucket{{{labels},le="8"}} 1\n' in text
    assert f'mainstay_batch_rows_bucket{{{labels},le="+Inf"}} 2\n' in text
    assert f'mainstay_queue_left_total{{{labels},reason="timeout"}} 1\n' in text
    assert f"mainstay_requests_in_flight{{{labels}}} 7\n" in text
    metrics.Slots(tmp_path / "0.slots")
    text = exposition.text(metrics.summed(tmp_path))
    assert f"mainstay_queue_requests{{{labels}}} 0\n" in text
    assert f"mainstay_requests_in_flight{{{labels}}} 0\n" in text
    assert f"mainstay_batch_rows_count{{{labels}}} 2\n" in text


def test_label_sets_are_bounded_and_nothing_is_lost(tmp_path):
    slots = metrics.Slots(tmp_path / "0.slots")
    for number in range(2 * metrics.SLOTS):
        metrics.Counted(slots, "loan", f"loan:{number}", "plain").answered(200, rows=1, seconds=0.1)
    text = exposition.text(metrics.summed(tmp_path))
    requests = [line for line in text.splitlines() if line.startswith("mainstay_requests_total{")]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in requests) == 2 * metrics.SLOTS
    assert len(text.splitlines()) < metrics.SLOTS * (len(metrics.BUCKETS) + 5)
