"""One result or one error, for people or for programs. Loads nothing that only a person at a terminal needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console


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


def show_error(sentence: str, exit_code: int, *, as_json: bool) -> None:
    """Prints an error on standard error; as one JSON object on standard output too, for programs."""
    if as_json:
        with suppress(OSError):  # the error may be that standard output takes nothing; people still read the other
            sys.stdout.write(msgspec.json.encode({"error": sentence, "exit_code": exit_code}).decode() + "\n")
            sys.stdout.flush()
    out = console(stderr=True)
    out.print("[bold red]Error:[/bold red]" if out.is_terminal else "Error:", end=" ")
    out.print(sentence, markup=False)
