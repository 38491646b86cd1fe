"""PMML's SupportVectorMachineModel. https://dmg.org/pmml/v4-4-1/SupportVectorMachine.html"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.document import array, needed, number, parts, real
from mainstay.models.formats.pmml.expressions import Expressions
from mainstay.models.formats.pmml.reading import Reading, Result, field_of
from mainstay.models.formats.pmml.scopes import Scope
from mainstay.models.signature import Floats

MOST_NUMBERS = 50_000_000
"""Of all support vectors, written out in full: 400 MB."""
_WHAT = "A SupportVectorMachineModel"
_ONE, _ALL = "OneAgainstOne", "OneAgainstAll"
KERNELS = ("LinearKernelType", "PolynomialKernelType", "RadialBasisKernelType", "SigmoidKernelType")


def read(reading: Reading, model: Element, scope: Scope) -> Result:
    """The value or the classes of a SupportVectorMachineModel; it gives no probabilities."""
    machines = model.findall("SupportVectorMachine")
    if not machines:
        raise CannotImport("A SupportVectorMachineModel of the PMML file has no SupportVectorMachine.")
    x, width, sources = _vector(reading, model, scope)
    found = _decisions(reading, model, machines, x, width)
    if model.get("functionName") == "regression":
        if len(machines) != 1:
            raise CannotImport(f"A regression of the PMML file has {len(machines)} support vector machines.")
        return Result(value=found, sources=sources)
    label = _label(reading, model, machines, found)
    return Result(classes=reading.classes, label=label, sources=sources)


def _vector(reading: Reading, model: Element, scope: Scope) -> tuple[str, int, frozenset[str]]:
    """The fields side by side (n, width)."""
    fields = model.find("VectorDictionary/VectorFields")
    columns, sources = [], frozenset[str]()
    ask = Expressions(reading.graph, scope, scope.functions)
    for each in () if fields is None else parts(fields):
        if each.tag == "FieldRef":
            made = ask.field(needed(each, "field"), each)
            columns.append(reading.number(made, _WHAT))
        elif each.tag == "CategoricalPredictor" and number(each, "coefficient", 1.0) == 1.0:
            made = field_of(scope, needed(each, "name"))
            reading.present(made, _WHAT)
            columns.append(reading.same(made, needed(each, "value")))
        else:
            raise CannotImport(f"{each.tag} in VectorFields of the PMML file is not read, or not with a coefficient.")
        sources |= made.sources
    if not columns:
        raise CannotImport("A SupportVectorMachineModel of the PMML file has no VectorFields.")
    return reading.joined(columns), len(columns), sources


def _decisions(reading: Reading, model: Element, machines: Sequence[Element], x: str, width: int) -> str:
    """(n, machines): the decision values."""
    graph = reading.graph
    kernel = next((each for each in model if each.tag in KERNELS), None)
    if kernel is None:
        raise CannotImport(
            f"A SupportVectorMachineModel of the PMML file has none of the kernels {', '.join(KERNELS)}."
        )
    start = [number(_coefficients(each), "absoluteValue", 0.0) for each in machines]
    how = model.get("svmRepresentation", "SupportVectors")
    if how == "Coefficients":
        if kernel.tag != "LinearKernelType":
            raise CannotImport(
                f"Coefficients of a {kernel.tag} in the PMML file mean nothing: they are of a linear one."
            )
        rows = [_alphas(each) for each in machines]
        if any(len(row) != width for row in rows):
            raise CannotImport(
                f"A SupportVectorMachine of the PMML file has not one coefficient for each of {width} fields."
            )
        product = graph.add("MatMul", x, graph.constant(np.array(rows).T))
    elif how == "SupportVectors":
        vectors, weights = _vectors(model, machines, width)
        product = graph.add("MatMul", _kernel(graph, kernel, x, vectors), graph.constant(weights))
    else:
        raise CannotImport(f"The svmRepresentation {how!r} of the PMML file is not known.")
    return graph.add("Add", product, graph.constant(np.array(start)))


def _coefficients(machine: Element) -> Element:
    found = machine.find("Coefficients")
    if found is None:
        raise CannotImport("A SupportVectorMachine of the PMML file has no Coefficients.")
    return found


def _alphas(machine: Element) -> list[float]:
    return [number(each, "value", 0.0) for each in _coefficients(machine).findall("Coefficient")]


def _vectors(model: Element, machines: Sequence[Element], width: int) -> tuple[Floats, Floats]:
    """The support vectors (vectors, width) that are used, and what each machine makes of them (vectors, machines)."""
    known = {needed(each, "id"): each for each in model.findall("VectorDictionary/VectorInstance")}
    places: dict[str, int] = {}
    used = []
    for column, machine in enumerate(machines):
        names = [needed(each, "vectorId") for each in machine.findall("SupportVectors/SupportVector")]
        alphas = _alphas(machine)
        if len(names) != len(alphas):
            raise CannotImport(
                f"A SupportVectorMachine of the PMML file has {len(names)} vectors and {len(alphas)} coefficients."
            )
        for name, alpha in zip(names, alphas, strict=True):
            if name not in known:
                raise CannotImport(f"The PMML file refers to the support vector {name!r}, which is not there.")
            used.append((places.setdefault(name, len(places)), column, alpha))
    if len(places) * max(width, len(machines)) > MOST_NUMBERS:
        raise CannotImport(
            f"The PMML file has {len(places):,} support vectors of {width:,} numbers for {len(machines):,} machines, "
            f"and at most {MOST_NUMBERS:,} numbers are read."
        )
    vectors, weights = np.zeros((len(places), width)), np.zeros((len(places), len(machines)))
    for name, place in places.items():
        vectors[place] = _numbers(known[name], width)
    for place, column, alpha in used:
        weights[place, column] += alpha
    return vectors, weights


def _numbers(instance: Element, width: int) -> Floats:
    """The numbers of a VectorInstance, dense or sparse."""
    dense, sparse = instance.find("Array"), instance.find("REAL-SparseArray")
    name = instance.get("id")
    if sparse is None:
        words = [] if dense is None else array(dense)
        if len(words) != width:
            raise CannotImport(
                f"The support vector {name!r} of the PMML file has {len(words)} numbers for {width} fields."
            )
        return np.array([real(word) for word in words])
    found = np.full(width, number(sparse, "defaultValue", 0.0))
    indices, entries = sparse.find("Indices"), sparse.find("REAL-Entries")
    places = [] if indices is None else (indices.text or "").split()
    values = [] if entries is None else (entries.text or "").split()
    if len(places) != len(values) or number(sparse, "n", float(width)) != width:
        raise CannotImport(f"The support vector {name!r} of the PMML file does not fit its {width} fields.")
    for place, value in zip(places, values, strict=True):
        if not place.isdecimal() or not 1 <= int(place) <= width:
            raise CannotImport(f"The support vector {name!r} of the PMML file has a number at {place!r} of {width}.")
        found[int(place) - 1] = real(value)
    return found


def _kernel(graph: Graph, kernel: Element, x: str, vectors: Floats) -> str:
    """(n, vectors)"""
    if kernel.tag == "RadialBasisKernelType":
        # Moved to the middle of the vectors, where the expanded square keeps its digits.
        middle = vectors.mean(axis=0) if len(vectors) else 0.0
        moved, x = vectors - middle, graph.add("Sub", x, graph.constant(middle))
        squares = graph.add("ReduceSum", graph.add("Mul", x, x), graph.constant([1], np.int64), keepdims=1)
        both = graph.add("Add", squares, graph.constant(np.sum(moved * moved, axis=1)))
        product = graph.add("MatMul", x, graph.constant(2.0 * moved.T))
        distance = graph.add("Max", graph.add("Sub", both, product), graph.constant(0.0))
        return graph.add("Exp", graph.add("Mul", distance, graph.constant(-number(kernel, "gamma", 1.0))))
    product = graph.add("MatMul", x, graph.constant(vectors.T))
    if kernel.tag == "LinearKernelType":
        return product
    scaled = graph.add("Mul", product, graph.constant(number(kernel, "gamma", 1.0)))
    moved_by = graph.add("Add", scaled, graph.constant(number(kernel, "coef0", 1.0)))
    if kernel.tag == "SigmoidKernelType":
        return graph.add("Tanh", moved_by)
    return graph.add("Pow", moved_by, graph.constant(number(kernel, "degree", 1.0)))


def _label(reading: Reading, model: Element, machines: Sequence[Element], found: str) -> str:
    """(n, 1): the position of the class."""
    graph, size = reading.graph, len(reading.classes)
    if model.get("alternateBinaryTargetCategory") is not None:
        raise CannotImport(
            "alternateBinaryTargetCategory of the PMML file is not read, for it rounds to 0 or 1: give the machine an "
            "alternateTargetCategory and a threshold of 0.5."
        )
    firsts = [reading.place(needed(each, "targetCategory")) for each in machines]
    others = [each.get("alternateTargetCategory") for each in machines]
    # Older writers leave the method out, and tell it by the alternative.
    how = model.get("classificationMethod", _ALL if others[0] is None else _ONE)
    if how not in (_ONE, _ALL):
        raise CannotImport(f"The classificationMethod {how!r} of the PMML file is not known.")
    largest = _truth(model, "maxWins")
    if how == _ALL and len(machines) > 1:
        if sorted(firsts) != list(range(size)):
            raise CannotImport("The support vector machines of the PMML file are not one for each class.")
        ordered = graph.add("Gather", found, graph.constant(np.argsort(firsts), np.int64), axis=1)
        return graph.cast(graph.add("ArgMax" if largest else "ArgMin", ordered, axis=1, keepdims=1), "float64")
    if len(machines) == 1 and others[0] is None and size == 2:
        seconds = [1 - firsts[0]]
    elif any(each is None for each in others):
        raise CannotImport("A SupportVectorMachine of the PMML file has no alternateTargetCategory.")
    else:
        seconds = [reading.place(each or "") for each in others]
    own = number(model, "threshold", 0.0)
    limits = np.array([own if e.get("threshold") is None else number(e, "threshold") for e in machines])
    wins = graph.cast(graph.add("Greater" if largest else "Less", found, graph.constant(limits)), "float64")
    first, second = np.eye(size)[firsts], np.eye(size)[seconds]
    votes = graph.add(
        "Add", graph.add("MatMul", wins, graph.constant(first - second)), graph.constant(second.sum(axis=0))
    )
    return reading.most(votes)


def _truth(element: Element, name: str) -> bool:
    text = element.get(name, "false")
    if text not in ("true", "false", "1", "0"):
        raise CannotImport(f"{name}={text!r} of the PMML file is neither true nor false.")
    return text in ("true", "1")
