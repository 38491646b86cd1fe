"""Small drafts that a registry takes, and a clock that a test turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mainstay.models.golden import Golden
from mainstay.models.package import EVALUATION, GOLDEN, SIGNATURE, SPEC, Draft, ModelSpec, encoded
from mainstay.models.signature import Column, Signature


def draft(graph: str = "y = x", *, evaluation: str = "good") -> Draft:
    """A whole package but for its model, which no registry looks into."""
    return Draft(
        content={
            SPEC: encoded(ModelSpec(format="onnx", file="model.onnx")),
            SIGNATURE: encoded(Signature(inputs=(Column(name="x", type="number"),), task="regression")),
            GOLDEN: encoded(Golden(rows=[{"x": 1.0}], values=[1.0])),
            "model.onnx": graph.encode(),
        },
        attestations={EVALUATION: evaluation.encode()},
    )


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
