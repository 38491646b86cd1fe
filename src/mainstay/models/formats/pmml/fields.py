"""The fields of a PMML file: tensors of one column, with NaN where missing, and codes for categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.document import array, needed, number, real
from mainstay.models.signature import UNSEEN, Column

FEATURES = "features"
"""The input of the graph: the columns side by side."""
_NAMING = ("field", "name", "predictorName", "fieldName")
_NUMBERS = ("integer", "float", "double")


@dataclass(frozen=True)
class Field:
    """A value a row: a number, or the code of one of `values` (-1 for another)."""

    name: str
    tensor: str
    kind: Literal["number", "code"]
    values: tuple[str, ...] = ()
    closed: bool = False
    """Whether no code is -1."""
    missing: bool = True
    """Whether it may be NaN."""
    single: bool = False
    """Whether it is compared as a float32."""
    sources: frozenset[str] = frozenset()
    """Input columns that it is made from."""
    spelled: str = "string"

    def code(self, text: str) -> float:
        """The code of a value; one that the field never has is below -1."""
        text = spelled(text, self.spelled)
        return float(self.values.index(text)) if text in self.values else -2.0

    def threshold(self, text: str) -> float:
        value = real(text)
        return float(np.float32(value)) if self.single else value


def spelled(text: str, kind: str) -> str:
    """A value as its data type spells it."""
    if kind in _NUMBERS and text.strip():
        value = real(text)
        return str(int(value)) if value.is_integer() else text if kind == "integer" else repr(value)
    if kind == "boolean":
        return {"1": "true", "0": "false", "1.0": "true", "0.0": "false"}.get(text.lower(), text.lower())
    return text


@dataclass
class Needs:
    """What rows must be like so that the model has an answer: found out while reading, and then asked of all rows."""

    present: set[str] = field(default_factory=set)
    """Columns that must not be missing."""
    known: set[str] = field(default_factory=set)
    """Category columns whose value must be a known one."""
    asked: frozenset[str] = frozenset()
    """The columns of both kinds that this reading already asks for."""

    def ask(self, kind: set[str], sources: frozenset[str]) -> bool:
        """Notes the columns; False where they are asked for already, and that did not help."""
        if sources <= (kind & self.asked):
            return False
        kind |= sources
        return True

    def begin(self) -> None:
        """Before each reading: what it may rely on."""
        self.asked = frozenset(self.present | self.known)


class Inputs:
    """The columns of the top-level model, as the signature will have them."""

    def __init__(self, root: Element, schema: Element, graph: Graph, needs: Needs) -> None:
        dictionary = root.find("DataDictionary")
        if dictionary is None:
            raise CannotImport("The PMML file has no DataDictionary.")
        self.declared = {needed(entry, "name"): entry for entry in dictionary.findall("DataField")}
        active = [entry for entry in schema.findall("MiningField") if entry.get("usageType", "active") == "active"]
        if not active:
            raise CannotImport("The PMML file's model has no active field.")
        self.columns: list[Column] = []
        self.fields: dict[str, Field] = {}
        mentioned = _mentioned(root)
        features = graph.features(FEATURES, len(active), "float64").name
        for place, entry in enumerate(active):
            name = needed(entry, "name")
            tensor = graph.add("Gather", features, graph.constant([place], np.int64), axis=1)
            self._declare(name, entry, tensor, mentioned.get(name, ()), needs, graph)

    def _declare(  # noqa: PLR0917 - one call
        self, name: str, entry: Element, tensor: str, mentioned: tuple[str, ...], needs: Needs, graph: Graph
    ) -> None:
        if name not in self.declared:
            raise CannotImport(f"The PMML file's DataDictionary has no field {name!r}.")
        data = self.declared[name]
        kind, use = needed(data, "dataType"), needed(data, "optype")
        treatment = entry.get("invalidValueTreatment", "returnInvalid")
        nullable = name not in needs.present
        if kind in _NUMBERS and use != "categorical":
            self._number(name, data, tensor, nullable, treatment, graph)
        elif kind == "boolean":
            self.columns.append(Column(name=name, type="boolean", nullable=nullable))
            self.fields[name] = Field(
                name,
                tensor,
                "code",
                ("false", "true"),
                closed=True,
                missing=nullable,
                sources=frozenset([name]),
                spelled="boolean",
            )
        elif kind in ("string", *_NUMBERS):
            self._category(name, data, tensor, mentioned, nullable, treatment, needs, graph)
        else:
            raise CannotImport(f"The field {name!r} is of type {kind}, which is not read.")

    def _number(  # noqa: PLR0917 - one call
        self, name: str, data: Element, tensor: str, nullable: bool, treatment: str, graph: Graph
    ) -> None:
        single = needed(data, "dataType") == "float"
        if single:
            tensor = graph.cast(graph.cast(tensor, "float32"), "float64")
        low, high = _interval(data)
        absent = nullable
        if any(value.get("property", "valid") != "missing" for value in data.findall("Value")):
            if treatment != "asIs":
                raise CannotImport(f"The field {name!r} lists its valid numbers, which cannot be asked of a row here.")
        elif (low, high) != (-np.inf, np.inf) and treatment != "asIs":
            if treatment != "asMissing":
                raise CannotImport(
                    f"The field {name!r} refuses numbers outside of an interval (invalidValueTreatment={treatment!r}), "
                    "which cannot be asked of a row here: make it asIs or asMissing."
                )
            outside = graph.add(
                "Or", graph.add("Less", tensor, graph.constant(low)), graph.add("Greater", tensor, graph.constant(high))
            )
            tensor, absent = graph.add("Where", outside, graph.constant(np.nan), tensor), True
        for value in _missing(data):
            if value.lower() == "nan":
                continue  # a missing number is that already
            same = graph.add("Equal", tensor, graph.constant(real(value)))
            tensor, absent = graph.add("Where", same, graph.constant(np.nan), tensor), True
        span = (low, high) if np.isfinite([low, high]).all() else (None, None)
        self.columns.append(Column(name=name, type="number", nullable=nullable, minimum=span[0], maximum=span[1]))
        self.fields[name] = Field(name, tensor, "number", missing=absent, single=single, sources=frozenset([name]))

    def _category(  # noqa: PLR0917 - one call
        self,
        name: str,
        data: Element,
        tensor: str,
        mentioned: tuple[str, ...],
        nullable: bool,
        treatment: str,
        needs: Needs,
        graph: Graph,
    ) -> None:
        kind = needed(data, "dataType")
        valid = [
            spelled(needed(v, "value"), kind) for v in data.findall("Value") if v.get("property", "valid") == "valid"
        ]
        if any(value.get("property") == "invalid" for value in data.findall("Value")):
            raise CannotImport(f"The field {name!r} lists invalid values, which are not read.")
        values = tuple(dict.fromkeys(valid or sorted({spelled(text, kind) for text in mentioned})))
        gone = tuple(spelled(text, kind) for text in _missing(data))
        closed = (bool(valid) and treatment == "returnInvalid") or name in needs.known
        absent = nullable
        for offset in range(len(gone)):
            same = graph.add("Equal", tensor, graph.constant(float(len(values) + offset)))
            tensor, absent = graph.add("Where", same, graph.constant(np.nan), tensor), True
        if treatment == "asMissing" and valid and not closed:
            unknown = graph.add("Equal", tensor, graph.constant(UNSEEN))
            tensor, absent = graph.add("Where", unknown, graph.constant(np.nan), tensor), True
        elif treatment == "asValue":
            raise CannotImport(f"The field {name!r} replaces invalid values (asValue), which is not read.")
        if not values:
            raise CannotImport(f"The field {name!r} has categories, and the PMML file names none of them.")
        self.columns.append(
            Column(name=name, type="category", nullable=nullable, categories=(*values, *gone), closed=closed)
        )
        self.fields[name] = Field(
            name,
            tensor,
            "code",
            values,
            closed=closed or (treatment == "asMissing" and bool(valid)),
            missing=absent,
            sources=frozenset([name]),
            spelled=kind,
        )


def treated(scope: Mapping[str, Field], schema: Element, graph: Graph, needs: Needs) -> dict[str, Field]:
    """The fields that a model sees, by its MiningSchema: outliers, then missing values.

    Raises:
        CannotImport: a field that is not there, or a treatment that is not known.
    """
    found: dict[str, Field] = {}
    for entry in schema.findall("MiningField"):
        name = needed(entry, "name")
        if entry.get("usageType", "active") != "active":
            continue
        if name not in scope:
            raise CannotImport(f"A model of the PMML file uses the field {name!r}, which is not there.")
        made = _outliers(scope[name], entry, graph)
        replacement = entry.get("missingValueReplacement")
        if entry.get("missingValueTreatment") == "returnInvalid":
            needs.present |= made.sources
        elif replacement is not None:
            value = made.threshold(replacement) if made.kind == "number" else made.code(replacement)
            if value == -2.0 and made.kind == "code":
                raise CannotImport(f"The replacement {replacement!r} for {name!r} is none of its values.")
            absent = graph.add("IsNaN", made.tensor)
            made = replace(made, tensor=graph.add("Where", absent, graph.constant(value), made.tensor), missing=False)
        found[name] = made
    return found


def _outliers(made: Field, entry: Element, graph: Graph) -> Field:
    how = entry.get("outliers", "asIs")
    if how == "asIs" or made.kind == "code":
        return made
    low, high = graph.constant(number(entry, "lowValue")), graph.constant(number(entry, "highValue"))
    below, above = graph.add("Less", made.tensor, low), graph.add("Greater", made.tensor, high)
    if how == "asMissingValues":
        tensor = graph.add("Where", graph.add("Or", below, above), graph.constant(np.nan), made.tensor)
        return replace(made, tensor=tensor, missing=True)
    if how == "asExtremeValues":
        return replace(made, tensor=graph.add("Where", below, low, graph.add("Where", above, high, made.tensor)))
    raise CannotImport(f"The treatment of outliers {how!r} of the field {made.name!r} is not known.")


def _interval(data: Element) -> tuple[float, float]:
    """The least and the greatest valid number."""
    intervals = data.findall("Interval")
    if not intervals:
        return -np.inf, np.inf
    if len(intervals) > 1:
        raise CannotImport(f"The field {data.get('name')!r} has several intervals, and one is read.")
    closure = needed(intervals[0], "closure")
    low, high = number(intervals[0], "leftMargin", -np.inf), number(intervals[0], "rightMargin", np.inf)
    if closure.startswith("open"):
        low = float(np.nextafter(low, np.inf))
    if closure.endswith("Open"):
        high = float(np.nextafter(high, -np.inf))
    return low, high


def _missing(data: Element) -> list[str]:
    return [needed(value, "value") for value in data.findall("Value") if value.get("property") == "missing"]


def _mentioned(root: Element) -> dict[str, tuple[str, ...]]:
    """Every value that a file compares a field with."""
    found: dict[str, set[str]] = {}
    for element in root.iter():
        named = element.find("FieldRef") if element.tag == "Apply" else element
        keys = () if named is None else (named.get(key) for key in _NAMING)
        name = next((key for key in keys if key), "")
        found.setdefault(name, set()).update(_values_of(element))
        if element.tag == "MapValues":
            for pair in element.findall("FieldColumnPair"):
                cells = _column(element, (pair.get("column") or "").rpartition(":")[2])
                found.setdefault(pair.get("field") or "", set()).update(cells)
    return {name: tuple(sorted(values)) for name, values in found.items() if values}


def _values_of(element: Element) -> list[str]:
    """The values that an element names of its own field."""
    found: list[str | None] = []
    match element.tag:
        case "SimplePredicate" | "NormDiscrete" | "CategoricalPredictor" | "PPCell":
            found = [element.get("value")]
        case "MiningField":
            found = [element.get("missingValueReplacement") or None]
        case "BayesInput":
            found = [pair.get("value") for pair in element.findall("PairCounts")]
        case "Predictor":
            found = [each.get("value") for each in element.findall("Categories/Category")]
        case "SimpleSetPredicate":
            found = [word for child in element.findall("Array") for word in array(child)]
        case "Apply":
            # What a field is compared with: equal, notEqual, isIn, isNotIn.
            found = [each.text or "" for each in element.findall("Constant")]
    return [value for value in found if value is not None]


def _column(table: Element, name: str) -> list[str]:
    """The cells of one column of a table."""
    rows = [{cell.tag.rpartition(" ")[2]: cell.text or "" for cell in row} for row in table.iter("row")]
    return [row[name] for row in rows if name in row]
