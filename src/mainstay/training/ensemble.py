"""Which of the best trials are combined, and on what features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from mainstay.training.features import Recipe
from mainstay.training.trials import Plan, Trial

MEMBERS = 3


def combine(trials: Sequence[Trial], how: Literal["vote", "stack"]) -> Plan | None:
    """A plan that combines the best trial of each of the best few families; None where fewer than two are complete.

    A model has one encoder, so all members get the same features: their own where they agree, or else those of the
    kind "linear", which any estimator can take.
    """
    complete = [trial for trial in trials if trial.state == "complete" and trial.number > 0 and not trial.plan.members]
    best: dict[str, Plan] = {}
    for trial in sorted(complete, key=lambda t: (-(t.score or 0.0), t.number)):
        best.setdefault(trial.plan.family, trial.plan)
    members = list(best.values())[:MEMBERS]
    if len(members) < 2:
        return None
    recipes = {member.recipe for member in members}
    linear = [member.recipe for member in members if member.recipe.kind == "linear"]
    recipe = members[0].recipe if len(recipes) == 1 else linear[0] if linear else Recipe("linear")
    return Plan(
        family=how,
        recipe=recipe,
        members=tuple(msgspec.structs.replace(member, recipe=recipe) for member in members),
    )
