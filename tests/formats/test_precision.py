"""A graph in double precision is run in double precision."""

from __future__ import annotations

import math

import numpy as np

from mainstay.models.formats.graph import Graph, Output
from mainstay.models.formats.onnx import OnnxRunner
from mainstay.models.signature import Cells, Column, Signature


def test_a_factor_beside_a_product_of_matrices_keeps_its_digits():
    graph = Graph()
    x = graph.features("features", 1, "float64").name
    scaled = graph.add("Div", x, graph.constant(math.log(10.0)))
    value = graph.add("MatMul", scaled, graph.constant([[3.0]]))
    model = graph.model([Output(value, "value", "float64", ("rows", 1))])
    signature = Signature(inputs=(Column(name="x", type="number"),), task="regression")
    features = np.array([[0.7], [1.0], [1e9]])
    found = OnnxRunner(model, signature).run(Cells(features, {}), features).values
    np.testing.assert_allclose(found, features[:, 0] / math.log(10.0) * 3.0, rtol=1e-15)
