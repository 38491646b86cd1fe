"""Rollouts, and what stands around them, with only what a test cares about said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mainstay.registry.evidence import Evidence, Probe
from mainstay.registry.plans import Plan
from mainstay.registry.records import Approval, Rollout
from mainstay.rollout.decide import Decision, World
from mainstay.rollout.results import Analysis, Result
from mainstay.rollout.states import FINAL
from mainstay.testing import targets
from mainstay.testing.targets import version

BEGAN = datetime(2026, 5, 4, 12, tzinfo=UTC)
ALICE = Approval(name="alice", at=BEGAN)


STABLE, CANDIDATE, OTHER = version(1), version(2), version(3)


def rollout(plan: Plan, **facts) -> Rollout:
    """One that has just been started."""
    return targets.rollout(plan=plan, **facts)


def world(**facts) -> World:
    """One server that has validated the candidate and follows."""
    usual = {
        "elapsed": 0.0,
        "frozen": None,
        "acknowledged": True,
        "servers": 1,
        "stable_is": STABLE,
        "evidence": seen(probes=(Probe(rows=8),)),
    }
    return World(**(usual | facts))


def seen(**facts) -> Evidence:
    return Evidence(rollout="r-1", **facts)


def said(result: Result) -> Analysis:
    return Analysis(result=result, words=f"the analysis is {result}")


def after(before: Rollout, decision: Decision) -> Rollout:
    """The record after a move, as the registry would keep it."""
    change = decision.change
    return replace(
        before,
        state=change.state,
        step=change.step,
        mode=change.mode,
        share=change.share,
        held=change.held,
        verdict=before.verdict if change.verdict is None else change.verdict,
        why=decision.why,
        revision=before.revision + 1,
        ended_at=BEGAN if change.state in FINAL else None,
    )
