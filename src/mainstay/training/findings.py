"""A finding about data, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from mainstay.errors import CheckFailed

Level = Literal["error", "warning", "note"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to know. An error stops the training; a warning is likely a mistake; a note is a fact."""

    level: Level
    code: str
    message: str
    column: str | None = None


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found, errors first."""

    rows: int
    columns: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == "error")


class DataRefused(CheckFailed):
    """The data cannot be trained on; `checks` has all findings."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks
        errors = checks.errors
        said = " ".join(
            f"({n}) {error.message}" if len(errors) > 1 else error.message for n, error in enumerate(errors, start=1)
        )
        super().__init__(said if len(errors) == 1 else f"{len(errors)} checks of the data failed: {said}")


def error(code: str, message: str, column: str | None = None) -> Finding:
    """A finding that stops the training."""
    return Finding(level="error", code=code, message=message, column=column)


def warning(code: str, message: str, column: str | None = None) -> Finding:
    """A finding that is likely a mistake."""
    return Finding(level="warning", code=code, message=message, column=column)


def note(code: str, message: str, column: str | None = None) -> Finding:
    """A fact to know."""
    return Finding(level="note", code=code, message=message, column=column)


def rows_are(count: int) -> str:
    """`1 row is` or `3 rows are`."""
    return "1 row is" if count == 1 else f"{count} rows are"


def few(values: Sequence[object], at_most: int = 5) -> str:
    """The first values, and how many more there are."""
    shown = ", ".join(map(repr, values[:at_most]))
    return shown if len(values) <= at_most else f"{shown} and {len(values) - at_most} more"
