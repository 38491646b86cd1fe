"""The commands, and what an error becomes: one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mainstay.cli.output import show_error
from mainstay.errors import INTERRUPTED, MACHINE, MainstayError, MissingExtra
from mainstay.release import release

TRAIN_EXTRA = {"jinja2", "lightgbm", "onnx", "optuna", "pandas", "pyarrow", "skl2onnx", "sklearn", "skops", "xgboost"}
"""Modules that the default install leaves out."""
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


def main() -> None:
    """Runs a command; the process ends with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal that knows no "–"
    sys.unraisablehook = _unraisable
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while another one was being told
        code = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt but the end itself
    try:
        sys.stdout.flush()
    except OSError:  # what it still holds goes nowhere: at the end, Python would only try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _unraisable(told: Any) -> None:
    """Has an interrupt come again that fell where Python cannot raise it and would drop it: in an object's end."""
    if issubclass(told.exc_type, KeyboardInterrupt):
        again = threading.Timer(0.05, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(told)


def run(words: Sequence[str]) -> int:
    """Runs the command that the words say, in this process; gives its exit code."""
    as_json = "--json" in words
    try:
        import mainstay.cli.commands  # noqa: F401, PLC0415 - registers the commands, once the app exists

        code = app(list(words), prog_name="mainstay", standalone_mode=False) or 0
        sys.stdout.flush()
    except MainstayError as error:
        show_error(str(error), error.exit_code, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in TRAIN_EXTRA:
            raise
        needed = MissingExtra("This command", "train", missing)
        show_error(str(needed), needed.exit_code, as_json=as_json)
        return needed.exit_code
    except OSError as error:
        if error.errno is None:
            raise
        show_error(_refused(error), MACHINE, as_json=as_json)
        return MACHINE
    except _USAGE as error:
        return _misused(error, as_json=as_json)
    if code == INTERRUPTED:
        show_error("Interrupted.", INTERRUPTED, as_json=as_json)
    return code


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


def _refused(error: OSError) -> str:
    """What the system refused, with the way out where there is one to tell."""
    ways = {
        errno.ENOSPC: "make room on that disk, then run it again",
        errno.EDQUOT: "make room within your quota, then run it again",
        errno.EACCES: "ask for the right to it, then run it again",
        errno.EPERM: "ask for the right to it, then run it again",
        errno.EROFS: "work in a folder that can be written",
        errno.EMFILE: "raise the limit of open files (ulimit -n), then run it again",
        errno.ENOMEM: "end other programs, then run it again",
    }
    assert error.errno is not None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{os.strerror(error.errno)}: {ways.get(error.errno, 'mend that, then run it again')}."
