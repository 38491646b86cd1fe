"""PMML's NaiveBayesModel, in logarithms. https://dmg.org/pmml/v4-4-1/NaiveBayes.html

A field that is missing, or has a value without counts, says nothing. A count of zero, and a density below the
threshold, are the threshold.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.pmml.document import needed, number
from mainstay.models.formats.pmml.expressions import Expressions
from mainstay.models.formats.pmml.fields import Field
from mainstay.models.formats.pmml.reading import Reading, Result, field_of
from mainstay.models.formats.pmml.scopes import Scope
from mainstay.models.signature import Floats


def read(reading: Reading, model: Element, scope: Scope) -> Result:
    """The classes of a NaiveBayesModel."""
    threshold = number(model, "threshold")
    if threshold < 0:
        raise CannotImport(f"The threshold {threshold:g} of a NaiveBayesModel in the PMML file is below zero.")
    _check_target(model)
    output = model.find("BayesOutput/TargetValueCounts")
    if output is None:
        raise CannotImport("A NaiveBayesModel of the PMML file has no TargetValueCounts in its BayesOutput.")
    start = _logarithms(_counts(reading, output))
    # R's package puts inputs with densities into an Extension.
    inputs = [*model.findall("BayesInputs/BayesInput"), *model.findall("BayesInputs/Extension/BayesInput")]
    if not inputs:
        raise CannotImport("A NaiveBayesModel of the PMML file has no BayesInput.")
    found, sources, never = reading.rows(start), frozenset[str](), start == -np.inf
    for each in inputs:
        made = field_of(scope, needed(each, "fieldName"))
        stats = each.find("TargetValueStats")
        if stats is not None:
            part = _densities(reading, made, stats, threshold)
        else:
            derived = each.find("DerivedField")
            if derived is not None:
                made = Expressions(reading.graph, scope, scope.functions).derived(derived, needed(each, "fieldName"))
            part, absent = _counted(reading, made, each, threshold)
            never |= absent
        found = reading.graph.add("Add", found, part)
        sources |= made.sources
    if never.all():
        raise CannotImport(
            "A NaiveBayesModel of the PMML file can find every class impossible, and then has no answer: give it a "
            "threshold above zero."
        )
    return reading.classified(links.softmax(reading.graph, found), reading.classes, sources, "A NaiveBayesModel")


def _check_target(model: Element) -> None:
    """Raises CannotImport where the classes that are counted are those of another field than the model's target."""
    output = model.find("BayesOutput")
    counted = None if output is None else output.get("fieldName")  # JPMML leaves it out
    fields = model.findall("MiningSchema/MiningField")
    targets = [needed(each, "name") for each in fields if each.get("usageType") in ("target", "predicted")]
    if counted is not None and targets and counted not in targets:
        raise CannotImport(
            f"The BayesOutput of the PMML file counts the classes of {counted!r}, and the model's target is "
            f"{targets[0]!r}: it has to be the target."
        )


def _counts(reading: Reading, counts: Element) -> Floats:
    """Counts by class; one that is left out is zero."""
    found = np.zeros(len(reading.classes))
    for each in counts.findall("TargetValueCount"):
        count = number(each, "count")
        if count < 0:
            raise CannotImport(f"A TargetValueCount of the PMML file is {count:g}, below zero.")
        found[reading.place(needed(each, "value"))] = count
    return found


def _logarithms(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        found: Floats = np.log(values)
    return found


def _counted(reading: Reading, made: Field, entry: Element, threshold: float) -> tuple[str, np.ndarray]:
    """(n, classes): the logarithms of the shares of a value; and which classes may become impossible."""
    graph, pairs = reading.graph, entry.findall("PairCounts")
    rows = []
    for pair in pairs:
        counts = pair.find("TargetValueCounts")
        if counts is None:
            raise CannotImport(f"PairCounts of {made.name!r} in the PMML file have no TargetValueCounts.")
        rows.append(_counts(reading, counts))
    if not rows:
        raise CannotImport(f"The BayesInput of {made.name!r} in the PMML file has neither counts nor densities.")
    table = np.array(rows)
    with np.errstate(invalid="ignore"):
        shares = np.where(table > 0, table / table.sum(axis=0), threshold)
    logs = np.vstack([_logarithms(shares), np.zeros(len(reading.classes))])
    place = graph.constant(float(len(rows)))
    for row, pair in enumerate(pairs):
        text = needed(pair, "value")
        value = made.code(text) if made.kind == "code" else made.threshold(text)
        place = graph.add(
            "Where", graph.add("Equal", made.tensor, graph.constant(value)), graph.constant(float(row)), place
        )
    index = links.flat(graph, graph.cast(place, "int64"))
    return graph.add("Gather", graph.constant(logs), index, axis=0), (logs == -np.inf).any(axis=0)


def _densities(reading: Reading, made: Field, stats: Element, threshold: float) -> str:
    """(n, classes): the logarithms of normal densities."""
    graph = reading.graph
    if made.kind != "number":
        raise CannotImport(f"The BayesInput of {made.name!r} in the PMML file has densities of categories.")
    means, variances = np.full(len(reading.classes), np.nan), np.full(len(reading.classes), np.nan)
    for each in stats.findall("TargetValueStat"):
        normal = each.find("GaussianDistribution")
        if normal is None:
            other = next((kind.tag for kind in each if kind.tag != "Extension"), "nothing")
            raise CannotImport(
                f"A density of {made.name!r} in the PMML file is {other}, and GaussianDistribution is read."
            )
        place = reading.place(needed(each, "value"))
        means[place], variances[place] = number(normal, "mean"), number(normal, "variance")
    if not (variances > 0).all():
        missing = reading.classes[int(np.flatnonzero(~(variances > 0))[0])]
        raise CannotImport(f"The PMML file has no density of {made.name!r} with a variance for the class {missing!r}.")
    away = graph.add("Sub", made.tensor, graph.constant(means[None, :]))
    square = graph.add("Div", graph.add("Mul", away, away), graph.constant(-2.0 * variances[None, :]))
    found = graph.add("Add", square, graph.constant(-0.5 * np.log(2.0 * np.pi * variances)[None, :]))
    if threshold > 0:
        found = graph.add("Max", found, graph.constant(float(np.log(threshold))))
    return graph.add("Where", graph.add("IsNaN", made.tensor), graph.constant(0.0), found)
