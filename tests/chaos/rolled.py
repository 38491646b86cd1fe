"""Rollouts of a besieged server: begun, looked at, and waited for."""

from __future__ import annotations

from besieged import Besieged
from live import until

from mainstay.models.package import Draft
from mainstay.registry.plans import Plan
from mainstay.registry.records import Rollout

ENDS_WITHIN = 120.0


def begun(running: Besieged, draft: Draft, plan: Plan) -> Rollout:
    with running.registry() as registry:
        candidate = registry.add("one", draft, passed=True, actor="test", summary={})
        present = registry.deployment("one")
        assert present is not None
        return registry.start_rollout(candidate, plan, expecting=present.version, actor="test")


def present(running: Besieged, rollout: Rollout) -> Rollout:
    with running.registry() as registry:
        return next(each for each in registry.rollouts("one", limit=5) if each.id == rollout.id)


def ended(running: Besieged, rollout: Rollout) -> Rollout:
    return until(lambda: None if (now := present(running, rollout)).active else now, ENDS_WITHIN)


def deployed(running: Besieged) -> str:
    with running.registry() as registry:
        found = registry.deployment("one")
        assert found is not None
        return found.version.ref
