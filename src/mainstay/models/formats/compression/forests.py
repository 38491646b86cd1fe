"""The trees of an ONNX graph, counted in rounds, and the graph with fewer of them.

A round is what one iteration of boosting adds, or one tree of a forest. Three forms are known: `TreeEnsemble` of
ai.onnx.ml 5 whose sums are scores; the same whose sums are rows of a table of leaves, as forests of classifiers are
written here; and the older `TreeEnsembleClassifier` and `TreeEnsembleRegressor`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from mainstay.models.formats.compression.classic_trees import ClassicForest
from mainstay.models.formats.compression.technique import NotApplicable, parsed, written
from mainstay.models.formats.compression.tree_arrays import TreeArrays

AVERAGE, SUM = 0, 1
_CLASSIC = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


class Forest(Protocol):
    """The trees of one node."""

    rounds: int

    def keep(self, rounds: int, *, reweighted: bool) -> None:
        """Leaves the first rounds; `reweighted` makes up for the others, as a sum that is an average needs it."""

    def merge(self, share: float) -> None:
        """Makes one leaf of neighbours that are equal, and of the `share` (0 to 1) of pairs that differ the least."""


def forests_of(model: onnx.ModelProto) -> list[Forest]:
    """The trees of a graph's own nodes, in their order.

    Raises:
        NotApplicable: there are none.
    """
    found: list[Forest] = []
    unknown = False
    for node in model.graph.node:
        if node.op_type == "TreeEnsemble" and node.domain == "ai.onnx.ml":
            leaves = _leaf_numbers(model.graph, node)
            if leaves is None:
                found.append(_Sums(node))
            elif (table := _table_behind(model.graph, node, leaves)) is not None:
                found.append(table)
            else:
                unknown = True
        elif node.op_type in _CLASSIC and node.domain == "ai.onnx.ml":
            found.append(ClassicForest(node))
    if not found:
        raise NotApplicable("what is made of its trees is not known here" if unknown else "it has no trees")
    return found


def rounds_of(graph: bytes) -> int:
    """The largest number of rounds of any of a graph's forests. Raises NotApplicable."""
    return max(forest.rounds for forest in forests_of(parsed(graph)))


