"""Finds the best model within a budget of seconds, or in a number of trials.

First a trivial baseline, then each family's defaults, cheap ones first; then variations of the best families; at
the end, if asked for, a combination of the best. Every score is on validation folds. With a number of trials the
clock decides nothing: the same rows and seed give the same model.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.package import Decision
from mainstay.models.signature import Cells, Floats, Signature
from mainstay.project import Cleaning, Search
from mainstay.training import candidates, overfitting, ranking, thresholds
from mainstay.training.ensemble import combine
from mainstay.training.fitted import Fitted
from mainstay.training.fitting import BASELINE, Problem
from mainstay.training.folds import FoldResult, Folds, Refused, Rows
from mainstay.training.pace import Pace
from mainstay.training.refit import refit
from mainstay.training.scoring import Target, metric_for
from mainstay.training.trials import Plan, State, Trial, Trials
from mainstay.training.tuning import Tuner, starts

KEPT_FOR_ENSEMBLE = 0.25
"""Share of the budget that is left for combining the best."""
FRUITLESS = 10
"""So many suggestions in a row that there is no time for end the search."""


class SearchFailed(MainstayError):
    """No candidate could be fitted."""


@dataclass(frozen=True)
class Progress:
    """How far a search is."""

    done: int
    """Trials that have ended, the baseline among them."""
    total: int | None
    """Trials in all, where their number is fixed."""
    elapsed: float
    """Seconds."""
    remaining: float | None
    """Seconds of the budget; None where the number of trials is fixed."""
    best: float | None
    """The best score so far; more is better, a loss is negative."""
    family: str
    """What was fitted last."""
    fold: int
    """Folds of it that are done."""
    folds: int


@dataclass(frozen=True)
class SearchResult:
    """The best model, fitted on all training rows, and how it was found."""

    best: Fitted
    baseline: Fitted
    trials: Trials
    out_of_fold: Floats
    """The winner's predictions of rows while they were in a validation fold, by models that had not seen them:
    probabilities (n, labels) or values (n,); NaN for rows that never were (the first ones of a time order)."""


@dataclass
class _Tried:
    """A trial with what the search needs of it and the record does not keep."""

    trial: Trial
    results: list[FoldResult] = field(default_factory=list)

    @property
    def scores(self) -> Floats:
        return _scores(self.results)


def search(
    *,
    cells: Cells,
    y: Target,
    signature: Signature,
    folds: Sequence[tuple[Rows, Rows]],
    settings: Search,
    cleaning: Cleaning,
    seed: int = 0,
    threshold: float | str = 0.5,
    positive: int | None = None,
    on_trial: Callable[[Progress], None] | None = None,
    on_improvement: Callable[[Fitted, float], None] | None = None,
    stop: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SearchResult:
    """Searches for the best model of some training rows.

    Args:
        cells: the training rows, n of them; no test row is among them.
        y: label indices, int64, or values, float64, of shape (n,).
        signature: what the rows fit.
        folds: (training, validation) positions of rows.
        settings: what to try, how long, and by which metric.
        cleaning: of the values, before an estimator sees them.
        seed: of everything that is drawn.
        threshold: of a binary task, as the project file says it.
        positive: index of the positive label of a binary task; by default 1.
        on_trial: called after each fold and each trial.
        on_improvement: called with each better model, fitted on all rows, and its score; the baseline first.
        stop: set it to end the search after the fold that is being fitted; the best so far is kept.
        clock: seconds, for the budget.

    Raises:
        SearchFailed: no candidate could be fitted.
        UnknownMetric: `settings.metric` is none of the task.
        ThresholdError: `threshold` cannot be understood.
        FeatureError: the rows cannot be made into features.
    """
    problem = Problem(cells, y, signature, cleaning, settings.imbalance, seed)
    binary = signature.task == "binary"
    run = _Search(
        problem=problem,
        folds=Folds(
            problem,
            folds,
            metric=metric_for(settings.metric, signature.judged),
            positive=1 if positive is None else positive,
            clock=clock,
        ),
        settings=settings,
        rule=thresholds.parse(threshold) if binary else None,
        threshold=str(threshold) if binary else "",
        on_trial=on_trial or _nothing,
        on_improvement=on_improvement,
        stop=stop or threading.Event(),
        clock=clock,
    )
    return run.run()


class _Search:
    """One search, from its first trial to its result."""

    def __init__(
        self,
        *,
        problem: Problem,
        folds: Folds,
        settings: Search,
        rule: thresholds.Rule | None,
        threshold: str,
        on_trial: Callable[[Progress], None],
        on_improvement: Callable[[Fitted, float], None] | None,
        stop: threading.Event,
        clock: Callable[[], float],
    ) -> None:
        self.problem, self.folds, self.settings = problem, folds, settings
        self.rule, self.threshold = rule, threshold
        self.on_trial, self.on_improvement = on_trial, on_improvement
        self.stop, self.clock = stop, clock
        self.pace = Pace(folds, settings.budget if settings.trials is None else None, clock)
        self.texts = any(column.type == "text" for column in problem.signature.inputs)
        self.tried: list[_Tried] = []
        self.best: _Tried | None = None
        self.improved: Fitted | None = None

    def run(self) -> SearchResult:
        baseline = self._attempt(Plan(family=BASELINE))
        if baseline.trial.state != "complete":
            raise SearchFailed(f"Not even the trivial baseline can be scored: {baseline.trial.reason}.")
        fitted_baseline = self._refit(baseline)
        if self.on_improvement is not None:
            self.on_improvement(fitted_baseline, baseline.trial.score or 0.0)
        self._try_defaults()
        if self.best is not None:
            self._tune()
            self._combine()
        winner = self.best or baseline
        if self.best is None and not self.stop.is_set():
            raise SearchFailed(self._why_nothing())
        best = self.improved or (fitted_baseline if winner is baseline else self._refit(winner))
        return SearchResult(best, fitted_baseline, self._document(winner, baseline, best), self._out_of_fold(winner))

    # What is tried

    def _try_defaults(self) -> None:
        for name in candidates.chosen(self.settings.candidates):
            if self._over():
                return
            self._attempt(starts(candidates.family(name), texts=self.texts)[0])

    def _tune(self) -> None:
        """Varies the families whose defaults did best."""
        complete = [tried for tried in self.tried[1:] if tried.trial.state == "complete"]
        scores = [tried.trial.score or 0.0 for tried in complete]
        ranked = [complete[i] for i in ranking.promising(scores, self.tried[0].trial.score or 0.0)]
        families = [candidates.family(tried.trial.plan.family) for tried in ranked]
        tuner = Tuner(families, seed=self.problem.seed, texts=self.texts)
        for tried in ranked:
            tuner.observe(tried.trial.plan, tried.trial.score or 0.0)
        for plan in _round_robin([starts(family, texts=self.texts)[1:] for family in families]):
            if self._over():
                return
            trial = self._attempt(plan).trial
            if trial.score is not None:
                tuner.observe(plan, trial.score)
        fruitless = 0
        while not self._over() and fruitless < FRUITLESS:
            tried = self._attempt(tuner.ask())
            trial = tried.trial
            # What fails or takes too long is told as no better than the worst, or it would be suggested again.
            worst = min(other.trial.score for other in self.tried[1:] if other.trial.score is not None)
            partial = float(np.nanmean(tried.scores)) if trial.state == "pruned" else worst
            tuner.tell(score=trial.score, partial=partial)
            fruitless = fruitless + 1 if trial.state in ("skipped", "failed") else 0

    def _combine(self) -> None:
        if self.settings.ensemble == "none" or self.stop.is_set():
            return
        plan = combine([tried.trial for tried in self.tried], self.settings.ensemble)
        if plan is not None:
            self._attempt(plan)

    def _over(self) -> bool:
        if self.stop.is_set():
            return True
        if self.settings.trials is not None:
            return len(self.tried) - 1 >= self.settings.trials
        if self.best is None:
            return False  # the first candidate is always finished, so that there is a model
        kept = KEPT_FOR_ENSEMBLE if self.settings.ensemble != "none" else 0.0
        return self.pace.over(reserve=self._reserve(), kept=kept)

    # One trial

    def _attempt(self, plan: Plan) -> _Tried:
        """Scores a plan on the folds, and keeps it where it is the best."""
        begun = self.clock()
        results: list[FoldResult] = []
        state, reason = self._folds_of(plan, results)
        scores = [result.score for result in results if math.isfinite(result.score)]
        if state == "complete" and not scores:
            state, reason = "failed", f"{self.folds.metric} is not defined on any validation fold"
        said = dict.fromkeys(message for result in results for message in result.warnings)
        trial = Trial(
            number=len(self.tried),
            plan=plan,
            state=state,
            reason=reason,
            fold_scores=tuple(scores),
            score=float(np.mean(scores)) if state == "complete" else None,
            seconds=self.clock() - begun,
            warnings=tuple(said),
        )
        tried = _Tried(trial, results)
        self.tried.append(tried)
        if plan.family == BASELINE:
            pass
        elif state == "complete" and (self.best is None or ranking.surpasses(tried.scores, self.best.scores)):
            if self.best is not None:
                _forget(self.best)
            self.best = tried
            self._announce(tried)
        else:
            _forget(tried)
        self._report(plan, len(results))
        return tried

    def _folds_of(self, plan: Plan, results: list[FoldResult]) -> tuple[State, str]:
        """Runs the plan on fold after fold, adding to `results`; how it ended, and why it did not go on."""
        try:
            if self.best is not None and (reason := self.pace.too_long(plan, reserve=self._reserve())):
                return "skipped", reason
            for fold in range(len(self.folds)):
                if fold > 0 and (given_up := self._given_up(plan, results)):
                    return given_up
                results.append(self.folds.run(plan, fold))
                self.pace.learn(plan, results[-1])
                self._report(plan, fold + 1)
        except Refused as refusal:
            return "skipped", str(refusal)
        except MainstayError:
            raise
        except Exception as error:  # noqa: BLE001 - a library may raise anything; the trial says so, and others go on
            return "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        return "complete", ""

    def _given_up(self, plan: Plan, results: Sequence[FoldResult]) -> tuple[State, str] | None:
        """Whether the plan is not scored on the next fold, and why."""
        if plan.family == BASELINE:
            return None
        if self.stop.is_set():
            return "stopped", "the search was stopped"
        if self.best is None:
            return None
        if reason := ranking.hopeless(_scores(results), self.best.scores):
            return "pruned", reason
        if reason := self.pace.too_long_to_finish(results, reserve=self._reserve()):
            return "skipped", reason
        return None

    def _reserve(self) -> float:
        """Seconds that the best's fit on all rows still needs."""
        return 0.0 if self.best is None or self.improved is not None else self.pace.to_refit(self.best.results)

    # What is told and kept

    def _report(self, plan: Plan, fold: int) -> None:
        self.on_trial(
            Progress(
                done=len(self.tried),
                total=None if self.settings.trials is None else self.settings.trials + 1,
                elapsed=self.pace.elapsed,
                remaining=self.pace.left,
                best=None if self.best is None else self.best.trial.score,
                family=plan.description,
                fold=fold,
                folds=len(self.folds),
            )
        )

    def _announce(self, tried: _Tried) -> None:
        self.improved = None
        if self.on_improvement is not None:
            self.improved = self._refit(tried)
            self.on_improvement(self.improved, tried.trial.score or 0.0)

    def _refit(self, tried: _Tried) -> Fitted:
        return refit(self.problem, tried.trial.plan, self._decision(tried))

    def _out_of_fold(self, tried: _Tried) -> Floats:
        shape = (len(self.problem), len(self.problem.signature.labels))
        found = np.full(shape if self.problem.classifies else shape[:1], np.nan)
        for (_, validation), result in zip(self.folds.folds, tried.results, strict=True):
            found[validation] = result.predicted
        return found

    def _decision(self, tried: _Tried) -> Decision | None:
        if self.rule is None:
            return None
        predicted = self._out_of_fold(tried)
        covered = ~np.isnan(predicted[:, 0])
        positive = self.folds.positive
        chosen = thresholds.choose(
            self.rule, predicted[covered, positive], np.asarray(self.problem.y[covered] == positive)
        )
        return Decision(positive, chosen)

    def _document(self, winner: _Tried, baseline: _Tried, best: Fitted) -> Trials:
        judged = None
        if winner is not baseline:
            training = [
                self.folds.training_score(winner.trial.plan, fold, result.estimator)
                for fold, result in enumerate(winner.results)
            ]
            judged = overfitting.judge(
                self.folds.metric,
                training=float(np.nanmean(training)),
                validation=winner.trial.score or 0.0,
                baseline=baseline.trial.score or 0.0,
            )
        ended = "stopped" if self.stop.is_set() else "budget" if self.settings.trials is None else "trials"
        return Trials(
            task=self.problem.signature.judged,
            metric=self.folds.metric,
            seed=self.problem.seed,
            folds=len(self.folds),
            imbalance=self.problem.imbalance,
            trials=tuple(tried.trial for tried in self.tried),
            winner=winner.trial.number,
            threshold=self.threshold,
            positive=None if best.decision is None else best.decision.positive,
            chosen_threshold=None if best.decision is None else best.decision.threshold,
            overfitting=judged,
            ended=ended,
        )

    def _why_nothing(self) -> str:
        reasons = "; ".join(f"{t.trial.plan.description}: {t.trial.reason}" for t in self.tried[1:])
        return f"No candidate could be fitted ({reasons}). Look at the data's checks, or name other candidates."


def _scores(results: Sequence[FoldResult]) -> Floats:
    return np.array([result.score for result in results], dtype=np.float64)


def _forget(tried: _Tried) -> None:
    """Lets go of fitted estimators and predictions that nobody will ask for; scores stay."""
    tried.results = [
        FoldResult(r.predicted[:0], r.score, r.fit_seconds, r.encode_seconds, r.warnings, None) for r in tried.results
    ]


def _round_robin(lists: Sequence[Sequence[Plan]]) -> Iterator[Plan]:
    """The first of each list, then the second of each, and so on."""
    for position in range(max((len(plans) for plans in lists), default=0)):
        yield from (plans[position] for plans in lists if position < len(plans))


def _nothing(_: Progress) -> None:
    """Nobody wants to know."""
