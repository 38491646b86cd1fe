"""A worker's part: appends what was answered, within bounds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from mainstay.models.answers import Answers
from mainstay.serving.predictions.records import KEPT, PREDICTED, folder_of, packed

MOST = 64 << 20
"""Bytes that a worker keeps of a rollout: two million rows. The oldest go first."""
HOURS = 7 * 24
"""How long a row waits for its outcome."""


class Kept:
    """What one worker answered in a rollout: a file for each minute, which nobody else writes."""

    def __init__(
        self, run: Path, rollout: str, worker: int, *, clock: Callable[[], float] = time.time, most: int = MOST
    ) -> None:
        """Raises OSError: there is no room for the folder."""
        self._folder, self._name = folder_of(run, rollout), f"{run.name}-{worker}{KEPT}"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clock, self._most = clock, most
        self._minute, self._file, self._size = -1, -1, 0

    def add(self, identity: str, arm: int, step: int, answers: Answers) -> None:
        """Keeps the answers of a request; where there is no room, it is left out, and never fails for it."""
        data = packed(identity, arm, step, answers)
        if not data:
            return
        try:
            minute = int(self._clock()) // 60
            if minute != self._minute:
                self._turn(minute)
            if self._size + len(data) > self._most // 2:
                return  # a minute alone would leave nothing of the others
            written = os.write(self._file, data)
            if written == len(data):
                self._size += written
                return
            os.ftruncate(self._file, self._size)  # no half records
        except OSError:
            self._minute = -1

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Keeps nothing more in the present file."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._minute = -1, -1

    def _turn(self, minute: int) -> None:
        """Goes on with the file of a minute, and removes what is too old or too much."""
        self.close()
        room = self._most // 2
        mine = {int(path.name.partition(".")[0]): path for path in self._folder.glob(f"*.{self._name}")}
        for old in sorted(mine, reverse=True):
            room -= mine[old].stat().st_size
            if old != minute and (room < 0 or old < minute - 60 * HOURS):
                mine[old].unlink(missing_ok=True)
        path = self._folder / f"{minute}.{self._name}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._file).st_size
        self._size = size - size % PREDICTED.itemsize
        os.ftruncate(self._file, self._size)
        self._minute = minute