def first_rounds(graph: bytes, kept: int, *, of: int, reweighted: bool) -> bytes:
    """The graph with the share `kept` / `of` of each forest's rounds, the first ones; at least one of each.

    With `kept` == `of`, every tree stays. Raises NotApplicable.
    """
    model = parsed(graph)
    for forest in forests_of(model):
        forest.keep(max(1, -(-forest.rounds * kept // of)), reweighted=reweighted)
    return written(model)


def merged(graph: bytes, share: float) -> bytes:
    """The graph whose neighbouring leaves are one where they are equal, or among the `share` of pairs that differ the
    least; they become their mean. Raises NotApplicable."""
    model = parsed(graph)
    for forest in forests_of(model):
        forest.merge(share)
    return written(model)


class _Sums:
    """A v5 `TreeEnsemble` whose sums are scores."""

    def __init__(self, node: onnx.NodeProto) -> None:
        self._arrays = arrays = TreeArrays(node)
        average = arrays.by_name.get("aggregate_function")
        self._sum = average is None or average.i == SUM
        # What stands before the first real tree is the start that every prefix begins from.
        real = [not arrays.constant(int(root)) for root in arrays.roots]
        start = real.index(True) if True in real and self._sum else 0
        target = [arrays.target(int(root)) for root in arrays.roots]
        seen: dict[int, int] = {}
        self._round = [-1] * start
        for number in target[start:]:
            self._round.append(seen.get(number, 0))
            seen[number] = seen.get(number, 0) + 1
        self.rounds = max(self._round, default=-1) + 1

    def keep(self, rounds: int, *, reweighted: bool) -> None:
        if rounds >= self.rounds:
            return
        if reweighted and self._sum:
            grown = [i for i, number in enumerate(self._round) if number >= 0]
            leaves = sorted({leaf for tree in grown for leaf in self._arrays.below(int(self._arrays.roots[tree]))[1]})
            weights = self._arrays.weights
            weights[leaves] = (weights[leaves] * (self.rounds / rounds)).astype(weights.dtype)
        self._arrays.cut([i for i, number in enumerate(self._round) if number < rounds])

    def merge(self, share: float) -> None:
        arrays = self._arrays
        left = arrays.merge(arrays.weights[:, None].astype(np.float64), share)[:, 0]
        arrays.set_tensor("leaf_weights", left.astype(arrays.weights.dtype))
        arrays.__post_init__()


class _Table:
    """Trees whose leaves are rows of a table, which are added and divided by the number of trees."""

    def __init__(self, node: onnx.NodeProto, table: onnx.TensorProto, divisor: onnx.TensorProto | None) -> None:
        self._arrays, self._table, self._divisor = TreeArrays(node), table, divisor
        self.rounds = len(self._arrays.roots)

    def keep(self, rounds: int, *, reweighted: bool) -> None:
        del reweighted  # an average, whatever
        if rounds >= self.rounds:
            return
        self._arrays.cut(range(rounds))
        self._arrays.by_name["n_targets"].i = rounds
        self._write(self._rows())
        assert self._divisor is not None  # of a single tree, all rounds are kept
        shape = numpy_helper.to_array(self._divisor)
        self._divisor.CopyFrom(numpy_helper.from_array(np.full_like(shape, rounds), self._divisor.name))

    def merge(self, share: float) -> None:
        self._write(self._arrays.merge(self._rows(), share))

    def _rows(self) -> npt.NDArray[Any]:
        """The row of each leaf (leaves, k)."""
        rows: npt.NDArray[Any] = numpy_helper.to_array(self._table)[self._arrays.weights.astype(np.int64)]
        return rows

    def _write(self, rows: npt.NDArray[Any]) -> None:
        """Makes these the rows of the leaves; equal ones are kept once."""
        unique, place = np.unique(rows, axis=0, return_inverse=True)
        self._arrays.set_tensor("leaf_weights", place.reshape(-1).astype(self._arrays.weights.dtype))
        self._table.CopyFrom(numpy_helper.from_array(unique.astype(rows.dtype), self._table.name))
        self._arrays.__post_init__()


def _leaf_numbers(graph: onnx.GraphProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The cast to integers behind trees that give the number of a leaf, which is no score."""
    takers = [each for each in graph.node if node.output[0] in each.input]
    return next((each for each in takers if each.op_type == "Cast" and _integer(each)), None)


def _integer(cast: onnx.NodeProto) -> bool:
    return any(attribute.i in (TensorProto.INT64, TensorProto.INT32) for attribute in cast.attribute)


def _table_behind(graph: onnx.GraphProto, node: onnx.NodeProto, cast: onnx.NodeProto) -> _Table | None:
    """The table whose rows are a node's leaves: TreeEnsemble, Cast, Gather, ReduceSum, and Div for several trees."""
    constants: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
    gather = _only_taker(graph, cast.output[0], "Gather")
    if gather is None or _takers(graph, gather.input[0]) != 1:
        return None
    # In half precision, it stands behind a cast.
    restored = next((each for each in graph.node if gather.input[0] in each.output and each.op_type == "Cast"), None)
    table = constants.get(gather.input[0] if restored is None else restored.input[0])
    added = _only_taker(graph, gather.output[0], "ReduceSum")
    if added is None or table is None or _takers(graph, table.name) != 1:
        return None
    trees = next(len(a.ints) for a in node.attribute if a.name == "tree_roots")
    divided = _only_taker(graph, added.output[0], "Div")
    divisor = None if divided is None else constants.get(divided.input[1])
    if divided is None or divisor is None or int(np.prod(divisor.dims)) != 1:
        return _Table(node, table, None) if trees == 1 else None
    if float(numpy_helper.to_array(divisor).reshape(-1)[0]) != trees:
        return None
    return _Table(node, table, _own(graph, divided, divisor))


def _own(graph: onnx.GraphProto, node: onnx.NodeProto, constant: onnx.TensorProto) -> onnx.TensorProto:
    """The constant, for this node alone: equal ones are shared in a graph."""
    if _takers(graph, constant.name) == 1:
        return constant
    copy: onnx.TensorProto = graph.initializer.add()
    copy.CopyFrom(constant)
    copy.name = f"{constant.name} of {node.name or node.output[0]}"
    node.input[1] = copy.name
    return copy


def _takers(graph: onnx.GraphProto, tensor: str) -> int:
    return sum(list(node.input).count(tensor) for node in graph.node)


def _only_taker(graph: onnx.GraphProto, tensor: str, op: str) -> onnx.NodeProto | None:
    found = [node for node in graph.node if tensor in node.input]
    return found[0] if len(found) == 1 and found[0].op_type == op and found[0].domain in ("", "ai.onnx") else None
