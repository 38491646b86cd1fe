"""The page of the project file, from its structs, their docstrings, and the writer of `mainstay init`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from mainstay.models import signature
from mainstay.project import FILE, Data, Project, Webhook
from mainstay.settings import Struct
from mainstay.training.project_file import render

SAMPLE = Project(
    name="credit",
    target="class",
    data=Data(path="credit.csv"),
    task="binary",
    positive="bad",
    gates=("roc_auc >= 0.75", "recall >= 0.6"),
    slices=("sex",),
    columns={"amount": "number", "purpose": "category", "sex": "category", "opened": "datetime"},
    left_out={"customer": "an identifier: every value is another"},
)
_INTRO = f"""
# The project file

`{FILE}` is a person's whole configuration. `mainstay init` writes it with every key, so that nothing is hidden.
An unknown key, a wrong type, or values that do not fit together are errors that name the key.
"""


def page() -> str:
    lines = [_INTRO.strip(), ""]
    for title, kind in tables():
        lines += [f"## {title}", "", _doc(kind), "", "| key | type | default | |", "|---|---|---|---|"]
        lines += [f"| `{key}` | {of} | {default} | {meaning} |" for key, of, default, meaning in keys(kind)]
        lines.append("")
    lines += ["## A whole file", "", "As `mainstay init` writes it:", "", "```toml", render(SAMPLE).rstrip(), "```"]
    return "\n".join(lines)


def tables() -> Iterator[tuple[str, type[Struct]]]:
    """The title and the struct of each table, the file itself first."""
    yield "The top of the file", Project
    yield from _inner(Project)
    yield "[[webhooks]]", Webhook


def _inner(kind: type[Struct], above: str = "") -> Iterator[tuple[str, type[Struct]]]:
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            yield f"[{above}{field.name}]", field.type
            yield from _inner(field.type, f"{above}{field.name}.")


def keys(kind: type[Struct]) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each key that is not a table of its own."""
    meanings = docstrings(kind)
    types = inspect.get_annotations(kind)
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            continue
        yield field.name, _code(_type(str(types[field.name]))), _default(field), _cell(meanings.get(field.name, ""))


def docstrings(kind: type[Struct]) -> dict[str, str]:
    """The text under each field of a struct."""
    [found] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(found, ast.ClassDef)
    said: dict[str, str] = {}
    for field, after in zip(found.body, found.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said[field.target.id] = inspect.cleandoc(str(after.value.value))
    return said


_ALIASES = {"Task": signature.Task, "ColumnType": signature.ColumnType, "Label": signature.Label}


def _type(annotation: str) -> str:
    """An annotation in the words of TOML's users."""
    words = annotation.replace(" | None", "")
    for name, alias in _ALIASES.items():
        words = words.replace(name, str(alias).replace("typing.", ""))
    for python, toml in (
        ("tuple[str, ...]", "list of text"),
        ("tuple[Webhook, ...]", "list of tables"),
        ("tuple[float, float]", "list of 2 numbers"),
        ("tuple[int | float, ...]", "list of numbers"),
        ("dict[str, str]", "table of text"),
        ("bool | int | str", "true/false, whole number or text"),
    ):
        words = words.replace(python, toml)
    if words.startswith("dict[str, Literal["):
        return "table of " + _choices(words.removeprefix("dict[str, ").removesuffix("]"))
    if words.startswith("Literal["):
        return _choices(words)
    return {
        "str": "text",
        "int": "whole number",
        "float": "number",
        "bool": "true/false",
        "float | str": "number or text",
    }.get(words, words)


def _choices(literal: str) -> str:
    return literal.removeprefix("Literal[").removesuffix("]").replace("'", '"').replace(", ", " | ")


def _default(field: Any) -> str:
    default = field.default
    if default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "required"
    if default is msgspec.NODEFAULT:
        default = field.default_factory()
    if default is None or default in ((), {}):
        return ""
    return _code(msgspec.json.encode(default).decode().replace('","', '", "'))


def _doc(kind: type[Struct]) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
