"""The commands, and what an error becomes: one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from mainstay.cli.output import show_error
from mainstay.errors import MACHINE, MainstayError

INTERRUPTED = 130

app = typer.Typer(
    name="mainstay",
    help="From a data file to a machine-learning service that stays right.",
    epilog="Start with: mainstay try DATA --target COLUMN. Exit codes: 0 done; 1 a gate or check said no; "
    "2 wrong use or bad input; 3 the machine said no (disk, port, permission).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def root(
    *,
    shown: Annotated[bool, typer.Option("--version", help="Print the version of Mainstay and end.")] = False,
) -> None:
    """From a data file to a machine-learning service that stays right."""
    if shown:
        typer.echo(f"mainstay {version('mainstay')}")
        raise typer.Exit


def main() -> None:
    """Runs a command; the process ends with its exit code."""
    import mainstay.cli.commands  # noqa: F401, PLC0415 - registers the commands, once the app exists

    try:
        app()
    except MainstayError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno is None:
            raise
        what = f"{error.filename}: " if error.filename else ""
        show_error(MainstayError(f"{what}{os.strerror(error.errno)}: make room or give access, then run it again."))
        sys.exit(MACHINE)
