"""The states of a rollout and the moves between them: one table, which decisions are held to and the docs draw."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from mainstay.registry.records import FINAL, RolloutState
from mainstay.rollout.errors import IllegalMove

Cause = Literal[
    "valid",
    "released",
    "passed",
    "asked",
    "ready",
    "kept",
    "promoted",
    "paused",
    "resumed",
    "inconclusive",
    "unmeasured",
    "failed",
    "crashed",
    "refused",
    "withdrawn",
    "moved",
    "superseded",
    "gone",
]
"""What brings a move about."""

STATES: tuple[RolloutState, ...] = get_args(RolloutState)
FORWARD: tuple[RolloutState, ...] = ("validating", "waiting", "progressing", "paused", "promoting", "watching")
"""Those in which the candidate may still win: each of them has the ways back."""


class Move(NamedTuple):
    """One legal move."""

    source: RolloutState
    cause: Cause
    target: RolloutState
    when: str
    """Its guard, in words."""


_ONWARD = (
    Move("validating", "valid", "waiting", "valid on every server; an approval is lacking or a freeze window is open"),
    Move("validating", "valid", "progressing", "valid on every server"),
    Move("validating", "valid", "promoting", "valid on every server; recreate"),
    Move("waiting", "released", "progressing", "approved, and no freeze window is open"),
    Move("waiting", "released", "promoting", "approved, and no freeze window is open; recreate"),
    Move("progressing", "passed", "progressing", "evidence and hold suffice: the next step or worker"),
    Move("progressing", "passed", "promoting", "the last step passed; blue-green: ready on every server"),
    Move("progressing", "asked", "paused", "the last step passed, or A/B found it better; a person is asked"),
    Move("promoting", "ready", "completed", "every server follows"),
    Move("promoting", "ready", "watching", "every server follows; blue-green"),
    Move("watching", "kept", "completed", "evidence suffices, and the time to be watched is over"),
)
_BY_PERSONS = (
    *(Move(state, "paused", "paused", "a person") for state in ("validating", "waiting", "progressing", "watching")),
    Move("paused", "resumed", "validating", "a person; it was not validated yet"),
    Move("paused", "resumed", "progressing", "a person"),
    Move("paused", "resumed", "watching", "a person; it was being watched"),
    *(Move(state, "promoted", "promoting", "a person") for state in ("validating", "waiting", "progressing", "paused")),
    Move("paused", "promoted", "completed", "a person; it was being watched"),
    Move("watching", "promoted", "completed", "a person"),
)
_UNDECIDED = tuple(
    move
    for state in ("validating", "progressing", "watching")
    for move in (
        Move(state, "inconclusive", "paused", "no rule can decide, or evidence, or A/B's verdict, lacks for too long"),
        Move(state, "unmeasured", "paused", "the measurement failed again and again"),
    )
)
_BACK: tuple[tuple[Cause, str], ...] = (
    ("failed", "the analysis failed; A/B: it is worse"),
    ("crashed", "its process died again and again"),
    ("refused", "a server cannot serve it"),
    ("withdrawn", "a person"),
    ("moved", "the stable version is another one"),
)
_SUPERSEDED: tuple[tuple[RolloutState, str], ...] = (
    ("rolled_back", "a newer version, or a deployment by hand"),
    ("completed", "the same, where the candidate takes the traffic then"),
)
_ENDS = (
    *(Move(state, cause, "rolling_back", when) for state in FORWARD for cause, when in _BACK),
    Move("rolling_back", "gone", "rolled_back", "every server follows"),
    *(Move(state, "superseded", target, when) for state in (*FORWARD, "rolling_back") for target, when in _SUPERSEDED),
)

MOVES: tuple[Move, ...] = (*_ONWARD, *_BY_PERSONS, *_UNDECIDED, *_ENDS)
_LEGAL = frozenset((move.source, move.cause, move.target) for move in MOVES)


def held_to_table(ref: str, source: RolloutState, cause: Cause, target: RolloutState) -> None:
    """Raises IllegalMove where the table has no such move."""
    if (source, cause, target) not in _LEGAL:
        raise IllegalMove(ref, source, cause)


def drawn() -> str:
    """The table as a Mermaid state diagram. The ways back are drawn once, from all states that have them."""
    ways: dict[tuple[RolloutState, RolloutState], list[str]] = {}
    for move in (*_ONWARD, *_BY_PERSONS, *_UNDECIDED):
        causes = ways.setdefault((move.source, move.target), [])
        if move.cause not in causes:
            causes.append(move.cause)
    lines = ["stateDiagram-v2", "    [*] --> active", "    state active {", "        [*] --> validating"]
    lines += [
        f"        {source} --> {target}: {', '.join(said)}"
        for (source, target), said in ways.items()
        if target != "completed"
    ]
    lines += ["    }"]
    lines += [
        f"    {source} --> {target}: {', '.join(said)}"
        for (source, target), said in ways.items()
        if target == "completed"
    ]
    lines += [f"    active --> rolling_back: {', '.join(cause for cause, _ in _BACK)}"]
    lines += [f"    active --> {target}: superseded" for target, _ in _SUPERSEDED]
    lines += ["    rolling_back --> rolled_back: gone, superseded", "    rolling_back --> completed: superseded"]
    lines += [f"    {state} --> [*]" for state in STATES if state in FINAL]
    return "\n".join(lines)


def listed() -> str:
    """The table as rows of Markdown, with its guards; the ways back once."""
    lines = ["| from | cause | to | when |", "|---|---|---|---|"]
    lines += [
        f"| {move.source} | {move.cause} | {move.target} | {move.when} |"
        for move in (*_ONWARD, *_BY_PERSONS, *_UNDECIDED)
    ]
    lines += [f"| each of them | {cause} | rolling_back | {when} |" for cause, when in _BACK]
    last = [move for move in _ENDS if move.source == "rolling_back"]
    lines += [f"| {move.source} | {move.cause} | {move.target} | {move.when} |" for move in last]
    lines += [f"| each of them | superseded | {target} | {when} |" for target, when in _SUPERSEDED]
    return "\n".join(lines)
