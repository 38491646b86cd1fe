"""How results look: tables and colours on a terminal, plain lines in a pipe, one JSON object for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstay.cli.showing import console, show

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Json", "Verbose", "brief", "console", "number", "say_servers", "show", "table"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, for programs.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Tell all that was measured, and not the figures alone.")]
CLAUSES = 2
"""Of what was measured, that are shown unless all are asked for: the figures, and how much they say."""


def table(out: Console, headers: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """A table on a terminal; tab-separated lines with a header elsewhere."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    if not out.is_terminal:
        # Not through the console, which would make spaces of tabs.
        sys.stdout.writelines("\t".join(map(_one_line, line)) + "\n" for line in (headers, *cells))
        return
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(*headers, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for line in cells:
        drawn.add_row(*(Text(value) for value in line))
    out.print(drawn)


def _one_line(cell: str) -> str:
    """The cell without what would end it, or its line."""
    return " ".join(cell.split()) if any(mark in cell for mark in "\t\n\r") else cell


def number(value: float | None) -> str:
    """A number to four significant digits; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"


def brief(words: str, clauses: int = CLAUSES) -> str:
    """The first clauses of what was measured, which have the figures that decided."""
    parts = words.split("; ")
    return words if len(parts) <= clauses else f"{'; '.join(parts[:clauses])} …"


def say_servers(urls: Sequence[str], *, otherwise: str = "") -> None:
    """Which running servers have followed; `otherwise` is said where none runs."""
    if urls:
        typer.echo(f"Acknowledged by {len(urls)} running server(s): {', '.join(urls)}")
    elif otherwise:
        typer.echo(otherwise)
