"""Progress of long work: a bar with the time left on a terminal, a line a stage elsewhere; always on standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from mainstay.cli.output import console

PLAIN_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


class TerminalWatcher:
    """Draws what an operation says of itself."""

    def __init__(self, *, quiet: bool = False, notes_are_results: bool = False) -> None:
        """`quiet` keeps all but a terminal's bar silent, for programs; `notes_are_results` puts notes on standard
        output."""
        # Here, since commands that draw nothing are loaded beside those that do.
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._out = console(stderr=True)
        self._notes = console() if notes_are_results else self._out
        self._quiet = quiet and not self._out.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._out,
            transient=True,
            disable=not self._out.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, text="", visible=False)
        self._spoke = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage(self, text: str) -> None:
        self._bar.reset(self._task, description=text, total=None, text="", visible=True)
        self._say(f"{text} ...", only_plain=True)

    def note(self, text: str) -> None:
        if not self._quiet:
            self._spoke = time.monotonic()
            self._notes.print(text, markup=False)

    def progress(self, share: float | None, text: str) -> None:
        if share is None:
            self._bar.update(self._task, text=text)
        else:
            self._bar.update(self._task, total=1.0, completed=min(share, 1.0), text=text)
        if not self._out.is_terminal and time.monotonic() - self._spoke >= PLAIN_EVERY:
            self._say(text)

    def _say(self, text: str, *, only_plain: bool = False) -> None:
        if self._quiet or (only_plain and self._out.is_terminal):
            return
        self._spoke = time.monotonic()
        self._out.print(text, markup=False)
