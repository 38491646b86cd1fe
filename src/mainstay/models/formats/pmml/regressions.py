"""PMML's RegressionModel. https://dmg.org/pmml/v4-4-1/Regression.html"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.pmml.document import needed, number, parts
from mainstay.models.formats.pmml.expressions import Expressions
from mainstay.models.formats.pmml.links import CUMULATIVE, inverse
from mainstay.models.formats.pmml.reading import Reading, Result, field_of
from mainstay.models.formats.pmml.scopes import Scope

_WHAT = "A regression"


def read(reading: Reading, model: Element, scope: Scope) -> Result:
    """The value or the classes of a RegressionModel."""
    tables = model.findall("RegressionTable")
    how = model.get("normalizationMethod", "none")
    scores, sources = [], frozenset[str]()
    for table in tables:
        score, used = _table(reading, table, scope)
        scores.append(score)
        sources |= used
    graph = reading.graph
    if model.get("functionName") == "regression":
        if len(scores) != 1:
            raise CannotImport(f"A regression of the PMML file has {len(scores)} tables, and one is read.")
        if how == "softmax":
            return Result(value=links.sigmoid(graph, scores[0]), sources=sources)
        if how in ("none", "exp"):
            return Result(value=scores[0] if how == "none" else graph.add("Exp", scores[0]), sources=sources)
        if how in CUMULATIVE:
            return Result(value=inverse(graph, how, scores[0]), sources=sources)
        raise CannotImport(f"The normalizationMethod {how!r} of the PMML file is not read for a regression.")
    named = [needed(table, "targetCategory") for table in tables]
    return reading.classified(_shares(reading, how, scores), named, sources, _WHAT)


def _shares(reading: Reading, how: str, scores: Sequence[str]) -> str:
    graph, one = reading.graph, reading.graph.constant(1.0)
    if how == "softmax" and len(scores) > 1:
        return links.softmax(graph, reading.joined(scores))
    if how == "simplemax" and len(scores) > 1:
        return links.shares(graph, reading.joined(scores))
    if how in CUMULATIVE and len(scores) == 2:
        first = inverse(graph, how, scores[0])
        return reading.joined([first, graph.add("Sub", one, first)])
    if how == "none" and len(scores) > 1:
        own = reading.joined(scores[:-1])
        rest = graph.add("Sub", one, graph.add("ReduceSum", own, graph.constant([1], np.int64), keepdims=1))
        return reading.joined([own, rest])
    raise CannotImport(f"The normalizationMethod {how!r} of the PMML file is not read for {len(scores)} classes.")


def _table(reading: Reading, table: Element, scope: Scope) -> tuple[str, frozenset[str]]:
    graph, sources = reading.graph, frozenset[str]()
    fields, factors, others = [], [], []
    ask = Expressions(graph, scope, scope.functions)
    for term in parts(table):
        if term.tag == "NumericPredictor":
            made = field_of(scope, needed(term, "name"))
            exponent, tensor = number(term, "exponent", 1.0), reading.number(made, _WHAT)
            fields.append(tensor if exponent == 1.0 else graph.add("Pow", tensor, graph.constant(exponent)))
            factors.append(number(term, "coefficient"))
        elif term.tag == "CategoricalPredictor":
            made = field_of(scope, needed(term, "name"))
            fields.append(reading.same(made, needed(term, "value")))
            factors.append(number(term, "coefficient"))
        elif term.tag == "PredictorTerm":
            product = graph.constant([[number(term, "coefficient")]])
            for reference in term.findall("FieldRef"):
                made = ask.field(needed(reference, "field"), reference)
                product = graph.add("Mul", product, reading.number(made, _WHAT))
                sources |= made.sources
            others.append(product)
            continue
        else:
            raise CannotImport(f"{term.tag} in a RegressionTable of the PMML file is not read.")
        sources |= made.sources
    start = number(table, "intercept", 0.0)
    if fields:
        found = graph.add("MatMul", reading.joined(fields), graph.constant(np.array(factors)[:, None]))
        found = graph.add("Add", found, graph.constant([[start]]))
    else:
        found = reading.rows(np.array([start]))
    for each in others:
        found = graph.add("Add", found, each)
    return found, sources
