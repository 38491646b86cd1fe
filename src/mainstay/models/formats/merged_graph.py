"""Several ONNX models and the method that blends them, as one graph: one session, one call.

Parts keep their own nodes, under names of their own; their answers are joined in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, inliner

from mainstay.models.combining import LEAST, Combination
from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats import links
from mainstay.models.formats.encoder_nodes import ROUNDED, write_step
from mainstay.models.formats.export import FEATURES
from mainstay.models.formats.graph import IR_VERSION, ML, ML_OPSET, OPSET, Graph, Output
from mainstay.models.formats.opsets import newest, prefixed, raised, reads
from mainstay.models.merging import CannotMerge, Merged
from mainstay.models.package import Decision
from mainstay.models.signature import Signature
from mainstay.models.uniting import View

PREFIX, PART = "blend/", "part/"
_ELEMENTS = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


@dataclass(frozen=True)
class Piece:
    """One part: its graph, what stands before it, and how it decides."""

    model: bytes
    signature: Signature
    encoder: Encoder | None
    decision: Decision | None
    view: View


@dataclass(frozen=True)
class _Said:
    """The tensors that a part answers, in the united order: doubles (n, k) or (n, 1), and labels (n,) where asked."""

    scores: str | None
    label: str | None


def merged_graph(pieces: Sequence[Piece], merged: Merged, combination: Combination, signature: Signature) -> bytes:
    """The graph of a blend: `features` (n, width) in double precision and texts by their names in; `probabilities`, and
    `label` of a vote, or `value` out.

    Raises:
        CannotMerge: something of a part cannot stand beside the others in one graph.
    """
    models = [_loaded(piece) for piece in pieces]
    opsets = newest([*models, _ours()])
    models = [raised(model, opsets) for model in models]
    graph = Graph(prefix=PREFIX)
    constants: list[Any] = []
    width = 0 if merged.encoder is None else merged.encoder.width
    if width:
        graph.features(FEATURES, width, "float64")
    texts: set[str] = set()
    said = []
    for number, (piece, model, positions) in enumerate(zip(pieces, models, merged.positions, strict=True)):
        name = f"{PART}{number}/"
        part = prefixed(model.graph, name)
        given = _columns(graph, model.graph, piece, positions, texts)
        if piece.encoder is not None:
            given[FEATURES] = _features(graph, piece.encoder, positions, width)
        given |= _tensors(graph, model.graph, piece)
        for entry, tensor in given.items():
            graph.nodes.append(helper.make_node("Identity", [tensor], [name + entry], f"{name}{entry} in"))
        graph.nodes.extend(part.node)
        constants.extend(part.initializer)
        if part.sparse_initializer:
            raise CannotMerge("a part keeps sparse weights, which are read in a graph of their own alone")
        said.append(_answers(graph, model.graph, piece, name, vote=combination.method == "vote"))
    outputs = _combined(graph, combination, signature, said)
    ours = all(model.producer_name == "mainstay" for model in models)
    return _model(graph, constants, outputs, opsets, models, producer="mainstay" if ours else "mainstay ensemble")


def _loaded(piece: Piece) -> onnx.ModelProto:
    model = onnx.load_model_from_string(piece.model)
    return inliner.inline_local_functions(model) if model.functions else model


def _ours() -> onnx.ModelProto:
    return helper.make_model(onnx.GraphProto(), opset_imports=[helper.make_opsetid("", OPSET)])


def _columns(
    graph: Graph, part: onnx.GraphProto, piece: Piece, positions: Sequence[int], texts: set[str]
) -> dict[str, str]:
    """For each column that a graph takes by name (texts; all, where there is no encoder), the tensor (n, 1) that it is
    given; `texts` are the inputs of the whole so far."""
    constants = {tensor.name for tensor in part.initializer}
    wanted = {entry.name: entry.type.tensor_type.elem_type for entry in part.input if entry.name not in constants}
    given: dict[str, str] = {}
    place = iter(positions)
    for column in piece.signature.inputs:
        if column.type == "text":
            if column.name in wanted:
                _check_name(column.name)
                if column.name not in texts:
                    texts.add(graph.input(column.name, "string", ["rows", 1]))
                given[column.name] = column.name
        elif piece.encoder is None:
            position = next(place)
            if column.name in wanted:
                cell = graph.add("Gather", FEATURES, graph.constant([position], np.int64), axis=1)
                given[column.name] = graph.add("Cast", cell, to=wanted[column.name])
    return given


def _tensors(graph: Graph, part: onnx.GraphProto, piece: Piece) -> dict[str, str]:
    """The inputs that are arrays: each is an input of the whole, under its own name."""
    known = {entry.name: entry for entry in graph.inputs}
    wanted = {tensor.name for tensor in piece.signature.tensors}
    given: dict[str, str] = {}
    for entry in part.input:
        if entry.name not in wanted:
            continue
        _check_name(entry.name)
        if entry.name not in known:
            graph.inputs.append(entry)
        elif known[entry.name].type.tensor_type.elem_type != entry.type.tensor_type.elem_type:
            raise CannotMerge(f"the graphs take {entry.name!r} in two types")
        given[entry.name] = entry.name
    return given


def _check_name(name: str) -> None:
    if name == FEATURES or name.startswith((PREFIX, PART)):
        raise CannotMerge(f"the input {name!r} is called as a tensor of the graph is")


def _features(graph: Graph, encoder: Encoder, positions: Sequence[int], width: int) -> str:
    x = FEATURES
    if list(positions) != list(range(width)):
        x = graph.add("Gather", x, graph.constant(positions, np.int64), axis=1)
    done: tuple[Any, ...] = ()
    for step in encoder.steps:
        if getattr(step, "name", None) in ROUNDED:
            raise CannotMerge("the encoder of a part ends with a function that ONNX Runtime may round otherwise")
        x = write_step(graph, x, Encoder((Block(tuple(range(len(positions))), done),)).width, step)
        done = (*done, step)
    return x if encoder.dtype == "float64" else graph.add("Cast", x, to=_ELEMENTS[encoder.dtype])


def _answers(graph: Graph, part: onnx.GraphProto, piece: Piece, prefix: str, *, vote: bool) -> _Said:
    known = {entry.name for entry in part.output}
    rows = graph.constant([-1], np.int64)
    if piece.signature.task == "regression":
        value = graph.add("Cast", prefix + "value", to=TensorProto.DOUBLE)
        return _Said(graph.add("Reshape", value, graph.constant([-1, 1], np.int64)), None)
    order, scores, own = piece.view.order, None, None
    if "probabilities" in known:
        own = graph.add("Cast", prefix + "probabilities", to=TensorProto.DOUBLE)
        scores = own
        if order != tuple(range(len(order))):
            scores = graph.add("Gather", own, graph.constant(order, np.int64), axis=1)
    if not vote:
        return _Said(scores, None)
    decision = piece.decision
    if own is not None and decision is not None:
        share = graph.add("Gather", own, graph.constant(decision.positive, np.int64), axis=1)
        positive = graph.add("GreaterOrEqual", share, graph.constant(decision.threshold))
        yes, no = (graph.constant(index, np.int64) for index in (decision.positive, 1 - decision.positive))
        label = graph.add("Where", positive, yes, no)
    elif "label" in known:
        label = graph.add("Reshape", graph.add("Cast", prefix + "label", to=TensorProto.INT64), rows)
    else:
        assert own is not None
        label = links.most(graph, own)
    if order != tuple(range(len(order))):
        label = graph.add("Gather", graph.constant(np.argsort(order), np.int64), label, axis=0)
    return _Said(scores, label)


def _combined(graph: Graph, combination: Combination, signature: Signature, said: Sequence[_Said]) -> list[Output]:
    classes = len(signature.labels)
    if combination.method == "vote":
        return _voted(graph, said, classes)
    scores = [each.scores for each in said if each.scores is not None]
    if combination.method == "stack":
        found = _stacked(graph, combination, signature, scores)
    elif combination.method == "weights":
        found = _summed(graph, [links.times(graph, x, w) for x, w in zip(scores, combination.weights, strict=True)])
    else:
        found = graph.add("Div", _summed(graph, scores), graph.constant(float(len(scores))))
    if signature.task == "regression":
        return [Output(found, "value", "float64", ("rows", 1))]
    return [Output(found, "probabilities", "float64", ("rows", classes))]


def _summed(graph: Graph, tensors: Sequence[str]) -> str:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = graph.add("Add", total, tensor)
    return total


def _voted(graph: Graph, said: Sequence[_Said], classes: int) -> list[Output]:
    each_class = graph.constant(np.arange(classes).reshape(1, -1), np.int64)
    second = graph.constant([1], np.int64)
    labels = [graph.add("Unsqueeze", each.label, second) for each in said if each.label is not None]
    votes = _summed(graph, [graph.cast(graph.add("Equal", label, each_class), "float64") for label in labels])
    most = graph.add("Equal", votes, graph.add("ReduceMax", votes, second, keepdims=1))
    scores = [each.scores for each in said if each.scores is not None]
    # Of the labels with the most votes, the likeliest; where nobody says how likely, the first.
    likely = _summed(graph, scores) if scores else links.times(graph, votes, 0.0)
    label = links.most(graph, graph.add("Where", most, likely, graph.constant(-1.0)))
    shares = graph.add("Div", votes, graph.constant(float(len(labels))))
    return [
        Output(shares, "probabilities", "float64", ("rows", classes)),
        Output(label, "label", "int64", ("rows",)),
    ]


def _stacked(graph: Graph, combination: Combination, signature: Signature, scores: Sequence[str]) -> str:
    columns = list(scores)
    if signature.task != "regression":
        columns = [graph.add("Log", graph.add("Max", each, graph.constant(LEAST))) for each in columns]
    if signature.task == "binary":
        first, second = (graph.constant([index], np.int64) for index in (0, 1))
        columns = [
            graph.add("Sub", graph.add("Gather", each, second, axis=1), graph.add("Gather", each, first, axis=1))
            for each in columns
        ]
    x = graph.add("Concat", *columns, axis=1)
    product = graph.add("MatMul", x, graph.constant(np.array(combination.coefficients).T))
    raw = graph.add("Add", product, graph.constant(combination.intercepts))
    if signature.task == "regression":
        return raw
    if signature.task == "binary":
        return links.binary(graph, links.sigmoid(graph, raw))
    return links.softmax(graph, raw)


def _model(
    graph: Graph,
    constants: Sequence[Any],
    outputs: Sequence[Output],
    opsets: dict[str, int],
    models: Sequence[onnx.ModelProto],
    *,
    producer: str,
) -> bytes:
    kinds = {"float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}
    for each in outputs:
        graph.nodes.append(helper.make_node("Identity", [each.tensor], [each.name], f"{PREFIX}{each.name}"))
    wanted = {each.name for each in outputs}
    kept: list[Any] = []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(reads(node))
    used = {"" if node.domain == "ai.onnx" else node.domain for node in _all(kept)} | {""}
    known = {name for node in kept for name in node.output} | {tensor.name for tensor in (*graph.constants, *constants)}
    known |= {entry.name for entry in graph.inputs}
    inside = {name for node in _all(kept) for name in node.output} | {""}
    if lost := sorted(wanted - known - inside - _bound(kept)):
        raise CannotMerge(f"the tensor {lost[0]!r} is not made beside the other parts")
    whole = helper.make_graph(
        kept[::-1],
        "blend",
        [entry for entry in graph.inputs if entry.name in wanted],
        [helper.make_tensor_value_info(each.name, kinds[each.dtype], each.shape) for each in outputs],
        [tensor for tensor in (*graph.constants, *constants) if tensor.name in wanted],
    )
    if not whole.input:
        raise CannotMerge("no part asks for any of its columns")
    model = helper.make_model(
        whole,
        opset_imports=[
            helper.make_opsetid(domain, opsets.get(domain, ML_OPSET if domain == ML else 1)) for domain in sorted(used)
        ],
        ir_version=max(IR_VERSION, *(each.ir_version for each in models)),
        producer_name=producer,
    )
    try:
        data: bytes = model.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf raises classes of its own above its limit of 2 GB
        raise CannotMerge(f"the parts together are too large for one ONNX file ({error})") from error
    return data


def _bound(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Names that graphs of nodes bring with them."""
    inner = [graph for node in _all(nodes) for each in node.attribute for graph in (each.g, *each.graphs)]
    return {named.name for graph in inner for named in (*graph.input, *graph.initializer)}


def _all(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all(inner.node)
