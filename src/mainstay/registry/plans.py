"""What a rollout is asked to do: by which strategy, in which steps, held against what. Kept with it, as JSON."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

WHOLE = 10_000
"""All of the traffic: shares are whole ten-thousandths, so that 0.01 % is exact."""


def percent(share: int) -> float:
    """A share of the traffic (ten-thousandths) as percent."""
    return 100 * share / WHOLE


Strategy = Literal["recreate", "rolling", "blue-green", "canary", "shadow", "ab"]


class Sticky(Struct, frozen=True, kw_only=True):
    """What decides where a caller belongs, so that he stays with one version: a header or an input column."""

    header: str | None = None
    """Name in lower case."""
    field: str | None = None


class Checks(Struct, frozen=True, kw_only=True):
    """What the candidate is held against, beside the stable version."""

    false_alarms: float = 0.01
    """The probability at most that a candidate which is no worse is rolled back, over the whole rollout, all measures
    together, however often somebody looks."""
    least: int = 100
    """Requests that the candidate must have answered in a step before the step can pass."""
    slowdown: float = 1.1
    """How many times the stable version's computing time the candidate may take, and `slack` seconds more."""
    slack: float = 0.005
    error_limit: float = 0.01
    """Share of failed requests that is too many where no stable version answers at the same time: after a blue-green
    switch, and of a rolling update."""
    changed: float | None = None
    """Share of rows that may be answered otherwise than by the stable version; None: any."""
    shift: float | None = None
    """How far the candidate's scores may be from the stable version's: the largest difference of the two cumulative
    distributions, from 0 to 1; None: any."""
    least_labels: int = 0
    """Requests of the candidate's that must have a label before a step passes."""
    most: int | None = None
    """A/B: requests to both versions after which it ends without a difference found; None: only `patience` ends it."""


class Plan(Struct, frozen=True, kw_only=True):
    """How a rollout goes."""

    strategy: Strategy
    steps: tuple[int, ...] = (WHOLE,)
    """Shares of the traffic (ten-thousandths), each larger than the one before. Canary: the last is all of it. Shadow:
    one, of the requests that are copied. A/B: one, the candidate's. Rolling and blue-green: (WHOLE,)."""
    hold: float = 600.0
    """Seconds that each step lasts at least; of a rolling update, that each worker runs before the next follows."""
    warm: float = 600.0
    """Blue-green: seconds that the old version is kept ready, and the new one watched, after the switch."""
    patience: float = 86_400.0
    """Seconds after which a step that still lacks evidence is inconclusive, and waits for a person; so is an A/B test
    without a verdict."""
    sticky: Sticky | None = None
    checks: Checks = Checks()
    approvers: tuple[str, ...] = ()
    """Names of API keys, one of which has to approve before the candidate gets any traffic; none: nobody need."""
    freeze: tuple[str, ...] = ()
    """Windows in which nothing goes forward, as the project file has them; going back is always right."""
    at_end: Literal["promote", "ask"] = "promote"
    """What a successful end (of A/B: the candidate is better) brings: the candidate becomes the stable version, or a
    person is asked to promote it."""
