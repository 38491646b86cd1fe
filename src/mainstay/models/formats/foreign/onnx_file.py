"""ONNX files that others wrote: checked, and given the names that `formats.onnx` finds inputs and outputs by.

The nodes stay as they are. What a graph does not say (which output is which, which class a probability belongs to) is
never guessed: it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, checker

from mainstay.models.answers import Answers, are_probabilities
from mainstay.models.formats.bounded_runs import bounded_run
from mainstay.models.formats.foreign.onnx_inputs import Inputs, inputs_of
from mainstay.models.formats.foreign.onnx_outputs import Said, outputs_of
from mainstay.models.formats.foreign.packing import packed
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, content_of, task_of
from mainstay.models.formats.onnx import said as refusal
from mainstay.models.formats.quiet_onnx import onnxruntime
from mainstay.models.packaging import Built
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, InputError, Signature

NAME = "ONNX"
NATIVE_READER = True
MOST = 1 << 31
KNOWN = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Domains whose operators ONNX Runtime brings with it."""


def detect(path: Path, head: bytes) -> bool:
    # A ModelProto begins with its field 1, the version of the format, a small number.
    return path.suffix == ".onnx" or (head[:1] == b"\x08" and b"onnx" in head)


def draft(path: Path, told: Told) -> Imported:
    return of_bytes(content_of(path, MOST), told, path.name)


def of_bytes(content: bytes, told: Told, name: str, description: str = "ONNX") -> Imported:
    """The package of a graph.

    Raises:
        CannotImport: see the module.
    """
    model = _checked(content, name)
    told = _own_labels(model, told)
    inputs = inputs_of(model, told)
    said = outputs_of(model, told)  # takes out ZipMap, and names the outputs
    signature = Signature(
        inputs=inputs.columns,
        tensors=inputs.tensors,
        task="general" if said.outputs else task_of(said.labels),
        target=told.target or "prediction",
        labels=said.labels,
        outputs=said.outputs,
    ).checked()
    graph = model.SerializeToString(deterministic=True)
    native = _native(content, inputs, said)
    built = packed(graph, signature=signature, encoder=inputs.encoder, native=native)
    check_probabilities(built)
    opsets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    operators = sorted({node.op_type for node in _nodes(model.graph) if node.domain == "com.microsoft"})
    notes: tuple[str, ...] = (f"Operators: {opsets}.",)
    if operators:
        notes += (f"Only ONNX Runtime has these operators: {', '.join(operators)}.",)
    return Imported(built, f"{description} by {model.producer_name or 'an unknown program'}", notes)


def _own_labels(model: onnx.ModelProto, told: Told) -> Told:
    """What is told, with the classes that `mainstay export` writes beside its graphs."""
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if told.labels or told.general or not {"labels", "content_id"} <= facts.keys():
        return told
    try:
        labels = msgspec.json.decode(facts["labels"], type=tuple[str | int, ...])
    except msgspec.DecodeError:
        return told  # the same key of another program
    return replace(told, labels=tuple(map(str, labels)))


def _checked(content: bytes, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises classes of its own, which differ between its versions
        raise CannotImport(f"{name} is no ONNX file: {error}.") from error
    for tensor in _tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise CannotImport(
                f"{name} keeps its weights in other files, which are not read: save it whole, "
                "with onnx.save(model, path, save_as_external_data=False)."
            )
    own = {function.domain for function in model.functions}
    for node in _nodes(model.graph):
        if node.domain not in KNOWN and node.domain not in own:
            raise CannotImport(
                f"{name} has the operator {node.op_type!r} of {node.domain!r}, a library that ONNX Runtime does not "
                "bring: export it without custom operators."
            )
    try:
        checker.check_model(model, full_check=True)
    except Exception as error:  # the checker raises classes of its own, and those of shape inference
        raise CannotImport(f"{name} is no sound ONNX model: {str(error).strip().splitlines()[0]}") from error
    return model


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    graphs = [graph, *(g for node in _nodes(graph) for a in node.attribute for g in (a.g, *a.graphs))]
    for each in graphs:
        yield from each.initializer
        for sparse in each.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(graph):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)


def check_probabilities(built: Built) -> None:
    """What a model gives for its classes may be logits, or scores of its own.

    Raises:
        CannotImport: its golden predictions are no probabilities.
    """
    found = built.draft.package().golden.probabilities
    if found is not None and not are_probabilities(np.asarray(found)):
        raise CannotImport(
            "What the model gives for its classes are no probabilities, for they are below zero or do not add up to "
            "one: say that they are logits (--logits), or take its outputs as they are (--general)."
        )


def _native(content: bytes, inputs: Inputs, said: Said) -> Any:
    """Asks the file as it was given, by its own names."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what it refuses is told in a sentence
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own, with no common root
        raise CannotImport(f"ONNX Runtime refuses the model: {refusal(error)}.") from error
    run = bounded_run(session, content)
    entries = session.get_inputs()

    def ask(cells: Cells) -> Answers:
        if inputs.encoder is not None:
            feeds: dict[str, Any] = {entries[0].name: cells.numbers.astype(inputs.encoder.dtype)}
        else:
            feeds = dict(cells.tensors)
            for index, column in enumerate(inputs.columns):
                if index in cells.texts:
                    values: Any = np.array([text or "" for text in cells.texts[index]], dtype=object)[:, None]
                else:
                    kind = {"boolean": "bool", "number": "float64"}[column.type]
                    declared = next(entry.type for entry in entries if entry.name == column.name)
                    values = cells.numbers[:, [index]].astype("float32" if "float" in declared else kind)
                feeds[column.name] = values
        try:
            found = run(said.asked, feeds)
        except InputError as error:
            raise CannotImport(f"{error} It is none that could be served.") from error
        except Exception as error:  # as above
            raise CannotImport(
                f"The model does not answer rows that its own inputs describe: {refusal(error)}."
            ) from error
        return decided(said.read(found, len(cells)), None)

    return ask
