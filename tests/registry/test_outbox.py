"""The outbox on every database: what is due, to whom, and who may tell it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from registry_drafts import Clock

from mainstay.registry.outbox import GIVEN_UP, Subscription
from mainstay.registry.store import Registry

URL = "https://example.com/hook"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def registry(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Registry]:
    if request.param == "sqlite":
        opened = Registry.open(tmp_path, clock=clock)
    else:
        opened = Registry.open(request.getfixturevalue("postgres_url"), blobs=tmp_path / "blobs", clock=clock)
    with opened as registry:
        yield registry


def test_what_is_due_ends_or_comes_again_and_one_tells_it(registry: Registry, clock: Clock) -> None:
    outbox = registry.outbox
    outbox.subscribe("credit", [Subscription(url=URL, kinds=("deployed",))])
    outbox.subscribe("other", [Subscription(url=URL)])
    for kind in ("deployed", "registered", "deployed"):
        registry.record(kind, actor="ann", model="credit", evidence={"x": 1})
    first, second = outbox.due("credit", URL, limit=10)
    assert len(outbox.due("other", URL, limit=10)) == 3
    assert first.event.id < second.event.id and first.event.evidence == {"x": 1}
    outbox.delivered(first)
    outbox.failed(second, "it answered 500", again_at=clock() + timedelta(seconds=5))
    assert outbox.due("credit", URL, limit=10) == []
    clock.turn(5)
    [again] = outbox.due("credit", URL, limit=10)
    assert (again.id, again.attempts) == (second.id, 1)
    outbox.give_up(again, "it answered 500", actor="ann")
    assert registry.latest_events("credit", kinds=[GIVEN_UP])[0].evidence["attempts"] == 2
    [standing] = outbox.standings("credit")
    assert standing.counts == {"pending": 0, "delivered": 1, "given_up": 1, "dropped": 0}
    assert outbox.retry("credit") == 1
    outbox.subscribe("credit", [])
    assert outbox.due("credit", URL, limit=10) == []
    assert outbox.hold("lease", "a", seconds=5) and not outbox.hold("lease", "b", seconds=5)
    clock.turn(6)
    assert outbox.hold("lease", "b", seconds=5)
    outbox.release("lease", "b")
    assert outbox.hold("lease", "a", seconds=5)
