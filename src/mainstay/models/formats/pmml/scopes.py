"""What a model sees of the fields: each derived field is made when it is first asked for, and only then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from xml.etree.ElementTree import Element

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.document import needed
from mainstay.models.formats.pmml.expressions import Expressions
from mainstay.models.formats.pmml.fields import Field


class Scope(Mapping[str, Field]):
    """Fields by name: those given, those that derived fields define, and those of every model around."""

    def __init__(
        self,
        graph: Graph,
        fields: Mapping[str, Field],
        derived: Iterable[Element] = (),
        *,
        everywhere: Scope | None = None,
        functions: Mapping[str, Element] | None = None,
    ) -> None:
        """
        Args:
            graph: where derived fields are made.
            fields: those that are made already.
            derived: elements that define further ones.
            everywhere: the scope of the TransformationDictionary, whose derived fields every model sees.
            functions: the file's own functions.

        Raises:
            CannotImport: two derived fields have one name.
        """
        self.graph, self.functions, self.everywhere = graph, functions or {}, everywhere
        self.fields, self.defined = dict(fields), dict[str, Element]()
        self._built: dict[str, Field] = {}
        self._begun: set[str] = set()
        for element in derived:
            name = needed(element, "name")
            if name in self.defined:
                raise CannotImport(f"The PMML file defines the field {name!r} twice.")
            self.defined[name] = element

    def __getitem__(self, name: str) -> Field:
        if name in self._built:
            return self._built[name]
        if name in self.defined:
            if name in self._begun:
                raise CannotImport(f"The derived field {name!r} of the PMML file is made from itself.")
            self._begun.add(name)
            self._built[name] = Expressions(self.graph, self, self.functions).derived(self.defined[name])
            return self._built[name]
        if name in self.fields:
            return self.fields[name]
        if self.everywhere is not None and name in self.everywhere.defined:
            return self.everywhere[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        beyond = self.everywhere is not None and name in self.everywhere.defined
        return name in self.fields or name in self.defined or beyond

    def __iter__(self) -> Iterator[str]:
        beyond = () if self.everywhere is None else self.everywhere.defined
        return iter(dict.fromkeys((*self.fields, *self.defined, *beyond)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def definition(self, name: str) -> Element | None:
        """The element that defines a derived field, made or not."""
        found = self.defined.get(name)
        return self.everywhere.definition(name) if found is None and self.everywhere is not None else found

    def inside(self, fields: Mapping[str, Field], derived: Iterable[Element] = ()) -> Scope:
        """What a model inside of this one sees: its own fields and derived fields, and those that all see."""
        around = self if self.everywhere is None else self.everywhere
        return Scope(self.graph, fields, derived, everywhere=around, functions=self.functions)

    def further(self, fields: Mapping[str, Field]) -> Scope:
        """This scope with some fields more, or others in their place."""
        kept = [element for name, element in self.defined.items() if name not in fields]
        return Scope(self.graph, {**self.fields, **fields}, kept, everywhere=self.everywhere, functions=self.functions)
