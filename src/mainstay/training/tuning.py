"""Suggests what to try next: optuna's tree-structured Parzen estimator over families and their parameters.

Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization, 2011.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from mainstay.training.candidates.base import Family, Range, Real, Whole
from mainstay.training.text_features import PLANS
from mainstay.training.trials import Plan

STARTUP = 8
"""Trials that are seen before suggestions follow from them."""


class Tuner:
    """Suggests plans of some families; told how each did."""

    def __init__(self, families: Sequence[Family], *, seed: int, texts: bool) -> None:
        self._families = {family.name: family for family in families}
        self._texts = texts
        with quiet_optuna():
            self._study = optuna.create_study(
                direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
            )
        self._asked: optuna.Trial | None = None

    def observe(self, plan: Plan, score: float) -> None:
        """A plan that was tried without being asked for."""
        family = self._families[plan.family]
        values = {"family": plan.family, **{_key(family, name): plan.params[name] for name in self._space(family)}}
        self._study.add_trial(
            optuna.trial.create_trial(params=values, distributions=self._distributions(family), value=score)
        )

    def ask(self) -> Plan:
        """What to try next; to be followed by `tell`."""
        self._asked = trial = self._study.ask()
        family = self._families[trial.suggest_categorical("family", tuple(self._families))]
        params = {name: _suggest(trial, _key(family, name), space) for name, space in self._space(family).items()}
        return plan_of(family, params, texts=self._texts)

    def tell(self, *, score: float | None, partial: float) -> None:
        """How the plan that was asked for did: its score; or, without one, what its first folds let expect."""
        assert self._asked is not None
        if score is None:
            self._asked.report(partial, step=0)
            self._study.tell(self._asked, state=TrialState.PRUNED)
        else:
            self._study.tell(self._asked, score)
        self._asked = None

    def _space(self, family: Family) -> dict[str, Range | None]:
        """The family's space; None stands for the choice of terms."""
        return {**family.space, "text": None} if self._texts and family.text else dict(family.space)

    def _distributions(self, family: Family) -> dict[str, BaseDistribution]:
        found: dict[str, BaseDistribution] = {"family": CategoricalDistribution(tuple(self._families))}
        for name, space in self._space(family).items():
            found[_key(family, name)] = _distribution(space)
        return found


def starts(family: Family, *, texts: bool) -> list[Plan]:
    """The plans that a family starts with, its defaults first; with each way to take texts apart, where it chooses."""
    plans = [plan_of(family, {**params, "text": "words"}, texts=texts) for params in family.starts]
    if texts and family.text:
        others = [name for name in PLANS if name != "words"]
        plans[1:1] = [plan_of(family, {**family.starts[0], "text": name}, texts=texts) for name in others]
    return plans


def plan_of(family: Family, params: dict[str, Any], *, texts: bool) -> Plan:
    """The plan of a family with these parameters; "text" among them names the way to take texts apart."""
    chosen = dict(params)
    recipe = family.recipe
    if texts and family.text:
        recipe = msgspec.structs.replace(recipe, text=str(chosen["text"]))
    else:
        chosen.pop("text", None)
    return Plan(family=family.name, params=chosen, recipe=recipe)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """optuna tells of a new study on standard error; not meanwhile."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _key(family: Family, name: str) -> str:
    return f"{family.name}.{name}"


def _distribution(space: Range | None) -> BaseDistribution:
    match space:
        case None:
            return CategoricalDistribution(tuple(PLANS))
        case Real(low=low, high=high, log=log):
            return FloatDistribution(low, high, log=log)
        case Whole(low=low, high=high, log=log):
            return IntDistribution(low, high, log=log)
        case _:
            return CategoricalDistribution(space.values)


def _suggest(trial: optuna.Trial, key: str, space: Range | None) -> Any:
    match space:
        case None:
            return trial.suggest_categorical(key, tuple(PLANS))
        case Real(low=low, high=high, log=log):
            return trial.suggest_float(key, low, high, log=log)
        case Whole(low=low, high=high, log=log):
            return trial.suggest_int(key, low, high, log=log)
        case _:
            return trial.suggest_categorical(key, space.values)
