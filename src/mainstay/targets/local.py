"""The servers that somebody runs with `mainstay up` or `mainstay serve`, on this machine or on several.

They follow the registry and start host processes by themselves: there is nothing to bring.
"""

from __future__ import annotations

from typing import Protocol

from mainstay.registry.records import Member, Rollout
from mainstay.targets.protocol import Standing


class Members(Protocol):
    """What is asked of the registry."""

    def generation(self) -> int: ...
    def members(self) -> list[Member]: ...


class Local:
    """Servers as they are."""

    name = "local"

    def __init__(self, registry: Members) -> None:
        self._registry = registry

    def bring(self, rollout: Rollout) -> None:
        """Nothing: each server has its agent."""

    def standing(self, rollout: Rollout) -> Standing:
        """What the servers that live told the registry last."""
        # Asked in this order: a server that acknowledges between the two has acknowledged no less.
        generation = self._registry.generation()
        members = self._registry.members()
        # Where it takes the traffic it is called by its model's name, as what cannot be brought up there is.
        called = rollout.model if rollout.state in ("promoting", "watching") else rollout.candidate.ref
        errors = {member.url: member.errors[called] for member in members if called in member.errors}
        return Standing(
            servers=len(members),
            acknowledged=bool(members) and all(member.generation >= generation for member in members),
            errors=errors,
        )
