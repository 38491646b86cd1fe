"""Errors that a person reads: one class per situation, one sentence each, with the facts and the way out.

Exit codes of the command line belong to the error: 1, a gate or a check said no; 2, wrong use or bad input;
3, the machine said no (a full disk, a port in use, a lost database).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SAID_NO = 1
WRONG_USE = 2
MACHINE = 3
INTERRUPTED = 130
"""A signal ended the command, as shells have it."""


class MainstayError(Exception):
    """The root of every error that Mainstay raises on purpose."""

    exit_code = WRONG_USE


class CheckFailed(MainstayError):
    """A gate, a check or a parity proof said no."""

    exit_code = SAID_NO


class MachineError(MainstayError):
    """The machine could not do what was asked; the request itself was right."""

    exit_code = MACHINE


class MissingExtra(MainstayError):
    """A part of Mainstay needs libraries that the default install leaves out."""

    def __init__(self, need: str, extra: str, library: str) -> None:
        self.need, self.extra, self.library = need, extra, library
        super().__init__(f"{need} needs {library}, which is not installed: run pip install 'mainstay[{extra}]'.")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'age'?"`, or an empty string where nothing is close."""
    close = nearest(word, known)
    return f" Did you mean {close!r}?" if close else ""
