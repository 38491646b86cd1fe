"""What a model of TensorFlow takes and gives, told as the inputs and outputs of an ONNX graph without any node.

So that what an output means (classes, logits, one value, any tensors) is decided in one place for ONNX and for this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx
from onnx import helper

from mainstay.models.formats.foreign.onnx_inputs import DTYPES
from mainstay.models.formats.foreign.onnx_outputs import Said
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import CannotExport
from mainstay.models.signature import Cells, Label
from mainstay.models.tensors import Array, Tensor

_KINDS = {name: kind for kind, name in DTYPES.items()}


@dataclass(frozen=True)
class Spec:
    """One input or output."""

    name: str
    dtype: str
    """As numpy spells it; "text" for strings."""
    shape: tuple[int | None, ...]
    """Of one row; None where it differs."""


class Feed(msgspec.Struct, frozen=True):
    """One input of a kept model: the column or tensor that it takes, and its type."""

    name: str
    dtype: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How a kept model is asked, and how its outputs are read."""

    feeds: tuple[Feed, ...]
    outputs: int
    probabilities: int | None = None
    value: int | None = None
    single: bool = False
    logits: bool = False

    @classmethod
    def of(cls, feeds: Sequence[Feed], said: Said) -> Reading:
        return cls(
            feeds=tuple(feeds),
            outputs=len(said.asked),
            probabilities=said.probabilities,
            value=said.value,
            single=said.single,
            logits=said.logits,
        )

    def said(self, labels: tuple[Label, ...], outputs: tuple[Tensor, ...]) -> Said:
        """As `onnx_outputs` has it."""
        return Said(
            labels=labels,
            asked=[str(index) for index in range(self.outputs)],
            label=None,
            probabilities=self.probabilities,
            value=self.value,
            own=labels,
            single=self.single,
            logits=self.logits,
            outputs=outputs,
        )

    def arrays(self, cells: Cells, names: Mapping[str, int], features: Array | None) -> list[Array]:
        """What the model is fed with, in its own order.

        Args:
            cells: the rows.
            names: of the columns, with their places.
            features: of the encoder, where there is one.
        """
        if features is not None:
            return [features.astype(self.feeds[0].dtype, copy=False)]
        return [self._array(cells, feed, names) for feed in self.feeds]

    @staticmethod
    def _array(cells: Cells, feed: Feed, names: Mapping[str, int]) -> Array:
        if feed.name in cells.tensors:
            return cells.tensors[feed.name]
        index = names[feed.name]
        if index in cells.texts:
            return np.array([text or "" for text in cells.texts[index]], dtype=object)[:, None]
        return cells.numbers[:, [index]].astype(feed.dtype)


def shell(inputs: Sequence[Spec], outputs: Sequence[Spec]) -> onnx.ModelProto:
    """The interface as a graph. Raises CannotImport for a type that has no ONNX name."""
    graph = helper.make_graph([], "interface", [_info(spec) for spec in inputs], [_info(spec) for spec in outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def _info(spec: Spec) -> onnx.ValueInfoProto:
    kind = _KINDS.get(spec.dtype)
    if kind is None:
        raise CannotImport(f"{spec.name!r} is of type {spec.dtype}, which cannot be sent: cast it in the model.")
    # A size that differs is named by the input and its axis, so that two inputs may differ from each other.
    sizes = [f"{spec.name} {axis}" if size is None else size for axis, size in enumerate(spec.shape, start=1)]
    return helper.make_tensor_value_info(spec.name, kind, ["rows", *sizes])


def named(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str], face: onnx.ModelProto) -> None:
    """Gives a converted graph the names and shapes of its interface.

    Args:
        model: the graph.
        inputs: the names that the converter gave to the inputs, in the interface's order.
        outputs: the same of the outputs.
        face: the interface, as `shell` makes it.

    Raises:
        CannotExport: the graph has other inputs or outputs.
    """
    graph = model.graph
    if {entry.name for entry in graph.input} != set(inputs) or {entry.name for entry in graph.output} != set(outputs):
        raise CannotExport("its graph as ONNX takes or gives something else than the model")
    used = {name for node in graph.node for name in (*node.input, *node.output)}
    for entry in (*face.graph.input, *face.graph.output):
        if entry.name in used - {*inputs, *outputs}:
            raise CannotExport(f"its graph as ONNX has another tensor called {entry.name!r}")
    first = [
        helper.make_node("Identity", [entry.name], [own], f"takes {own}")
        for own, entry in zip(inputs, face.graph.input, strict=True)
        if own != entry.name
    ]
    last = [
        helper.make_node("Identity", [own], [entry.name], f"gives {own}")
        for own, entry in zip(outputs, face.graph.output, strict=True)
        if own != entry.name
    ]
    nodes = [*first, *graph.node, *last]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(face.graph.input)
    graph.output.extend(face.graph.output)
