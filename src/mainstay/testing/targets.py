"""What a rollout may rely on wherever its servers run.

class TestMine(TargetContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]: ...  # a target, and servers that the suite may start and end
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from mainstay.registry.plans import WHOLE, Plan
from mainstay.registry.records import Rollout, Version
from mainstay.targets.protocol import Standing, Target

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Place(Protocol):
    """A target to be tried, and its servers."""

    target: Target

    def start(self) -> str:
        """Starts a server that follows the registry; its name."""

    def change(self) -> None:
        """Has the registry reach another generation, which no server has followed yet."""

    def catch_up(self, server: str, *, error: str | None = None) -> None:
        """Has a server follow the registry; with an error, but for the rollout's candidate."""

    def kill(self, server: str) -> None:
        """Ends a server without a word, and lets the time pass in which that is noticed."""


def version(number: int, **more: Any) -> Version:
    """A version of the rollout that the suite asks with."""
    return Version(
        id=f"version-{number}",
        model="credit",
        number=number,
        content_id=f"{number:064d}",
        format="onnx",
        passed=True,
        deployed=number == 1,
        actor="test",
        created_at=LONG_AGO,
        summary={},
        **more,
    )


def rollout(**more: Any) -> Rollout:
    """The rollout that the suite asks with: credit:2 in the place of credit:1."""
    facts: dict[str, Any] = {
        "id": "rollout-1",
        "stable": version(1),
        "candidate": version(2),
        "plan": Plan(strategy="canary", steps=(100, WHOLE)),
        "state": "validating",
        "step": 0,
        "mode": "probe",
        "share": 0,
        "held": 0.0,
        "beat": 0,
        "reason": "",
        "why": "",
        "actor": "test",
        "verdict": {},
        "approvals": (),
        "started_at": LONG_AGO,
        "since": LONG_AGO,
        "ended_at": None,
        "revision": 1,
    }
    return Rollout(**(facts | more))


class TargetContract:
    """Takes the fixture `place`."""

    def test_without_servers_nothing_is_acknowledged(self, place: Place) -> None:
        assert place.target.standing(rollout()) == Standing(servers=0, acknowledged=False)

    def test_every_server_has_to_follow_before_it_counts_as_done(self, place: Place) -> None:
        one, two = place.start(), place.start()
        place.change()
        place.catch_up(one)
        found = place.target.standing(rollout())
        assert (found.servers, found.acknowledged, found.errors) == (2, False, {})
        place.catch_up(two)
        assert place.target.standing(rollout()).acknowledged

    def test_a_server_that_died_is_not_waited_for(self, place: Place) -> None:
        one, two = place.start(), place.start()
        place.change()
        place.catch_up(one)
        place.kill(two)
        assert place.target.standing(rollout()) == Standing(servers=1, acknowledged=True)

    def test_what_a_server_cannot_bring_up_is_told_with_its_name(self, place: Place) -> None:
        one, two = place.start(), place.start()
        place.change()
        place.catch_up(one)
        place.catch_up(two, error="no memory")
        assert place.target.standing(rollout()).errors == {two: "no memory"}

    @pytest.mark.parametrize("state", ["validating", "progressing", "rolling_back", "rolled_back"])
    def test_to_bring_twice_is_to_bring_once(self, place: Place, state: str) -> None:
        place.start()
        ended = LONG_AGO if state == "rolled_back" else None
        wanted = rollout(state=state, mode="off" if ended else "probe", ended_at=ended)
        place.target.bring(wanted)
        before = place.target.standing(wanted)
        place.target.bring(wanted)
        assert place.target.standing(wanted) == before
