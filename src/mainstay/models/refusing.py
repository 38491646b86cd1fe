"""How wrong input is told of: where it stood, what was found, and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstay.errors import MainstayError


class InputError(MainstayError):
    """Input that does not fit the signature; says where, what was found and what was expected."""

    def __init__(self, message: str, *, column: str | None = None, row: int | None = None) -> None:
        self.column, self.row = column, row
        super().__init__(message)


def wrong(name: str, value: Any, row: int, rows: int, expected: str) -> InputError:
    """The refusal of one value of an input."""
    return InputError(
        f"{place(row, rows)}column {name!r}: got {shown(value)}, expected {expected}.", column=name, row=row
    )


def place(row: int, rows: int) -> str:
    """Where a row is, as the beginning of a sentence; nothing for a row that is alone."""
    return f"row {row}, " if rows > 1 else ""


def shown(value: Any) -> str:
    """A value as a caller wrote it, cut to a length that fits a sentence."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict | tuple):
        return "an array" if isinstance(value, list | tuple) else "an object"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(names: Sequence[str], at_most: int = 8) -> str:
    """Names as a list in a sentence."""
    told = ", ".join(repr(name) for name in names[:at_most])
    return told if len(names) <= at_most else f"{told} and {len(names) - at_most} more"
