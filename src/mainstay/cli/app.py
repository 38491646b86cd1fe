"""The commands, and what happens with words that are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mainstay.cli.ending import ended
from mainstay.cli.showing import show_error
from mainstay.release import release

_USAGE: type[Exception] = typer.BadParameter.__mro__[2]
"""The root of what typer raises for words that it does not understand; it has no public name."""

app = typer.Typer(
    name="mainstay",
    help="From a data file to a machine-learning service that stays right.",
    epilog="Start with: mainstay try DATA --target COLUMN. Exit codes: 0 done; 1 a gate or check said no; "
    "2 wrong use or bad input; 3 the machine said no (disk, port, permission); 130 interrupted.",
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
    """From a data file to a machine-learning service that stays right.

    Example: mainstay try credit.csv --target class
    """
    if shown:
        typer.echo(f"mainstay {release()}")
        raise typer.Exit


def run(words: Sequence[str]) -> int:
    """Runs the command that the words say, in this process; gives its exit code."""
    as_json = "--json" in words

    def command() -> int:
        import mainstay.cli.commands  # noqa: F401, PLC0415 - registers the commands, once the app exists

        try:
            return app(list(words), prog_name="mainstay", standalone_mode=False) or 0
        except _USAGE as error:
            return _misused(error, as_json=as_json)

    return ended(command, as_json=as_json)


def _misused(error: Any, *, as_json: bool) -> int:
    """Words that no command understands."""
    code, context, said = int(error.exit_code), getattr(error, "ctx", None), str(error.format_message())
    if said.startswith("Usage:"):  # no word at all: the whole help
        typer.echo(said, err=True)
        return code
    if context is not None:
        typer.echo(context.get_usage(), err=True)
    show_error(said, code, as_json=as_json)
    return code
