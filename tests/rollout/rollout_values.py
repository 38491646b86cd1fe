"""Rollouts, and what stands around them, with only what a test cares about said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mainstay.registry.evidence import Evidence, Probe
from mainstay.registry.plans import Plan
from mainstay.registry.records import Approval, Rollout, Version
from mainstay.rollout.decide import Decision, World
from mainstay.rollout.results import Analysis, Result
from mainstay.rollout.states import FINAL

BEGAN = datetime(2026, 5, 4, 12, tzinfo=UTC)
ALICE = Approval(name="alice", at=BEGAN)


def version(number: int) -> Version:
    return Version(
        id=f"id-{number}",
        model="credit",
        number=number,
        content_id="0" * 64,
        format="onnx",
        passed=True,
        deployed=number == 1,
        actor="test",
        created_at=BEGAN,
        summary={},
    )


STABLE, CANDIDATE, OTHER = version(1), version(2), version(3)


def rollout(plan: Plan, **facts) -> Rollout:
    """One that has just been started."""
    begun = Rollout(
        id="r-1",
        stable=STABLE,
        candidate=CANDIDATE,
        plan=plan,
        state="validating",
        step=0,
        mode="probe",
        share=0,
        held=0.0,
        beat=0,
        reason="better",
        why="started",
        actor="test",
        verdict={},
        approvals=(),
        started_at=BEGAN,
        since=BEGAN,
        ended_at=None,
        revision=1,
    )
    return replace(begun, **facts)


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
