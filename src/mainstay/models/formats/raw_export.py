"""A version's package as one ONNX file for those who run ONNX without Mainstay.

Raw columns in; `label` (the class's position), `probabilities` and `value` out. The decision of the package, such as
a threshold, is part of the graph; names of columns and classes stand in its metadata.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mainstay.models.answers import Answers
from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats.export import FEATURES, Exported
from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.quiet_onnx import onnxruntime
from mainstay.models.formats.raw_graph import raw_graph
from mainstay.models.package import Decision, Package
from mainstay.models.signature import Reader, Signature

_PRODUCER = "mainstay"


def onnx_of(package: Package) -> bytes:
    """The graph, which has answered the package's golden predictions.

    Raises:
        CannotExport: the model is no ONNX, its encoder cannot be written so, or the graph answers otherwise.
        GoldenMismatch: as the last.
    """
    spec, signature, encoder = package.spec, package.signature, package.encoder
    if spec.format != "onnx":
        raise CannotExport(
            f"This version is served as {spec.format}, since {spec.reason or 'it cannot be ONNX'}: export it with "
            "--format native."
        )
    model = onnx.load_model_from_string(package.read(spec.file))
    _labelled(model, signature, spec.decision)
    data = model.SerializeToString(deterministic=True)
    inputs = {entry.name for entry in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    if encoder is not None and inputs != {FEATURES}:
        raise CannotExport("The model takes inputs beside its encoder's features: export it with --format native.")
    if encoder is not None and model.producer_name != _PRODUCER:
        data = _fronted(model, signature, encoder)
    elif encoder is not None:
        splits = any(node.op_type.startswith("TreeEnsemble") for node in model.graph.node)
        data = raw_graph(signature, encoder, Exported(data, encoder.dtype, {0: np.zeros(1)} if splits else {}))
    whole = onnx.load_model_from_string(data)
    del whole.metadata_props[:]
    helper.set_model_props(whole, _facts(package, signature))
    found: bytes = whole.SerializeToString(deterministic=True)
    package.golden.check(_asked(found, package))
    return found


def _facts(package: Package, signature: Signature) -> dict[str, str]:
    return {
        "content_id": package.manifest.content_id,
        "labels": json.dumps(list(signature.labels)),
        "columns": json.dumps([{"name": column.name, "type": column.type} for column in signature.inputs]),
    }


def _labelled(model: onnx.ModelProto, signature: Signature, decision: Decision | None) -> None:
    """Adds the output `label` to a classifier, as the package decides."""
    graph = model.graph
    outputs = {entry.name: entry for entry in graph.output}
    if (
        signature.task in ("regression", "general")
        or "probabilities" not in outputs
        or (decision is None and "label" in outputs)
    ):
        return
    if "label" in outputs:
        raise CannotExport("The model decides by itself and its package decides otherwise: export it natively.")
    if decision is None:
        graph.node.append(helper.make_node("ArgMax", ["probabilities"], ["label"], "label", axis=1, keepdims=0))
    else:
        single = outputs["probabilities"].type.tensor_type.elem_type == TensorProto.FLOAT
        # The package compares in double precision.
        names = {
            "which": np.array(decision.positive, dtype=np.int64),
            "threshold": np.array(decision.threshold),
            "positive": np.array(decision.positive, dtype=np.int64),
            "negative": np.array(1 - decision.positive, dtype=np.int64),
        }
        for name, value in names.items():
            graph.initializer.append(numpy_helper.from_array(value, f"decision {name}"))
        nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
            ("Gather", ["probabilities", "decision which"], "decision share", {"axis": 1})
        ]
        if single:
            nodes.append(("Cast", ["decision share"], "decision double", {"to": TensorProto.DOUBLE}))
        last = nodes[-1][2]
        nodes += [
            ("GreaterOrEqual", [last, "decision threshold"], "decision above", {}),
            ("Where", ["decision above", "decision positive", "decision negative"], "label", {}),
        ]
        for op, inputs, output, attributes in nodes:
            graph.node.append(helper.make_node(op, inputs, [output], output, **attributes))
    graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]))


def _fronted(model: onnx.ModelProto, signature: Signature, encoder: Encoder) -> bytes:
    """A graph of somebody else's with an input for each column, joined in front of it."""
    if encoder.steps or encoder.blocks != (Block(tuple(range(len(signature.inputs)))),):
        raise CannotExport("The encoder in front of this graph does more than join columns: export it natively.")
    graph = model.graph
    kind = TensorProto.FLOAT if encoder.dtype == "float32" else TensorProto.DOUBLE
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    if clash := taken & set(signature.names):
        raise CannotExport(f"The graph has a tensor called {min(clash)!r}, as a column is: rename one of them.")
    kept = [entry for entry in graph.input if entry.name != FEATURES]
    del graph.input[:]
    graph.input.extend(
        [*kept, *(helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", 1]) for name in signature.names)]
    )
    joined = helper.make_node("Concat", list(signature.names), ["columns joined"], "columns joined", axis=1)
    graph.node.insert(0, helper.make_node("Cast", ["columns joined"], [FEATURES], FEATURES, to=kind))
    graph.node.insert(0, joined)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _asked(graph: bytes, package: Package) -> Answers:
    """The golden rows' answers by a plain session, as somebody without Mainstay would ask it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    rows, signature = package.golden.rows, package.signature
    cells = Reader(signature).rows(rows)
    types = {entry.name: entry.type for entry in session.get_inputs()}
    feeds: dict[str, Any] = dict(cells.tensors)
    for index, column in enumerate(signature.inputs):
        if column.name not in types:
            continue
        if types[column.name] == "tensor(string)":
            texts = ["" if row[column.name] is None else str(row[column.name]) for row in rows]
            feeds[column.name] = np.array(texts, dtype=object)[:, None]
        else:
            kinds = {"tensor(float)": "float32", "tensor(bool)": "bool"}
            feeds[column.name] = cells.numbers[:, [index]].astype(kinds.get(types[column.name], "float64"))
    names = [entry.name for entry in session.get_outputs()]
    found = dict(zip(names, session.run(names, feeds), strict=True))
    if signature.outputs:
        return Answers(outputs=found)
    values = found.get("value")
    return Answers(
        values=None if values is None else np.asarray(values, dtype=np.float64).reshape(-1),
        labels=found.get("label"),
        probabilities=found.get("probabilities"),
    )
