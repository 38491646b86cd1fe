"""Graphs of several origins made fit for one file: one version a domain, names that do not clash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
from onnx import defs, helper, version_converter

from mainstay.models.formats.tree_rewriting import NeedsOlder, rewritten
from mainstay.models.merging import CannotMerge

ML = "ai.onnx.ml"
_WIDER = {(ML, "LabelEncoder", version) for version in (2, 3)}
"""Operators that a newer version gave more types, and no other meaning."""


def newest(models: Sequence[onnx.ModelProto]) -> dict[str, int]:
    """The highest version of each domain."""
    found: dict[str, int] = {}
    for model in models:
        for domain, version in _imports(model).items():
            found[domain] = max(version, found.get(domain, 0))
    return found


def raised(model: onnx.ModelProto, opsets: dict[str, int]) -> onnx.ModelProto:
    """A model that means the same under these versions.

    Raises:
        CannotMerge: an operator means something else there, and cannot be rewritten.
    """
    if _imports(model).get(ML, 0) == 1 and opsets[ML] > 1:
        model = _with_listed_labels(model)
    try:
        model = rewritten(model, opsets.get(ML, 0))
    except NeedsOlder as error:
        raise CannotMerge(str(error)) from error
    own = _imports(model)
    changed = [node for node in nodes(model.graph) if _changes(node, own, opsets)]
    if not changed:
        return model
    if others := [node for node in changed if _domain(node)]:
        name = _domain(others[0])
        raise CannotMerge(f"{others[0].op_type} of {name} {own[name]} means something else in version {opsets[name]}")
    try:
        return version_converter.convert_version(model, opsets[""])
    except Exception as error:  # the converter raises what its C++ side says, RuntimeError and others
        raise CannotMerge(
            f"{changed[0].op_type} of opset {own.get('', 1)} cannot be raised to opset {opsets['']} ({error})"
        ) from error


def _with_listed_labels(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with label encoders of ai.onnx.ml 1, from texts to their positions, as version 2 spells them."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in nodes(copy.graph):
        if node.op_type != "LabelEncoder" or node.domain != ML:
            continue
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if "default_string" in given or "default_int64" not in given:
            raise CannotMerge("a label encoder of ai.onnx.ml 1 does not say which way it goes")
        texts = given["classes_strings"]
        del node.attribute[:]
        node.attribute.extend(
            [
                helper.make_attribute("keys_strings", texts),
                helper.make_attribute("values_int64s", range(len(texts))),
                helper.make_attribute("default_int64", given["default_int64"]),
            ]
        )
    for entry in copy.opset_import:
        if entry.domain == ML:
            entry.version = 2
    return copy


def prefixed(graph: onnx.GraphProto, prefix: str) -> onnx.GraphProto:
    """The graph with the prefix before each name, also within the graphs of its nodes."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    _prefix(copy, prefix)
    return copy


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, also those within the graphs of nodes."""
    for node in graph.node:
        yield node
        for inner in _inner(node):
            yield from nodes(inner)


def reads(node: onnx.NodeProto) -> set[str]:
    """The tensors that a node takes, also from outside of its own graphs."""
    found = set(node.input)
    for inner in _inner(node):
        for each in inner.node:
            found |= reads(each)
    return found


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _prefix(graph: onnx.GraphProto, prefix: str) -> None:
    for named in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        named.name = prefix + named.name
    for node in graph.node:
        node.name = prefix + node.name if node.name else ""
        for names in (node.input, node.output):
            changed = [prefix + name if name else name for name in names]
            del names[:]
            names.extend(changed)
        for inner in _inner(node):
            _prefix(inner, prefix)


def _imports(model: onnx.ModelProto) -> dict[str, int]:
    return {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import}


def _domain(node: onnx.NodeProto) -> str:
    return "" if node.domain == "ai.onnx" else str(node.domain)


def _changes(node: onnx.NodeProto, own: dict[str, int], opsets: dict[str, int]) -> bool:
    """Whether an operator has another definition in the newer version."""
    domain = _domain(node)
    if own.get(domain) == opsets.get(domain):
        return False
    try:
        mine = defs.get_schema(node.op_type, max_inclusive_version=own[domain], domain=domain)
        theirs = defs.get_schema(node.op_type, max_inclusive_version=opsets[domain], domain=domain)
    except Exception:  # noqa: BLE001 - onnx raises a class of its C++ side: nobody defines this operator here
        return True
    return bool(mine.since_version != theirs.since_version) and (domain, node.op_type, own[domain]) not in _WIDER
