"""What an analysis of a rollout's evidence says: a result for each measure, and one for all of them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from mainstay.registry.changes import Answer

Result = Literal["pending", "running", "successful", "failed", "error", "inconclusive"]
"""pending: there is no evidence yet. running: there is some, and not enough. successful: enough, and nothing against
the candidate. failed: enough against it. error: it could not be measured. inconclusive: no rule can decide it."""


class Measured(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one measure says."""

    name: str
    """Such as "errors"."""
    result: Result
    words: str
    """The result with its numbers, for people."""
    numbers: dict[str, float] = {}
    """What it was decided by."""
    e_value: float | None = None
    """The evidence against the candidate of a measure that is tested (for it, where it is to be better): 1 is none,
    `1 / false_alarms` is enough."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What an A/B test says of the candidate."""

    answer: Answer
    words: str
    """With what it rests on, for people; begins with the answer."""


class Analysis(Struct, frozen=True, kw_only=True):
    """What all measures say together of one step."""

    result: Result
    words: str
    """Why, for people."""
    measures: tuple[Measured, ...] = ()
    verdict: Verdict | None = None
    """Of an A/B test, as it stands: it may still change, until it ends the test."""
