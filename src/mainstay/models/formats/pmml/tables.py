"""PMML's MapValues: a table from the values of one or more fields to a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.document import needed, real
from mainstay.models.formats.pmml.fields import Field

MOST_CELLS = 1_000_000
"""Combinations of the values of a table's fields."""


def rows_of(table: Element) -> list[dict[str, str]]:
    """The rows of an InlineTable: texts by the column's name, without its prefix."""
    return [{cell.tag.rpartition(" ")[2]: cell.text or "" for cell in row} for row in table.findall("row")]


def column_name(name: str) -> str:
    """A column's name as `rows_of` has it."""
    return name.rpartition(":")[2]


def map_values(graph: Graph, field: Callable[[str], Field], element: Element, name: str, numbers: bool) -> Field:
    """The field that a MapValues defines.

    Args:
        graph: where to.
        field: gives a field by its name.
        element: the MapValues.
        name: of the field that is made.
        numbers: whether the outputs are numbers.

    Raises:
        CannotImport: no table in the file itself, a row without a column, or too many combinations.
    """
    pairs, table = element.findall("FieldColumnPair"), element.find("InlineTable")
    if not pairs or table is None:
        raise CannotImport(f"MapValues of the PMML file (in {name!r}) is read with fields and an InlineTable.")
    output = column_name(needed(element, "outputColumn"))
    given = [(field(needed(pair, "field")), column_name(needed(pair, "column"))) for pair in pairs]
    rows = rows_of(table)
    if any(column not in row for row in rows for column in (output, *(column for _, column in given))):
        raise CannotImport(f"A row of the table of {name!r} in the PMML file has not all of its columns.")
    default, instead = element.get("defaultValue"), element.get("mapMissingTo")
    words = [row[output] for row in rows]
    values = () if numbers else tuple(dict.fromkeys([*words, *(w for w in (default, instead) if w is not None)]))

    def at(word: str | None) -> float:
        return math.nan if word is None else real(word) if numbers else float(values.index(word))

    keys = [list(dict.fromkeys(_key(made, row[column]) for row in rows)) for made, column in given]
    sizes = [len(each) + 1 for each in keys]
    if math.prod(sizes) > MOST_CELLS:
        raise CannotImport(
            f"The table of {name!r} in the PMML file has more than {MOST_CELLS:,} combinations of values."
        )
    lookup = np.full(sizes, at(default))
    for row in reversed(rows):
        lookup[tuple(each.index(_key(made, row[c])) for each, (made, c) in zip(keys, given, strict=True))] = at(
            row[output]
        )
    found = _looked_up(graph, lookup, [_place(graph, made, each) for each, (made, _) in zip(keys, given, strict=True)])
    may_miss = False
    for made, _ in given:
        if made.missing:
            gone = graph.add("IsNaN", made.tensor)
            found = graph.add("Where", gone, graph.constant(at(instead)), found)
            may_miss |= instead is None
    known = all(
        made.closed and made.kind == "code" and {float(code) for code in range(len(made.values))} <= set(each)
        for each, (made, _) in zip(keys, given, strict=True)
    )
    inner = lookup[tuple(slice(0, size - 1) for size in sizes)] if known else lookup
    return Field(
        name,
        found,
        "number" if numbers else "code",
        values,
        closed=True,
        missing=may_miss or bool(np.isnan(inner).any()),
        sources=frozenset().union(*(made.sources for made, _ in given)),
    )


def _key(made: Field, text: str) -> float:
    return made.code(text) if made.kind == "code" else made.threshold(text)


def _place(graph: Graph, made: Field, keys: list[float]) -> str:
    """(n, 1): the position of the field's value among the keys, or their number where it is none of them."""
    if made.kind == "code":
        places = {key: float(place) for place, key in enumerate(keys)}
        codes = [places.get(float(code), float(len(keys))) for code in range(len(made.values))]
        known = graph.add("GreaterOrEqual", made.tensor, graph.constant(0.0))
        at = graph.add("Where", known, made.tensor, graph.constant(float(len(codes))))
        return graph.add("Gather", graph.constant([*codes, float(len(keys))]), graph.cast(at, "int64"), axis=0)
    found = graph.constant(float(len(keys)))
    for place, key in enumerate(keys):
        same = graph.add("Equal", made.tensor, graph.constant(key))
        found = graph.add("Where", same, graph.constant(float(place)), found)
    return found


def _looked_up(graph: Graph, lookup: np.ndarray, places: list[str]) -> str:
    index = places[0]
    for size, place in zip(lookup.shape[1:], places[1:], strict=True):
        index = graph.add("Add", graph.add("Mul", index, graph.constant(float(size))), place)
    return graph.add("Gather", graph.constant(lookup.reshape(-1)), graph.cast(index, "int64"), axis=0)
