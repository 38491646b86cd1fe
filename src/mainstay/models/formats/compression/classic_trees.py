"""The trees of the older operators `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, as converters write them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Mask = npt.NDArray[np.bool_]


class ClassicForest:
    """A `TreeEnsembleClassifier` or `TreeEnsembleRegressor`."""

    def __init__(self, node: onnx.NodeProto) -> None:
        self._node = node
        self._attributes = {attribute.name: attribute for attribute in node.attribute}
        self._prefix = "class" if node.op_type.endswith("Classifier") else "target"
        trees = np.array(self._attributes["nodes_treeids"].ints, dtype=np.int64)
        of_leaf = np.array(self._attributes[f"{self._prefix}_treeids"].ints, dtype=np.int64)
        ids = np.array(self._attributes[f"{self._prefix}_ids"].ints, dtype=np.int64)
        aggregate = self._attributes.get("aggregate_function")
        self._sum = aggregate is None or aggregate.s == b"SUM"
        # A tree of boosting answers for one class, and an iteration has one for each; a forest's answer for all.
        seen: dict[tuple[int, ...], int] = {}
        self._round: dict[int, int] = {}
        for tree in dict.fromkeys(trees.tolist()):
            answered = tuple(sorted(set(ids[of_leaf == tree].tolist())))
            self._round[tree] = seen.get(answered, 0)
            seen[answered] = seen.get(answered, 0) + 1
        if len({len(answered) for answered in seen}) > 1:  # a tree of one leaf that names fewer classes
            self._round = {tree: number for number, tree in enumerate(self._round)}
        self.rounds = max(self._round.values()) + 1

    def keep(self, rounds: int, *, reweighted: bool) -> None:
        if rounds >= self.rounds:
            return
        kept = [tree for tree, number in self._round.items() if number < rounds]
        for trees, names in (("nodes_treeids", "nodes_"), (f"{self._prefix}_treeids", f"{self._prefix}_")):
            chosen = np.isin(np.array(self._attributes[trees].ints, dtype=np.int64), kept)
            for name, attribute in self._attributes.items():
                if name.startswith(names):
                    _choose(attribute, chosen)
        if reweighted and self._sum:
            for name in (f"{self._prefix}_weights", f"{self._prefix}_weights_as_tensor"):
                if name in self._attributes:
                    _times(self._attributes[name], self.rounds / rounds)

    def merge(self, share: float) -> None:
        """Leaves it as it is: its trees are only counted."""


def _choose(attribute: onnx.AttributeProto, chosen: Mask) -> None:
    """Leaves the chosen ones of an attribute's values, whichever kind they are."""
    for field in (attribute.ints, attribute.floats, attribute.strings):
        if len(field):
            values = [value for value, keep in zip(field, chosen, strict=True) if keep]
            del field[:]
            field.extend(values)
    if attribute.HasField("t"):
        attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t)[chosen], attribute.t.name))


def _times(attribute: onnx.AttributeProto, factor: float) -> None:
    if len(attribute.floats):
        values = [value * factor for value in attribute.floats]
        attribute.CopyFrom(helper.make_attribute(attribute.name, values))
    if attribute.HasField("t"):
        array = numpy_helper.to_array(attribute.t)
        attribute.t.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), attribute.t.name))
