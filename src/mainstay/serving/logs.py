"""What a server says of itself: one line of JSON an event, or words on a terminal. No input value is ever in it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

Level = Literal["info", "warning", "error"]
Log = Callable[..., None]
"""`log("loaded", "credit:1 answers", version="credit:1")`: the kind, a sentence, facts."""


def logger(*, human: bool | None = None, to: TextIO | None = None) -> Log:
    """Writes to `to`, by default standard error; `human` is by default whether that is a terminal."""
    plain = sys.stderr.isatty() if human is None else human

    def log(kind: str, message: str, *, level: Level = "info", **facts: Any) -> None:
        now = datetime.now(UTC)
        if plain:
            line = f"{now:%H:%M:%S} {'' if level == 'info' else level + ': '}{message}\n"
        else:
            event = {"at": now.isoformat(timespec="milliseconds"), "level": level, "kind": kind, "message": message}
            line = msgspec.json.encode({**event, **facts}).decode() + "\n"
        stream = to or sys.stderr
        with suppress(BrokenPipeError):  # whoever read the log is gone; what answers goes on
            stream.write(line)
            stream.flush()

    return log


def place_of(error: BaseException) -> str:
    """An error's class, and the line of code that raised it; never its message, which may quote what somebody sent."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__


def take_over(log: Log) -> None:
    """From here on, what libraries log, and what nobody caught, is said by `log` too: without their messages."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            what = f": {place_of(error)}" if error else ""
            log("library", f"{record.name} reports a {record.levelname.lower()}{what}.", level="warning")

    def fault(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        log("fault", f"The process ends with {place_of(error)}.", level="error")

    logging.basicConfig(level=logging.WARNING, handlers=[Handler()], force=True)
    sys.excepthook = fault
