"""What a search tried: a document kept with the version, from which the winner can be fitted again."""

from __future__ import annotations

from typing import Literal

import msgspec

from mainstay.models.signature import Task
from mainstay.training.candidates.base import Value
from mainstay.training.features import Recipe

State = Literal["complete", "pruned", "failed", "skipped", "stopped"]
"""complete: scored on every fold. pruned: hopeless after some folds. failed: the library raised. skipped: never
begun, or given up as too slow. stopped: a person ended the search during it."""

Combination = Literal["one", "vote", "stack"]


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that says how a model is fitted, but for the rows and the seed."""

    family: str
    """A name of `candidates.CHEAP_FIRST`; "baseline"; or "vote" or "stack" of `members`."""
    params: dict[str, Value] = {}
    recipe: Recipe = Recipe("tree")
    members: tuple[Plan, ...] = ()
    """Of an ensemble: their params count, their recipe is the ensemble's."""

    @property
    def description(self) -> str:
        """For people."""
        if self.members:
            return f"{self.family} of {', '.join(member.family for member in self.members)}"
        return self.family


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One plan, and how it did."""

    number: int
    """0 is the baseline."""
    plan: Plan
    state: State
    reason: str = ""
    """Why it is not complete."""
    fold_scores: tuple[float, ...] = ()
    """On the validation rows of each fold; more is better, a loss is negative; folds that define no score are left
    out."""
    score: float | None = None
    """Their mean; of a complete trial."""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    """What the library warned of."""


class Overfitting(msgspec.Struct, frozen=True, kw_only=True):
    """How much better the winner does on rows that it was fitted on than on rows that it was not."""

    training_score: float
    validation_score: float
    gap: float
    """Difference between the shares of the baseline's error that it removes there and here."""
    flagged: bool
    rule: str


class Trials(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole search."""

    task: Task
    metric: str
    seed: int
    folds: int
    imbalance: Literal["none", "class_weight", "resample"]
    trials: tuple[Trial, ...]
    """In the order in which they were made, the baseline first."""
    winner: int
    """Number of the winning trial: when it was made it was better than the best before by more than a standard error of
    the difference, and no later one was better than it by as much. 0 where the search was stopped before any."""
    threshold: str = ""
    """The rule of the project file, for a binary task."""
    positive: int | None = None
    chosen_threshold: float | None = None
    overfitting: Overfitting | None = None
    ended: str = ""
    """Why the search ended: "budget", "trials" or "stopped"."""

    @property
    def best(self) -> Trial:
        return next(trial for trial in self.trials if trial.number == self.winner)

    @property
    def baseline(self) -> Trial:
        return self.trials[0]
