"""The values on which the trees of an ONNX graph split: where converters, and mergers of graphs, go wrong."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mainstay.models.formats.graph import ML
from mainstay.models.signature import Floats


def thresholds_of(graph: bytes, source: str) -> dict[int, Floats]:
    """The finite split points of trees that read an input as it is, by its column: sorted, each once."""
    same = {source}
    found: dict[int, list[float]] = defaultdict(list)
    for node in onnx.load_model_from_string(graph).graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in same:
            same.update(node.output)
        elif node.domain == ML and node.op_type.startswith("TreeEnsemble") and node.input[0] in same:
            given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            splits = given.get("nodes_splits") or given.get("nodes_values_as_tensor")
            values = given.get("nodes_values", ()) if splits is None else numpy_helper.to_array(splits).tolist()
            for column, value in zip(given["nodes_featureids"], values, strict=True):
                found[int(column)].append(float(value))
    points = {column: np.unique([v for v in values if np.isfinite(v)]) for column, values in sorted(found.items())}
    return {column: values for column, values in points.items() if len(values)}
