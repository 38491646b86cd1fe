"""Fits a plan on the training rows of a fold and scores it on the fold's validation rows."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mainstay.errors import MainstayError
from mainstay.models.signature import Floats
from mainstay.training import candidates
from mainstay.training.features import Features, Recipe, encode
from mainstay.training.fitting import BASELINE, Problem, features_for, fit, predict
from mainstay.training.scoring import score
from mainstay.training.trials import Plan

Rows = npt.NDArray[np.intp]

CACHE_BYTES = 2**30
"""Features of the folds that are kept for the next trial."""
TRAINING_SAMPLE = 2000
"""Training rows of a fold, at most, on which the winner is scored again."""


class Refused(MainstayError):
    """A family is not made for such data."""


@dataclass(frozen=True)
class FoldResult:
    """A plan on one fold."""

    predicted: Floats
    """Of the validation rows: probabilities (n, labels) or values (n,)."""
    score: float
    """More is better; NaN where the fold does not define the metric."""
    fit_seconds: float
    encode_seconds: float
    """0 where the features were at hand."""
    warnings: tuple[str, ...]
    estimator: Any


@dataclass(frozen=True)
class _Encoded:
    features: Features
    training: Floats
    validation: Floats

    @property
    def size(self) -> int:
        return self.training.nbytes + self.validation.nbytes


class Folds:
    """The folds of a problem. Features are fitted on a fold's training rows alone, and kept while memory allows."""

    def __init__(
        self,
        problem: Problem,
        folds: Sequence[tuple[Rows, Rows]],
        *,
        metric: str,
        positive: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem = problem
        self.folds = [(np.asarray(a, dtype=np.intp), np.asarray(b, dtype=np.intp)) for a, b in folds]
        self.metric = metric
        self.positive = positive
        self._clock = clock
        self._encoded: OrderedDict[tuple[Recipe | None, int], _Encoded] = OrderedDict()

    def __len__(self) -> int:
        return len(self.folds)

    def run(self, plan: Plan, fold: int) -> FoldResult:
        """The plan on one fold.

        Raises:
            Refused: the family is not made for such data.
            Exception: whatever the estimator's library raises.
        """
        training, validation = self.folds[fold]
        start = self._clock()
        encoded = self._features(plan, fold)
        ready = self._clock()
        part = self.problem.rows(training)
        self._refuse(plan, part, encoded.features)
        outcome = fit(part, plan, encoded.features, encoded.training)
        predicted = predict(outcome.estimator, encoded.validation, self.problem.signature)
        return FoldResult(
            predicted=predicted,
            score=self._score(validation, predicted),
            fit_seconds=self._clock() - ready,
            encode_seconds=ready - start,
            warnings=outcome.warnings,
            estimator=outcome.estimator,
        )

    def has(self, plan: Plan, fold: int) -> bool:
        """Whether the plan's features of a fold are at hand."""
        return (plan.recipe, fold) in self._encoded

    def training_score(self, plan: Plan, fold: int, estimator: Any) -> float:
        """The score of a fold's estimator on (a sample of) the rows that it was fitted on."""
        training, _ = self.folds[fold]
        sample = _spread(len(training), TRAINING_SAMPLE)
        features = self._features(plan, fold).training[sample]
        return self._score(training[sample], predict(estimator, features, self.problem.signature))

    def probe(self, plan: Plan, rows: int) -> float:
        """Seconds of a fit on some of the first fold's rows; to tell how long all of them will take.

        Raises as `run`.
        """
        training, _ = self.folds[0]
        encoded = self._features(plan, 0)
        self._refuse(plan, self.problem.rows(training), encoded.features)
        sample = _spread(len(training), rows)
        part = self.problem.rows(training[sample])
        start = self._clock()
        fit(part, plan, encoded.features, encoded.training[sample])
        return self._clock() - start

    def _refuse(self, plan: Plan, part: Problem, features: Features) -> None:
        if plan.family == BASELINE:
            return
        setting = part.setting(features)
        for member in plan.members or (plan,):
            if reason := candidates.family(member.family).refuses(setting):
                raise Refused(reason)

    def _score(self, rows: Rows, predicted: Floats) -> float:
        return score(
            self.metric, self.problem.y[rows], predicted, task=self.problem.signature.judged, positive=self.positive
        )

    def _features(self, plan: Plan, fold: int) -> _Encoded:
        key = (None if plan.family == BASELINE else plan.recipe, fold)
        if key in self._encoded:
            self._encoded.move_to_end(key)
            return self._encoded[key]
        training, validation = self.folds[fold]
        part = self.problem.rows(training)
        features = features_for(part, plan)
        made = _Encoded(features, encode(features, part.cells), encode(features, self.problem.cells.rows(validation)))
        self._encoded[key] = made
        while len(self._encoded) > 1 and sum(kept.size for kept in self._encoded.values()) > CACHE_BYTES:
            self._encoded.popitem(last=False)
        return made


def _spread(rows: int, wanted: int) -> Rows:
    """At most `wanted` positions, evenly over all `rows`."""
    return np.unique(np.linspace(0, rows - 1, num=min(rows, wanted)).astype(np.intp))
