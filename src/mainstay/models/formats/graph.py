"""Builds one ONNX graph, node by node, with stable names, so that the same estimator gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from mainstay.errors import MainstayError
from mainstay.models.signature import Floats

OPSET = 21
ML = "ai.onnx.ml"
ML_OPSET = 5
"""The first with `TreeEnsemble`, which holds thresholds and weights in double precision."""
IR_VERSION = 10
"""The three together are what every ONNX Runtime from 1.25 on runs."""

Precision = Literal["float32", "float64"]
_ONNX_TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "string": TensorProto.STRING,
}


class CannotExport(MainstayError):
    """A fitted estimator that cannot be written as an ONNX graph that answers as it does."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class Features:
    """A tensor (n, width) inside a graph, and where its columns come from.

    `columns` gives for each the column of the graph's input, or -1; a threshold t on it is, in terms of that
    input, t * factor + offset (exactly so unless it was scaled).
    """

    name: str
    dtype: Precision
    columns: npt.NDArray[np.int64]
    factor: Floats
    offset: Floats

    @property
    def width(self) -> int:
        return len(self.columns)


@dataclass(frozen=True)
class Scores:
    """Names of the tensors that an estimator's nodes give; double precision unless `dtype` says otherwise.

    A classifier has `probabilities` (n, k), and `label` (n,) where its own decision is not the most probable
    class; `raw` is its decision_function as (n, 1) or (n, k). A regressor has `value` (n, 1).
    """

    probabilities: str | None = None
    value: str | None = None
    label: str | None = None
    raw: str | None = None
    dtype: Precision = "float64"


@dataclass(frozen=True)
class Output:
    """An output of a model: the tensor, the name to give it, its type and its shape."""

    tensor: str
    name: str
    dtype: str
    shape: tuple[str | int | None, ...]


@dataclass
class Graph:
    """Nodes and constants, in the order in which they were added."""

    nodes: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    prefix: str = ""
    """Stands before the name of every tensor made here, so that none is called as an input is."""
    thresholds: dict[int, list[Floats]] = field(default_factory=dict)
    """Split points by column of the graph's input."""
    _constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _tensors: dict[str, Any] = field(default_factory=dict)
    _casts: dict[tuple[str, str], str] = field(default_factory=dict)

    def features(self, name: str, width: int, dtype: Precision) -> Features:
        """Declares an input of shape (n, width)."""
        self.input(name, dtype, ["rows", width])
        return Features(name, dtype, np.arange(width), np.ones(width), np.zeros(width))

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """The name of a constant tensor; equal constants are kept once."""
        array = np.asarray(value) if dtype is None else np.asarray(value, dtype=dtype)
        if array.dtype.kind in "OU":
            key = ("str", array.shape, "\0".join(map(str, array.ravel().tolist())).encode())
        else:
            key = (array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())
        if key not in self._constants:
            name = f"{self.prefix}c{len(self._constants)}"
            self._constants[key] = name
            self._tensors[name] = numpy_helper.from_array(array, name)
        return self._constants[key]

    @property
    def constants(self) -> list[Any]:
        """The constant tensors so far."""
        return list(self._tensors.values())

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds a node with one output; gives the output's name."""
        name = f"{self.prefix}n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name, domain=domain, **attributes))
        return name

    def input(self, name: str, dtype: Literal["float32", "float64", "string"], shape: Sequence[Any]) -> str:
        """Declares an input; gives its name."""
        self.inputs.append(helper.make_tensor_value_info(name, _ONNX_TYPES[dtype], shape))
        return name

    def include(self, model: bytes, feeds: dict[str, str]) -> list[Output]:
        """Adds all of another model made here, with tensors of this graph for its inputs; gives its outputs."""
        other = onnx.load_model_from_string(model).graph
        names = dict(feeds)
        for tensor in other.initializer:
            names[tensor.name] = self.constant(numpy_helper.to_array(tensor), None)
        for node in other.node:
            place = f"{self.prefix}n{len(self.nodes)}"
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = place
            del copy.input[:], copy.output[:]
            copy.input.extend(names[name] for name in node.input)
            names[node.output[0]] = place
            copy.output.append(place)
            self.nodes.append(copy)
        kinds = {number: name for name, number in _ONNX_TYPES.items()}
        return [
            Output(
                names[entry.name],
                entry.name,
                kinds[entry.type.tensor_type.elem_type],
                tuple(d.dim_param or d.dim_value or None for d in entry.type.tensor_type.shape.dim),
            )
            for entry in other.output
        ]

    def cast(self, name: str, dtype: Literal["float32", "float64", "int64"]) -> str:
        """A tensor in another type; asked twice, cast once."""
        if (name, dtype) not in self._casts:
            self._casts[name, dtype] = self.add("Cast", name, to=_ONNX_TYPES[dtype])
        return self._casts[name, dtype]

    def double(self, features: Features) -> str:
        """The features in double precision."""
        return features.name if features.dtype == "float64" else self.cast(features.name, "float64")

    def single(self, features: Features) -> str:
        """The features in single precision, rounded to nearest as NumPy does."""
        return features.name if features.dtype == "float32" else self.cast(features.name, "float32")

    def split_points(self, features: Features, column: npt.NDArray[np.int64], points: Floats) -> None:
        """Remembers where an estimator splits: `points[i]` on column `column[i]` of the features."""
        for index in np.unique(column):
            origin = int(features.columns[index])
            if origin >= 0:
                found = points[column == index] * features.factor[index] + features.offset[index]
                self.thresholds.setdefault(origin, []).append(found)

    def model(self, outputs: Sequence[Output]) -> bytes:
        """The finished model: what its outputs need of the nodes, and no more.

        Raises:
            CannotExport: it is larger than an ONNX file can be.
        """
        wanted = {output.tensor for output in outputs}
        kept: list[Any] = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(node.input)
        for output in outputs:
            kept.insert(0, helper.make_node("Identity", [output.tensor], [output.name], f"{self.prefix}{output.name}"))
        graph = helper.make_graph(
            kept[::-1],
            "mainstay",
            self.inputs,
            [helper.make_tensor_value_info(each.name, _ONNX_TYPES[each.dtype], each.shape) for each in outputs],
            [tensor for name, tensor in self._tensors.items() if name in wanted],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
            ir_version=IR_VERSION,
            producer_name="mainstay",
        )
        try:
            data: bytes = model.SerializeToString(deterministic=True)
        except Exception as error:  # protobuf raises classes of its own above its limit of 2 GB
            raise CannotExport(f"The estimator is too large for one ONNX file ({error}).") from error
        return data
