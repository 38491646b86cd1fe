"""`[rollout]` of `mainstay.toml`: how a version takes the place of another, and what stands in its way."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Literal

from mainstay.errors import did_you_mean
from mainstay.settings import NoLength, Struct, seconds_of

STRATEGIES = ("recreate", "rolling", "blue-green", "canary", "shadow", "ab")
LEAST_SHARE = 0.01
"""Percent: shares are kept as whole ten-thousandths."""
LONGEST_NAME = 128
SHOWN = 20
"""Columns that an error lists at most."""
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


class RolloutChecks(Struct, frozen=True):
    """What the new version is held against, beside the one in place. Without evidence a step never passes."""

    false_alarms: float = 0.01
    """Probability at most that a version which is no worse is rolled back: in a whole rollout, all checks together."""
    least: int = 100
    """Requests that the new version must have answered in a step before the step can pass."""
    slowdown: float = 1.1
    """How many times the computing time of the version in place it may take, and `slack` more."""
    slack: str = "5ms"
    """Time on top of that, such as "5ms"."""
    error_limit: float = 0.01
    """Share of failed requests that is too many where no other version answers at the same time: after a blue-green
    switch, and of a rolling update."""
    changed: float | None = None
    """Share of rows that may be answered otherwise than by the version in place, from 0 to 1; by default any."""
    shift: float | None = None
    """How far its scores may be from those of the version in place (Kolmogorov-Smirnov), 0 to 1; by default any."""
    least_labels: int = 0
    """Requests of its own whose true outcome must have come before a step passes."""
    most: int | None = None
    """A/B: requests to both versions after which it ends without a verdict for either; by default, only `patience`
    ends it."""


class RolloutTable(Struct, frozen=True):
    """How a version takes the place of another, where `mainstay deploy` says no other way."""

    strategy: str | None = None
    """"recreate" (at once), "rolling", "blue-green", "canary", "shadow" or "ab"; by default at once."""
    steps: tuple[int | float, ...] = (1, 5, 25, 50, 100)
    """Canary: its share of the traffic in percent, step by step; the last is 100."""
    share: float | None = None
    """A/B: its share of the traffic in percent, by default 50. Shadow: of the requests that are copied, by default
    100."""
    hold: str = "10m"
    """How long each step lasts at least; of a rolling update, each worker before the next one."""
    warm: str = "10m"
    """Blue-green: how long the old version is kept ready, and the new one watched, after the switch."""
    patience: str = "1d"
    """How long a step may lack evidence, and an A/B test a verdict, before the rollout pauses and waits for a
    person."""
    sticky: str | None = None
    """What keeps a caller with one version: "header:NAME" or "field:COLUMN", such as "header:x-user"; else nothing."""
    require_approval: tuple[str, ...] = ()
    """Names of API keys, one of which has to approve a version before it gets traffic."""
    freeze: tuple[str, ...] = ()
    """Windows in which nothing goes forward; see the page on rollouts. Going back is always possible."""
    at_end: Literal["promote", "ask"] | None = None
    """What a successful end (of A/B: it is better) brings: "promote" it, or "ask" a person to; by default promote, of
    A/B ask."""
    checks: RolloutChecks = RolloutChecks()


def problems_of_rollout(said: RolloutTable, columns: Collection[str]) -> Iterator[str]:
    """What cannot be meant in a [rollout] table, a sentence each."""
    if said.strategy is not None and said.strategy not in STRATEGIES:
        yield f"[rollout] strategy = {unknown_strategy(said.strategy)}"
    if problem := problem_of_steps(said.steps):
        yield f"[rollout] steps: {problem}"
    if said.share is not None and (problem := problem_of_share(said.share)):
        yield f"[rollout] share: {problem}"
    lengths = {}
    for key, text in (("hold", said.hold), ("warm", said.warm), ("patience", said.patience)):
        try:
            lengths[key] = seconds_of(text)
        except NoLength as error:
            yield f"[rollout] {key}: {error}"
    if len(lengths) > 2 and (problem := problem_of_patience(lengths["patience"], lengths["hold"])):
        yield f"[rollout] patience: {problem}"
    if said.sticky is not None and (problem := problem_of_sticky(said.sticky, columns)):
        yield f"[rollout] sticky: {problem}"
    for name in said.require_approval:
        if not 0 < len(name) <= LONGEST_NAME:
            yield f"[rollout] require_approval names {name!r}: write the name of an API key (mainstay keys list)."
    yield from _problems_of_checks(said.checks)


def _problems_of_checks(checks: RolloutChecks) -> Iterator[str]:
    where = "[rollout.checks]"
    if not 0 < checks.false_alarms <= 0.5:
        yield f"{where} false_alarms = {checks.false_alarms:g} must be more than 0, and at most 0.5."
    if checks.least < 1:
        yield f"{where} least = {checks.least} must be at least 1: without evidence, no step passes."
    if not 1 <= checks.slowdown <= 1000:
        yield f"{where} slowdown = {checks.slowdown:g} must be from 1 (no slower) to 1000."
    try:
        seconds_of(checks.slack)
    except NoLength as error:
        yield f"{where} slack: {error}"
    for key in ("error_limit", "changed", "shift"):
        value = getattr(checks, key)
        if value is not None and not 0 <= value <= 1:
            yield f"{where} {key} = {value:g} must be a share from 0 to 1."
    if checks.most is not None and checks.most <= checks.least:
        yield f"{where} most = {checks.most} must be larger than least, {checks.least}: else nothing could be found."
    if checks.least_labels < 0:
        yield f"{where} least_labels = {checks.least_labels} must be 0 or more."


def unknown_strategy(said: str) -> str:
    """Why a strategy is none."""
    return f"{said!r} is no strategy." + (did_you_mean(said, STRATEGIES) or f" Known: {', '.join(STRATEGIES)}.")


def problem_of_steps(steps: Sequence[float]) -> str | None:
    """Why shares (percent) are no steps of a canary; None: they are."""
    shown = ",".join(f"{step:g}" for step in steps)
    if not steps:
        return "there is none: write shares in percent, such as 1,5,25,50,100."
    if problem := next((said for step in steps if (said := problem_of_share(step))), None):
        return problem
    for one, other in pairwise(steps):
        if other <= one:
            return f"{other:g} comes after {one:g}, and each has to be larger than the one before."
    if steps[-1] != 100:
        return f"a canary ends with all of the traffic, and {shown} with {steps[-1]:g} %: write {shown},100."
    return None


def problem_of_share(percent: float) -> str | None:
    """Why a number is no share in percent; None: it is."""
    if not LEAST_SHARE <= percent <= 100:
        return f"{percent:g} is no share of the traffic: it goes from {LEAST_SHARE:g} to 100 (percent)."
    if abs(percent * 100 - round(percent * 100)) > 1e-6:
        return f"{percent:g} is finer than shares are, which go by {LEAST_SHARE:g} percent."
    return None


def problem_of_patience(patience: float, hold: float) -> str | None:
    """Why a step could never pass; None: it can."""
    if patience <= hold:
        return "it has to be longer than hold, or every step would end without a verdict."
    return None


def problem_of_sticky(said: str, columns: Collection[str]) -> str | None:
    """Why a text is nothing that callers can be told apart by; None: it is."""
    kind, _, name = said.partition(":")
    if kind not in ("header", "field") or not name:
        return f'{said!r} says neither: write "header:NAME" or "field:COLUMN", such as "header:x-user".'
    if kind == "header" and not _HEADER.fullmatch(name):
        return f"{name!r} is no name of a header: write one such as x-user."
    if kind == "field" and name not in columns:
        return f"{name!r} is no input column{_known(name, columns)}"
    return None


def _known(name: str, columns: Collection[str]) -> str:
    """How the sentence about a column that is none goes on: with the nearest one, or those that there are."""
    if hint := did_you_mean(name, columns):
        return f".{hint}"
    if not columns:
        return ", for there is none: write header:NAME."
    shown, more = ", ".join(list(columns)[:SHOWN]), len(columns) - SHOWN
    return f"; there are {shown}{f' and {more} more' if more > 0 else ''}."
