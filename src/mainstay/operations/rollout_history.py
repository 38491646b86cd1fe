"""A rollout's moves, as its events tell of them, in words: what was asked of servers, and what was seen by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mainstay.registry import events
from mainstay.registry.plans import percent
from mainstay.registry.records import Event

KINDS = (
    events.ROLLOUT_STARTED,
    events.ROLLOUT_STEP,
    events.ROLLOUT_PAUSED,
    events.ROLLOUT_RESUMED,
    events.ROLLOUT_APPROVED,
    events.ROLLOUT_PROMOTING,
    events.ROLLOUT_COMPLETED,
    events.ROLLOUT_ROLLING_BACK,
    events.ROLLOUT_ROLLED_BACK,
    events.ROLLOUT_SUPERSEDED,
    events.ROLLOUT_VERDICT,
)
_OF = {
    "split": "{} of the requests",
    "shadow": "copies of {} of the requests",
    "rolling": "{} of the workers",
}


class RolloutMove(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout went on, back, or was approved."""

    rollout: str
    """Its id."""
    strategy: str
    kind: str
    """Of the event."""
    state: str
    step: int
    """From 0."""
    share: float
    """Percent, of what the candidate was to do then."""
    what: str
    """Such as "canary: progressing, 5 % of the requests"."""
    seen: str
    """What servers had seen of the step, in words; empty: nothing."""
    verdict: str | None = None
    """That an A/B test ended with by this move: better, worse, or no difference found."""


def told(event: Event) -> RolloutMove:
    """What an event of KINDS tells."""
    evidence = event.evidence
    share = percent(evidence["share"])
    return RolloutMove(
        rollout=evidence["rollout"],
        strategy=evidence["strategy"],
        kind=event.kind,
        state=evidence["state"],
        step=evidence["step"],
        share=share,
        what=_what(event.kind, evidence, share),
        seen=_seen(evidence),
        verdict=evidence.get("verdict"),
    )


def _what(kind: str, evidence: Mapping[str, Any], share: float) -> str:
    """What happened, and what the candidate is to do from then on."""
    strategy = evidence["strategy"]
    if kind == events.ROLLOUT_APPROVED:
        return f"{strategy}: approved"
    if kind == events.ROLLOUT_SUPERSEDED:
        return f"{strategy}: superseded"
    if kind == events.ROLLOUT_VERDICT:
        return f"{strategy}: verdict: {evidence['verdict']}"
    if kind == events.ROLLOUT_STARTED:
        steps = evidence["steps"]
        shares = f", steps {', '.join(f'{percent(step):g}' for step in steps)} %" if len(steps) > 1 else ""
        return f"{strategy}: started{shares}"
    state = evidence["state"].replace("_", " ")
    traffic = _OF.get(evidence["mode"])
    return f"{strategy}: {state}" if traffic is None else f"{strategy}: {state}, {traffic.format(f'{share:g} %')}"


def _seen(evidence: Mapping[str, Any]) -> str:
    """The counts of the step that ended with the move, of the last one that there is something to tell of."""
    seen = evidence.get("seen")
    if seen is None:
        return ""
    parts = []
    if seen["steps"]:
        last = seen["steps"][-1]
        parts += [f"{arm} {_counts(last[arm])}" for arm in ("candidate", "stable") if last[arm]["requests"]]
        if last["compared"]:
            parts.append(f"{last['changed']:,} of {last['compared']:,} answered otherwise")
    if seen["deaths"]:
        parts.append(f"its process died {seen['deaths']} times" if seen["deaths"] > 1 else "its process died once")
    return "; ".join([*parts, *seen.get("problems", ())])


def _counts(arm: Mapping[str, int]) -> str:
    named = [f"{arm[name]:,} {name}" for name in ("errors", "refused") if arm[name]]
    if arm["labelled"]:
        named.append(f"{arm['wrong']:,} of {arm['labelled']:,} wrong")
    return ", ".join([f"{arm['requests']:,} requests", *named])
