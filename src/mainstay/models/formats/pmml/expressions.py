"""PMML's derived fields as nodes of a graph, in double precision, with NaN where a value is missing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.document import needed, number, parts, real
from mainstay.models.formats.pmml.fields import Field

_TWO = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "pow": "Pow"}
_ONE = {"exp": "Exp", "ln": "Log", "sqrt": "Sqrt", "abs": "Abs", "floor": "Floor", "ceil": "Ceil", "tanh": "Tanh"}
_COMPARED = {
    "lessThan": "Less",
    "lessOrEqual": "LessOrEqual",
    "greaterThan": "Greater",
    "greaterOrEqual": "GreaterOrEqual",
}


class Expressions:
    """Evaluates expressions over a scope of fields."""

    def __init__(self, graph: Graph, scope: Mapping[str, Field]) -> None:
        self.graph, self.scope = graph, scope

    def derived(self, element: Element) -> Field:
        """The field that a DerivedField (or an OutputField with an expression) defines."""
        name = needed(element, "name")
        inner = next(parts(element, "Value"), None)
        if inner is None:
            raise CannotImport(f"The derived field {name!r} of the PMML file has no expression.")
        made = self.value(inner, name)
        kind = element.get("dataType", "double")
        tensor, single = made.tensor, False
        if made.kind == "number":
            if kind not in ("double", "float", "integer"):
                raise CannotImport(f"The derived field {name!r} makes a {kind} of a number, which is not read.")
            if kind == "float":
                tensor, single = self.graph.cast(self.graph.cast(tensor, "float32"), "float64"), True
            elif kind == "integer" and inner.tag not in ("NormDiscrete", "Constant"):
                raise CannotImport(f"The derived field {name!r} makes an integer of a number, which is not read.")
        return Field(
            name,
            tensor,
            made.kind,
            made.values,
            closed=made.closed,
            missing=made.missing,
            single=single,
            sources=made.sources,
            spelled=made.spelled,
        )

    def value(self, element: Element, name: str) -> Field:  # noqa: PLR0911 - one case an expression
        """The value of an expression."""
        match element.tag:
            case "FieldRef":
                return self.field(needed(element, "field"), element)
            case "Constant":
                return self._number(self.graph.constant(real(element.text or "")), name, ())
            case "NormContinuous":
                return self._norm_continuous(element, name)
            case "NormDiscrete":
                return self._norm_discrete(element, name)
            case "Discretize":
                return self._discretize(element, name)
            case "MapValues":
                return self._map_values(element, name)
            case "Apply":
                return self._apply(element, name)
        raise CannotImport(f"{element.tag} of the PMML file (in {name!r}) is not read.")

    def field(self, name: str, element: Element | None = None) -> Field:
        if name not in self.scope:
            raise CannotImport(f"The PMML file refers to the field {name!r}, which is not there.")
        if element is not None and element.get("mapMissingTo") is not None:
            raise CannotImport(f"mapMissingTo at a FieldRef of the PMML file (to {name!r}) is not read.")
        return self.scope[name]

    def _number(self, tensor: str, name: str, of: tuple[Field, ...], *, missing: bool | None = None) -> Field:
        sources = frozenset().union(*(each.sources for each in of))
        absent = any(each.missing for each in of) if missing is None else missing
        return Field(name, tensor, "number", missing=absent, sources=sources)

    def _numeric(self, name: str) -> Field:
        made = self.field(name)
        if made.kind != "number":
            raise CannotImport(f"The categories of {name!r} are used as numbers in the PMML file, which is not read.")
        return made

    def _norm_continuous(self, element: Element, name: str) -> Field:
        graph, made = self.graph, self._numeric(needed(element, "field"))
        points = [(number(p, "orig"), number(p, "norm")) for p in element.findall("LinearNorm")]
        if len(points) < 2 or any(a[0] >= b[0] for a, b in pairwise(points)):
            raise CannotImport(f"NormContinuous of {made.name!r} in the PMML file needs two points or more, in order.")
        outliers = element.get("outliers", "asIs")
        x = made.tensor
        found = ""
        for place, ((a, low), (b, high)) in enumerate(pairwise(points)):
            share = graph.add("Div", graph.add("Sub", x, graph.constant(a)), graph.constant(b - a))
            line = graph.add("Add", graph.constant(low), graph.add("Mul", share, graph.constant(high - low)))
            found = line if not place else graph.add("Where", graph.add("Greater", x, graph.constant(a)), line, found)
        missing = made.missing
        if outliers != "asIs":
            under = graph.add("Less", x, graph.constant(points[0][0]))
            over = graph.add("Greater", x, graph.constant(points[-1][0]))
            if outliers == "asExtremeValues":
                ends = points[0][1], points[-1][1]
            elif outliers == "asMissingValues":
                ends, missing = (np.nan, np.nan), True
            else:
                raise CannotImport(f"The treatment of outliers {outliers!r} is not known.")
            found = graph.add("Where", under, graph.constant(ends[0]), found)
            found = graph.add("Where", over, graph.constant(ends[1]), found)
        tensor, absent = self._instead(found, made, element)
        return self._number(tensor, name, (made,), missing=missing and absent)

    def _instead(self, tensor: str, made: Field, element: Element) -> tuple[str, bool]:
        """The tensor with mapMissingTo where the field is missing; and whether it may still be missing."""
        value = element.get("mapMissingTo")
        if value is None:
            gone = self.graph.add("IsNaN", made.tensor)
            if made.missing:
                tensor = self.graph.add("Where", gone, self.graph.constant(np.nan), tensor)
            return tensor, True
        gone = self.graph.add("IsNaN", made.tensor)
        return self.graph.add("Where", gone, self.graph.constant(real(value)), tensor), False

    def _norm_discrete(self, element: Element, name: str) -> Field:
        made = self.field(needed(element, "field"))
        text = needed(element, "value")
        value = made.code(text) if made.kind == "code" else made.threshold(text)
        same = self.graph.cast(self.graph.add("Equal", made.tensor, self.graph.constant(value)), "float64")
        tensor, absent = self._instead(same, made, element)
        return self._number(tensor, name, (made,), missing=made.missing and absent)

    def _discretize(self, element: Element, name: str) -> Field:
        graph, made = self.graph, self._numeric(needed(element, "field"))
        bins = element.findall("DiscretizeBin")
        words = [needed(each, "binValue") for each in bins]
        default, instead = element.get("defaultValue"), element.get("mapMissingTo")
        extra = [word for word in (default, instead) if word is not None]
        numbers = element.get("dataType") in ("double", "float", "integer")
        values = () if numbers else tuple(dict.fromkeys([*words, *extra]))

        def at(word: str | None) -> str:
            value = np.nan if word is None else real(word) if numbers else float(values.index(word))
            return graph.constant(value)

        found = at(default)
        for each, word in reversed(list(zip(bins, words, strict=True))):
            interval = each.find("Interval")
            if interval is None:
                raise CannotImport(f"A bin of {name!r} in the PMML file has no Interval.")
            closure = needed(interval, "closure")
            tests = []
            if interval.get("leftMargin") is not None:
                op = "Greater" if closure.startswith("open") else "GreaterOrEqual"
                tests.append(graph.add(op, made.tensor, graph.constant(number(interval, "leftMargin"))))
            if interval.get("rightMargin") is not None:
                op = "Less" if closure.endswith("Open") else "LessOrEqual"
                tests.append(graph.add(op, made.tensor, graph.constant(number(interval, "rightMargin"))))
            if not tests:
                raise CannotImport(f"A bin of {name!r} in the PMML file has no margin.")
            inside = tests[0] if len(tests) == 1 else graph.add("And", *tests)
            found = graph.add("Where", inside, at(word), found)
        found = graph.add("Where", graph.add("IsNaN", made.tensor), at(instead), found)
        absent = default is None or (made.missing and instead is None)
        return Field(
            name, found, "number" if numbers else "code", values, closed=True, missing=absent, sources=made.sources
        )

    def _map_values(self, element: Element, name: str) -> Field:
        graph = self.graph
        pairs = element.findall("FieldColumnPair")
        table = element.find("InlineTable")
        if len(pairs) != 1 or table is None:
            raise CannotImport(f"MapValues of the PMML file (in {name!r}) is read with one field and an InlineTable.")
        made, column, output = (
            self.field(needed(pairs[0], "field")),
            needed(pairs[0], "column"),
            needed(element, "outputColumn"),
        )
        if made.kind != "code":
            raise CannotImport(f"MapValues of the PMML file (in {name!r}) is read for categories.")
        rows = [{cell.tag.rpartition(" ")[2]: cell.text or "" for cell in row} for row in table.findall("row")]
        default, instead = element.get("defaultValue"), element.get("mapMissingTo")
        words = [row[output] for row in rows]
        numbers = element.get("dataType") in ("double", "float", "integer")
        values = () if numbers else tuple(dict.fromkeys([*words, *(w for w in (default, instead) if w is not None)]))

        def at(word: str | None) -> float:
            return np.nan if word is None else real(word) if numbers else float(values.index(word))

        known = {made.code(row[column]): at(row[output]) for row in reversed(rows)}
        lookup = [known.get(float(code), at(default)) for code in range(len(made.values))] + [at(default), at(instead)]
        size = len(made.values)
        place = graph.add(
            "Where", graph.add("Less", made.tensor, graph.constant(0.0)), graph.constant(float(size)), made.tensor
        )
        place = graph.add("Where", graph.add("IsNaN", made.tensor), graph.constant(float(size + 1)), place)
        found = graph.add("Gather", graph.constant(lookup), graph.cast(place, "int64"), axis=0)
        absent = (made.missing and instead is None) or any(np.isnan(lookup[: size if made.closed else size + 1]))
        return Field(
            name, found, "number" if numbers else "code", values, closed=True, missing=absent, sources=made.sources
        )

    def _apply(self, element: Element, name: str) -> Field:  # noqa: PLR0911 - one case a kind of function
        graph, function = self.graph, needed(element, "function")
        if element.get("mapMissingTo") is not None or element.get("defaultValue") is not None:
            raise CannotImport(f"mapMissingTo and defaultValue of Apply in the PMML file (in {name!r}) are not read.")
        inner = list(parts(element))
        if function in ("equal", "notEqual") and inner[1].tag == "Constant" and inner[0].tag == "FieldRef":
            made = self.field(needed(inner[0], "field"), inner[0])
            text = inner[1].text or ""
            value = made.code(text) if made.kind == "code" else made.threshold(text)
            same = graph.add("Equal", made.tensor, graph.constant(value))
            same = graph.add("Not", same) if function == "notEqual" else same
            return self._number(self._where_present(graph.cast(same, "float64"), (made,)), name, (made,))
        given = tuple(self.value(each, name) for each in inner)
        if function in ("isMissing", "isNotMissing"):
            gone = graph.add("IsNaN", given[0].tensor)
            gone = graph.add("Not", gone) if function == "isNotMissing" else gone
            return self._number(graph.cast(gone, "float64"), name, given, missing=False)
        if any(each.kind != "number" for each in given):
            raise CannotImport(f"The function {function!r} of the PMML file (in {name!r}) is read for numbers.")
        tensors = [each.tensor for each in given]
        if function in _TWO and len(given) == 2:
            return self._number(graph.add(_TWO[function], *tensors), name, given)
        if function in _ONE and len(given) == 1:
            return self._number(graph.add(_ONE[function], *tensors), name, given)
        if function in _COMPARED and len(given) == 2:
            found = graph.cast(graph.add(_COMPARED[function], *tensors), "float64")
            return self._number(self._where_present(found, given), name, given)
        if function in ("and", "or", "not") and not any(each.missing for each in given):
            tests = [graph.add("Greater", each, graph.constant(0.5)) for each in tensors]
            found = tests[0]
            if function == "not":
                found = graph.add("Not", found)
            for each in tests[1:]:
                found = graph.add("And" if function == "and" else "Or", found, each)
            return self._number(graph.cast(found, "float64"), name, given)
        if function == "if" and len(given) in (2, 3):
            return self._if(inner, given, name)
        raise CannotImport(f"The function {function!r} of the PMML file (in {name!r}) is not read.")

    def _if(self, inner: list[Element], given: tuple[Field, ...], name: str) -> Field:
        graph, tensors = self.graph, [each.tensor for each in given]
        otherwise = tensors[2] if len(given) == 3 else graph.constant(np.nan)
        chosen = graph.add("Where", graph.add("Greater", tensors[0], graph.constant(0.5)), tensors[1], otherwise)
        missing = len(given) == 2 or any(each.missing for each in given)
        if len(given) == 3 and _replaces_missing(inner):
            missing = given[1].missing
        return self._number(self._where_present(chosen, given[:1]), name, given, missing=missing)

    def _where_present(self, tensor: str, given: tuple[Field, ...]) -> str:
        for each in given:
            if each.missing:
                gone = self.graph.add("IsNaN", each.tensor)
                tensor = self.graph.add("Where", gone, self.graph.constant(np.nan), tensor)
        return tensor


def _replaces_missing(inner: list[Element]) -> bool:
    """Whether the words of an "if" are: if this field is missing, that, else the field."""
    test, _, otherwise = inner
    asked = [each.get("field") for each in parts(test) if each.tag == "FieldRef"]
    return test.get("function") == "isMissing" and otherwise.tag == "FieldRef" and asked == [otherwise.get("field")]
