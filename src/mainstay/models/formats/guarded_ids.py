"""Ids that a model looks up in a table, such as those of words: the graph refuses those that the model refuses.

ONNX counts a negative id from the table's end, where the embeddings of PyTorch and TensorFlow refuse it. So each
look-up gets, in place of a negative id, one that lies beyond any table, which ONNX Runtime refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_LOOKS_UP = ("Gather", "GatherElements")


def refuse_negative(model: onnx.ModelProto, chosen: Callable[[onnx.NodeProto], bool] = lambda node: True) -> None:
    """Guards the look-ups of a graph whose ids are computed; those that are constants are meant as they are.

    Args:
        model: is changed.
        chosen: which look-ups do not count negative ids from the end where the model comes from.
    """
    for graph in _graphs(model.graph):
        constants = {tensor.name for tensor in graph.initializer}
        constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if node.op_type in _LOOKS_UP and chosen(node) and node.input[1] not in constants:
                nodes += _guards(graph, node)
            nodes.append(node)
        if len(nodes) > len(graph.node):
            del graph.node[:]
            graph.node.extend(nodes)


def _guards(graph: onnx.GraphProto, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """The nodes in front of a look-up, whose ids they replace. ONNX takes int32 and int64 there."""
    ids, output = node.input[1], node.output[0]
    zero, beyond, wide, below, kept = (f"{output} guard {part}" for part in ("zero", "beyond", "wide", "below", "kept"))
    graph.initializer.append(numpy_helper.from_array(np.array(0, dtype=np.int64), zero))
    graph.initializer.append(numpy_helper.from_array(np.array(np.iinfo(np.int64).max), beyond))
    yield helper.make_node("Cast", [ids], [wide], wide, to=TensorProto.INT64)
    yield helper.make_node("Less", [wide, zero], [below], below)
    yield helper.make_node("Where", [below, beyond, wide], [kept], kept)
    node.input[1] = kept


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)
