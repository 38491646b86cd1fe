"""A fitted model: the encoder and the estimator behind it, as training made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstay.models.answers import Answers
from mainstay.models.encoder import Encoder, compiled
from mainstay.models.formats.native import native_answers
from mainstay.models.package import Decision
from mainstay.models.signature import Cells, Signature


@dataclass(frozen=True)
class Fitted:
    """A model that answers in this process, and what it is made of."""

    encoder: Encoder
    estimator: Any
    """Of a plain library class, fitted on the encoder's features."""
    signature: Signature
    decision: Decision | None
    """How a binary model's label follows from its probabilities."""
    description: str
    """For people: "LightGBM", "vote of linear, xgboost"."""
    params: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, cells: Cells) -> Answers:
        """What the native model says about rows of its signature."""
        return native_answers(self.estimator, compiled(self.encoder)(cells), self.signature, self.decision)
