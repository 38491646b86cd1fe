"""Trees of ai.onnx.ml 1 to 4 as the `TreeEnsemble` of version 5, which has no place for the older operators.

The arithmetic stays single precision, thresholds and sums in the same order. What is not known to mean the same is left
alone, and said. https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
from onnx import helper

from mainstay.errors import MainstayError
from mainstay.models.formats.graph import ML, ML_OPSET, Graph
from mainstay.models.formats.trees import Tree, write_sum

OLD = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
_MODES = {"BRANCH_LEQ": 0, "BRANCH_LT": 1, "BRANCH_GTE": 2, "BRANCH_GT": 3, "BRANCH_EQ": 4, "BRANCH_NEQ": 5}
_LINKS = ("NONE", "LOGISTIC", "SOFTMAX")


class NeedsOlder(MainstayError):
    """Trees that only the older operators hold."""


def rewritten(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """The model without older tree operators, where this version of ai.onnx.ml has them no more.
    Raises:
        NeedsOlder: trees that `TreeEnsemble` cannot be made of here.
    """
    if version < 5 or not any(node.op_type in OLD and node.domain == ML for node in model.graph.node):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    found: list[Any] = []
    for number, node in enumerate(model.graph.node):
        if node.op_type not in OLD or node.domain != ML:
            found.append(node)
            continue
        graph = Graph(prefix=f"trees {number} ")
        made = _written(graph, node)
        copy.graph.initializer.extend(graph.constants)
        found += graph.nodes
        found += [
            helper.make_node("Identity", [tensor], [output], f"{graph.prefix}{place}")
            for place, (tensor, output) in enumerate(zip(made, node.output, strict=True))
            if output
        ]
    del copy.graph.node[:]
    copy.graph.node.extend(found)
    for entry in copy.opset_import:
        if entry.domain == ML:
            entry.version = ML_OPSET
    return copy


def _written(graph: Graph, node: onnx.NodeProto) -> tuple[str, ...]:
    """The tensors in place of the node's outputs: label and scores, or values."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if any(name.endswith("_as_tensor") for name in given):
        raise NeedsOlder("a part has trees in double precision of an older operator")
    link = given.get("post_transform", b"NONE").decode()
    aggregate = given.get("aggregate_function", b"SUM").decode()
    if link not in _LINKS or aggregate not in ("SUM", "AVERAGE"):
        raise NeedsOlder(f"a part has trees with {link} and {aggregate}, which are not rewritten")
    if node.op_type == OLD[0]:
        return _classifier(graph, node.input[0], given, link)
    targets = int(given.get("n_targets", 1))
    own = {target: target for target in range(targets)}
    raw = _sum(graph, node.input[0], _trees(given, "target", own), targets, given, average=aggregate == "AVERAGE")
    return (_linked(graph, raw, link),)


def _classifier(graph: Graph, x: str, given: dict[str, Any], link: str) -> tuple[str, str]:
    names = given.get("classlabels_strings") or given.get("classlabels_int64s") or ()
    labels = np.array([name.decode() if isinstance(name, bytes) else name for name in names])
    spoken = {int(target) for target in given["class_ids"]}
    alone = len(labels) == 2 and len(spoken) == 1  # one score for two classes: the other's follows from it
    place = dict.fromkeys(spoken, 0) if alone else {target: target for target in spoken}
    raw = _sum(graph, x, _trees(given, "class", place), 1 if alone else len(labels), given)
    if not alone:
        return _named(graph, graph.add("ArgMax", raw, axis=1, keepdims=0), labels), _linked(graph, raw, link)
    shares = min(given["class_weights"]) >= 0  # then they are probabilities already, and taken as they are
    if link == "SOFTMAX" and not shares:
        raise NeedsOlder("a part has trees with one score for two classes and SOFTMAX")
    above = graph.add("Greater", raw, graph.constant(0.5 if shares else 0.0, np.float32))
    chosen = graph.add("Reshape", graph.cast(above, "int64"), graph.constant([-1], np.int64))
    first = graph.add("Sub", graph.constant(1, np.float32), raw) if shares else graph.add("Neg", raw)
    both = [first, raw] if shares else [_linked(graph, first, link), _linked(graph, raw, link)]
    return _named(graph, chosen, labels), graph.add("Concat", *both, axis=1)


