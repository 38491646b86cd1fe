"""What the readers of PMML's models share: the graph, what rows must be like, and the classes of the target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.fields import FEATURES, Field, Needs
from mainstay.models.formats.pmml.scopes import Scope
from mainstay.models.signature import Floats


@dataclass(frozen=True)
class Result:
    """What a model says: `value` (n, 1), or `label` (n, 1) as class positions and, where known, `probabilities`."""

    value: str | None = None
    classes: tuple[str, ...] = ()
    label: str | None = None
    probabilities: str | None = None
    missing: bool = False
    sources: frozenset[str] = frozenset()


class Reading(ABC):
    """One reading of a file into one graph."""

    def __init__(self, graph: Graph, needs: Needs, classes: Sequence[str]) -> None:
        self.graph, self.needs, self.classes = graph, needs, tuple(classes)
        self.splits: dict[str, list[Floats]] = {}
        """Split points by field, as trees ask."""

    @abstractmethod
    def result(self, model: Element, outer: Scope) -> Result:
        """What a model says, with what it can see of the fields around it."""

    def number(self, made: Field, what: str) -> str:
        """The tensor of a number that must be there for `what` to have an answer."""
        if made.kind != "number":
            raise CannotImport(
                f"The categories of {made.name!r} are used as numbers in the PMML file, which is not read."
            )
        self.present(made, what)
        return made.tensor

    def present(self, made: Field, what: str) -> None:
        """Notes that a field must not be missing for `what` to have an answer."""
        if made.missing and not self.needs.ask(self.needs.present, made.sources):
            raise CannotImport(
                f"{what} of the PMML file has no answer where {made.name!r} is missing, as it may become."
            )

    def same(self, made: Field, text: str) -> str:
        """(n, 1): 1 where the field has a value, else 0, also where it is missing."""
        value = made.code(text) if made.kind == "code" else made.threshold(text)
        return self.graph.cast(self.graph.add("Equal", made.tensor, self.graph.constant(value)), "float64")

    def joined(self, tensors: Sequence[str]) -> str:
        """Columns side by side."""
        return tensors[0] if len(tensors) == 1 else self.graph.add("Concat", *tensors, axis=1)

    def rows(self, row: Floats) -> str:
        """The row (k,) once for each row of the input: (n, k)."""
        graph = self.graph
        shape = graph.add("Concat", graph.add("Shape", FEATURES, end=1), graph.constant([len(row)], np.int64), axis=0)
        return graph.add("Expand", graph.constant(np.asarray(row)[None, :]), shape)

    def most(self, probabilities: str) -> str:
        """(n, 1): the first of the classes with the largest number."""
        return self.graph.cast(self.graph.add("ArgMax", probabilities, axis=1, keepdims=1), "float64")

    def place(self, text: str) -> int:
        """The position of a class."""
        if text not in self.classes:
            raise CannotImport(f"A model of the PMML file answers {text!r}, which is no class of the target.")
        return self.classes.index(text)

    def classified(self, shares: str, named: Sequence[str], sources: frozenset[str], what: str) -> Result:
        """The result with shares (n, k) of the named classes, in the order of the target's."""
        if sorted(named) != sorted(self.classes):
            raise CannotImport(
                f"{what} of the PMML file is for {', '.join(map(repr, named))}, and the target has "
                f"{', '.join(map(repr, self.classes))}."
            )
        order = [list(named).index(each) for each in self.classes]
        if order != list(range(len(order))):
            shares = self.graph.add("Gather", shares, self.graph.constant(order, np.int64), axis=1)
        return Result(classes=self.classes, probabilities=shares, label=self.most(shares), sources=sources)


def sources_of(fields: Sequence[Field] | Sequence[Result]) -> frozenset[str]:
    """The input columns that any of them is made from."""
    return frozenset().union(*(each.sources for each in fields))


def field_of(scope: Mapping[str, Field], name: str) -> Field:
    """A field by its name."""
    if name not in scope:
        raise CannotImport(f"The PMML file refers to the field {name!r}, which is not there.")
    return scope[name]
