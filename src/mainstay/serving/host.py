"""A host process: answers for one version that does not run inside the workers.

Started by the agent as `python -m mainstay.serving.host`. It says on its standard output, in one line of JSON, that it
is ready or why it cannot be. At SIGTERM, and when its standard input ends (its agent is gone), it goes on until the
workers have let go of it, which they do when they end: a host outlives neither them nor a request. One that computes
for so long that nobody waits any more ends itself, and so does one that has no memory left: whoever started it starts
another.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.package import Manifest, Package
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving.frames import ANSWER_WITHIN, Ask, Told, framed
from mainstay.serving.host_listening import Listening
from mainstay.serving.logs import Log, logger, place_of, take_over
from mainstay.serving.pace import Pace
from mainstay.serving.thread_clock import thread_clock
from mainstay.serving.watchdog import Watchdog

HUNG_AFTER = 60.0
"""Seconds of computing after which a host ends itself; more, where workers wait longer for an answer."""
LONGEST_ASKED = 900.0
"""The same, where somebody asks for many rows and waits beside it."""


class Said(msgspec.Struct, frozen=True):
    """The one line that a host says: ready, or the reason why not."""

    error: str | None = None


class _Answering:
    """A model, and what it does to the process that it is in."""

    def __init__(self, model: Model, log: Log, nowhere: TextIO, *, asker: bool, seconds: float) -> None:
        """`asker`: whoever asks is who the rows are from, so that errors may quote them."""
        self._model, self._log, self._asker = model, log, asker
        self.spent = False
        """Whether the process has no memory left to go on with."""
        self._pace, self._watchdog, self._own = Pace(), Watchdog(seconds, nowhere), threading.local()

    def quick(self, rows: int) -> bool:
        """Whether so many rows are computed in no time."""
        return self._pace.quick(rows)

    def rest(self) -> float | None:
        """Nothing is computed now; after how many seconds that is to be said again, if at all."""
        return self._watchdog.rest()

    def __call__(self, ask: Ask) -> bytes:
        try:
            return framed(self._told(ask))
        except InputError as error:
            return framed(Told(ask.id, error=str(error), refused=True))
        except MainstayError as error:  # it did not keep to its contract, in words that quote nobody
            self._log("model_failed", str(error), level="error")
            return framed(Told(ask.id, error=str(error)))
        except BaseException as error:  # noqa: BLE001 - a native model may raise anything; the caller is told
            self.spent = isinstance(error, MemoryError)
            self._log("model_failed", f"The model failed with {place_of(error)}.", level="error")
            return framed(Told(ask.id, error=self._words(error)))

    def _told(self, ask: Ask) -> Told:
        self._watchdog.watch()
        cells = ask.cells()
        clock = self._clock()
        begun = clock()
        try:
            answers = self._model.answer(cells)
        finally:
            seconds = clock() - begun
            self._pace.took(len(cells), seconds)
        return Told.of(ask.id, answers, seconds)

    def _clock(self) -> Callable[[], float]:
        """That of the thread that computes."""
        try:
            return self._own.clock  # type: ignore[no-any-return] # what a thread keeps has no type
        except AttributeError:
            self._own.clock = clock = thread_clock()
            return clock

    def _words(self, error: BaseException) -> str:
        if self._asker:
            return f"The model failed with {place_of(error)}: {str(error)[:300]}"
        return f"The model failed with {type(error).__name__}; the server's log says where."


def hung_after(timeout: float) -> float:
    """Seconds of computing after which nobody waits any more, where a request may take so many."""
    return max(HUNG_AFTER, timeout + 30.0)


def let_go_within(timeout: float) -> float:
    """Seconds that workers have to let go of a host that is told to end: longer than they wait for an answer."""
    return max(ANSWER_WITHIN, timeout) + 5.0


def arguments(program: str) -> argparse.ArgumentParser:
    """What a host is told on its command line, and its launcher too."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--blobs", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True, help="the version's manifest, JSON")
    parser.add_argument("--trust", action="append", default=[], help="a type or a code id that the operator trusts")
    parser.add_argument("--log", choices=("json", "human", "asker"), required=True)
    parser.add_argument("--seconds", type=float, default=HUNG_AFTER, help="of computing, after which it ends itself")
    parser.add_argument("--timeout", type=float, default=ANSWER_WITHIN, help="seconds that a request may take")
    return parser


def host_words(
    socket: Path, blobs: Path, manifest: Path, log: str, trusted: Sequence[str], *, timeout: float = ANSWER_WITHIN
) -> list[str]:
    """The words of that command line.

    Args:
        log: "json" or "human", how the log is written; "asker" writes none and hides nothing, for who asks is who
            loaded the version: errors quote what they met, and what the model prints goes to standard error.
        timeout: seconds that a request may take.
    """
    words = ["--socket", str(socket.absolute()), "--blobs", str(blobs.absolute())]
    words += ["--manifest", str(manifest.absolute()), "--log", log, "--timeout", str(timeout)]
    return words + [word for name in trusted for word in ("--trust", name)]


def main() -> None:
    """The command line of a host process."""
    given = arguments("python -m mainstay.serving.host").parse_args()
    asker = given.log == "asker"
    say, ours, nowhere = _private_outputs(asker=asker)
    log = _silent if asker else logger(human=given.log == "human", to=ours)
    take_over(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the agent ends its hosts
    try:
        manifest = msgspec.json.decode(given.manifest.read_bytes(), type=Manifest)
        model = Model.load(Package(manifest, FolderBlobs(given.blobs).get), trusted=given.trust)
        model.check_golden()
    except MainstayError as error:
        say(Said(str(error)))
        raise SystemExit(error.exit_code) from error
    except (Exception, SystemExit) as error:  # whatever a native model's own parts raise
        say(Said(f"The model could not be loaded: {place_of(error)} raised {str(error)[:300]!r}."))
        raise
    answering = _Answering(model, log, nowhere, asker=asker, seconds=given.seconds)
    within = let_go_within(given.timeout)
    Listening(answering, given.socket, log, agent=sys.stdin.fileno()).until_let_go(lambda: say(Said()), within=within)


def _private_outputs(*, asker: bool) -> tuple[Callable[[Said], None], TextIO, TextIO]:
    """Keeps the standard output for what a host has to say, and the standard error for its log.

    What a model or its libraries print goes nowhere: it may hold what somebody sent. To who asks for himself it goes
    as an error does.
    """
    said, ours, nowhere = os.dup(1), os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(2 if asker else nowhere, 1)
    if not asker:
        os.dup2(nowhere, 2)

    def say(line: Said) -> None:
        with contextlib.suppress(BrokenPipeError):  # the agent is gone; the standard input says so too
            os.write(said, msgspec.json.encode(line) + b"\n")

    return say, os.fdopen(ours, "w", encoding="utf-8"), os.fdopen(nowhere, "w", encoding="utf-8")


def _silent(kind: str, message: str, **facts: object) -> None:
    """The log of a host whose asker is told everything."""


if __name__ == "__main__":
    main()
