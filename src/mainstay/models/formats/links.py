"""From raw scores to probabilities or values: the last step of boosting and of linear models, in double precision."""

from __future__ import annotations

import numpy as np

from mainstay.models.formats.graph import Graph


def binary(graph: Graph, positive: str) -> str:
    """(n, 2) from the probability of the second class (n, 1): the first one's is 1 - p, as every library has it."""
    negative = graph.add("Sub", graph.constant(1.0), positive)
    return graph.add("Concat", negative, positive, axis=1)


def sigmoid(graph: Graph, raw: str, slope: float = 1.0) -> str:
    """1 / (1 + exp(-slope * raw))."""
    return graph.add("Sigmoid", times(graph, raw, slope))


def softmax(graph: Graph, raw: str) -> str:
    """exp(raw) over its sum, along each row."""
    return graph.add("Softmax", raw, axis=1)


def shares(graph: Graph, scores: str) -> str:
    """Each row (n, k) over its sum; a row of zeros becomes 1 / k each."""
    axis = graph.constant([1], np.int64)
    nothing = graph.add("Equal", graph.add("ReduceSum", scores, axis, keepdims=1), graph.constant(0.0))
    scores = graph.add("Where", nothing, graph.constant(1.0), scores)
    return graph.add("Div", scores, graph.add("ReduceSum", scores, axis, keepdims=1))


def times(graph: Graph, raw: str, factor: float) -> str:
    """raw * factor, without a node for a factor of one."""
    return raw if factor == 1.0 else graph.add("Mul", raw, graph.constant(factor))


def above(graph: Graph, raw: str, threshold: float = 0.0, *, or_equal: bool = False) -> str:
    """(n,) int64: 1 where raw (n, 1) is above the threshold (or equal to it, where that counts), else 0."""
    over = graph.add("GreaterOrEqual" if or_equal else "Greater", raw, graph.constant(threshold))
    return flat(graph, graph.cast(over, "int64"))


def most(graph: Graph, raw: str) -> str:
    """(n,) int64: the first of the columns with the largest number."""
    return graph.add("ArgMax", raw, axis=1, keepdims=0)


def flat(graph: Graph, column: str) -> str:
    """(n,) from (n, 1)."""
    return graph.add("Squeeze", column, graph.constant([1], np.int64))
