"""Decision trees as one `TreeEnsemble` of ai.onnx.ml 5.

Thresholds and weights stand in the precision in which the estimator compares and adds, trees in the order in
which it adds them: ONNX Runtime then gives the estimator's own sums, bit for bit.
https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from mainstay.models.formats.graph import ML, Features, Graph, Precision
from mainstay.models.signature import Floats

Indices = npt.NDArray[np.int64]

LEQ, LT, MEMBER = 0, 1, 6
"""Modes of a node: the yes branch is taken where x <= threshold, x < threshold, x is one of the members."""


@dataclass(frozen=True)
class Tree:
    """One tree of n inner nodes, the root first, and m leaves.

    A child is the index of an inner node, or ~i for leaf i.
    """

    feature: Indices
    threshold: Floats
    mode: npt.NDArray[np.uint8]
    yes: Indices
    no: Indices
    missing_yes: npt.NDArray[np.bool_]
    members: tuple[tuple[float, ...], ...]
    """The set of each node of mode MEMBER, in the order of the nodes: whole numbers that 32 bits hold, as ONNX
    Runtime wants them. It tests sets of more than one member by bits, after truncation: whoever writes sets makes
    sure that the column holds whole numbers or NaN."""
    leaves: Floats
    target: int = 0

    @staticmethod
    def constant(value: float, target: int = 0) -> Tree:
        """A tree that always answers the same, written as one node whose branches meet in one leaf."""
        here = np.array([~0])
        return Tree(
            feature=np.array([0]),
            threshold=np.zeros(1),
            mode=np.zeros(1, np.uint8),
            yes=here,
            no=here,
            missing_yes=np.zeros(1, np.bool_),
            members=(),
            leaves=np.array([value]),
            target=target,
        )


def write_sum(
    graph: Graph, x: str, trees: Sequence[Tree], *, targets: int, dtype: Precision, average: bool = False
) -> str:
    """Adds the ensemble; gives the tensor (n, targets) with the sum (or mean) of each target's leaves.

    Args:
        graph: where to.
        x: the tensor (n, width) to split on, of type `dtype`.
        trees: in the order in which the estimator adds them.
        targets: how many sums there are.
        dtype: in which thresholds are compared and leaves added.
        average: divide by the number of trees.
    """
    trees = [_without_empty_sets(tree) for tree in trees]
    nodes = np.cumsum([0] + [len(tree.feature) for tree in trees])
    leaves = np.cumsum([0] + [len(tree.leaves) for tree in trees])

    def placed(children: Indices, tree: int) -> Indices:
        found: Indices = np.where(children >= 0, children + nodes[tree], ~children + leaves[tree])
        return found

    yes = np.concatenate([placed(tree.yes, i) for i, tree in enumerate(trees)])
    no = np.concatenate([placed(tree.no, i) for i, tree in enumerate(trees)])
    attributes = {
        "tree_roots": nodes[:-1].tolist(),
        "nodes_featureids": np.concatenate([tree.feature for tree in trees]).tolist(),
        "nodes_splits": _tensor(np.concatenate([tree.threshold for tree in trees]).astype(dtype)),
        "nodes_modes": _tensor(np.concatenate([tree.mode for tree in trees])),
        "nodes_truenodeids": yes.tolist(),
        "nodes_trueleafs": np.concatenate([tree.yes < 0 for tree in trees]).astype(np.int64).tolist(),
        "nodes_falsenodeids": no.tolist(),
        "nodes_falseleafs": np.concatenate([tree.no < 0 for tree in trees]).astype(np.int64).tolist(),
        "nodes_missing_value_tracks_true": np.concatenate([t.missing_yes for t in trees]).astype(np.int64).tolist(),
        "leaf_weights": _tensor(np.concatenate([tree.leaves for tree in trees]).astype(dtype)),
        "leaf_targetids": np.repeat([t.target for t in trees], [len(t.leaves) for t in trees]).tolist(),
        "n_targets": targets,
        "aggregate_function": 0 if average else 1,
    }
    members = [value for tree in trees for group in tree.members for value in (*group, np.nan)]
    if members:
        attributes["membership_values"] = _tensor(np.array(members).astype(dtype))
    return graph.add("TreeEnsemble", x, domain=ML, **attributes)


def remember_splits(graph: Graph, features: Features, trees: Sequence[Tree]) -> None:
    """Notes the thresholds of the trees, and the members of their sets, as the graph's split points."""
    column = np.concatenate([tree.feature[tree.mode != MEMBER] for tree in trees if len(tree.leaves) > 1] or [[]])
    points = np.concatenate([tree.threshold[tree.mode != MEMBER] for tree in trees if len(tree.leaves) > 1] or [[]])
    graph.split_points(features, column.astype(np.int64), points)
    for tree in trees:
        for index, group in zip(tree.feature[tree.mode == MEMBER], tree.members, strict=True):
            graph.split_points(features, np.full(len(group), index), np.array(group, dtype=np.float64))


def _without_empty_sets(tree: Tree) -> Tree:
    """The tree with each empty set, which the operator refuses, as a comparison that is never true."""
    if all(tree.members):
        return tree
    empty = np.flatnonzero(tree.mode == MEMBER)[[not group for group in tree.members]]
    mode, threshold = tree.mode.copy(), tree.threshold.copy()
    mode[empty], threshold[empty] = LT, -np.inf
    return replace(tree, mode=mode, threshold=threshold, members=tuple(group for group in tree.members if group))


def _tensor(array: npt.NDArray[np.generic]) -> object:
    return numpy_helper.from_array(array, "")
