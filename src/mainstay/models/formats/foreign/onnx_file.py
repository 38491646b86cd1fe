"""ONNX files that others wrote: checked, and given the names that `formats.onnx` finds inputs and outputs by.

The nodes stay as they are. What a graph does not say (which output is which, which class a probability belongs to) is
never guessed: it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, checker

from mainstay.models.answers import Answers
from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats.foreign.onnx_outputs import Said, outputs_of
from mainstay.models.formats.foreign.packing import packed
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, content_of, task_of
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, Column, Signature

NAME = "ONNX"
MOST = 1 << 31
KNOWN = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Domains whose operators ONNX Runtime brings with it."""
FEATURES = "features"
_FLOATS: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}


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
    columns, encoder = _inputs(model, told)
    said = outputs_of(model, told)  # takes out ZipMap, and names the outputs
    signature = Signature(
        inputs=columns, task=task_of(said.labels), target=told.target or "prediction", labels=said.labels
    ).checked()
    graph = model.SerializeToString(deterministic=True)
    native = _native(content, columns, encoder, said)
    built = packed(graph, signature=signature, encoder=encoder, native=native)
    opsets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    operators = sorted({node.op_type for node in _nodes(model.graph) if node.domain == "com.microsoft"})
    notes: tuple[str, ...] = (f"Operators: {opsets}.",)
    if operators:
        notes += (f"Only ONNX Runtime has these operators: {', '.join(operators)}.",)
    return Imported(built, f"{description} by {model.producer_name or 'an unknown program'}", notes)


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


def _inputs(model: onnx.ModelProto, told: Told) -> tuple[tuple[Column, ...], Encoder | None]:
    """The columns of a graph's inputs; an encoder where one input takes them all, which is renamed."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    entries = [entry for entry in graph.input if entry.name not in constants]
    if not entries:
        raise CannotImport("The ONNX model takes no input.")
    for entry in entries:
        if not entry.type.HasField("tensor_type"):
            raise CannotImport(
                f"The input {entry.name!r} is no tensor, and a row of a table is: export it with tensors."
            )
    shapes = {entry.name: _shape(entry) for entry in entries}
    for name, shape in shapes.items():
        if shape and isinstance(shape[0], int) and shape[0] != -1:
            raise CannotImport(
                f"The input {name!r} takes exactly {shape[0]} rows: export it with a dynamic first dimension."
            )
    first = shapes[entries[0].name]
    if len(entries) == 1 and len(first) == 2 and (first[1] != 1 or told.columns):
        return _matrix(model, entries[0], first[1], told)
    return _named(entries, shapes, told), None


def _shape(entry: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Its dimensions, -1 for one that is not fixed."""
    kind = entry.type.tensor_type
    if not kind.HasField("shape"):
        raise CannotImport(f"The input {entry.name!r} does not say its shape: export it with (rows, columns).")
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else -1 for d in kind.shape.dim)


def _matrix(
    model: onnx.ModelProto, entry: onnx.ValueInfoProto, width: int, told: Told
) -> tuple[tuple[Column, ...], Encoder]:
    dtype = _FLOATS.get(entry.type.tensor_type.elem_type)
    if dtype is None:
        kind = TensorProto.DataType.Name(entry.type.tensor_type.elem_type).lower()
        raise CannotImport(
            f"The input {entry.name!r} is of type {kind}, and columns of numbers are float or double: export it so, "
            "or with one input a column."
        )
    if width == -1 and not told.columns:
        raise CannotImport(
            f"The input {entry.name!r} does not say how many columns it takes: name them with --columns."
        )
    names = told.names((), len(told.columns) if width == -1 else width)
    _rename_input(model, entry, FEATURES)
    encoder = Encoder((Block(tuple(range(len(names)))),), dtype="float32" if dtype == "float32" else "float64")
    missing = told.may_miss(names)
    return tuple(Column(name=name, type="number", nullable=name in missing) for name in names), encoder


def _rename_input(model: onnx.ModelProto, entry: onnx.ValueInfoProto, name: str) -> None:
    if entry.name == name:
        return
    graph = model.graph
    if name in {value for node in _nodes(graph) for value in (*node.input, *node.output)}:
        raise CannotImport(f"The model has a tensor called {name!r} that is not its input: rename it.")
    graph.node.insert(0, onnx.helper.make_node("Identity", [name], [entry.name], f"{name} as {entry.name}"))
    entry.name = name


def _named(entries: list[onnx.ValueInfoProto], shapes: dict[str, tuple[int, ...]], told: Told) -> tuple[Column, ...]:
    if told.columns:
        raise CannotImport("The model names its inputs itself: leave --columns out.")
    missing = told.may_miss([entry.name for entry in entries])
    columns = []
    for entry in entries:
        kind = entry.type.tensor_type.elem_type
        if len(shapes[entry.name]) != 2 or shapes[entry.name][1] != 1:
            raise CannotImport(
                f"The input {entry.name!r} has the shape {shapes[entry.name]}, and a column of a table has (rows, 1): "
                "export it so, or with one input (rows, columns)."
            )
        if kind in _FLOATS:
            columns.append(Column(name=entry.name, type="number", nullable=entry.name in missing))
        elif kind == TensorProto.STRING:
            columns.append(Column(name=entry.name, type="text"))
        elif kind == TensorProto.BOOL:
            columns.append(Column(name=entry.name, type="boolean"))
        else:
            raise CannotImport(
                f"The input {entry.name!r} is of type {TensorProto.DataType.Name(kind).lower()}, which would cut 3.5 "
                "to 3 without a word: export it as float or double."
            )
    return tuple(columns)


def _native(content: bytes, columns: tuple[Column, ...], encoder: Encoder | None, said: Said) -> Any:
    """Asks the file as it was given, by its own names."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own, with no common root
        raise CannotImport(f"ONNX Runtime refuses the model: {error}") from error
    inputs = session.get_inputs()

    def ask(cells: Cells) -> Answers:
        if encoder is not None:
            feeds: dict[str, Any] = {inputs[0].name: cells.numbers.astype(encoder.dtype)}
        else:
            feeds = {}
            for index, column in enumerate(columns):
                if index in cells.texts:
                    values: Any = np.array([text or "" for text in cells.texts[index]], dtype=object)[:, None]
                else:
                    kind = {"boolean": "bool", "number": "float64"}[column.type]
                    declared = next(entry.type for entry in inputs if entry.name == column.name)
                    values = cells.numbers[:, [index]].astype("float32" if "float" in declared else kind)
                feeds[column.name] = values
        found = session.run(said.asked, feeds)
        return decided(said.read(found, len(cells)), None)

    return ask
