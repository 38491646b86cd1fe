"""PMML's derived fields as nodes of a graph, in double precision, with NaN where a value is missing.

https://dmg.org/pmml/v4-4-1/Transformations.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.document import needed, number, parts, real
from mainstay.models.formats.pmml.fields import FEATURES, Field
from mainstay.models.formats.pmml.functions import COMPARED, LISTED, LOGICAL, NUMERIC, over_list
from mainstay.models.formats.pmml.tables import map_values

NUMBERS = ("double", "float", "integer")
MOST_STEPS = 100_000
"""Nodes of one graph: functions that call functions grow without end otherwise."""


@dataclass(frozen=True)
class Expressions:
    """Evaluates expressions over fields, with the file's own functions."""

    graph: Graph
    scope: Mapping[str, Field]
    functions: Mapping[str, Element]
    inside: tuple[str, ...] = ()
    """The functions that are being called."""

    def derived(self, element: Element, name: str | None = None) -> Field:
        """The field that a DerivedField (or an OutputField with an expression) defines; `name` in place of its own."""
        name = needed(element, "name") if name is None else name
        inner = next(parts(element, "Value"), None)
        if inner is None:
            raise CannotImport(f"The derived field {name!r} of the PMML file has no expression.")
        kind = element.get("dataType", "double")
        made = self.value(inner, name, numbers=kind in NUMBERS and element.get("optype") == "continuous")
        if made.kind == "number":
            made = self._typed(made, kind, inner, name)
        if not made.sources:
            # A constant, once for each row.
            shape = self.graph.add(
                "Concat", self.graph.add("Shape", FEATURES, end=1), self.graph.constant([1], np.int64), axis=0
            )
            made = replace(made, tensor=self.graph.add("Expand", made.tensor, shape))
        return replace(made, name=name)

    def _typed(self, made: Field, kind: str, inner: Element, name: str) -> Field:
        if kind == "boolean" and made.spelled == "boolean":
            return replace(made, kind="code", values=("false", "true"), closed=True)
        if kind not in NUMBERS:
            raise CannotImport(f"The derived field {name!r} makes a {kind} of a number, which is not read.")
        whole = inner.tag in ("NormDiscrete", "Constant", "Discretize", "MapValues") or inner.get("function") in (
            *COMPARED,
            "floor",
            "ceil",
            "round",
            "isMissing",
            "isNotMissing",
        )
        if kind == "integer" and not whole:
            raise CannotImport(f"The derived field {name!r} makes an integer of a number, which is not read.")
        if kind != "float":
            return replace(made, single=False, spelled="string")
        tensor = self.graph.cast(self.graph.cast(made.tensor, "float32"), "float64")
        return replace(made, tensor=tensor, single=True, spelled="string")

    def value(  # noqa: PLR0911 - one case an expression
        self, element: Element, name: str, *, numbers: bool = False
    ) -> Field:
        """The value of an expression; `numbers` where the words of a table are to be numbers."""
        if len(self.graph.nodes) > MOST_STEPS:
            raise CannotImport(f"The PMML file's expressions take more than {MOST_STEPS:,} steps.")
        match element.tag:
            case "FieldRef":
                return self.field(needed(element, "field"), element)
            case "Constant":
                return self._constant(element, name)
            case "NormContinuous":
                return self._norm_continuous(element, name)
            case "NormDiscrete":
                return self._norm_discrete(element, name)
            case "Discretize":
                return self._discretize(element, name, numbers or element.get("dataType") in NUMBERS)
            case "MapValues":
                return map_values(self.graph, self.field, element, name, numbers or element.get("dataType") in NUMBERS)
            case "Apply":
                return self._apply(element, name)
        raise CannotImport(f"{element.tag} of the PMML file (in {name!r}) is not read.")

    def field(self, name: str, element: Element | None = None) -> Field:
        """A field, with what a FieldRef says of its missing values."""
        if name not in self.scope:
            raise CannotImport(f"The PMML file refers to the field {name!r}, which is not there.")
        made = self.scope[name]
        instead = None if element is None else element.get("mapMissingTo")
        if instead is None:
            return made
        if made.kind == "code":
            made = made if made.code(instead) >= 0 else replace(made, values=(*made.values, instead))
        value = made.code(instead) if made.kind == "code" else made.threshold(instead)
        gone = self.graph.add("IsNaN", made.tensor)
        tensor = self.graph.add("Where", gone, self.graph.constant(value), made.tensor)
        return replace(made, tensor=tensor, missing=False)

    def _number(self, tensor: str, name: str, of: tuple[Field, ...], *, missing: bool | None = None) -> Field:
        sources = frozenset().union(*(each.sources for each in of))
        absent = any(each.missing for each in of) if missing is None else missing
        return Field(name, tensor, "number", missing=absent, sources=sources)

    def _truth(self, tensor: str, name: str, of: tuple[Field, ...], *, missing: bool | None = None) -> Field:
        return replace(self._number(tensor, name, of, missing=missing), spelled="boolean")

    def _numeric(self, name: str) -> Field:
        made = self.field(name)
        if made.kind != "number":
            raise CannotImport(f"The categories of {name!r} are used as numbers in the PMML file, which is not read.")
        return made

    def _constant(self, element: Element, name: str) -> Field:
        text, kind = element.text or "", element.get("dataType")
        if element.get("missing") == "true":
            return self._number(self.graph.constant(np.nan), name, (), missing=True)
        if kind == "boolean":
            value = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}.get(text.strip().lower())
            if value is None:
                raise CannotImport(f"A Constant of the PMML file (in {name!r}) is {text!r}, and no boolean.")
            return self._truth(self.graph.constant([[value]]), name, ())
        if kind in NUMBERS or (kind is None and _is_number(text)):
            return self._number(self.graph.constant([[real(text)]]), name, ())
        if kind not in (None, "string"):
            raise CannotImport(f"A Constant of type {kind} of the PMML file (in {name!r}) is not read.")
        return Field(name, self.graph.constant([[0.0]]), "code", (text,), closed=True, missing=False)

    # Normalization.

    def _norm_continuous(self, element: Element, name: str) -> Field:
        graph, made = self.graph, self._numeric(needed(element, "field"))
        points = line_points(element)
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
        return self._number(tensor, name, (made,), missing=(missing and absent) or outliers == "asMissingValues")

    def _instead(self, tensor: str, made: Field, element: Element) -> tuple[str, bool]:
        """The tensor with mapMissingTo where the field is missing; and whether it may still be missing."""
        value = element.get("mapMissingTo")
        gone = self.graph.add("IsNaN", made.tensor)
        if value is None:
            if made.missing:
                tensor = self.graph.add("Where", gone, self.graph.constant(np.nan), tensor)
            return tensor, True
        return self.graph.add("Where", gone, self.graph.constant(real(value)), tensor), False

    def _norm_discrete(self, element: Element, name: str) -> Field:
        made = self.field(needed(element, "field"))
        text = needed(element, "value")
        value = made.code(text) if made.kind == "code" else made.threshold(text)
        same = self.graph.cast(self.graph.add("Equal", made.tensor, self.graph.constant(value)), "float64")
        tensor, absent = self._instead(same, made, element)
        return self._number(tensor, name, (made,), missing=made.missing and absent)

    def _discretize(self, element: Element, name: str, numbers: bool) -> Field:
        graph, made = self.graph, self._numeric(needed(element, "field"))
        bins = element.findall("DiscretizeBin")
        words = [needed(each, "binValue") for each in bins]
        default, instead = element.get("defaultValue"), element.get("mapMissingTo")
        extra = [word for word in (default, instead) if word is not None]
        values = () if numbers else tuple(dict.fromkeys([*words, *extra]))

        def at(word: str | None) -> str:
            value = np.nan if word is None else real(word) if numbers else float(values.index(word))
            return graph.constant(value)

        found = at(default)
        for each, word in reversed(list(zip(bins, words, strict=True))):
            found = graph.add("Where", self._inside(each, made, name), at(word), found)
        found = graph.add("Where", graph.add("IsNaN", made.tensor), at(instead), found)
        absent = default is None or (made.missing and instead is None)
        return Field(
            name, found, "number" if numbers else "code", values, closed=True, missing=absent, sources=made.sources
        )

    def _inside(self, each: Element, made: Field, name: str) -> str:
        graph, interval = self.graph, each.find("Interval")
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
        return tests[0] if len(tests) == 1 else graph.add("And", *tests)

    # Functions.

    def _apply(self, element: Element, name: str) -> Field:
        graph, function = self.graph, needed(element, "function")
        inner = list(parts(element))
        if function in self.functions:
            made = self._called(function, inner, name)
            given = [self.value(each, name) for each in inner] if element.get("mapMissingTo") is not None else []
        elif function in ("isIn", "isNotIn") or (function in ("equal", "notEqual") and _of_field(inner)):
            made, given = self._same(function, inner, name)
        else:
            given = [self.value(each, name) for each in inner]
            made = self._computed(function, inner, tuple(given), name)
        instead, default = element.get("mapMissingTo"), element.get("defaultValue")
        if (instead is None and default is None) or not made.missing:
            return made
        if made.kind == "code":
            raise CannotImport(f"mapMissingTo and defaultValue of a text in the PMML file (in {name!r}) are not read.")
        tensor, missing = made.tensor, True
        if default is not None:
            gone = graph.add("IsNaN", tensor)
            tensor, missing = graph.add("Where", gone, graph.constant(_worth(default)), tensor), False
        if instead is not None:
            for each in given:
                if each.missing:
                    gone = graph.add("IsNaN", each.tensor)
                    tensor = graph.add("Where", gone, graph.constant(_worth(instead)), tensor)
        return replace(made, tensor=tensor, missing=missing)

    def _called(self, function: str, inner: list[Element], name: str) -> Field:
        """What one of the file's own functions makes of its arguments."""
        defined = self.functions[function]
        names = [needed(each, "name") for each in defined.findall("ParameterField")]
        body = next(parts(defined, "ParameterField"), None)
        if body is None or len(names) != len(inner):
            raise CannotImport(
                f"The function {function!r} of the PMML file takes {len(names)} and is given {len(inner)}."
            )
        if function in self.inside:
            raise CannotImport(f"The function {function!r} of the PMML file calls itself.")
        given = {each: self.value(element, name) for each, element in zip(names, inner, strict=True)}
        made = Expressions(self.graph, given, self.functions, (*self.inside, function)).value(body, name)
        return replace(made, sources=made.sources.union(*(each.sources for each in given.values())))

    def _same(self, function: str, inner: list[Element], name: str) -> tuple[Field, list[Field]]:
        """Whether a field has a value, or one of some."""
        graph, made = self.graph, self.value(inner[0], name)
        found = ""
        for each in inner[1:]:
            if each.tag != "Constant":
                raise CannotImport(f"The function {function!r} of the PMML file (in {name!r}) is read with constants.")
            text = each.text or ""
            value = made.code(text) if made.kind == "code" else made.threshold(text)
            same = graph.add("Equal", made.tensor, graph.constant(value))
            found = graph.add("Or", found, same) if found else same
        if not found:
            raise CannotImport(f"The function {function!r} of the PMML file (in {name!r}) is given nothing to compare.")
        found = graph.add("Not", found) if function in ("notEqual", "isNotIn") else found
        return self._truth(self._where_present(graph.cast(found, "float64"), (made,)), name, (made,)), [made]

    def _computed(self, function: str, inner: list[Element], given: tuple[Field, ...], name: str) -> Field:
        graph = self.graph
        if function in ("isMissing", "isNotMissing") and len(given) == 1:
            gone = graph.add("IsNaN", given[0].tensor)
            gone = graph.add("Not", gone) if function == "isNotMissing" else gone
            return self._truth(graph.cast(gone, "float64"), name, given, missing=False)
        if function == "if" and len(given) in (2, 3):
            return self._if(inner, given, name)
        if any(each.kind != "number" for each in given):
            raise CannotImport(f"The function {function!r} of the PMML file (in {name!r}) is not read for texts.")
        tensors = [each.tensor for each in given]
        if function in NUMERIC and NUMERIC[function][0] == len(given):
            missing = True if function in ("/", "ln", "log10", "ln1p", "sqrt", "pow", "modulo") else None
            found = NUMERIC[function][1](graph, tensors)
            return self._number(found, name, given, missing=missing and any(each.missing for each in given))
        if function in LISTED and given:
            missing = all(each.missing for each in given)
            return self._number(over_list(graph, function, tensors), name, given, missing=missing)
        if function in COMPARED and len(given) == 2:
            test = graph.add(COMPARED[function], *tensors)
            test = graph.add("Not", test) if function == "notEqual" else test
            return self._truth(self._where_present(graph.cast(test, "float64"), given), name, given)
        if function in LOGICAL and (len(given) == 1) is (function == "not"):
            return self._logical(function, given, name)
        raise CannotImport(f"The function {function!r} of the PMML file (in {name!r}) is not read.")

    def _logical(self, function: str, given: tuple[Field, ...], name: str) -> Field:
        """In Kleene's logic: what is missing may be either."""
        graph, one = self.graph, self.graph.constant(1.0)
        if function == "not":
            return self._truth(graph.add("Sub", one, given[0].tensor), name, given)
        # With a half for what is missing, "and" is the least and "or" the greatest of the numbers.
        half, found = graph.constant(0.5), ""
        for each in given:
            level = (
                graph.add("Where", graph.add("IsNaN", each.tensor), half, each.tensor) if each.missing else each.tensor
            )
            found = graph.add("Min" if function == "and" else "Max", found, level) if found else level
        if any(each.missing for each in given):
            found = graph.add("Where", graph.add("Equal", found, half), graph.constant(np.nan), found)
        return self._truth(found, name, given)

    def _if(self, inner: list[Element], given: tuple[Field, ...], name: str) -> Field:
        graph, chosen = self.graph, list(given[1:])
        if any(each.kind == "code" for each in chosen):
            chosen = self._spelled_alike(chosen, name)
        otherwise = chosen[1].tensor if len(chosen) == 2 else graph.constant(np.nan)
        test = graph.add("Greater", given[0].tensor, graph.constant(0.5))
        found = graph.add("Where", test, chosen[0].tensor, otherwise)
        missing = len(given) == 2 or any(each.missing for each in given)
        if len(given) == 3 and _replaces_missing(inner):
            missing = given[1].missing
        made = self._number(self._where_present(found, given[:1]), name, given, missing=missing)
        if chosen[0].kind == "code":
            return replace(made, kind="code", values=chosen[0].values, closed=all(each.closed for each in chosen))
        return made

    def _spelled_alike(self, given: Sequence[Field], name: str) -> list[Field]:
        """Texts with codes of one list."""
        if any(each.kind != "code" for each in given):
            raise CannotImport(f"An 'if' of the PMML file (in {name!r}) gives a text or a number, which is not read.")
        values = tuple(dict.fromkeys(value for each in given for value in each.values))
        made = []
        for each in given:
            codes = self.graph.constant([float(values.index(value)) for value in each.values])
            place = self.graph.add("Max", each.tensor, self.graph.constant(0.0))
            place = self.graph.add("Where", self.graph.add("IsNaN", each.tensor), self.graph.constant(0.0), place)
            found = self.graph.add("Gather", codes, self.graph.cast(place, "int64"), axis=0)
            known = self.graph.add("GreaterOrEqual", each.tensor, self.graph.constant(0.0))
            found = self.graph.add("Where", known, found, each.tensor)
            made.append(replace(each, tensor=found, values=values))
        return made

    def _where_present(self, tensor: str, given: tuple[Field, ...]) -> str:
        for each in given:
            if each.missing:
                gone = self.graph.add("IsNaN", each.tensor)
                tensor = self.graph.add("Where", gone, self.graph.constant(np.nan), tensor)
        return tensor


def line_points(element: Element) -> list[tuple[float, float]]:
    """The points (original, normed) of a NormContinuous, in order."""
    points = [(number(p, "orig"), number(p, "norm")) for p in element.findall("LinearNorm")]
    if len(points) < 2 or any(a[0] >= b[0] for a, b in pairwise(points)):
        raise CannotImport(
            f"NormContinuous of {element.get('field')!r} in the PMML file needs two points or more, in order."
        )
    return points


def _of_field(inner: list[Element]) -> bool:
    return len(inner) == 2 and inner[0].tag == "FieldRef" and inner[1].tag == "Constant"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _worth(text: str) -> float:
    """A number, or a boolean as one."""
    return {"true": 1.0, "false": 0.0}[text.lower()] if text.lower() in ("true", "false") else real(text)


def _replaces_missing(inner: list[Element]) -> bool:
    """Whether the words of an "if" are: if this field is missing, that, else the field."""
    test, _, otherwise = inner
    asked = [each.get("field") for each in parts(test) if each.tag == "FieldRef"]
    return test.get("function") == "isMissing" and otherwise.tag == "FieldRef" and asked == [otherwise.get("field")]
