"""What each strategy has servers do with the candidate, in each state and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mainstay.registry.plans import WHOLE, Plan, Strategy
from mainstay.registry.records import CandidateMode, Rollout, RolloutState, Version


class Strategic(NamedTuple):
    """A strategy, as its modes."""

    traffic: CandidateMode | None
    """While steps are gone through; None: there are none, it is promoted at once."""
    switched: CandidateMode
    """After the candidate has become the stable version."""


STRATEGIES: Mapping[Strategy, Strategic] = {
    "recreate": Strategic(None, "off"),
    "rolling": Strategic("rolling", "off"),
    "blue-green": Strategic("warm", "warm"),
    "canary": Strategic("split", "off"),
    "shadow": Strategic("shadow", "off"),
    "ab": Strategic("split", "off"),
}


class Asked(NamedTuple):
    """What servers are to do with the candidate."""

    mode: CandidateMode
    share: int
    """In ten-thousandths. Once the candidate is the stable version, all."""


def asked(plan: Plan, state: RolloutState, step: int, *, before: int = 0, workers: int = 1) -> Asked:
    """What servers are to do in a state and step, which is reached from a share.

    Args:
        before: the share until now; a rolling update goes on from there.
        workers: of a server; a rolling update takes one after the other.
    """
    strategy = STRATEGIES[plan.strategy]
    if state == "progressing" and strategy.traffic is not None:
        return Asked(strategy.traffic, _share(plan, step, before, workers))
    if state in ("promoting", "watching"):
        return Asked(strategy.switched, WHOLE)
    if state in ("validating", "waiting"):
        return Asked("probe", 0)
    return Asked("off", WHOLE if state == "completed" else 0)


def _share(plan: Plan, step: int, before: int, workers: int) -> int:
    if plan.strategy == "blue-green":
        return 0  # ready, and no more
    return next_worker(before, workers) if plan.strategy == "rolling" else plan.steps[step]


def next_worker(share: int, workers: int) -> int:
    """The share of workers after one more has followed; rounded down, as servers round it up."""
    following = round(share * workers / WHOLE) + 1
    return WHOLE if following >= workers else following * WHOLE // workers


def has_steps(plan: Plan) -> bool:
    """Whether the candidate goes through steps before it is promoted."""
    return STRATEGIES[plan.strategy].traffic is not None


def at_last(rollout: Rollout) -> bool:
    """Whether nothing is left to go through but the promotion."""
    if rollout.plan.strategy == "rolling":
        return rollout.share >= WHOLE
    return rollout.step >= len(rollout.plan.steps) - 1


def expected(rollout: Rollout) -> Version:
    """The version that takes the traffic, unless somebody has changed that by hand."""
    return rollout.candidate if switched(rollout) else rollout.stable


def switched(rollout: Rollout) -> bool:
    """Whether the candidate has become the stable version."""
    if rollout.state == "paused":
        return rollout.mode == "warm" and rollout.share == WHOLE
    return rollout.state in ("promoting", "watching", "completed")
