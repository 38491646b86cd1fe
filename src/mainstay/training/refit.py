"""Fits a plan on all training rows: the winner of a search, or that of an earlier one again."""

from __future__ import annotations

from mainstay.errors import MainstayError
from mainstay.models.package import Decision
from mainstay.models.signature import Cells, Signature
from mainstay.project import Cleaning
from mainstay.training.fitted import Fitted
from mainstay.training.fitting import Problem, fit_whole
from mainstay.training.scoring import Target
from mainstay.training.trials import Plan, Trials


class CannotReplay(MainstayError):
    """The recorded trials are of another task than the data."""


def refit(problem: Problem, plan: Plan, decision: Decision | None) -> Fitted:
    """The plan, fitted on all rows of the problem. Raises what the estimator's library raises."""
    features, outcome = fit_whole(problem, plan)
    return Fitted(
        encoder=features.encoder,
        estimator=outcome.estimator,
        signature=problem.signature,
        decision=decision,
        description=plan.description,
        params=dict(plan.params),
    )


def replay(trials: Trials, *, cells: Cells, y: Target, signature: Signature, cleaning: Cleaning) -> Fitted:
    """The winner of recorded trials, fitted again: on the same rows, the same model.

    Args:
        trials: as recorded.
        cells: the training rows, n of them.
        y: label indices, int64, or values, float64, of shape (n,).
        signature: what the rows fit.
        cleaning: as in the project file then.

    Raises:
        CannotReplay: the trials were of another task.
    """
    if trials.task != signature.task:
        raise CannotReplay(
            f"The recorded trials are of a {trials.task} task, and the data's is {signature.task}: "
            "replay them with the project file that they were made with."
        )
    problem = Problem(cells, y, signature, cleaning, trials.imbalance, trials.seed)
    decision = None
    if trials.positive is not None and trials.chosen_threshold is not None:
        decision = Decision(trials.positive, trials.chosen_threshold)
    return refit(problem, trials.best.plan, decision)
