"""A fitted estimator as an ONNX graph: the numbers of the encoder in, probabilities or values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.models.formats.graph import CannotExport, Graph, Output, Precision, Scores
from mainstay.models.formats.writers import precision, write_estimator
from mainstay.models.signature import Floats

__all__ = ["CannotExport", "Exported", "to_onnx"]

FEATURES = "features"


@dataclass(frozen=True)
class Exported:
    """A graph with one input `features` (n, width) of type `dtype`.

    Its outputs are `probabilities` (n, k), and `label` (n,) int64 where the estimator's own decision is not the
    most probable class; `label` alone for a classifier without probabilities; `value` (n, 1) for a regressor.
    """

    graph: bytes
    dtype: Precision
    """What the encoder has to cast the features to: the precision in which the estimator itself reads them."""
    thresholds: dict[int, Floats]
    """Finite split points by feature, sorted, each once: the values at which exports go wrong."""


def to_onnx(estimator: Any, *, width: int) -> Exported:
    """The graph of a fitted estimator that takes `width` features. The same estimator gives the same bytes.

    Raises:
        CannotExport: the estimator cannot be written so that it answers as it does in its own library.
    """
    graph = Graph()
    dtype = precision(estimator)
    scores = write_estimator(graph, graph.features(FEATURES, width, dtype), estimator)
    thresholds = {column: _finite(np.concatenate(points)) for column, points in sorted(graph.thresholds.items())}
    return Exported(graph.model(_outputs(scores)), dtype, {c: found for c, found in thresholds.items() if len(found)})


def _finite(points: Floats) -> Floats:
    # scikit-learn splits missing values from all others at infinity.
    found: Floats = np.unique(points[np.isfinite(points)])
    return found


def _outputs(scores: Scores) -> list[Output]:
    found = []
    if scores.probabilities is not None:
        found.append(Output(scores.probabilities, "probabilities", scores.dtype, ("rows", None)))
    if scores.label is not None:
        found.append(Output(scores.label, "label", "int64", ("rows",)))
    if scores.value is not None:
        found.append(Output(scores.value, "value", scores.dtype, ("rows", 1)))
    return found
