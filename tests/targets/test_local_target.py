"""The servers of this machine, held to what a rollout relies on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mainstay.registry.records import Member
from mainstay.registry.store import Registry
from mainstay.targets.local import Local
from mainstay.testing.drafts import Clock
from mainstay.testing.registry import add
from mainstay.testing.targets import TargetContract, rollout


class _Servers:
    """Members of a real registry, which do what the suite says."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry, self._clock, self.target = registry, clock, Local(registry)
        self._members: dict[str, Member] = {}

    def start(self) -> str:
        number = len(self._members) + 1
        url = f"http://127.0.0.1:{8000 + number}"
        self._beat(url, Member(id=str(number), host="here", pid=number, url=url, started_at=self._clock.now))
        return url

    def change(self) -> None:
        number = len(self._registry.versions("credit")) + 1 if "credit" in self._registry.models() else 1
        present = self._registry.deployment("credit") if number > 1 else None
        added = add(self._registry, "credit")
        self._registry.deploy(added, expecting=present and present.version, actor="test")

    def catch_up(self, server: str, *, error: str | None = None) -> None:
        member = self._members[server]
        errors = {} if error is None else {rollout().candidate.ref: error}
        told = {"generation": self._registry.generation(), "errors": errors}
        facts = {name: getattr(member, name) for name in ("id", "host", "pid", "url", "started_at")}
        self._beat(server, Member(**facts, **told))

    def kill(self, server: str) -> None:
        del self._members[server]
        self._clock.now += timedelta(minutes=5)
        for url, member in self._members.items():
            self._beat(url, member)

    def _beat(self, url: str, member: Member) -> None:
        self._members[url] = member
        self._registry.beat(member)


class TestLocal(TargetContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[_Servers]:
        clock = Clock()
        with Registry.open(tmp_path / "state", clock=clock) as registry:
            yield _Servers(registry, clock)


def test_what_was_switched_to_is_called_by_its_models_name(tmp_path: Path):
    clock = Clock()
    with Registry.open(tmp_path / "state", clock=clock) as registry:
        registry.beat(
            Member(id="1", host="here", pid=1, url="http://a", started_at=clock.now, errors={"credit": "wrong answers"})
        )
        target = Local(registry)
        assert target.standing(rollout(state="promoting", mode="off")).errors == {"http://a": "wrong answers"}
        assert target.standing(rollout(state="progressing", mode="split")).errors == {}
