"""One ONNX graph with raw columns: the encoder's steps as nodes in double precision, in front of the model.

For those who run ONNX without Mainstay. Mainstay itself serves encoder and model apart, which is faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import numpy_helper

from mainstay.models.encoder import Block, Encoder, Function, Step
from mainstay.models.formats.encoder_nodes import ROUNDED, write_step
from mainstay.models.formats.export import FEATURES, Exported
from mainstay.models.formats.graph import ML, CannotExport, Graph
from mainstay.models.signature import UNSEEN, Column, Signature
from mainstay.models.text import TextTerms

_OUTPUTS = ("probabilities", "label", "value")


def raw_graph(signature: Signature, encoder: Encoder, exported: Exported) -> bytes:
    """A graph that takes each column of the signature by its name, of shape (n, 1).

    Numbers are doubles, booleans 0 or 1, date-times seconds since 1970-01-01 UTC, with NaN where missing.
    Categories are strings; the signature's tokens for missing values are missing ones, and so is the empty string
    unless it is a category. Outputs are those of the exported estimator. A graph cannot refuse input: what the
    signature refuses (a missing value where training saw none, a category that its encoder does not know) it reads
    as missing or unseen.

    Raises:
        CannotExport: the encoder has a text column, or a step whose last digit ONNX Runtime may round otherwise in
            front of a model that splits on values; or a column's name cannot be an input's.
    """
    _check_names(signature)
    _check_steps(encoder, exported)
    graph = Graph(prefix=_prefix(signature))
    inputs = {
        index: graph.input(column.name, "string" if column.type in ("category", "text") else "float64", ["rows", 1])
        for index, column in enumerate(signature.inputs)
    }
    codes = {
        index: _codes(graph, inputs[index], column, signature.tokens(column))
        for index, column in enumerate(signature.inputs)
        if column.type == "category"
    }
    blocks = [
        _block(graph, block, {index: codes.get(index, name) for index, name in inputs.items()})
        for block in encoder.blocks
        if isinstance(block, Block)
    ]
    joined = blocks[0][0] if len(blocks) == 1 else graph.add("Concat", *[name for name, _ in blocks], axis=1)
    features = _steps(graph, joined, sum(width for _, width in blocks), encoder.steps)
    if encoder.dtype == "float32":
        features = graph.cast(features, "float32")
    return graph.model(graph.include(exported.graph, {FEATURES: features}))


def _check_names(signature: Signature) -> None:
    for name in signature.names:
        if not name or name in _OUTPUTS:
            raise CannotExport(f"A column called {name!r} cannot be an input of a raw graph: rename it.")


def _check_steps(encoder: Encoder, exported: Exported) -> None:
    if encoder.dtype != exported.dtype:
        raise CannotExport(f"The encoder gives {encoder.dtype}, and the estimator's graph takes {exported.dtype}.")
    for block in encoder.blocks:
        if isinstance(block, TextTerms):
            raise CannotExport("The encoder counts terms of a text column, which ONNX cannot do exactly.")
        for step in (*block.steps, *encoder.steps):
            if isinstance(step, Function) and step.name in ROUNDED and exported.thresholds:
                raise CannotExport(
                    f"The encoder takes {step.name} of a value that the model splits on, and ONNX Runtime may round "
                    "its last digit otherwise than NumPy."
                )


def _prefix(signature: Signature) -> str:
    prefix = "_"
    while any(name.startswith(prefix) for name in signature.names):
        prefix += "_"
    return prefix


def _codes(graph: Graph, texts: str, column: Column, missing_tokens: tuple[str, ...]) -> str:
    """The column's texts (n, 1) as the codes that the signature's reader gives them."""
    codes = {category: float(code) for code, category in enumerate(column.categories)}
    codes.setdefault("", np.nan)
    codes.update(dict.fromkeys(missing_tokens, np.nan))
    return graph.add(
        "LabelEncoder",
        texts,
        domain=ML,
        keys_tensor=numpy_helper.from_array(np.array(list(codes), dtype=object), "keys"),
        values_tensor=numpy_helper.from_array(np.array(list(codes.values())), "values"),
        default_tensor=numpy_helper.from_array(np.array([UNSEEN]), "default"),
    )


def _block(graph: Graph, block: Block, columns: dict[int, str]) -> tuple[str, int]:
    names = [columns[index] for index in block.columns]
    joined = names[0] if len(names) == 1 else graph.add("Concat", *names, axis=1)
    return _steps(graph, joined, len(names), block.steps), Encoder((block,)).width


def _steps(graph: Graph, x: str, width: int, steps: Sequence[Step]) -> str:
    done: tuple[Step, ...] = ()
    for step in steps:
        at = Encoder((Block(tuple(range(width)), done),)).width
        x = write_step(graph, x, at, step)
        done = (*done, step)
    return x
