"""What a server says of itself: one line of JSON an event, or words on a terminal. No input value is ever in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

Level = Literal["info", "warning", "error"]
Log = Callable[..., None]
"""`log("loaded", "credit:1 answers", version="credit:1")`: the kind, a sentence, facts."""


def logger(*, human: bool | None = None) -> Log:
    """Writes to standard error; `human` is by default whether that is a terminal."""
    plain = sys.stderr.isatty() if human is None else human

    def log(kind: str, message: str, *, level: Level = "info", **facts: Any) -> None:
        now = datetime.now(UTC)
        if plain:
            line = f"{now:%H:%M:%S} {'' if level == 'info' else level + ': '}{message}\n"
        else:
            event = {"at": now.isoformat(timespec="milliseconds"), "level": level, "kind": kind, "message": message}
            line = msgspec.json.encode({**event, **facts}).decode() + "\n"
        sys.stderr.write(line)
        sys.stderr.flush()

    return log
