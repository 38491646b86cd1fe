"""Fits what a plan says: features, balance, estimator. The same rows, plan and seed give the same model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from mainstay.models.encoder import Block, Encoder, MissingFlag
from mainstay.models.signature import Cells, Floats, Signature
from mainstay.project import Cleaning
from mainstay.training import candidates
from mainstay.training.candidates.base import Setting
from mainstay.training.features import Features, encode, fit_features
from mainstay.training.imbalance import Way, balance
from mainstay.training.scoring import Target
from mainstay.training.trials import Plan

BASELINE = "baseline"
STACK_FOLDS = 3
MOSTLY_ZERO = 0.05
"""A matrix with a smaller share of numbers other than 0 is sparse."""


@dataclass(frozen=True)
class Problem:
    """All training rows and how they are to be treated; test rows are not among them."""

    cells: Cells
    y: Target
    """Label indices (n,), int64; or values (n,), float64."""
    signature: Signature
    cleaning: Cleaning
    imbalance: Way = "none"
    seed: int = 0

    def __len__(self) -> int:
        return len(self.y)

    @property
    def classifies(self) -> bool:
        return self.signature.task != "regression"

    def rows(self, chosen: npt.NDArray[np.intp]) -> Problem:
        """The same problem with these rows alone."""
        return Problem(
            self.cells.rows(chosen), self.y[chosen], self.signature, self.cleaning, self.imbalance, self.seed
        )

    def setting(self, features: Features) -> Setting:
        """What a family of estimators is told about these rows."""
        spread = 1.0 if self.classifies else float(np.std(self.y)) or 1.0
        return Setting(
            task=self.signature.judged,
            rows=len(self),
            width=features.encoder.width,
            classes=len(self.signature.labels),
            spread=spread,
            categorical=features.categorical,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Outcome:
    """A fitted estimator and the distinct warnings that its library gave meanwhile."""

    estimator: Any
    warnings: tuple[str, ...] = ()


def features_for(problem: Problem, plan: Plan) -> Features:
    """The features of a plan, fitted on the problem's rows. Raises FeatureError as `fit_features`."""
    if plan.family == BASELINE:
        # Something for the shape's sake: the baseline does not look at it.
        return Features(Encoder((Block((0,), (MissingFlag(),)),)))
    return fit_features(
        problem.cells, problem.signature, problem.cleaning, plan.recipe, y=problem.y if problem.classifies else None
    )


def fit(problem: Problem, plan: Plan, features: Features, X: Floats) -> Outcome:
    """The plan's estimator, fitted on the problem's rows, whose features are `X` (n, width).

    Raises whatever the estimator's library raises.
    """
    setting = problem.setting(features)
    estimator = estimator_of(plan, setting)
    y = problem.y
    arguments: dict[str, Any] = {}
    if problem.classifies and plan.family != BASELINE:
        balanced = balance(y.astype(np.int64), problem.imbalance, seed=problem.seed)
        if balanced.rows is not None:
            X, y = X[balanced.rows], y[balanced.rows]
        if balanced.weights is not None:
            arguments["sample_weight"] = balanced.weights
    # Threads that wait for each other on a busy machine cost far more than they bring for small data.
    with collected_warnings() as messages, threadpool_limits(setting.threads):
        estimator.fit(_sparse(X) if _takes_sparse(plan) else X, y, **arguments)
    _single_threaded(estimator)
    return Outcome(estimator, tuple(messages))


def fit_whole(problem: Problem, plan: Plan) -> tuple[Features, Outcome]:
    """Features and estimator, fitted on all rows of the problem."""
    features = features_for(problem, plan)
    return features, fit(problem, plan, features, encode(features, problem.cells))


def predict(estimator: Any, X: Floats, signature: Signature) -> Floats:
    """Probabilities (n, labels) in the signature's order, 0 for a label that the estimator never saw; or values (n,).

    Raises:
        ValueError: the estimator's answers are not finite.
    """
    with threadpool_limits(1):
        if signature.task == "regression":
            answers = np.asarray(estimator.predict(X), dtype=np.float64).reshape(-1)
        else:
            answers = np.zeros((len(X), len(signature.labels)))
            answers[:, np.asarray(estimator.classes_, dtype=np.intp)] = estimator.predict_proba(X)
    if not np.isfinite(answers).all():
        raise ValueError("its predictions are not all finite")
    return answers


def estimator_of(plan: Plan, setting: Setting) -> Any:
    """The plan's estimator, not fitted yet: a plain library class."""
    if plan.family == BASELINE:
        return DummyClassifier(strategy="prior") if setting.classifies else DummyRegressor(strategy="mean")
    if not plan.members:
        params = {name: value for name, value in plan.params.items() if name != "text"}
        return candidates.family(plan.family).build(params, setting)
    members = [
        (f"{position}_{member.family}", estimator_of(member, setting)) for position, member in enumerate(plan.members)
    ]
    if plan.family == "vote":
        return VotingClassifier(members, voting="soft") if setting.classifies else VotingRegressor(members)
    if setting.classifies:
        # Not shuffled, and of a fixed number of folds: the same rows give the same ensemble.
        return StackingClassifier(
            members,
            final_estimator=LogisticRegression(max_iter=1000),
            cv=StratifiedKFold(STACK_FOLDS),
            stack_method="predict_proba",
        )
    return StackingRegressor(members, final_estimator=Ridge(), cv=KFold(STACK_FOLDS))


def _takes_sparse(plan: Plan) -> bool:
    return plan.family != BASELINE and not plan.members and candidates.family(plan.family).sparse


def _sparse(X: Floats) -> Any:
    """The same matrix without its zeros, where they are most of it, as those of texts are."""
    return csr_array(X) if np.count_nonzero(X) < MOSTLY_ZERO * X.size else X


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Keeps warnings in a list, each text once, in place of printing them.

    What one library says to the developers of another (a deprecation) is left out: nobody who trains can act on it.
    """
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for addressed_to_developers in (DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", addressed_to_developers)
        yield messages
        for warning in caught:
            text = " ".join(str(warning.message).split())
            if text not in messages:
                messages.append(text)


def _single_threaded(estimator: Any) -> None:
    """Forests add up their trees in the order in which threads finish; one thread makes the last digit certain."""
    for part in (estimator, *getattr(estimator, "estimators_", ())):
        if type(part).__name__.startswith("RandomForest"):
            part.set_params(n_jobs=1)
