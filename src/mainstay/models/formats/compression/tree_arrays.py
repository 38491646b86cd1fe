"""The trees of a `TreeEnsemble` of ai.onnx.ml 5 as arrays: cut to some of them, and with leaves merged.

https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
MEMBER = 6


@dataclass
class TreeArrays:
    """The attributes of a v5 `TreeEnsemble`, as arrays."""

    node: onnx.NodeProto

    def __post_init__(self) -> None:
        self.by_name = {attribute.name: attribute for attribute in self.node.attribute}
        self.roots = self.ints("tree_roots")
        self.yes, self.no = self.ints("nodes_truenodeids"), self.ints("nodes_falsenodeids")
        self.yes_leaf = self.ints("nodes_trueleafs").astype(np.bool_)
        self.no_leaf = self.ints("nodes_falseleafs").astype(np.bool_)
        self.weights = self.tensor("leaf_weights")
        self.targets = self.ints("leaf_targetids")

    def ints(self, name: str) -> Indices:
        return np.array(self.by_name[name].ints, dtype=np.int64) if name in self.by_name else np.empty(0, np.int64)

    def tensor(self, name: str) -> npt.NDArray[Any]:
        return np.array(numpy_helper.to_array(self.by_name[name].t))

    def below(self, root: int) -> tuple[list[int], list[int]]:
        """The inner nodes and the leaves that a root leads to."""
        inner, leaves, waiting, seen = [], [], [root], {root}
        while waiting:
            here = waiting.pop()
            inner.append(here)
            for child, leaf in ((self.yes[here], self.yes_leaf[here]), (self.no[here], self.no_leaf[here])):
                if leaf:
                    leaves.append(int(child))
                elif int(child) not in seen:
                    seen.add(int(child))
                    waiting.append(int(child))
        return inner, leaves

    def target(self, root: int) -> int:
        """What the first leaf of a tree adds to."""
        for _ in range(len(self.yes)):
            if self.yes_leaf[root]:
                break
            root = int(self.yes[root])
        return int(self.targets[self.yes[root]])

    def constant(self, root: int) -> bool:
        """Whether a tree has one leaf."""
        return bool(self.yes_leaf[root] and self.no_leaf[root] and self.yes[root] == self.no[root])

    def cut(self, trees: Sequence[int]) -> None:
        """Leaves these trees, in their order, with what they reach."""
        nodes, leaves = np.zeros(len(self.yes), np.bool_), np.zeros(len(self.weights), np.bool_)
        for tree in trees:
            inner, ends = self.below(int(self.roots[tree]))
            nodes[inner] = True
            leaves[ends] = True
        self.only(nodes, leaves, self.roots[list(trees)])

    def merge(self, values: npt.NDArray[Any], share: float) -> npt.NDArray[Any]:
        """Merges neighbouring leaves, in terms of their values (leaves, k); gives the values of the leaves left."""
        values, ends = values.copy(), np.flatnonzero(self.yes_leaf & self.no_leaf & (self.yes != self.no))
        gaps = np.max(np.abs(values[self.yes[ends]] - values[self.no[ends]]), axis=1, initial=0.0)
        tolerance = float(np.quantile(gaps, share)) if share > 0 and len(gaps) else 0.0
        parent, by_yes = np.full(len(self.yes), -1), np.zeros(len(self.yes), np.bool_)
        for child, leaf, side in ((self.yes, self.yes_leaf, True), (self.no, self.no_leaf, False)):
            parent[child[~leaf]] = np.flatnonzero(~leaf)
            by_yes[child[~leaf]] = side
        waiting = ends.tolist()
        while waiting:
            here = waiting.pop()
            one, other = self.yes[here], self.no[here]
            gap = np.max(np.abs(values[one] - values[other]))
            if self.targets[one] != self.targets[other] or not gap <= tolerance:
                continue
            if gap > 0:
                values[one] = (values[one] + values[other]) / 2
            above = int(parent[here])
            if above < 0:
                self.no[here] = one  # a tree of one leaf
            elif by_yes[here]:
                self.yes[above], self.yes_leaf[above] = one, True
            else:
                self.no[above], self.no_leaf[above] = one, True
            if above >= 0 and self.yes_leaf[above] and self.no_leaf[above]:
                waiting.append(above)
        nodes, leaves = np.zeros(len(self.yes), np.bool_), np.zeros(len(self.weights), np.bool_)
        for root in self.roots.tolist():
            inner, found = self.below(root)
            nodes[inner], leaves[found] = True, True
        self.only(nodes, leaves, self.roots)
        left: npt.NDArray[Any] = values[leaves]
        return left

    def only(self, nodes: Mask, leaves: Mask, roots: Indices) -> None:
        """Writes the node with these inner nodes and leaves alone; children of kept nodes are kept."""
        new_node, new_leaf = np.cumsum(nodes) - 1, np.cumsum(leaves) - 1
        modes = self.tensor("nodes_modes")
        values: dict[str, Any] = {"tree_roots": new_node[roots]}
        for name, child, leaf in (
            ("nodes_truenodeids", self.yes, self.yes_leaf),
            ("nodes_falsenodeids", self.no, self.no_leaf),
        ):
            values[name] = _placed(child, leaf, new_node, new_leaf)[nodes]
        values["nodes_trueleafs"] = self.yes_leaf[nodes].astype(np.int64)
        values["nodes_falseleafs"] = self.no_leaf[nodes].astype(np.int64)
        for name in ("nodes_featureids", "nodes_missing_value_tracks_true"):
            if len(found := self.ints(name)):
                values[name] = found[nodes]
        values["leaf_targetids"] = self.targets[leaves]
        tensors = {"nodes_modes": modes[nodes], "leaf_weights": self.weights[leaves]}
        for name in ("nodes_splits", "nodes_hitrates"):
            if name in self.by_name:
                tensors[name] = self.tensor(name)[nodes]
        if "membership_values" in self.by_name:
            self._members(modes, nodes)
        for name, array in values.items():
            self.set_ints(name, array)
        for name, array in tensors.items():
            self.set_tensor(name, array)
        self.__post_init__()

    def _members(self, modes: npt.NDArray[Any], nodes: Mask) -> None:
        """The sets of the kept nodes: they follow each other in the order of the nodes, NaN behind each."""
        values = self.tensor("membership_values")
        number = np.concatenate([[0], np.cumsum(np.isnan(values))[:-1]])  # of the set that each value belongs to
        kept = nodes[np.flatnonzero(modes == MEMBER)]
        chosen = values[kept[number]] if len(values) else values
        if len(chosen):
            self.set_tensor("membership_values", chosen)
        else:
            self.node.attribute.remove(self.by_name["membership_values"])

    def set_ints(self, name: str, values: Indices) -> None:
        del self.by_name[name].ints[:]
        self.by_name[name].ints.extend(values.tolist())

    def set_tensor(self, name: str, values: npt.NDArray[Any]) -> None:
        self.by_name[name].t.CopyFrom(numpy_helper.from_array(values, self.by_name[name].t.name))


def _placed(child: Indices, leaf: Mask, nodes: Indices, leaves: Indices) -> Indices:
    found = np.empty_like(child)
    found[leaf], found[~leaf] = leaves[child[leaf]], nodes[child[~leaf]]
    return found
