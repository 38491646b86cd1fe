"""Operators of TensorFlow that tf2onnx leaves as they are, and ONNX can say in other words."""

from __future__ import annotations

import onnx
from onnx import helper

_ONE = "mainstay one"


def write_erfc(graph: onnx.GraphProto) -> None:
    """Writes each Erfc as 1 - Erf (of which Keras makes its gelu). The nodes stay in an order that can be run."""
    if not any(node.op_type == "Erfc" for node in graph.node):
        return
    graph.initializer.append(helper.make_tensor(_ONE, onnx.TensorProto.FLOAT, [], [1.0]))
    written: list[onnx.NodeProto] = []
    for at, node in enumerate(graph.node):
        if node.op_type != "Erfc":
            written.append(node)
            continue
        erf, one = f"{_ONE} erf {at}", f"{_ONE} like {at}"
        written += [
            helper.make_node("Erf", list(node.input), [erf], name=f"{node.name} erf"),
            helper.make_node("CastLike", [_ONE, erf], [one], name=f"{node.name} one"),
            helper.make_node("Sub", [one, erf], list(node.output), name=node.name),
        ]
    del graph.node[:]
    graph.node.extend(written)