def _named(graph: Graph, chosen: str, labels: Any) -> str:
    return graph.add("Gather", graph.constant(labels, object if labels.dtype.kind == "U" else np.int64), chosen, axis=0)


def _sum(graph: Graph, x: str, trees: list[Tree], targets: int, given: dict[str, Any], *, average: bool = False) -> str:
    single = graph.add("Cast", x, to=onnx.TensorProto.FLOAT)
    raw = write_sum(graph, single, trees, targets=targets, dtype="float32")
    if average:  # a tree of several targets stands here once for each
        raw = graph.add("Div", raw, graph.constant(len(set(given["nodes_treeids"])), np.float32))
    base = np.array(given.get("base_values", ()), dtype=np.float32)
    if base.size and base.size != targets:
        raise NeedsOlder("a part has trees with base values for some of its answers alone")
    return graph.add("Add", raw, graph.constant(base, np.float32)) if base.size else raw


def _linked(graph: Graph, raw: str, link: str) -> str:
    if link == "SOFTMAX":
        return graph.add("Softmax", raw, axis=1)
    return graph.add("Sigmoid", raw) if link == "LOGISTIC" else raw


def _trees(given: dict[str, Any], kind: str, targets: dict[int, int]) -> list[Tree]:
    """A tree for each target that it speaks of: the newer operator has one number a leaf."""
    members: dict[int, list[int]] = defaultdict(list)
    for position, tree in enumerate(given["nodes_treeids"]):
        members[tree].append(position)
    weights: dict[tuple[int, int], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for tree, node, target, weight in zip(
        given[f"{kind}_treeids"], given[f"{kind}_nodeids"], given[f"{kind}_ids"], given[f"{kind}_weights"], strict=True
    ):
        weights[tree, node][targets[target]] += weight
    found = []
    for tree, positions in members.items():
        spoken = sorted({target for (owner, _), of in weights.items() if owner == tree for target in of})
        found += [_tree(given, tree, positions, weights, target) for target in spoken]
    return found


def _tree(
    given: dict[str, Any],
    tree: int,
    positions: list[int],
    weights: dict[tuple[int, int], dict[int, float]],
    target: int,
) -> Tree:
    modes = [given["nodes_modes"][position].decode() for position in positions]
    if unknown := set(modes) - {*_MODES, "LEAF"}:
        raise NeedsOlder(f"a part has tree nodes of mode {min(unknown)}, which are not rewritten")
    place: dict[int, int] = {}
    leaves: list[float] = []
    inner: list[int] = []
    for position, mode in zip(positions, modes, strict=True):
        node = given["nodes_nodeids"][position]
        if mode == "LEAF":
            place[node] = ~len(leaves)
            leaves.append(weights[tree, node][target] if (tree, node) in weights else 0.0)
        else:
            place[node] = len(inner)
            inner.append(position)
    if not inner:
        return Tree.constant(leaves[0], target)
    if place[given["nodes_nodeids"][positions[0]]] != 0:
        raise NeedsOlder("a part has a tree whose first node is not its root")
    missing = given.get("nodes_missing_value_tracks_true") or [0] * len(given["nodes_treeids"])

    def of(name: str, dtype: Any) -> Any:
        return np.array([given[name][position] for position in inner], dtype=dtype)

    return Tree(
        feature=of("nodes_featureids", np.int64),
        threshold=of("nodes_values", np.float64),
        mode=np.array([_MODES[given["nodes_modes"][position].decode()] for position in inner], dtype=np.uint8),
        yes=np.array([place[child] for child in of("nodes_truenodeids", np.int64).tolist()]),
        no=np.array([place[child] for child in of("nodes_falsenodeids", np.int64).tolist()]),
        missing_yes=np.array([missing[position] for position in inner], dtype=np.bool_),
        members=(),
        leaves=np.array(leaves),
        target=target,
    )
