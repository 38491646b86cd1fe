"""Pipelines whose steps have no exact transcription, converted as they are by skl2onnx, in double precision.

What it makes is used under the proof of parity alone. Trees are not let through: their thresholds would lie behind
arithmetic that another library does in another order, and a proof cannot be made to meet them.
"""

from __future__ import annotations

from typing import Any

import onnx
from sklearn.pipeline import Pipeline

from mainstay.models.formats.export import CannotExport, Exported, to_onnx
from mainstay.models.formats.frames import FrameSpec
from mainstay.models.signature import Signature

_OPSETS = {"": 21, "ai.onnx.ml": 3}
_NAMES = {"probabilities": "probabilities", "variable": "value"}


def features_graph(model: Any, *, width: int) -> Exported:
    """The graph of a fitted pipeline that takes `width` features.

    Raises:
        CannotExport: skl2onnx cannot convert it, or it ends in trees.
    """
    from skl2onnx.common.data_types import DoubleTensorType  # noqa: PLC0415 - heavy, and rarely needed

    return _converted(model, [("features", DoubleTensorType([None, width]))])


def columns_graph(model: Any, signature: Signature, spec: FrameSpec) -> Exported:
    """The graph of a fitted pipeline that takes the raw columns of a signature, each by its name.

    Raises:
        CannotExport: as `features_graph`; or a column has no counterpart in ONNX.
    """
    from skl2onnx.common.data_types import (  # noqa: PLC0415 - as above
        BooleanTensorType,
        DoubleTensorType,
        StringTensorType,
    )

    if spec.container != "frame":
        raise CannotExport("the pipeline takes texts that are not in a DataFrame")
    kinds = {"number": DoubleTensorType, "boolean": BooleanTensorType, "text": StringTensorType}
    types: list[tuple[str, Any]] = []
    for column in signature.inputs:
        if column.type not in kinds:
            raise CannotExport(f"ONNX has no counterpart of column {column.name!r} ({column.type})")
        if column.type == "text" and column.nullable:
            raise CannotExport(f"texts of column {column.name!r} may be missing, which ONNX has no word for")
        types.append((column.name, kinds[column.type]([None, 1])))
    return _converted(model, types)


def _converted(model: Any, types: list[tuple[str, Any]]) -> Exported:
    from skl2onnx import convert_sklearn  # noqa: PLC0415 - as above

    last = model
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    try:
        thresholds = to_onnx(last, width=int(last.n_features_in_)).thresholds
    except (CannotExport, AttributeError) as error:
        raise CannotExport(f"{type(last).__name__} cannot be written behind the pipeline's own steps") from error
    if thresholds:
        raise CannotExport(f"{type(last).__name__} has thresholds, which a converter's arithmetic may miss")
    options = {"zipmap": False} if hasattr(last, "classes_") else None
    try:
        graph = convert_sklearn(model, initial_types=types, target_opset=_OPSETS, options=options)
    except Exception as error:  # converters raise whatever their parts raise
        raise CannotExport(f"skl2onnx cannot convert it ({_first_line(error)})") from error
    return Exported(_named(graph), "float64", {})


def _named(graph: Any) -> bytes:
    """The graph with the outputs that Mainstay reads, and no others."""
    outputs = {output.name: output for output in graph.graph.output}
    kept = [name for name in _NAMES if name in outputs]
    if not kept:
        raise CannotExport("skl2onnx gives neither probabilities nor values for it")
    del graph.graph.output[:]
    for name in kept:
        output = outputs[name]
        if name != _NAMES[name]:
            graph.graph.node.append(onnx.helper.make_node("Identity", [name], [_NAMES[name]]))
            output.name = _NAMES[name]
        graph.graph.output.append(output)
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
