"""How results look: tables and colours on a terminal, plain lines in a pipe, one JSON object for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mainstay.errors import MainstayError

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, for programs.")]


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or error; rich is imported only where something is drawn."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def show(document: Any, *, as_json: bool, human: Callable[[Console], None]) -> None:
    """Prints a result: the document itself for programs, else as `human` draws it."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        sys.stdout.flush()
    else:
        human(console())


def show_error(error: MainstayError) -> None:
    """Prints an error on standard error; as JSON on standard output too where --json was asked for."""
    if "--json" in sys.argv:
        sys.stdout.write(msgspec.json.encode({"error": str(error), "exit_code": error.exit_code}).decode() + "\n")
    out = console(stderr=True)
    out.print("[bold red]Error:[/bold red]" if out.is_terminal else "Error:", end=" ")
    out.print(str(error), markup=False)


def table(out: Console, headers: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """A table on a terminal; tab-separated lines with a header elsewhere."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    if not out.is_terminal:
        for line in (headers, *cells):
            out.print("\t".join(line), markup=False)
        return
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(*headers, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for line in cells:
        drawn.add_row(*(Text(value) for value in line))
    out.print(drawn)


def number(value: float | None) -> str:
    """A number to four significant digits; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"
