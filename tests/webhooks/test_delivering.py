"""What is told to webhooks: exactly the events, signed, again where it failed, and in the end given up aloud."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mainstay.project import EVENTS
from mainstay.registry import events
from mainstay.registry.outbox import GIVEN_UP, Subscription
from mainstay.registry.store import Registry, utc_now
from mainstay.webhooks.delivering import MAX_BODY, Deliverer, Receiver, body_of
from mainstay.webhooks.retrying import ATTEMPTS, LONGEST_PAUSE, pause
from mainstay.webhooks.sending import place_of

HERE = Path(__file__).parent
KEY = b"a secret of some length"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Any, *urls: str, kinds: tuple[str, ...] = ()) -> Registry:
    registry = Registry.open(folder / ".mainstay", clock=clock)
    registry.outbox.subscribe("credit", [Subscription(url=url, kinds=kinds) for url in urls])
    return registry


def deliverer(registry: Registry, clock: Any, *urls: str, said: list[str] | None = None) -> Deliverer:
    receivers = [Receiver(url, place_of(url, shown=url, allow_private=True), KEY) for url in urls]
    return Deliverer(
        registry.outbox,
        "credit",
        receivers,
        said=lambda sentence, well: None if said is None else said.append(sentence),
        chance=lambda: 0.5,
        clock=clock,
    )


def happens(registry: Registry, number: int, kind: str = "deployed") -> int:
    return registry.record(kind, actor="ann", model="credit", version=number, reason="why", evidence={"n": number})


def test_a_message_is_the_event_and_its_signature_covers_id_time_and_body(
    tmp_path: Path, receiving: Any, clock: Clock
) -> None:
    receiving.start()
    with opened(tmp_path, clock, receiving.url) as registry:
        event = happens(registry, 3)
        told = deliverer(registry, clock, receiving.url).step()
        assert (told.delivered, told.failed) == (1, 0)
        assert deliverer(registry, clock, receiving.url).step().delivered == 0
    [message] = receiving.heard()
    headers, body = message["headers"], message["body"]
    assert message["path"] == "/hook?a=b"
    assert json.loads(body) == {
        "type": "deployed",
        "timestamp": "2026-03-04T05:06:07Z",
        "event": event,
        "model": "credit",
        "version": "credit:3",
        "actor": "ann",
        "reason": "why",
        "evidence": {"n": 3},
    }
    assert headers["webhook-timestamp"] == str(int(clock.now.timestamp()))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["content-type"] == "application/json"


def test_only_the_events_that_a_webhook_asked_for_are_told_to_it(tmp_path: Path, clock: Clock) -> None:
    with opened(tmp_path, clock, "http://127.0.0.1:9/a", kinds=("deployed",)) as registry:
        happens(registry, 1)
        happens(registry, 2, "registered")
        due = registry.outbox.due("credit", "http://127.0.0.1:9/a", limit=10)
        assert [each.event.version for each in due] == [1]
        assert registry.outbox.due("another", "http://127.0.0.1:9/a", limit=10) == []


def test_an_event_that_is_rolled_back_is_told_to_nobody(tmp_path: Path, clock: Clock) -> None:
    url = "http://127.0.0.1:9/a"
    with opened(tmp_path, clock, url) as registry:
        with pytest.raises(RuntimeError), registry._database.write() as connection:
            events.write(connection, "deployed", at=clock(), actor="ann", model="credit")
            raise RuntimeError
        assert registry.outbox.due("credit", url, limit=10) == []


def test_a_failed_attempt_is_repeated_later_under_the_same_id(tmp_path: Path, receiving: Any, clock: Clock) -> None:
    receiving.start("500")
    with opened(tmp_path, clock, receiving.url) as registry:
        happens(registry, 1)
        said: list[str] = []
        mine = deliverer(registry, clock, receiving.url, said=said)
        assert mine.step().failed == 1
        assert mine.step().failed == 0  # not due yet
        assert "it answered 500" in said[0]
        [standing] = registry.outbox.standings("credit")
        assert (standing.counts["pending"], standing.error) == (1, "it answered 500")
        receiving.kill()
        receiving.start()
        clock.now += timedelta(seconds=6)
        assert mine.step().delivered == 1
    first, second = receiving.heard()
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    assert first["body"] == second["body"]
    assert first["headers"]["webhook-signature"] != second["headers"]["webhook-signature"]  # of another time


def test_what_never_works_is_given_up_aloud_and_can_be_tried_again(
    tmp_path: Path, receiving: Any, clock: Clock
) -> None:
    with opened(tmp_path, clock, receiving.url) as registry:  # nobody listens there
        happens(registry, 1)
        said: list[str] = []
        mine = deliverer(registry, clock, receiving.url, said=said)
        for attempt in range(1, ATTEMPTS + 1):
            told = mine.step()
            assert (told.failed, told.given_up) == ((1, 0) if attempt < ATTEMPTS else (0, 1))
            clock.now += timedelta(seconds=LONGEST_PAUSE)
        assert f"after {ATTEMPTS} attempts" in said[-1]
        [event] = registry.latest_events("credit", kinds=[GIVEN_UP])
        assert event.evidence["attempts"] == ATTEMPTS and event.version == 1
        # The event about it is told to nobody: it would be given up too, for ever.
        assert registry.outbox.standings("credit")[0].counts == {
            "pending": 0,
            "delivered": 0,
            "given_up": 1,
            "dropped": 0,
        }
        receiving.start()
        assert registry.outbox.retry("credit") == 1
        assert mine.step().delivered == 1
    assert len(receiving.heard()) == 1


def test_redirects_are_not_followed(tmp_path: Path, receiving: Any, clock: Clock) -> None:
    receiving.start("307", receiving.url.replace("/hook", "/elsewhere"))
    with opened(tmp_path, clock, receiving.url) as registry:
        happens(registry, 1)
        said: list[str] = []
        assert deliverer(registry, clock, receiving.url, said=said).step().failed == 1
    assert "redirects are not followed" in said[0]
    assert [each["path"] for each in receiving.heard()] == ["/hook?a=b"]


def test_one_deliverer_at_a_time_and_the_next_one_when_it_is_gone(tmp_path: Path, receiving: Any, clock: Clock) -> None:
    receiving.start()
    with opened(tmp_path, clock, receiving.url) as registry:
        happens(registry, 1)
        assert registry.outbox.hold("webhooks of credit", "somebody who died", seconds=30)
        mine = deliverer(registry, clock, receiving.url)
        assert mine.step().held_elsewhere
        clock.now += timedelta(seconds=31)
        assert mine.step().delivered == 1
        assert not registry.outbox.hold("webhooks of credit", "another", seconds=30)
        mine.release()
        assert registry.outbox.hold("webhooks of credit", "another", seconds=30)


def test_a_webhook_that_does_not_answer_keeps_no_other_waiting(tmp_path: Path, receiving: Any, clock: Clock) -> None:
    receiving.start()
    dead = "http://127.0.0.1:9/dead"
    with opened(tmp_path, clock, receiving.url, dead) as registry:
        for number in range(1, 4):
            happens(registry, number)
        told = deliverer(registry, clock, receiving.url, dead).step()
    assert (told.delivered, told.failed) == (3, 3)


def test_a_webhook_that_was_taken_out_is_told_nothing_more(tmp_path: Path, clock: Clock) -> None:
    url = "http://127.0.0.1:9/a"
    with opened(tmp_path, clock, url) as registry:
        happens(registry, 1)
        registry.outbox.subscribe("credit", [])
        happens(registry, 2)
        assert registry.outbox.due("credit", url, limit=10) == []
        registry.outbox.subscribe("credit", [Subscription(url=url)])
        happens(registry, 3)
        assert [each.event.version for each in registry.outbox.due("credit", url, limit=10)] == [3]


def test_the_pauses_grow_and_end() -> None:
    longest = [pause(failed, lambda: 1.0) for failed in range(1, ATTEMPTS + 1)]
    assert longest[:3] == [5.0, 10.0, 20.0] and longest[-1] is None
    assert all(each is not None and each <= LONGEST_PAUSE for each in longest[:-1])
    assert pause(1, lambda: 0.0) == 2.5


def test_a_message_is_never_longer_than_its_bound(tmp_path: Path, clock: Clock) -> None:
    with opened(tmp_path, clock, "http://127.0.0.1:9/a") as registry:
        registry.record("deployed", actor="ann", model="credit", reason="é" * 200_000, evidence={"x": "y" * 300_000})
        [due] = registry.outbox.due("credit", "http://127.0.0.1:9/a", limit=1)
    body = body_of(due.event)
    assert len(body) <= MAX_BODY and json.loads(body)["evidence_left_out"]


def test_the_project_file_knows_the_kinds_of_events() -> None:
    kinds = {value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)}
    assert set(EVENTS) == kinds


def test_exactly_the_events_arrive_though_both_ends_are_killed(tmp_path: Path, receiving: Any) -> None:
    """Both are killed again and again while events happen; nothing is lost, and an id is one event."""
    state = tmp_path / ".mainstay"
    workers: list[subprocess.Popen[bytes]] = []

    def deliver() -> None:
        command = [sys.executable, str(HERE / "deliver_worker.py"), str(state), "credit", receiving.url]
        workers.append(subprocess.Popen(command))

    receiving.start()
    happened: list[int] = []
    try:
        with opened(tmp_path, utc_now, receiving.url) as registry:
            for turn in range(4):
                deliver()
                before = len(receiving.heard())
                happened += [happens(registry, turn * 100 + number) for number in range(1, 31)]
                until = time.monotonic() + 30
                while len(receiving.heard()) < before + 5 and time.monotonic() < until:
                    time.sleep(0.005)
                workers[-1].kill()
                workers[-1].wait()
                if turn % 2:
                    receiving.kill()
                    receiving.start()
            deliver()
            until = time.monotonic() + 60
            while (counts := registry.outbox.standings("credit")[0].counts)["pending"] and time.monotonic() < until:
                time.sleep(0.05)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert counts["delivered"] == len(happened) == 120
    by_id: dict[str, set[int]] = {}
    for message in receiving.heard():
        by_id.setdefault(message["headers"]["webhook-id"], set()).add(json.loads(message["body"])["event"])
    assert all(len(told) == 1 for told in by_id.values())
    assert sorted(event for told in by_id.values() for event in told) == happened
