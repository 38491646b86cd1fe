"""The steps of an encoder as ONNX nodes in double precision: the arithmetic of `encoder.compiled`, node by node."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mainstay.models.encoder import (
    Affine,
    Bins,
    Bounds,
    Clip,
    DateParts,
    Function,
    Impute,
    Lookup,
    Match,
    MissingFlag,
    Numbers,
    OneHot,
    Scale,
    Select,
    Single,
    Step,
)
from mainstay.models.formats.date_nodes import date_parts
from mainstay.models.formats.graph import Graph

ROUNDED = ("log", "log1p", "log2", "log10", "exp", "expm1")
"""Functions whose last digit is left to the library that computes them: NumPy's and ONNX Runtime's may differ."""


def write_step(graph: Graph, x: str, width: int, step: Step) -> str:  # noqa: PLR0911, C901, PLR0912 - one case a step
    """Adds the nodes of a step on the tensor x (n, width) of doubles; gives the tensor after it."""
    match step:
        case Impute(values=values):
            return graph.add("Where", graph.add("IsNaN", x), graph.constant(values), x)
        case MissingFlag():
            return graph.cast(graph.add("IsNaN", x), "float64")
        case Clip(low=low, high=high):
            return _clip(graph, x, low, high)
        case Scale(center=center, divisor=divisor):
            return graph.add("Div", graph.add("Sub", x, graph.constant(center)), graph.constant(divisor))
        case Affine(factor=factor, offset=offset):
            return graph.add("Add", graph.add("Mul", x, graph.constant(factor)), graph.constant(offset))
        case Match(values=lists):
            return _match(graph, x, lists)
        case Lookup():
            return _lookup(graph, x, step)
        case OneHot(sizes=sizes):
            return _one_hot(graph, x, sizes)
        case Bins(edges=edges):
            return _bins(graph, x, edges)
        case DateParts(parts=parts):
            return date_parts(graph, x, width, parts)
        case Function(name=name):
            return _FUNCTIONS[name](graph, x)
        case Single():
            return graph.cast(graph.cast(x, "float32"), "float64")
        case Select(kept=kept):
            return graph.add("Gather", x, graph.constant(kept, np.int64), axis=1)


def _clip(graph: Graph, x: str, low: Bounds, high: Bounds) -> str:
    # Comparisons with NaN are false, so NaN stays.
    if any(value is not None for value in low):
        bounds = graph.constant([-math.inf if value is None else value for value in low])
        x = graph.add("Where", graph.add("Less", x, bounds), bounds, x)
    if any(value is not None for value in high):
        bounds = graph.constant([math.inf if value is None else value for value in high])
        x = graph.add("Where", graph.add("Greater", x, bounds), bounds, x)
    return x


def _match(graph: Graph, x: str, lists: tuple[Numbers, ...]) -> str:
    columns = []
    for index, values in enumerate(lists):
        column = graph.add("Gather", x, graph.constant([index], np.int64), axis=1)
        hits = graph.cast(graph.add("Equal", column, graph.constant(np.reshape(values, (1, -1)))), "float64")
        # At most one hit: its position + 1, or 0.
        place = graph.add("MatMul", hits, graph.constant(np.arange(1.0, len(values) + 1.0).reshape(-1, 1)))
        columns.append(graph.add("Sub", place, graph.constant(1.0)))
    found = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    return graph.add("Where", graph.add("IsNaN", x), x, found)


def _bins(graph: Graph, x: str, edges: tuple[Numbers, ...]) -> str:
    columns = []
    for index, values in enumerate(edges):
        column = graph.add("Gather", x, graph.constant([index], np.int64), axis=1)
        passed = graph.cast(graph.add("GreaterOrEqual", column, graph.constant(np.reshape(values, (1, -1)))), "float64")
        columns.append(graph.add("ReduceSum", passed, graph.constant([1], np.int64), keepdims=1))
    found = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    return graph.add("Where", graph.add("IsNaN", x), x, found)


def _lookup(graph: Graph, x: str, step: Lookup) -> str:
    # One long table; each column's part ends with what stands for unseen, then for missing.
    entries: list[float | None] = []
    starts: list[float] = []
    sizes: list[float] = []
    for table, unseen, missing in zip(step.tables, step.unseen, step.missing, strict=True):
        starts.append(float(len(entries)))
        sizes.append(float(len(table)))
        entries += [*table, unseen, missing]
    limits = graph.constant(sizes)
    inside = graph.add("And", graph.add("GreaterOrEqual", x, graph.constant(0.0)), graph.add("Less", x, limits))
    code = graph.add("Where", inside, graph.add("Floor", x), limits)
    code = graph.add("Where", graph.add("IsNaN", x), graph.constant(np.array(sizes) + 1.0), code)
    place = graph.cast(graph.add("Add", code, graph.constant(starts)), "int64")
    return graph.add("Gather", graph.constant([math.nan if e is None else e for e in entries]), place, axis=0)


def _one_hot(graph: Graph, x: str, sizes: tuple[int, ...]) -> str:
    source = [column for column, size in enumerate(sizes) for _ in range(size)]
    codes = [float(code) for size in sizes for code in range(size)]
    repeated = graph.add("Gather", x, graph.constant(source, np.int64), axis=1)
    return graph.cast(graph.add("Equal", repeated, graph.constant(codes)), "float64")


def _log1p(graph: Graph, x: str) -> str:
    # log(u) - ((u - 1) - x) / u with u = 1 + x keeps every digit (Kahan); at u = 0 it is the logarithm alone.
    one = graph.constant(1.0)
    u = graph.add("Add", one, x)
    logarithm = graph.add("Log", u)
    rest = graph.add("Div", graph.add("Sub", graph.add("Sub", u, one), x), u)
    plain = graph.add("Equal", u, graph.constant(0.0))
    return graph.add("Where", plain, logarithm, graph.add("Sub", logarithm, rest))


def _expm1(graph: Graph, x: str) -> str:
    # (u - 1) x / log(u) with u = exp(x) keeps every digit (Kahan), between the ends where u - 1 is -1, 0 or infinite.
    one = graph.constant(1.0)
    u = graph.add("Exp", x)
    less = graph.add("Sub", u, one)
    precise = graph.add("Div", graph.add("Mul", less, x), graph.add("Log", u))
    ends = graph.add("Or", graph.add("IsInf", less), graph.add("Equal", less, graph.constant(-1.0)))
    inner = graph.add("Where", ends, less, precise)
    return graph.add("Where", graph.add("Equal", u, one), x, inner)


_FUNCTIONS: dict[str, Callable[[Graph, str], str]] = {
    "log": lambda graph, x: graph.add("Log", x),
    "log1p": _log1p,
    "log2": lambda graph, x: graph.add("Div", graph.add("Log", x), graph.constant(math.log(2.0))),
    "log10": lambda graph, x: graph.add("Div", graph.add("Log", x), graph.constant(math.log(10.0))),
    "sqrt": lambda graph, x: graph.add("Sqrt", x),
    "square": lambda graph, x: graph.add("Mul", x, x),
    "abs": lambda graph, x: graph.add("Abs", x),
    "exp": lambda graph, x: graph.add("Exp", x),
    "expm1": _expm1,
}
