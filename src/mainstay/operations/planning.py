"""From a project's [rollout] and the words of a command to the plan of a rollout. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast, get_args

import msgspec

from mainstay.errors import MainstayError
from mainstay.project_rollout import (
    RolloutTable,
    problem_of_patience,
    problem_of_share,
    problem_of_steps,
    problem_of_sticky,
    unknown_strategy,
)
from mainstay.registry.plans import WHOLE, Checks, Plan, Sticky, Strategy
from mainstay.rollout.windows import window_of
from mainstay.settings import NoLength, seconds_of

_BELONGS: dict[str, tuple[Strategy, ...]] = {
    "steps": ("canary",),
    "share": ("shadow", "ab"),
    "hold": ("canary", "rolling", "shadow", "ab"),
    "warm": ("blue-green",),
    "patience": ("canary", "rolling", "blue-green", "shadow", "ab"),
    "sticky": ("canary", "ab"),
    "at_end": ("canary", "shadow", "ab"),
}
"""The strategies that a word says something about."""
_SHARES = {"shadow": 100.0, "ab": 50.0}
"""Percent, where nobody says."""


class BadPlan(MainstayError):
    """What was asked of a rollout cannot be meant."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a command says of a rollout, as it was typed; None: nothing, so that the project's word counts."""

    strategy: str | None = None
    steps: str | None = None
    """Shares in percent, parted by commas."""
    share: float | None = None
    """Percent."""
    hold: str | None = None
    warm: str | None = None
    patience: str | None = None
    sticky: str | None = None
    at_end: str | None = None


def plan_of(said: RolloutTable, wishes: Wishes, columns: Collection[str]) -> Plan | None:
    """The plan of a rollout, what was typed before what the project says; None: the version takes the traffic at once.

    "recreate" is a rollout only where somebody has to approve it or a window may be closed.

    Args:
        columns: the inputs of the version that answers until now, by name; empty, where it has none.

    Raises:
        BadPlan: an unknown strategy; a word that the strategy does not know; steps that do not grow, or do not end with
            100; a share or a length of time that is none; a field that is no input.
        NoWindow: of the project's freeze windows, one is none.
    """
    strategy = _strategy(wishes.strategy if wishes.strategy is not None else said.strategy or "recreate")
    for word, strategies in _BELONGS.items():
        if getattr(wishes, word) is not None and strategy not in strategies:
            raise BadPlan(
                f"--{word.replace('_', '-')} belongs to {_listed(strategies)}, and this rollout is {strategy}: "
                f"leave it out, or add --strategy {strategies[0]}."
            )
    if strategy == "recreate" and not said.require_approval and not said.freeze:
        return None
    hold, warm = _seconds("hold", wishes.hold, said.hold), _seconds("warm", wishes.warm, said.warm)
    patience = _seconds("patience", wishes.patience, said.patience)
    if problem := problem_of_patience(patience, hold):
        raise BadPlan(f"--patience: {problem}")
    at_end = _end(wishes.at_end or said.at_end or ("ask" if strategy == "ab" else "promote"))
    return Plan(
        strategy=strategy,
        steps=_steps(strategy, said, wishes),
        hold=hold,
        warm=warm,
        patience=patience,
        sticky=_sticky(strategy, said, wishes, columns),
        checks=Checks(
            false_alarms=said.checks.false_alarms,
            least=said.checks.least,
            slowdown=said.checks.slowdown,
            slack=seconds_of(said.checks.slack),
            error_limit=said.checks.error_limit,
            changed=said.checks.changed,
            shift=said.checks.shift,
            least_labels=said.checks.least_labels,
            most=said.checks.most,
        ),
        approvers=said.require_approval,
        freeze=tuple(window_of(text).text for text in said.freeze),
        at_end="ask" if at_end == "ask" else "promote",
    )


def _strategy(said: str) -> Strategy:
    if said not in get_args(Strategy):
        raise BadPlan(f"--strategy {unknown_strategy(said)}")
    return cast("Strategy", said)


def _steps(strategy: Strategy, said: RolloutTable, wishes: Wishes) -> tuple[int, ...]:
    """Ten-thousandths."""
    if strategy == "canary":
        steps = said.steps if wishes.steps is None else _numbers(wishes.steps)
        if problem := problem_of_steps(steps):
            raise BadPlan(f"--steps: {problem}")
        return tuple(_ten_thousandths(step) for step in steps)
    if strategy in _SHARES:
        share = next(value for value in (wishes.share, said.share, _SHARES[strategy]) if value is not None)
        if problem := problem_of_share(share):
            raise BadPlan(f"--share: {problem}")
        if strategy == "ab" and share == 100:
            raise BadPlan("--share: 100 leaves nothing for the other version: a comparison needs both, such as 50.")
        return (_ten_thousandths(share),)
    return (WHOLE,)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part.strip().removesuffix("%")) for part in text.split(","))
    except ValueError:
        raise BadPlan(
            f"--steps {text!r} is no list of shares: write them in percent, parted by commas, such as 1,5,25,50,100."
        ) from None


def _ten_thousandths(percent: float) -> int:
    return round(percent * WHOLE / 100)


def _seconds(word: str, typed: str | None, said: str) -> float:
    try:
        return seconds_of(said if typed is None else typed)
    except NoLength as error:
        raise BadPlan(f"--{word}: {error}") from None


def _sticky(strategy: Strategy, said: RolloutTable, wishes: Wishes, columns: Collection[str]) -> Sticky | None:
    text = said.sticky if wishes.sticky is None else wishes.sticky
    if text is None or strategy not in _BELONGS["sticky"]:
        return None
    if problem := problem_of_sticky(text, columns):
        raise BadPlan(f"--sticky: {problem}")
    kind, _, name = text.partition(":")
    return Sticky(header=name.lower()) if kind == "header" else Sticky(field=name)


def _end(said: str) -> str:
    if said not in ("promote", "ask"):
        raise BadPlan(f'--at-end {said!r} is neither "promote" nor "ask".')
    return said


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
