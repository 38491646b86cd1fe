"""Which inputs of an ONNX graph are the columns of a table, and which are tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import onnx
from onnx import TensorProto

from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.signature import Column
from mainstay.models.tensors import Dtype, Tensor, with_images

FEATURES = "features"
DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
    TensorProto.BOOL: "bool",
    TensorProto.INT8: "int8",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16",
    TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64",
    TensorProto.STRING: "text",
}
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


@dataclass(frozen=True)
class Inputs:
    """The inputs of a graph. With an encoder, one input takes all columns, and is called `features`."""

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    encoder: Encoder | None = None


def inputs_of(model: onnx.ModelProto, told: Told) -> Inputs:
    """The inputs; one that takes a whole row of numbers is renamed.

    Raises:
        CannotImport: an input is no tensor, does not say its shape, or takes a fixed number of rows; or names are told
            for inputs that have their own.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    entries = [entry for entry in model.graph.input if entry.name not in constants]
    if not entries:
        raise CannotImport("The ONNX model takes no input.")
    shapes = {entry.name: shape_of(entry, "input") for entry in entries}
    first, shape = entries[0], shapes[entries[0].name]
    alone = len(entries) == len(shape) == 1 and first.type.tensor_type.elem_type in _FLOATS
    if alone and (shape != (1,) or told.columns):
        return _matrix(model, first, shape[0], told)
    if told.columns:
        raise CannotImport("The model names its inputs itself: leave --columns out.")
    nullable = told.may_miss([entry.name for entry in entries])
    columns: list[Column] = []
    tensors: list[Tensor] = []
    for entry in entries:
        column = _column(entry, shapes[entry.name], nullable)
        if column is not None:
            columns.append(column)
        else:
            tensors.append(tensor_of(entry, shapes[entry.name]))
    return Inputs(tuple(columns), with_images(tensors, told.images))


def shape_of(entry: onnx.ValueInfoProto, what: str) -> tuple[int | str, ...]:
    """The shape of one row; a size that is not fixed by its name.

    Raises:
        CannotImport: no tensor; no shape, or one without rows; or a fixed number of rows.
    """
    if not entry.type.HasField("tensor_type"):
        raise CannotImport(f"The {what} {entry.name!r} is no tensor, and a row is: export it with tensors.")
    kind = entry.type.tensor_type
    if not kind.HasField("shape"):
        raise CannotImport(f"The {what} {entry.name!r} does not say its shape: export it with (rows, columns).")
    sizes = [
        dim.dim_value if dim.dim_value > 0 else dim.dim_param or f"{entry.name} {axis}"
        for axis, dim in enumerate(kind.shape.dim)
    ]
    if not sizes:
        raise CannotImport(f"The {what} {entry.name!r} has no rows: export it with a dynamic first dimension.")
    if isinstance(sizes[0], int):
        raise CannotImport(
            f"The {what} {entry.name!r} takes exactly {sizes[0]} rows: export it with a dynamic first dimension."
        )
    return tuple(sizes[1:])


def tensor_of(entry: onnx.ValueInfoProto, shape: tuple[int | str, ...]) -> Tensor:
    """The tensor of an input or an output. Raises CannotImport for a type that has no numpy name."""
    kind = entry.type.tensor_type.elem_type
    if kind not in DTYPES:
        raise CannotImport(
            f"{entry.name!r} is of type {TensorProto.DataType.Name(kind).lower()}, which cannot be sent: export it "
            "with a cast."
        )
    return Tensor(name=entry.name, dtype=cast("Dtype", DTYPES[kind]), shape=shape)


def _column(entry: onnx.ValueInfoProto, shape: tuple[int | str, ...], nullable: frozenset[str]) -> Column | None:
    """The column that an input of shape (rows, 1) is; None for a tensor."""
    kind = entry.type.tensor_type.elem_type
    if shape != (1,):
        return None
    if kind in _FLOATS:
        return Column(name=entry.name, type="number", nullable=entry.name in nullable)
    if kind == TensorProto.STRING:
        return Column(name=entry.name, type="text")
    return Column(name=entry.name, type="boolean") if kind == TensorProto.BOOL else None


def _matrix(model: onnx.ModelProto, entry: onnx.ValueInfoProto, width: int | str, told: Told) -> Inputs:
    if isinstance(width, str) and not told.columns:
        raise CannotImport(
            f"The input {entry.name!r} does not say how many columns it takes: name them with --columns."
        )
    names = told.names((), len(told.columns) if isinstance(width, str) else width)
    double = entry.type.tensor_type.elem_type == TensorProto.DOUBLE
    _rename(model, entry, FEATURES)
    encoder = Encoder((Block(tuple(range(len(names)))),), dtype="float64" if double else "float32")
    nullable = told.may_miss(names)
    return Inputs(tuple(Column(name=name, type="number", nullable=name in nullable) for name in names), encoder=encoder)


def _rename(model: onnx.ModelProto, entry: onnx.ValueInfoProto, name: str) -> None:
    if entry.name == name:
        return
    graph = model.graph
    if name in _used(graph):
        raise CannotImport(f"The model has a tensor called {name!r} that is not its input: rename it.")
    graph.node.insert(0, onnx.helper.make_node("Identity", [name], [entry.name], f"{name} as {entry.name}"))
    entry.name = name


def _used(graph: onnx.GraphProto) -> set[str]:
    """Every name of a value, in inner graphs too."""
    names: set[str] = set()
    for node in graph.node:
        names.update((*node.input, *node.output))
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                names |= _used(inner)
    return names
