"""PMML files: translated into columns and one ONNX graph in double precision.

What is read, and what is refused by name, stands in docs/how-to/import-pmml.md.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats import links
from mainstay.models.formats.foreign.packing import packed, ranged
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, content_of, task_of
from mainstay.models.formats.graph import Graph, Output
from mainstay.models.formats.pmml.document import needed, parsed, parts
from mainstay.models.formats.pmml.fields import Inputs, Needs, spelled, treated
from mainstay.models.formats.pmml.models import Models
from mainstay.models.formats.pmml.reading import Result
from mainstay.models.formats.pmml.scopes import Scope
from mainstay.models.formats.pmml.verification import final_outputs, verified
from mainstay.models.runtime import Model
from mainstay.models.signature import Floats, Label, Signature

NAME = "PMML"
MOST = 1 << 29
_BESIDE = ("Header", "MiningBuildTask", "DataDictionary", "TransformationDictionary")
_ROUNDS = 100


def detect(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".pmml" or b"<PMML" in head


def draft(path: Path, told: Told) -> Imported:
    if told.columns or told.nullable:
        raise CannotImport("A PMML file names its inputs and its missing values itself: give no columns, no nullable.")
    root = parsed(content_of(path, MOST))
    models = list(parts(root, *_BESIDE))
    if len(models) != 1:
        raise CannotImport(f"The PMML file has {len(models)} models, and one is read.")
    try:
        return _imported(root, models[0], told)
    except RecursionError:
        raise CannotImport("The PMML file's fields are made from each other in too many steps.") from None


def _imported(root: Element, model: Element, told: Told) -> Imported:
    needs, before = Needs(), -1
    # What a model needs of its rows is found out while it is read, and may need more in turn.
    for _ in range(_ROUNDS):
        if before == len(needs.present) + len(needs.known):
            break
        before = len(needs.present) + len(needs.known)
        needs.begin()
        graph, inputs, result, points, target, classes = _read(root, model, needs)
    if target is not None and told.target not in (None, target):
        raise CannotImport(
            f"The PMML file calls its target {target!r}, and --target is {told.target!r}: leave it out, and call the "
            "column of true answers so."
        )
    columns, labels = inputs.columns, told.classes(classes)
    outputs = _outputs(graph, result)
    signature = Signature(
        inputs=tuple(ranged(c, points[c.name]) if c.name in points and c.minimum is None else c for c in columns),
        task=task_of(labels) if result.value is None else "regression",
        target=told.target or target or "prediction",
        labels=labels if result.value is None else (),
    ).checked()
    places = {index: points[column.name] for index, column in enumerate(columns) if column.name in points}
    built = packed(
        graph.model(outputs),
        signature=signature,
        encoder=Encoder((Block(tuple(range(len(columns)))),)),
        native=None,
        thresholds=places,
    )
    kinds = {name: needed(entry, "dataType") for name, entry in inputs.declared.items()}
    compared = verified(model, Model.load(built.draft.package()), kinds)
    return Imported(built, f"PMML {model.tag}", (*_notes(needs, compared), *_unanswered(model)))


def _unanswered(model: Element) -> list[str]:
    """What a file gives beside label, probabilities and value."""
    names = [
        needed(field, "name")
        for field in final_outputs(model)
        if field.get("feature", "predictedValue") not in ("predictedValue", "probability")
    ]
    return [f"Further outputs of the file are not answered: {', '.join(names)}."] if names else []


def _notes(needs: Needs, compared: str | None) -> tuple[str, ...]:
    found = [compared or "The answers of this PMML file were not compared with another program's: there is none here."]
    if needs.present:
        found.append(
            f"It refuses rows where one of these is missing, for it has no answer: {', '.join(sorted(needs.present))}."
        )
    if needs.known:
        found.append(f"It refuses unknown values of these, for it has no answer: {', '.join(sorted(needs.known))}.")
    return tuple(found)


def _read(
    root: Element, model: Element, needs: Needs
) -> tuple[Graph, Inputs, Result, dict[str, Floats], str | None, tuple[Label, ...]]:
    schema = model.find("MiningSchema")
    if schema is None:
        raise CannotImport("The PMML file's model has no MiningSchema.")
    graph = Graph()
    inputs = Inputs(root, schema, graph, needs)
    # The outermost model's treatment of its fields comes before the transformations, and again would change nothing.
    fields = {**inputs.fields, **treated(inputs.fields, schema, graph, needs)}
    functions = {needed(each, "name"): each for each in root.findall("TransformationDictionary/DefineFunction")}
    scope = Scope(graph, fields, root.findall("TransformationDictionary/DerivedField"), functions=functions)
    target, classes = _target(root, model, schema, inputs)
    words = tuple(str(label).lower() if isinstance(label, bool) else str(label) for label in classes)
    models = Models(graph, needs, words)
    result = models.result(model, scope)
    points = {
        name: np.unique(np.concatenate(found))
        for name, found in models.splits.items()
        if name in inputs.fields and inputs.fields[name].kind == "number"
    }
    return graph, inputs, result, {k: v for k, v in points.items() if len(v)}, target, classes


def _target(root: Element, model: Element, schema: Element, inputs: Inputs) -> tuple[str | None, tuple[Label, ...]]:
    """The name of the target, where the file has one, and its classes."""
    names = [needed(e, "name") for e in schema.findall("MiningField") if e.get("usageType") in ("target", "predicted")]
    name = names[0] if names else None
    if model.get("functionName") == "regression":
        return name, ()
    if model.get("functionName") != "classification":
        raise CannotImport(
            f"The PMML file's model does {model.get('functionName')}, and regression and classification are read."
        )
    data = None if name is None else inputs.declared.get(name)
    kind = "string" if data is None else needed(data, "dataType")
    values = (
        []
        if data is None
        else [needed(v, "value") for v in data.findall("Value") if v.get("property", "valid") == "valid"]
    )
    if not values:
        values = sorted({each for element in model.iter() for each in _classes_in(element)})
    if len(values) < 2:
        raise CannotImport("The PMML file does not say which classes its target has.")
    return name, tuple(_label(spelled(value, kind), kind) for value in values)


def _classes_in(element: Element) -> list[str]:
    if element.tag in ("ScoreDistribution", "TargetValueCount", "TargetValueStat"):
        return [needed(element, "value")]
    names = ("targetCategory", "alternateTargetCategory", "targetReferenceCategory")
    return [found for found in (element.get(name) for name in names) if found is not None]


def _label(text: str, kind: str) -> Label:
    if kind == "boolean":
        return text == "true"
    return int(text) if kind in ("integer", "double", "float") and text.lstrip("-").isdigit() else text


def _outputs(graph: Graph, result: Result) -> list[Output]:
    if result.value is not None:
        return [Output(result.value, "value", "float64", ("rows", 1))]
    assert result.label is not None
    found = [Output(graph.cast(links.flat(graph, result.label), "int64"), "label", "int64", ("rows",))]
    if result.probabilities is not None:
        found.append(Output(result.probabilities, "probabilities", "float64", ("rows", len(result.classes))))
    return found
