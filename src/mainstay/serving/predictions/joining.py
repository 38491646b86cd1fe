"""The agent's part: finds what was answered to the rows that labels are for, and counts who was right.

A request counts once, with the first label of any of its rows: its rows were drawn for a version all together, so that
what they say is one piece of evidence, not as many as they are. Whoever sends a label again, after a time-out for
example, changes nothing, and is told so. What was counted is on the disk before it is acknowledged, and from there it
is told: by whichever server of the project lives, under one name, so that what a killed one had counted is told too,
and nothing twice.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mainstay.registry.ids import new_id
from mainstay.serving.predictions.keeping import HOURS
from mainstay.serving.predictions.records import FOLDER, JOINED, KEPT, LABELS, PREDICTED, Place, halves, key_from, mark

COUNTED, REPEATED, UNKNOWN, SAME_REQUEST = 0, 1, 2, 3
"""What became of a label; the last: another row of its request was counted."""
LOCK = "lock"
"""A file of the folder, which is there from the first label on."""
_AROUND = range(-1, 4)
"""Minutes around an id's own in which its answer was kept: a request may take its time."""

Wrong = Callable[[int, float], bool]
"""Whether what a version (0: stable, 1: the candidate) said is wrong."""


class Truth(NamedTuple):
    """The outcome of a row."""

    key: bytes
    """See `records.key_of`."""
    minute: int | None
    """In which the id was made, where it tells."""
    row: int
    wrong: Wrong


class Found(NamedTuple):
    """An answer that was kept."""

    arm: int
    step: int
    said: float


Counts = dict[tuple[int, int], tuple[int, int]]
"""By step and arm: requests that were labelled, and those of which the answer was wrong."""


class Joining:
    """The labels of one rollout on one machine, whichever servers of the project join them."""

    def __init__(self, root: Path, rollout: str) -> None:
        """`root` is the project's state folder."""
        self._folder = root / FOLDER / rollout
        self._lock = threading.Lock()
        self._file: Path | None = None
        """Of what was joined; its name is the id under which it is told. Made with the first label."""
        self._read = 0
        self._known: dict[bytes, int] = {}
        self._counts: Counts = {}
        self._told: Counts = {}

    def tell(self, report: Callable[[str, Counts], None]) -> None:
        """Has what was joined reported under its id, where that is news.

        Meanwhile nobody joins any, so that what is told only grows. Raises as `report` does; it is told again then.
        """
        if not (self._folder / LOCK).exists():
            return
        with self._lock, self._alone():
            self._catch_up()
            if self._file is not None and self._counts != self._told:
                counts = dict(self._counts)
                report(self._file.name.removesuffix(LABELS), counts)
                self._told = counts

    def join(self, truths: Sequence[Truth]) -> list[int]:
        """What became of each: `COUNTED`, `REPEATED`, `UNKNOWN` or `SAME_REQUEST`.

        Raises:
            OSError: the disk is full; nothing was counted.
        """
        if not self._folder.is_dir():
            return [UNKNOWN] * len(truths)
        with self._lock, self._alone():
            self._catch_up()
            answers = self._find(truths)
            became, records, seen = [], [], ChainMap[bytes, int]({}, self._known)
            for truth in truths:
                place = (*halves(truth.key), truth.row)
                marks = {mark(truth.key, each.arm): each for each in answers.get(place, [])}
                new = {mark: each for mark, each in marks.items() if mark not in seen}
                again = any(seen.get(mark) == truth.row for mark in marks)
                became.append(COUNTED if new else UNKNOWN if not marks else REPEATED if again else SAME_REQUEST)
                seen.update(dict.fromkeys(new, truth.row))
                records += [(*place, each.arm, each.step, truth.wrong(each.arm, each.said), 0) for each in new.values()]
            if records:
                self._append(np.array(records, JOINED).tobytes())
                self._catch_up()
            return became

    def _find(self, truths: Sequence[Truth]) -> dict[Place, list[Found]]:
        """The answers to rows: of a row and version the first one, as ids that callers give may come again."""
        wanted = {(*halves(truth.key), truth.row): truth.minute for truth in truths}
        found: dict[Place, dict[int, Found]] = {}
        files = sorted((int(path.name.partition(".")[0]), path) for path in self._folder.glob(f"*{KEPT}"))
        near = {minute + by for minute in wanted.values() if minute is not None for by in _AROUND}
        self._search([path for minute, path in files if minute in near], wanted, found)
        left = {place for place in wanted if place not in found}
        if left:
            self._search([path for minute, path in files if minute not in near], left, found)
        return {place: list(by_arm.values()) for place, by_arm in found.items()}

    @staticmethod
    def _search(paths: Iterable[Path], wanted: Iterable[Place], found: dict[Place, dict[int, Found]]) -> None:
        places = set(wanted)
        highs = np.array([place[0] for place in places], dtype="<u8")
        for path in paths:
            kept = _records(path, PREDICTED)
            for one in kept[np.isin(kept["high"], highs)]:
                place = int(one["high"]), int(one["low"]), int(one["row"])
                if place in places:
                    arm = int(one["arm"])
                    found.setdefault(place, {}).setdefault(arm, Found(arm, int(one["step"]), float(one["said"])))

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._folder / f"{new_id(datetime.now(UTC))}{LABELS}"
        with self._file.open("ab") as file:
            whole = file.tell() - file.tell() % JOINED.itemsize
            file.truncate(whole)  # half a record of one that was killed
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(whole)
                raise

    def _catch_up(self) -> None:
        """Learns what was joined since, by whichever server of this project."""
        if self._file is None:
            self._file = next(self._folder.glob(f"*{LABELS}"), None)
        if self._file is None:
            return
        new = _records(self._file, JOINED, self._read)
        self._read += len(new)
        for one in new:
            self._known[mark(key_from(int(one["high"]), int(one["low"])), int(one["arm"]))] = int(one["row"])
            at = int(one["step"]), int(one["arm"])
            labelled, wrong = self._counts.get(at, (0, 0))
            self._counts[at] = labelled + 1, wrong + int(one["wrong"])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other server of this project joins."""
        handle = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def forget(root: Path, ended: str) -> None:
    """Removes what is kept of a rollout that has ended, and of any that nothing was added to for as long as rows wait,
    as that of a server that was killed."""
    for folder in (root / FOLDER).glob("*"):
        if folder.name == ended or time.time() - folder.stat().st_mtime > HOURS * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def _records(path: Path, kind: np.dtype[np.void], begin: int = 0) -> npt.NDArray[np.void]:
    """The whole records of a file from one on; none where it is gone."""
    try:
        with path.open("rb") as file:
            file.seek(begin * kind.itemsize)
            data = file.read()
    except FileNotFoundError:
        data = b""
    return np.frombuffer(data[: len(data) - len(data) % kind.itemsize], kind)
