"""Steps that stand in front of a member of an ensemble: scaling and imputation, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.formats.graph import CannotExport, Features, Graph
from mainstay.models.signature import Floats


def write(graph: Graph, features: Features, step: Any) -> Features:
    """The features after a fitted StandardScaler, RobustScaler, MinMaxScaler, MaxAbsScaler or SimpleImputer."""
    name = type(step).__name__
    x = graph.double(features)
    width = features.width
    if name == "SimpleImputer":
        return _imputed(graph, features, step)
    if name in ("StandardScaler", "RobustScaler"):
        center = step.mean_ if name == "StandardScaler" else step.center_
        center = np.zeros(width) if center is None else np.asarray(center, dtype=np.float64)
        divisor = np.ones(width) if step.scale_ is None else np.asarray(step.scale_, dtype=np.float64)
        out = graph.add("Div", graph.add("Sub", x, graph.constant(center)), graph.constant(divisor))
        return _scaled(features, out, divisor, center)
    if name == "MaxAbsScaler" and not step.clip:
        divisor = np.asarray(step.scale_, dtype=np.float64)
        return _scaled(features, graph.add("Div", x, graph.constant(divisor)), divisor, np.zeros(width))
    if name == "MinMaxScaler" and not step.clip:
        factor, offset = np.asarray(step.scale_, dtype=np.float64), np.asarray(step.min_, dtype=np.float64)
        out = graph.add("Add", graph.add("Mul", x, graph.constant(factor)), graph.constant(offset))
        return _scaled(features, out, 1.0 / factor, -offset / factor)
    raise CannotExport(f"A pipeline inside the estimator has a {name}, which is not exported there.")


def _scaled(features: Features, name: str, factor: Floats, offset: Floats) -> Features:
    """Features y = (x - offset) / factor."""
    return Features(
        name, "float64", features.columns, features.factor * factor, features.factor * offset + features.offset
    )


def _imputed(graph: Graph, features: Features, step: Any) -> Features:
    values = np.asarray(step.statistics_, dtype=np.float64)
    if step.add_indicator or not np.isnan(step.missing_values) or np.isnan(values).any():
        raise CannotExport("A SimpleImputer inside the estimator marks missing values, or drops columns.")
    x = graph.double(features)
    filled = graph.add("Where", graph.add("IsNaN", x), graph.constant(values), x)
    return Features(filled, "float64", features.columns, features.factor, features.offset)
