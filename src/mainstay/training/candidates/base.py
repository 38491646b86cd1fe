"""What a family of estimators is, and what it is told about the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstay.models.signature import Task
from mainstay.training.features import Recipe

LARGE = 2_000_000
"""Rows times features from which a second thread is worth its trouble."""

Value = bool | int | float | str | None
Params = Mapping[str, Value]


@dataclass(frozen=True)
class Setting:
    """What the rows to fit on are like."""

    task: Task
    rows: int
    width: int
    """Features."""
    classes: int
    """0 for a regression."""
    spread: float
    """Standard deviation of a regression's target; 1 for classes."""
    categorical: tuple[int, ...]
    """Features that are category codes."""
    seed: int

    @property
    def classifies(self) -> bool:
        return self.task != "regression"

    @property
    def threads(self) -> int:
        """Threads of a fit. By the data alone, so that every machine fits the same model."""
        return 2 if self.rows * self.width >= LARGE else 1


@dataclass(frozen=True)
class Real:
    """A real number between bounds, both included."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Whole:
    """An integer between bounds, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class OneOf:
    """One of some values."""

    values: tuple[Value, ...]


Range = Real | Whole | OneOf


def _never(_: Setting) -> str | None:
    return None


def _constant(_: Params) -> float:
    return 1.0


@dataclass(frozen=True, kw_only=True)
class Family:
    """A sort of estimator: how one is built, where the search starts, and where it may go."""

    name: str
    recipe: Recipe
    """The features that it is given."""
    starts: tuple[Params, ...]
    """Parameters tried first; the first of them are the defaults."""
    space: Mapping[str, Range]
    build: Callable[[Params, Setting], Any]
    """An estimator that is not fitted yet."""
    refuses: Callable[[Setting], str | None] = field(default=_never)
    """Why the family is left out for such data, or None."""
    effort: Callable[[Params], float] = field(default=_constant)
    """How long a fit takes in comparison to another of the same family."""
    growth: float = 1.0
    """A fit of twice the rows takes 2 ** growth times as long."""
    sparse: bool = False
    """Whether a fit on a sparse matrix gives the same dense estimator, only sooner where most features are 0."""
    text: bool = False
    """Whether the search also chooses how texts are taken apart."""


def number(params: Params, name: str) -> float:
    """A numeric parameter."""
    value = params[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} = {value!r} is no number")
    return value
