"""What a rollout asks of the place where its servers run. `mainstay.testing.targets` holds each target to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mainstay.registry.records import Rollout


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the servers of a model stand."""

    servers: int
    """That live."""
    acknowledged: bool
    """Whether each of them serves what the registry says; false where there is none."""
    errors: dict[str, str] = field(default_factory=dict)
    """By server, why it cannot bring up the rollout's other version."""


class Target(Protocol):
    """One kind of place."""

    name: str

    def bring(self, rollout: Rollout) -> None:
        """Sees to it that there is what the rollout needs in its present state, and nothing of one that has ended.

        Called again and again, also by a successor that knows nothing: what is there already stays as it is.

        Raises:
            MachineError: not now.
        """

    def standing(self, rollout: Rollout) -> Standing:
        """How the servers stand to the registry's present generation.

        Raises:
            MachineError: it cannot be told now.
        """
