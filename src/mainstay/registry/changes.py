"""One move of a rollout, as it is asked of the registry."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from mainstay.registry.records import CandidateMode, RolloutState

Traffic = Literal["candidate", "stable"]
Answer = Literal["better", "worse", "no difference found"]
"""What an A/B test says of the candidate."""


class Change(Struct, frozen=True, kw_only=True):
    """What a rollout is to become, all of it in one transaction."""

    state: RolloutState
    step: int
    mode: CandidateMode
    share: int
    """In ten-thousandths, of what the mode is about; once the candidate has all of the traffic, all of it."""
    held: float = 0.0
    """Seconds of the step that count as held already: a pause keeps them, a new step begins without."""
    verdict: dict[str, Any] | None = None
    """The analysis that it rests on; None: the last one stays."""
    traffic: Traffic | None = None
    """Which version becomes the deployment's with it; None: none does."""
    answer: Answer | None = None
    """The verdict that an A/B test ends with: an event of its own tells of it."""
