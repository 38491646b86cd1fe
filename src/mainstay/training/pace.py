"""Keeps a search within its budget: what a trial would take, by what earlier ones took, and whether that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mainstay.training import candidates, pacing
from mainstay.training.fitting import BASELINE, STACK_FOLDS
from mainstay.training.folds import FoldResult, Folds
from mainstay.training.trials import Plan


class Pace:
    """The clock of one search. Without a budget nothing is ever too long."""

    def __init__(self, folds: Folds, budget: float | None, clock: Callable[[], float]) -> None:
        self.budget = budget
        """Seconds; None where the clock decides nothing."""
        self._folds = folds
        self._clock = clock
        self._started = clock()
        self._costs = pacing.Costs()

    @property
    def elapsed(self) -> float:
        """Seconds since the search began."""
        return self._clock() - self._started

    @property
    def left(self) -> float | None:
        """Seconds of the budget, 0 where it is used up; None without one."""
        return None if self.budget is None else max(0.0, self.budget - self.elapsed)

    def over(self, *, reserve: float, kept: float) -> bool:
        """Whether only the time is left that the best's fit on all rows needs, `reserve` seconds, and a share `kept` of
        the budget."""
        if self.budget is None:
            return False
        return self.budget * (1 - kept) - self.elapsed <= pacing.MARGIN * reserve

    def learn(self, plan: Plan, result: FoldResult) -> None:
        """Remembers how long a fold took."""
        if plan.family != BASELINE and not plan.members:
            effort = candidates.family(plan.family).effort(plan.params)
            self._costs.record(plan.family, effort, plan.recipe, fit=result.fit_seconds, encode=result.encode_seconds)

    def to_refit(self, results: Sequence[FoldResult]) -> float:
        """Seconds of a fit on all rows, by the folds that were fitted."""
        last = results[-1].fit_seconds + max(result.encode_seconds for result in results)
        return last * self._growth(len(results) - 1)

    def too_long(self, plan: Plan, *, reserve: float) -> str | None:
        """Why there is no time to begin a plan, or None. A family that was not tried yet is timed on some rows first.

        Raises as `Folds.probe`.
        """
        if self.budget is None:
            return None
        seconds = 0.0
        for part in plan.members or (plan,):
            if self._costs.known(part.family):
                seconds += self._costs.fit(candidates.family(part.family), part.params)
                continue
            expected = self._probed(part)
            if expected is None:
                return None
            whole = len(self._folds) * expected
            if whole > pacing.LARGEST_SHARE * self.budget:
                return f"about {whole:.0f} s would be too much of a budget of {self.budget:g} s"
            seconds += expected
        if plan.family == "stack":
            seconds *= 1 + STACK_FOLDS  # each member once more for each inner fold
        encoding = self._costs.encode(plan.recipe)
        count, refits = len(self._folds), self._growth(-1)
        new = sum(not self._folds.has(plan, fold) for fold in range(count))
        return self._shortage(seconds * (count + refits) + encoding * (new + refits), reserve)

    def too_long_to_finish(self, results: Sequence[FoldResult], *, reserve: float) -> str | None:
        """Why there is no time for the folds that a plan still lacks, or None."""
        if self.budget is None:
            return None
        last = results[-1].fit_seconds + max(result.encode_seconds for result in results)
        return self._shortage((len(self._folds) - len(results)) * last + self.to_refit(results), reserve)

    def _shortage(self, needed: float, reserve: float) -> str | None:
        assert self.budget is not None
        return pacing.shortage(needed, left=self.budget - self.elapsed, reserve=reserve)

    def _growth(self, fold: int) -> float:
        """How many times a fold's training rows all rows are."""
        return len(self._folds.problem) / max(1, len(self._folds.folds[fold][0]))

    def _probed(self, plan: Plan) -> float | None:
        """Seconds of a fit on one fold; None where rows are so few that trying it tells sooner."""
        rows = len(self._folds.folds[0][0])
        if rows < pacing.PROBE_FROM:
            return None
        small, large = rows // 16, rows // 8
        measured = (small, self._folds.probe(plan, small)), (large, self._folds.probe(plan, large))
        # Folds of a time order grow; what counts is the mean one.
        mean = sum(len(training) for training, _ in self._folds.folds) // len(self._folds)
        return pacing.extrapolate(*measured, rows=mean, growth=candidates.family(plan.family).growth)
