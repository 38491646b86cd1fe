"""PMML's built-in functions of numbers, as nodes in double precision. https://dmg.org/pmml/v4-4-1/BuiltinFunctions.html

A missing number is NaN, and so is what is made of it, but by the functions over a list, which leave it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.links import arctan, normal

Made = Callable[[Graph, Sequence[str]], str]
COMPARED = {
    "equal": "Equal",
    "notEqual": "Equal",
    "lessThan": "Less",
    "lessOrEqual": "LessOrEqual",
    "greaterThan": "Greater",
    "greaterOrEqual": "GreaterOrEqual",
}
LOGICAL = ("and", "or", "not")
LISTED = ("min", "max", "sum", "avg", "product")


def _one(op: str) -> Made:
    return lambda graph, given: graph.add(op, given[0])


def _two(op: str) -> Made:
    return lambda graph, given: graph.add(op, given[0], given[1])


def _scaled(op: str, factor: float) -> Made:
    return lambda graph, given: graph.add("Div", graph.add(op, given[0]), graph.constant(factor))


def _ln1p(graph: Graph, given: Sequence[str]) -> str:
    # log(u) - ((u - 1) - x) / u with u = 1 + x keeps every digit (Kahan).
    one = graph.constant(1.0)
    u = graph.add("Add", one, given[0])
    rest = graph.add("Div", graph.add("Sub", graph.add("Sub", u, one), given[0]), u)
    return graph.add("Sub", graph.add("Log", u), rest)


def _expm1(graph: Graph, given: Sequence[str]) -> str:
    # With t = tanh(x / 2), e^x - 1 is 2 t / (1 - t), which keeps the digits of a small x; further out there is no need.
    x, one = given[0], graph.constant(1.0)
    half = graph.add("Tanh", graph.add("Mul", x, graph.constant(0.5)))
    small = graph.add("Div", graph.add("Mul", graph.constant(2.0), half), graph.add("Sub", one, half))
    near = graph.add("Less", graph.add("Abs", x), one)
    return graph.add("Where", near, small, graph.add("Sub", graph.add("Exp", x), one))


def _rounded(graph: Graph, given: Sequence[str]) -> str:
    # To the nearest, and a half upwards, as Java has it.
    return graph.add("Floor", graph.add("Add", given[0], graph.constant(0.5)))


def _modulo(graph: Graph, given: Sequence[str]) -> str:
    quotient = graph.add("Floor", graph.add("Div", given[0], given[1]))
    return graph.add("Sub", given[0], graph.add("Mul", given[1], quotient))


def _threshold(graph: Graph, given: Sequence[str]) -> str:
    over = graph.cast(graph.add("Greater", given[0], given[1]), "float64")
    gone = graph.add("IsNaN", graph.add("Add", given[0], given[1]))
    return graph.add("Where", gone, graph.constant(math.nan), over)


NUMERIC: Mapping[str, tuple[int, Made]] = {
    "+": (2, _two("Add")),
    "-": (2, _two("Sub")),
    "*": (2, _two("Mul")),
    "/": (2, _two("Div")),
    "pow": (2, _two("Pow")),
    "modulo": (2, _modulo),
    "threshold": (2, _threshold),
    "exp": (1, _one("Exp")),
    "ln": (1, _one("Log")),
    "log10": (1, _scaled("Log", math.log(10.0))),
    "ln1p": (1, _ln1p),
    "expm1": (1, _expm1),
    "sqrt": (1, _one("Sqrt")),
    "abs": (1, _one("Abs")),
    "floor": (1, _one("Floor")),
    "ceil": (1, _one("Ceil")),
    "round": (1, _rounded),
    "tanh": (1, _one("Tanh")),
    "sin": (1, _one("Sin")),
    "cos": (1, _one("Cos")),
    "atan": (1, lambda graph, given: arctan(graph, given[0])),
    "stdNormalCDF": (1, lambda graph, given: normal(graph, given[0])),
}
"""How many numbers a function takes, and what it makes of them."""


def over_list(graph: Graph, function: str, given: Sequence[str]) -> str:
    """One of LISTED over the numbers that are not missing; missing where all are."""
    neutral, op = {
        "min": (np.inf, "Min"),
        "max": (-np.inf, "Max"),
        "sum": (0.0, "Add"),
        "avg": (0.0, "Add"),
        "product": (1.0, "Mul"),
    }[function]
    found = count = ""
    for x in given:
        gone = graph.add("IsNaN", x)
        there = graph.cast(graph.add("Not", gone), "float64")
        each = graph.add("Where", gone, graph.constant(neutral), x)
        found, count = (graph.add(op, found, each), graph.add("Add", count, there)) if found else (each, there)
    if function == "avg":
        found = graph.add("Div", found, count)
    nothing = graph.add("Equal", count, graph.constant(0.0))
    return graph.add("Where", nothing, graph.constant(math.nan), found)
