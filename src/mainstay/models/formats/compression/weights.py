"""Weights in fewer bits: 8-bit integers with a scale for each output, or half precision.

What is computed with them is computed as before: `Cast` (and `Mul` by the scale) stand between the stored weights and
the node that takes them, and ONNX Runtime does both once, when it loads the graph. Activations keep their precision:
the dynamic quantization that ONNX Runtime offers takes one scale for all rows of a batch, so that a row's answer
would depend on its neighbours (`DynamicQuantizeLinear`, https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html).

The scales are symmetric, max |w| / 127 for each output: Krishnamoorthi 2018, "Quantizing deep convolutional networks
for efficient inference", section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from mainstay.models.formats.compression.narrowing import narrow
from mainstay.models.formats.compression.technique import NotApplicable, inner_nodes, parsed, written

LEAST = 32
"""Tensors of fewer numbers stay as they are: what stands around them would take more room than they lose."""
LEAST_A_SCALE = 8
"""With fewer weights an output, one scale for all of them."""
LARGEST_HALF = 65504.0

Array = npt.NDArray[Any]
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)
_MULTIPLIED = {"MatMul": (0, 1), "Gemm": (0, 1), "Conv": (1,), "ConvTranspose": (1,)}
_HELD = {**_MULTIPLIED, "Gather": (0,), "LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2)}


@dataclass(frozen=True)
class _Use:
    """The one place where a weight is taken."""

    node: onnx.NodeProto
    position: int


def quantized(graph: bytes) -> bytes:
    """The graph with the weights of its MatMul, Gemm and Conv nodes as 8-bit integers.

    A graph in double precision that is nothing but such layers computes in single precision afterwards.

    Raises:
        NotApplicable: it has no such weights.
    """
    return _stored(graph, _MULTIPLIED, _as_integers)


def halved(graph: bytes) -> bytes:
    """The graph with its weights in half precision; also of tables that are looked up, and of recurrent layers.

    A graph in double precision that is nothing but such layers computes in single precision afterwards.

    Raises:
        NotApplicable: it has no weights that half precision can hold.
    """
    return _stored(graph, _HELD, _as_halves)


_Stored = tuple[list[onnx.TensorProto], list[onnx.NodeProto]]


def _stored(
    graph: bytes,
    takers: Mapping[str, tuple[int, ...]],
    store: Callable[[onnx.TensorProto, Array, _Use], _Stored | None],
) -> bytes:
    model = parsed(graph)
    _hoist(model.graph)
    if not _weights(model.graph, takers):
        if any(node.op_type.startswith("TreeEnsemble") for node in model.graph.node):
            raise NotApplicable("its numbers are those of trees, which --prune-trees makes smaller, and no weights")
        raise NotApplicable(f"it has no {', '.join(sorted(takers))} with {LEAST} constant weights or more")
    narrow(model)
    inner = model.graph
    kept: list[onnx.TensorProto] = []
    before: list[onnx.NodeProto] = []
    replaced: set[str] = set()
    uses = _weights(inner, takers)
    for tensor in inner.initializer:
        use = uses.get(tensor.name)
        made = None if use is None else store(tensor, np.array(numpy_helper.to_array(tensor)), use)
        if made is None:
            kept.append(tensor)
        else:
            kept.extend(made[0])
            before.extend(made[1])
            replaced.add(tensor.name)
    if not replaced:
        raise NotApplicable("its weights are none that fewer bits can hold: they are too large, or not all finite")
    _replace(inner.initializer, kept)
    _replace(inner.node, [*before, *inner.node])
    # An initializer that is also declared as an input could be given from outside; what is computed cannot.
    _replace(inner.input, [entry for entry in inner.input if entry.name not in replaced])
    return written(model)


def _as_integers(tensor: onnx.TensorProto, weights: Array, use: _Use) -> _Stored | None:
    largest = np.max(np.abs(weights), axis=_others(weights, use), keepdims=True)
    if not np.isfinite(largest).all():
        return None
    scale = np.where(largest > 0, largest / 127.0, 1.0).astype(weights.dtype)
    if not np.all(scale > 0):  # so small that a scale is none
        return None
    levels = np.clip(np.rint(weights / scale), -127, 127).astype(np.int8)
    small, factor, cast = f"{tensor.name} (8 bits)", f"{tensor.name} (scale)", f"{tensor.name} (levels)"
    return [numpy_helper.from_array(levels, small), numpy_helper.from_array(scale, factor)], [
        helper.make_node("Cast", [small], [cast], cast, to=tensor.data_type),
        helper.make_node("Mul", [cast, factor], [tensor.name], f"{tensor.name} (restored)"),
    ]


def _as_halves(tensor: onnx.TensorProto, weights: Array, use: _Use) -> _Stored | None:
    del use
    if not (np.abs(weights) <= LARGEST_HALF).all():  # nor where one is NaN
        return None
    small = f"{tensor.name} (half)"
    return [numpy_helper.from_array(weights.astype(np.float16), small)], [
        helper.make_node("Cast", [small], [tensor.name], f"{tensor.name} (restored)", to=tensor.data_type)
    ]


def _others(weights: Array, use: _Use) -> tuple[int, ...] | None:
    """The axes that share a scale: all but that of the outputs; None for all, where an output has few weights."""
    axis = _outputs_axis(weights, use) % weights.ndim
    if weights.size // weights.shape[axis] < LEAST_A_SCALE:
        return None
    return tuple(other for other in range(weights.ndim) if other != axis)


def _outputs_axis(weights: Array, use: _Use) -> int:
    op, first = use.node.op_type, use.position == 0
    if op == "Conv":
        return 0
    if op == "ConvTranspose" or weights.ndim == 1:
        return min(1, weights.ndim - 1)
    if op == "Gemm":
        transposed = any(a.name == ("transA" if first else "transB") and a.i for a in use.node.attribute)
        return int(first == transposed)
    return -2 if first else -1


def _weights(graph: onnx.GraphProto, takers: Mapping[str, tuple[int, ...]]) -> dict[str, _Use]:
    """Where each weight is taken: constants of some size that nothing but such nodes of this graph take."""
    found: dict[str, _Use] = {}
    others = {entry.name for entry in graph.output} | {name for node in inner_nodes(graph) for name in node.input}
    for node in graph.node:
        known = takers.get(node.op_type, ()) if node.domain in ("", "ai.onnx") else ()
        for position, name in enumerate(node.input):
            if position in known:
                found.setdefault(name, _Use(node, position))
            else:
                others.add(name)
    sizes = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type in _FLOATS and int(np.prod(tensor.dims)) >= LEAST and len(tensor.dims)
    }
    return {name: use for name, use in found.items() if name in sizes and name not in others}


def _hoist(graph: onnx.GraphProto) -> None:
    """Makes initializers of constants that are written as nodes."""
    kept = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and value is not None:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        else:
            kept.append(node)
    _replace(graph.node, kept)


def _replace(field: Any, values: list[Any]) -> None:
    values = [type(value).FromString(value.SerializeToString()) for value in values]  # `del` ends what it holds
    del field[:]
    field.extend(values)
