"""What serving agents saw of a rollout: one document of each, replaced as it grows, kept when the agent is gone.

It is kept for a while after the rollout's end. What it came to by each move stays for ever, in the move's event.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mainstay.registry import schema
from mainstay.registry.errors import UnknownRollout
from mainstay.registry.evidence import Arm, Evidence, added

KEPT = timedelta(days=30)
"""How long after a rollout's end."""

_E, _R = schema.rollout_evidence.c, schema.rollout.c
_ALL = select(_E.document).where(_E.rollout_id == bindparam("of")).order_by(_E.member_id)
_THIS = (_E.rollout_id == bindparam("of")) & (_E.member_id == bindparam("by"))
_REPLACE = update(schema.rollout_evidence).where(_THIS).values(document=bindparam("seen"))


def report(connection: Connection, member_id: str, evidence: Evidence) -> None:
    """Keeps what a member saw, in place of what it said before. Raises UnknownRollout."""
    said = {"of": evidence.rollout, "by": member_id, "seen": msgspec.to_builtins(evidence)}
    if connection.execute(_REPLACE, said).rowcount:
        return
    known = select(schema.rollout.c.id).where(schema.rollout.c.id == evidence.rollout)
    if connection.execute(known).first() is None:
        raise UnknownRollout(evidence.rollout)
    row = {"rollout_id": evidence.rollout, "member_id": member_id, "document": said["seen"]}
    connection.execute(insert(schema.rollout_evidence), row)


def total(connection: Connection, rollout_id: str) -> Evidence:
    """What all members saw together, those that are gone too; of a rollout that nobody knows, nothing."""
    said = connection.execute(_ALL, {"of": rollout_id}).scalars()
    return added((msgspec.convert(each, Evidence) for each in said), rollout_id)


def prune(connection: Connection, *, at: datetime) -> None:
    """Forgets what was seen of rollouts that ended long ago, as KEPT says."""
    over = select(_R.id).where(_R.ended_at < at - KEPT)
    connection.execute(delete(schema.rollout_evidence).where(_E.rollout_id.in_(over)))


def summary(evidence: Evidence) -> dict[str, Any]:
    """The counts of an evidence without its histograms, as an event tells them."""
    told: dict[str, Any] = {
        "steps": [
            {
                "step": seen.step,
                "stable": _counts(seen.stable),
                "candidate": _counts(seen.candidate),
                "compared": seen.compared,
                "changed": seen.changed,
                "dropped": seen.dropped,
            }
            for seen in evidence.steps
        ],
        "deaths": evidence.deaths,
        "memory": evidence.memory,
    }
    problems = sorted({probe.problem for probe in evidence.probes if probe.problem is not None})
    return told | ({"problems": problems} if problems else {})


def _counts(arm: Arm) -> dict[str, int]:
    return {
        "requests": arm.requests,
        "errors": arm.errors,
        "refused": arm.refused,
        "labelled": arm.labelled,
        "wrong": arm.wrong,
    }
