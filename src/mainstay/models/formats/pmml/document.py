"""A PMML file as elements, read so that a hostile file can do nothing but be refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mainstay.models.formats.foreign.protocol import CannotImport

DEEPEST = 400
MOST_ELEMENTS = 20_000_000
_MARGINS = ("leftMargin", "rightMargin", "lowValue", "highValue", "min", "max")
_NAMESPACE = "http://www.dmg.org/PMML-4"


def parsed(content: bytes) -> Element:
    """The root of a PMML 4 file; names are without their namespace.

    Raises:
        CannotImport: not well formed; not PMML 4; a document type or entity, which may name other files or grow without
            end; nested more deeply than models are.
    """
    builder, reader = TreeBuilder(), expat.ParserCreate(namespace_separator=" ")
    depth = count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > DEEPEST or count > MOST_ELEMENTS:
            raise CannotImport(
                f"The PMML file has elements more than {DEEPEST} deep, or more than {MOST_ELEMENTS:,} of them."
            )
        space, _, local = name.rpartition(" ")
        if depth == 1 and (local != "PMML" or not space.startswith(_NAMESPACE)):
            raise CannotImport(f"The file's root is {name!r}, and PMML 4 has PMML in {_NAMESPACE}_4.")
        builder.start(local if space.startswith(_NAMESPACE) else name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        space, _, local = name.rpartition(" ")
        builder.end(local if space.startswith(_NAMESPACE) else name)

    def refuse(*_: object) -> Any:
        raise CannotImport(
            "The PMML file declares a document type or entity, which may read other files or grow without end: "
            "take the declaration out."
        )

    reader.StartElementHandler, reader.EndElementHandler = start, end
    reader.CharacterDataHandler = builder.data
    reader.StartDoctypeDeclHandler = reader.EntityDeclHandler = refuse
    reader.ExternalEntityRefHandler = refuse
    reader.buffer_text = True
    try:
        reader.Parse(content, True)
    except expat.ExpatError as error:
        raise CannotImport(f"The PMML file is not well formed: {error}.") from error
    return builder.close()


def needed(element: Element, name: str) -> str:
    """An attribute that has to be there."""
    value = element.get(name)
    if value is None:
        raise CannotImport(f"A {element.tag} of the PMML file has no {name}.")
    return value


def real(text: str) -> float:
    """The number that a text spells; it may be infinite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value) or "_" in text:
        raise CannotImport(f"{_short(text)} stands in the PMML file where a number should.")
    return value


def number(element: Element, name: str, otherwise: float | None = None) -> float:
    """An attribute as a number."""
    text = element.get(name)
    if text is None and otherwise is not None:
        return otherwise
    value = real(needed(element, name))
    if math.isinf(value) and name not in _MARGINS:
        raise CannotImport(f"The {name} of a {element.tag} in the PMML file is {text}, and has to be finite.")
    return value


def array(element: Element) -> list[str]:
    """The words of an Array: apart by spaces, in quotes where they hold some."""
    text = element.text or ""
    if '"' not in text and "\\" not in text:
        return text.split()
    words: list[str] = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        word, quoted = "", text[place] == '"'
        place += quoted
        while place < len(text) and not (text[place] == '"' if quoted else text[place].isspace()):
            if text[place] == "\\" and text[place + 1 : place + 2] in ('"', "\\"):
                place += 1
            word += text[place]
            place += 1
        place += quoted
        words.append(word)
    return words


def parts(element: Element, *skipped: str) -> Iterator[Element]:
    """The children, without Extension and the skipped ones."""
    return (child for child in element if child.tag not in ("Extension", *skipped))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
