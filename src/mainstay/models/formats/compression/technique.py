"""What every technique has: a name, and why it does not apply where it does not."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from mainstay.errors import MainstayError


class NotApplicable(MainstayError):
    """A technique finds nothing in a model that it could make smaller; says what it looks for."""


def inner_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the graphs inside a graph's own nodes: branches and loops."""
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.node
                yield from inner_nodes(inner)


def parsed(graph: bytes) -> onnx.ModelProto:
    """The model of a graph's bytes, which were checked when they were registered."""
    return onnx.load_model_from_string(graph)


def written(model: onnx.ModelProto) -> bytes:
    """The bytes of a model, the same for the same model."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data
