"""Reads the graphs that Mainstay itself writes back into trees, sums and links, for PMML.

Only the shapes that the writers of linear models, trees, forests and boosted trees make are known; others are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mainstay.models.formats.graph import CannotExport
from mainstay.models.signature import Floats

Link = Literal["identity", "exp", "logit", "softmax", "shares"]
_OTHER = "The model in this version is none of the linear, tree, forest and boosted models that are written as PMML."


@dataclass(frozen=True)
class Linear:
    coefficients: Floats
    """(features, targets)"""
    intercepts: Floats


@dataclass(frozen=True)
class Forest:
    """A TreeEnsemble's attributes."""

    attributes: Mapping[str, Any]
    targets: int
    average: bool
    single: bool
    """Whether features are rounded to single precision before they are compared."""
    divisor: float = 1.0
    table: Floats | None = None
    """The shares of the classes at each leaf, where a leaf's number is its row."""


@dataclass(frozen=True)
class Understood:
    body: Linear | Forest
    link: Link
    slope: float = 1.0


def understood(model: onnx.ModelProto) -> Understood:
    """What a graph says. Raises CannotExport."""
    return _Reader(model).understood()


class _Reader:
    def __init__(self, model: onnx.ModelProto) -> None:
        if model.producer_name != "mainstay":
            raise CannotExport("The graph in this version was not written by Mainstay, and cannot be read back.")
        self.nodes = {output: node for node in model.graph.node for output in node.output}
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.outputs = {entry.name for entry in model.graph.output}
        kind = model.graph.input[0].type.tensor_type.elem_type
        self.single_input = kind == TensorProto.FLOAT

    def understood(self) -> Understood:
        if "value" in self.outputs:
            top = self.at("value")
            if top.op_type == "Exp":
                return Understood(self.raw(top.input[0]), "exp")
            return Understood(self.raw(top.output[0]), "identity")
        if "probabilities" not in self.outputs:
            raise CannotExport(_OTHER)
        top = self.at("probabilities")
        if top.op_type == "Softmax":
            return Understood(self.raw(top.input[0]), "softmax")
        if top.op_type == "Concat" and len(top.input) == 2:
            return self._binary(top)
        return Understood(self._shares(top), "shares")

    def at(self, name: str) -> onnx.NodeProto:
        """The node that makes a tensor, past those that only rename it."""
        node: onnx.NodeProto | None
        while (node := self.nodes.get(name)) is not None and node.op_type == "Identity":
            name = node.input[0]
        if node is None:
            raise CannotExport(_OTHER)
        return node

    def constant(self, name: str) -> Floats:
        if name not in self.constants:
            raise CannotExport(_OTHER)
        return np.asarray(self.constants[name], dtype=np.float64)

    def _binary(self, top: onnx.NodeProto) -> Understood:
        less, positive = self.at(top.input[0]), self.at(top.input[1])
        if less.op_type != "Sub" or less.input[1] != top.input[1] or positive.op_type != "Sigmoid":
            raise CannotExport(_OTHER)
        inner = self.at(positive.input[0])
        if inner.op_type == "Mul":
            return Understood(self.raw(inner.input[0]), "logit", float(self.constant(inner.input[1])))
        return Understood(self.raw(positive.input[0]), "logit")

    def _shares(self, top: onnx.NodeProto) -> Forest:
        divisor = 1.0
        if top.op_type == "Div":
            divisor, top = float(self.constant(top.input[1])), self.at(top.input[0])
        if top.op_type != "ReduceSum":
            raise CannotExport(_OTHER)
        gather = self.at(top.input[0])
        if gather.op_type != "Gather" or (cast := self.at(gather.input[1])).op_type != "Cast":
            raise CannotExport(_OTHER)
        found = self.raw(cast.input[0])
        if not isinstance(found, Forest) or divisor != max(1, found.targets):
            raise CannotExport(_OTHER)
        return Forest(
            found.attributes, found.targets, average=True, single=found.single, table=self.constant(gather.input[0])
        )

    def raw(self, name: str) -> Linear | Forest:
        node = self.at(name)
        if node.op_type == "Add":
            product = self.at(node.input[0])
            if product.op_type == "MatMul":
                self._features(product.input[0])
                weights, start = self.constant(product.input[1]), self.constant(node.input[1]).reshape(-1)
                return Linear(weights, np.broadcast_to(start, weights.shape[1]))
        if node.op_type == "Div":
            forest = self.raw(node.input[0])
            if isinstance(forest, Forest):
                divisor = float(self.constant(node.input[1]))
                return Forest(forest.attributes, forest.targets, forest.average, forest.single, divisor)
        if node.op_type != "TreeEnsemble":
            raise CannotExport(_OTHER)
        attributes = {each.name: _plain(helper.get_attribute_value(each)) for each in node.attribute}
        return Forest(
            attributes,
            int(attributes["n_targets"]),
            average=attributes["aggregate_function"] == 0,
            single=self._features(node.input[0]) or self.single_input,
        )

    def _features(self, name: str) -> bool:
        """Whether the features are rounded on their way to here; raises where more happens to them."""
        if name == "features":
            return False
        node = self.at(name)
        if node.op_type == "Cast":
            to = helper.get_attribute_value(node.attribute[0])
            return to == TensorProto.FLOAT or self._features(node.input[0])
        raise CannotExport(
            "The trees of this version read some columns in a way of their own (categories, zeros as missing values), "
            "which is not written as PMML."
        )


def _plain(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
