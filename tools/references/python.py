"""The page of the Python interface, from the functions and their docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import mainstay
from mainstay.models.runtime import Model

METHODS = (Model.predict, Model.predict_proba)


def page() -> str:
    lines = ["# Python", "", "```python", _example(), "```"]
    functions = [getattr(mainstay, name) for name in mainstay.__all__ if inspect.isfunction(getattr(mainstay, name))]
    for function in functions:
        lines += ["", f"## mainstay.{function.__name__}", "", *_described(function)]
    lines += ["", "## What mainstay.load gives"]
    for method in METHODS:
        lines += ["", f"### {method.__name__}", "", *_described(method)]
    return "\n".join(lines)


def _example() -> str:
    """The code of the package's own docstring."""
    said = inspect.cleandoc(mainstay.__doc__ or "").splitlines()
    return "\n".join(line.removeprefix("    ") for line in said if line.startswith("    ") or not line).strip()


def _described(function: Callable[..., Any]) -> list[str]:
    """The call as it is typed, then what the docstring says, its words kept as they are."""
    parameters = [each for each in inspect.signature(function).parameters.values() if each.name != "self"]
    words: list[str] = []
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(each.name if each.default is each.empty else f"{each.name}={each.default!r}")
    said = inspect.getdoc(function) or ""
    return ["```text", f"{function.__name__}({', '.join(words)})", "```", "", "```text", said, "```"]
