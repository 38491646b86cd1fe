"""The command line as it is run: words in, an exit code out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from mainstay.cli import serving
from mainstay.cli.ending import ended
from mainstay.errors import INTERRUPTED


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
    said = serving.understood(words)
    if said is not None:
        return ended(partial(serving.serve, said), as_json="--json" in words)
    from mainstay.cli.app import run as run_any  # noqa: PLC0415 - loads every command, and what explains them

    return run_any(words)
