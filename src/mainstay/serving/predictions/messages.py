"""Labels on their way from a worker to the agent."""

from __future__ import annotations

import msgspec

Value = bool | int | float | str
"""An outcome: one of the model's labels, or a number."""


class Label(msgspec.Struct, frozen=True, array_like=True):
    """The outcome of a row."""

    id: str
    """Of the prediction."""
    row: int
    value: Value


class Labels(msgspec.Struct, frozen=True, array_like=True, tag="labels"):
    """Outcomes of rows that a model answered."""

    model: str
    labels: list[Label]
