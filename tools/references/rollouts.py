"""The drawing and the table of a rollout's moves, for the page that explains them."""

from __future__ import annotations

from mainstay.rollout import states


def drawing() -> str:
    return f"```mermaid\n{states.drawn()}\n```"


def moves() -> str:
    return states.listed()
