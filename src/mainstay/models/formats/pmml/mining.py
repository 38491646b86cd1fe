"""PMML's MiningModel: several models, and how one answer is made of theirs.

https://dmg.org/pmml/v4-4-1/MultipleModels.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.pmml.document import needed, number, parts
from mainstay.models.formats.pmml.expressions import Expressions
from mainstay.models.formats.pmml.fields import Field, treated
from mainstay.models.formats.pmml.reading import Reading, Result, sources_of
from mainstay.models.formats.pmml.scopes import Scope
from mainstay.models.formats.pmml.single_trees import TreeReader
from mainstay.models.formats.pmml.trees import PREDICATES

SUMMED = ("sum", "weightedSum", "average", "weightedAverage")
VOTED = ("majorityVote", "weightedMajorityVote")


@dataclass(frozen=True)
class _Segment:
    model: Element
    predicate: Element
    weight: float


def read(reading: Reading, model: Element, scope: Scope) -> Result:
    """The value or the classes of a MiningModel."""
    segmentation = model.find("Segmentation")
    if segmentation is None:
        raise CannotImport("A MiningModel of the PMML file has no Segmentation, and others are not read.")
    how = needed(segmentation, "multipleModelMethod").removeprefix("x-")
    segments = [_segment(each) for each in segmentation.findall("Segment")]
    if not segments:
        raise CannotImport("A Segmentation of the PMML file has no segments.")
    if how == "selectFirst":
        return _first(reading, segments, scope)
    if any(each.predicate.tag != "True" for each in segments):
        raise CannotImport(
            f"A Segment of the PMML file has a condition, and with the multipleModelMethod {how!r} only segments that "
            "hold always are read."
        )
    models, weights = [each.model for each in segments], [each.weight for each in segments]
    if how == "modelChain":
        return _chain(reading, models, scope)
    regression = model.get("functionName") == "regression"
    if regression and how in SUMMED and all(_plain_tree(each) for each in models):
        return _forest(reading, models, scope, how, weights)
    if regression and how in (*SUMMED, "median"):
        results = [reading.result(each, scope) for each in models]
        return _median(reading, results) if how == "median" else _added(reading, results, how, weights)
    if not regression and how in (*VOTED, "average", "weightedAverage", "max"):
        results = [reading.result(each, scope) for each in models]
        return _largest(reading, results) if how == "max" else _shared(reading, results, how, weights)
    raise CannotImport(
        f"The multipleModelMethod {how!r} of the PMML file is not read for a {model.get('functionName')}."
    )


def _segment(segment: Element) -> _Segment:
    if segment.find("VariableWeight") is not None:
        raise CannotImport("VariableWeight of the PMML file is not read.")
    inner = next(parts(segment, *PREDICATES), None)
    predicate = next((child for child in segment if child.tag in PREDICATES), None)
    if inner is None or predicate is None:
        raise CannotImport("A Segment of the PMML file has no model, or no predicate.")
    return _Segment(inner, predicate, number(segment, "weight", 1.0))


# The first that applies.


def _first(reading: Reading, segments: Sequence[_Segment], scope: Scope) -> Result:
    """The answer of the first model whose condition is true."""
    graph = reading.graph
    root = Element("Node")
    root.append(Element("True"))
    for place, each in enumerate(segments):
        kid = Element("Node", {"score": str(place)})
        kid.append(each.predicate)
        root.append(kid)
    results, there = [], frozenset[str]()
    for each in segments:
        asked = there | _certain(each.predicate)
        present = {name: replace(scope[name], missing=False) for name in asked if name in scope}
        results.append(reading.result(each.model, scope.further(present)))
        there |= _left(each.predicate)
        if each.predicate.tag == "True":
            break
    if len(results) == 1 and segments[0].predicate.tag == "True":
        return results[0]
    chosen, own = TreeReader(reading, scope).chosen(root)
    sources = own | sources_of(results)

    def of(tensors: Sequence[str | None]) -> str | None:
        if any(each is None for each in tensors):
            return None
        found = tensors[0] or ""
        for place, each in enumerate(tensors[1:], start=1):
            found = graph.add("Where", graph.add("Equal", chosen, graph.constant(float(place))), each or "", found)
        return found

    return Result(
        value=of([each.value for each in results]),
        classes=reading.classes if results[0].label is not None else (),
        label=of([each.label for each in results]),
        probabilities=of([each.probabilities for each in results]),
        missing=any(each.missing for each in results),
        sources=sources,
    )


def _certain(predicate: Element) -> frozenset[str]:
    """The fields that are present where a predicate is true."""
    if predicate.tag == "CompoundPredicate" and predicate.get("booleanOperator") == "and":
        return frozenset().union(*(_certain(each) for each in predicate if each.tag in PREDICATES))
    if predicate.tag in ("SimplePredicate", "SimpleSetPredicate") and predicate.get("operator") != "isMissing":
        return frozenset([needed(predicate, "field")])
    return frozenset()


def _left(predicate: Element) -> frozenset[str]:
    """The fields that are present where a predicate is not true."""
    missing = predicate.tag == "SimplePredicate" and predicate.get("operator") == "isMissing"
    return frozenset([needed(predicate, "field")]) if missing else frozenset()


# One after the other.


def _chain(reading: Reading, models: Sequence[Element], scope: Scope) -> Result:
    found = Result()
    for each in models:
        found = reading.result(each, scope)
        if each is not models[-1]:
            scope = scope.further(_outputs(reading, each, found, scope))
    return found


def _outputs(reading: Reading, model: Element, found: Result, scope: Scope) -> dict[str, Field]:
    """What later models of a chain see of an earlier one."""
    output = model.find("Output")
    fields: dict[str, Field] = {}
    for element in () if output is None else output.findall("OutputField"):
        name, feature = needed(element, "name"), element.get("feature", "predictedValue")
        tensor = None
        if feature == "predictedValue" and found.value is not None:
            tensor = found.value
        elif feature == "predictedValue" and found.label is not None:
            fields[name] = Field(
                name, found.label, "code", found.classes, closed=True, missing=found.missing, sources=found.sources
            )
        elif feature == "probability" and found.probabilities is not None and element.get("value") in found.classes:
            index = reading.graph.constant([found.classes.index(element.get("value") or "")], np.int64)
            tensor = reading.graph.add("Gather", found.probabilities, index, axis=1)
        elif feature == "transformedValue":
            fields[name] = Expressions(reading.graph, fields, scope.functions).derived(element)
        if tensor is not None:
            single = element.get("dataType") == "float"
            if single:
                tensor = reading.graph.cast(reading.graph.cast(tensor, "float32"), "float64")
            fields[name] = Field(name, tensor, "number", missing=found.missing, single=single, sources=found.sources)
    return fields


# All together.


def _plain_tree(model: Element) -> bool:
    return model.tag == "TreeModel" and all(model.find(tag) is None for tag in ("Targets", "LocalTransformations"))


def _forest(reading: Reading, models: Sequence[Element], scope: Scope, how: str, weights: Sequence[float]) -> Result:
    trees = TreeReader(reading, scope)
    made = []
    for each in models:
        schema = each.find("MiningSchema")
        if schema is None:
            raise CannotImport("A TreeModel of the PMML file has no MiningSchema.")
        inside = treated(scope, schema, reading.graph, reading.needs)
        if any(found.tensor != scope[name].tensor for name, found in inside.items()):
            raise CannotImport("A tree of a forest in the PMML file treats values in its own way, which is not read.")
        made.append(trees.scored(each, scope.inside(inside)))
    return trees.valued(trees.summed(made, how, weights))


def _added(reading: Reading, results: Sequence[Result], how: str, weights: Sequence[float]) -> Result:
    graph, found = reading.graph, ""
    weighted = how.startswith("weighted")
    for each, weight in zip(results, weights, strict=True):
        part = links.times(graph, _valued(each), weight if weighted else 1.0)
        found = graph.add("Add", found, part) if found else part
    if how.lower().endswith("average"):
        total = float(sum(weights)) if weighted else float(len(results))
        found = graph.add("Div", found, graph.constant(_not_zero(total)))
    return Result(value=found, missing=any(r.missing for r in results), sources=sources_of(results))


def _median(reading: Reading, results: Sequence[Result]) -> Result:
    graph, size = reading.graph, len(results)
    values = reading.joined([_valued(each) for each in results])
    # The k-th smallest is the least of those that at least k are not above.
    first, last = graph.constant([1], np.int64), graph.constant([2], np.int64)
    up_to = graph.add("LessOrEqual", graph.add("Unsqueeze", values, first), graph.add("Unsqueeze", values, last))
    count = graph.add("ReduceSum", graph.cast(up_to, "float64"), last, keepdims=0)
    middle = []
    for place in {(size + 1) // 2, size // 2 + 1}:
        enough = graph.add("GreaterOrEqual", count, graph.constant(float(place)))
        kept = graph.add("Where", enough, values, graph.constant(np.inf))
        middle.append(graph.add("ReduceMin", kept, first, keepdims=1))
    value = middle[0]
    if len(middle) == 2:
        value = graph.add("Mul", graph.add("Add", *middle), graph.constant(0.5))
    return Result(value=value, missing=any(r.missing for r in results), sources=sources_of(results))


def _valued(result: Result) -> str:
    if result.value is None:
        raise CannotImport("A segment of the PMML file classifies, where the MiningModel is a regression.")
    return result.value


def _not_zero(total: float) -> float:
    if total == 0:
        raise CannotImport("The weights of the segments of the PMML file add up to zero.")
    return total


def _shared(reading: Reading, results: Sequence[Result], how: str, weights: Sequence[float]) -> Result:
    """Mean probabilities, or votes as shares."""
    graph, found = reading.graph, ""
    weights = weights if how.startswith("weighted") else [1.0] * len(results)
    for each, weight in zip(results, weights, strict=True):
        if how in VOTED:
            every = graph.constant(np.arange(len(reading.classes), dtype=np.float64)[None, :])
            part = graph.cast(graph.add("Equal", _labelled(each), every), "float64")
        else:
            part = _probable(each)
        part = links.times(graph, part, weight)
        found = graph.add("Add", found, part) if found else part
    total = graph.constant(_not_zero(float(sum(weights))))
    return _decided(reading, results, graph.add("Div", found, total))


def _largest(reading: Reading, results: Sequence[Result]) -> Result:
    """The class of the greatest probability, with the mean probabilities of the models that give it that."""
    graph, axis = reading.graph, reading.graph.constant([1], np.int64)
    three = [graph.add("Unsqueeze", _probable(each), axis) for each in results]
    every = reading.joined(three)  # (n, models, classes)
    top = graph.add("ReduceMax", every, axis, keepdims=0)
    winner = graph.add("Unsqueeze", reading.most(top), axis)  # (n, 1, 1)
    places = graph.constant(np.arange(len(reading.classes), dtype=np.float64)[None, None, :])
    own = graph.cast(graph.add("Equal", winner, places), "float64")
    last = graph.constant([2], np.int64)
    given = graph.add("ReduceSum", graph.add("Mul", every, own), last, keepdims=1)  # (n, models, 1)
    most = graph.add("ReduceMax", given, axis, keepdims=1)
    counted = graph.cast(graph.add("Equal", given, most), "float64")
    total = graph.add("ReduceSum", graph.add("Mul", every, counted), axis, keepdims=0)
    size = graph.add("ReduceSum", counted, axis, keepdims=0)
    found = _decided(reading, results, graph.add("Div", total, size))
    return replace(found, label=reading.most(top))


def _decided(reading: Reading, results: Sequence[Result], probabilities: str) -> Result:
    return Result(
        classes=reading.classes,
        probabilities=probabilities,
        label=reading.most(probabilities),
        missing=any(r.missing for r in results),
        sources=sources_of(results),
    )


def _labelled(result: Result) -> str:
    if result.label is None:
        raise CannotImport("A segment of the PMML file is a regression, where the MiningModel classifies.")
    return result.label


def _probable(result: Result) -> str:
    if result.probabilities is None:
        raise CannotImport("A model of the PMML file gives no probabilities to average.")
    return result.probabilities
