"""PMML's GeneralRegressionModel. https://dmg.org/pmml/v4-4-1/GeneralRegression.html

A parameter is a product of its predictors: for a factor 1 where it has the cell's value, else 0 (or the number of the
factor's contrast matrix), for a covariate its power. A parameter without predictors is an intercept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.pmml.document import array, needed, number, real
from mainstay.models.formats.pmml.fields import Field, spelled
from mainstay.models.formats.pmml.links import CUMULATIVE, inverse
from mainstay.models.formats.pmml.reading import Reading, Result, field_of
from mainstay.models.formats.pmml.scopes import Scope

_WHAT = "A general regression"
_PLAIN = ("regression", "generalLinear")
_KINDS = (*_PLAIN, "generalizedLinear", "multinomialLogistic", "ordinalMultinomial")


def read(reading: Reading, model: Element, scope: Scope) -> Result:
    """The value or the classes of a GeneralRegressionModel.

    Raises:
        CannotImport: a Cox regression; a kind that is not known or does not fit the function; names that do not meet.
    """
    return _General(reading, model, scope).result()


@dataclass
class _General:
    reading: Reading
    model: Element
    scope: Scope
    used: list[Field] = field(default_factory=list)

    def result(self) -> Result:
        model, kind = self.model, needed(self.model, "modelType")
        if kind == "CoxRegression":
            raise CannotImport(
                "A CoxRegression of the PMML file is not read, for its answer is a hazard up to a time of the row's "
                "own: export the survival at one time as a model of its own."
            )
        if kind not in _KINDS:
            raise CannotImport(f"The modelType {kind!r} of the PMML file is not known: {', '.join(_KINDS)} are read.")
        self.factors = {needed(e, "name"): e for e in model.findall("FactorList/Predictor")}
        self.known = [needed(e, "name") for e in model.findall("ParameterList/Parameter")]
        self.cells = self._cells()
        self.betas = self._betas()
        if kind in (*_PLAIN, "multinomialLogistic") and self._moved():
            raise CannotImport(f"An offset in a {kind} of the PMML file is not read.")
        if model.get("functionName") == "regression":
            return self._regression(kind)
        match kind:
            case "multinomialLogistic":
                return self._multinomial()
            case "ordinalMultinomial":
                return self._ordinal()
            case "generalizedLinear":
                return self._event()
        raise CannotImport(f"A {kind} of the PMML file is not read for a classification.")

    # Kinds.

    def _regression(self, kind: str) -> Result:
        if kind not in (*_PLAIN, "generalizedLinear"):
            raise CannotImport(f"A {kind} of the PMML file is not read for a regression.")
        if list(self.betas) != [None]:
            raise CannotImport("The ParamMatrix of a regression in the PMML file names classes of the target.")
        value = self._predictor(None, None)
        if kind == "generalizedLinear":
            value = self._linked(value)
            trials = self._extra("trials", 1.0)
            value = value if trials is None else self.reading.graph.add("Mul", value, trials)
        return Result(value=value, sources=self._sources())

    def _multinomial(self) -> Result:
        named, last = self._named(), self._reference()
        order = [each for each in self.reading.classes if each != last]
        if len(named) == 0 and len(order) == 1:
            scores = [self._predictor(None, order[0])]
        elif sorted(named) == sorted(order) and None not in self.betas:
            scores = [self._predictor(each, each) for each in order]
        else:
            raise CannotImport(
                f"The ParamMatrix of the PMML file is for the classes {', '.join(map(repr, named))}, and the target "
                f"has {', '.join(map(repr, order))} beside the reference {last!r}."
            )
        shares = links.softmax(self.reading.graph, self.reading.joined([*scores, self.reading.rows(np.zeros(1))]))
        return self.reading.classified(shares, [*order, last], self._sources(), _WHAT)

    def _event(self) -> Result:
        named, last = self._named(), self._reference()
        if len(self.reading.classes) != 2 or len(named) > 1 or last in named:
            raise CannotImport("A generalizedLinear classification of the PMML file is read for two classes.")
        if self._extra("trials", 1.0) is not None:
            raise CannotImport("Trials in a classification of the PMML file are not read.")
        event = next(each for each in self.reading.classes if each != last)
        key = named[0] if named else None
        share = self._linked(self._predictor(key, event))
        rest = self.reading.graph.add("Sub", self.reading.graph.constant(1.0), share)
        return self.reading.classified(self.reading.joined([share, rest]), [event, last], self._sources(), _WHAT)

    def _ordinal(self) -> Result:
        graph, classes, named = self.reading.graph, self.reading.classes, self._named()
        if sorted(named) != sorted(classes[:-1]):
            raise CannotImport(
                f"The ParamMatrix of an ordinalMultinomial in the PMML file is for {', '.join(map(repr, named))}, and "
                f"has to be for all classes but the last: {', '.join(map(repr, classes[:-1]))}."
            )
        link = needed(self.model, "cumulativeLink")
        if link not in CUMULATIVE:
            raise CannotImport(f"The cumulativeLink {link!r} of the PMML file is not known.")
        common = self._predictor(None, None) if None in self.betas else None
        below, shares = "", []
        for each in classes[:-1]:
            eta = self._predictor(each, each)
            eta = eta if common is None else graph.add("Add", eta, common)
            up_to = inverse(graph, link, self._offset(eta))
            shares.append(graph.add("Sub", up_to, below) if below else up_to)
            below = up_to
        shares.append(graph.add("Sub", graph.constant(1.0), below))
        return self.reading.classified(self.reading.joined(shares), classes, self._sources(), _WHAT)

    def _linked(self, eta: str) -> str:
        model = self.model
        return inverse(
            self.reading.graph,
            needed(model, "linkFunction"),
            self._offset(eta),
            distribution=None if model.get("distParameter") is None else number(model, "distParameter"),
            power=None if model.get("linkParameter") is None else number(model, "linkParameter"),
        )

    # Classes.

    def _named(self) -> list[str]:
        return [each for each in self.betas if each is not None]

    def _reference(self) -> str:
        """The class whose parameters are all zero: told, or the one that the parameters do not name."""
        told = self.model.get("targetReferenceCategory")
        rest = [each for each in self.reading.classes if each not in self.betas]
        last = told if told is not None else rest[0] if len(rest) == 1 else None
        if last is None:
            raise CannotImport("The PMML file does not say the reference class: give targetReferenceCategory.")
        self.reading.place(last)
        return last

    # Parameters.

    def _cells(self) -> dict[str | None, dict[str, list[tuple[str, str]]]]:
        found: dict[str | None, dict[str, list[tuple[str, str]]]] = {}
        for cell in self.model.findall("PPMatrix/PPCell"):
            row = found.setdefault(cell.get("targetCategory"), {})
            name = self._parameter(cell)
            row.setdefault(name, []).append((needed(cell, "predictorName"), needed(cell, "value")))
        return found

    def _betas(self) -> dict[str | None, list[tuple[str, float]]]:
        found: dict[str | None, list[tuple[str, float]]] = {}
        for cell in self.model.findall("ParamMatrix/PCell"):
            row = found.setdefault(cell.get("targetCategory"), [])
            row.append((self._parameter(cell), number(cell, "beta")))
        if not found:
            raise CannotImport("A general regression of the PMML file has no parameters in its ParamMatrix.")
        return found

    def _parameter(self, cell: Element) -> str:
        name = needed(cell, "parameterName")
        if name not in self.known:
            raise CannotImport(f"A {cell.tag} of the PMML file is of the parameter {name!r}, which is not listed.")
        return name

    def _predictor(self, key: str | None, category: str | None) -> str:
        """(n, 1): the sum of the parameters of `key`, with the predictors of `category` or else of all classes."""
        graph, start = self.reading.graph, 0.0
        rows = self.cells.get(category, self.cells.get(None, {}))
        columns: list[str] = []
        betas: list[float] = []
        for name, beta in self.betas[key]:
            if name in rows:
                columns.append(self._product(rows[name]))
                betas.append(beta)
            else:
                start += beta
        if not columns:
            return self.reading.rows(np.array([start]))
        product = graph.add("MatMul", self.reading.joined(columns), graph.constant(np.array(betas)[:, None]))
        return graph.add("Add", product, graph.constant([[start]]))

    def _product(self, cells: Sequence[tuple[str, str]]) -> str:
        graph, found = self.reading.graph, ""
        for name, value in cells:
            made = self._field(name)
            if name in self.factors:
                each = self._factor(made, self.factors[name], value)
            elif made.kind == "code":
                each = self.reading.same(made, value)
            else:
                power = real(value)
                each = made.tensor if power == 1.0 else graph.add("Pow", made.tensor, graph.constant(power))
            found = graph.add("Mul", found, each) if found else each
        return found

    def _field(self, name: str) -> Field:
        made = field_of(self.scope, name)
        self.reading.present(made, _WHAT)
        self.used.append(made)
        return made

    def _factor(self, made: Field, predictor: Element, value: str) -> str:
        matrix = predictor.find("Matrix")
        if matrix is None:
            return self.reading.same(made, value)
        contrasts = _contrasts(predictor, matrix, made)
        graph, names = self.reading.graph, list(contrasts)
        place = names.index(spelled(value, made.spelled)) if spelled(value, made.spelled) in names else len(names)
        found = graph.constant(0.0)
        for each, row in contrasts.items():
            if place >= len(row):
                raise CannotImport(
                    f"The contrast matrix of {made.name!r} in the PMML file has no column for {value!r}."
                )
            same = graph.add("Equal", made.tensor, graph.constant(made.code(each)))
            found = graph.add("Where", same, graph.constant(row[place]), found)
        return found

    # Offsets and trials.

    def _moved(self) -> bool:
        return self.model.get("offsetVariable") is not None or number(self.model, "offsetValue", 0.0) != 0.0

    def _offset(self, eta: str) -> str:
        extra = self._extra("offset", 0.0)
        return eta if extra is None else self.reading.graph.add("Add", eta, extra)

    def _extra(self, what: str, nothing: float) -> str | None:
        """A variable or a value of that name; None where it changes nothing."""
        name = self.model.get(f"{what}Variable")
        if name is not None:
            made = field_of(self.scope, name)
            self.used.append(made)
            return self.reading.number(made, _WHAT)
        value = number(self.model, f"{what}Value", nothing)
        return None if value == nothing else self.reading.graph.constant(value)

    def _sources(self) -> frozenset[str]:
        return frozenset().union(*(each.sources for each in self.used))


def _contrasts(predictor: Element, matrix: Element, made: Field) -> Mapping[str, list[float]]:
    """The rows of a contrast matrix by the factor's values."""
    if made.kind != "code" or matrix.get("kind", "any") != "any":
        raise CannotImport(f"The contrast matrix of {made.name!r} in the PMML file is read for categories, in full.")
    values = [spelled(needed(e, "value"), made.spelled) for e in predictor.findall("Categories/Category")]
    rows = [[real(word) for word in array(each)] for each in matrix.findall("Array")]
    values = values or list(made.values)
    if len(rows) != len(values):
        raise CannotImport(
            f"The contrast matrix of {made.name!r} in the PMML file has {len(rows)} rows for {len(values)} values."
        )
    return dict(zip(values, rows, strict=True))
