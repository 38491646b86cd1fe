"""What workers saw of rollouts, in files of counters: one writer each, added up by the agent; a dead one's stay.

A file is of one rollout, step and worker: 64-bit integers, each written in one step on every machine that we run on.
A worker that takes a dead one's place goes on with its file.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left
from pathlib import Path

from mainstay.registry.evidence import SCORES, SECONDS, Arm, Seen
from mainstay.serving.mapped import mapped

FOLDER = "rollouts"
"""In the run's folder: a folder for each rollout."""
STABLE, CANDIDATE = 0, 1
_REQUESTS, _ERRORS, _REFUSED = 0, 1, 2
_SECONDS = 3
_SCORES = _SECONDS + len(SECONDS) + 1
_ARM = _SCORES + SCORES
_COMPARED, _CHANGED, _DROPPED = 2 * _ARM, 2 * _ARM + 1, 2 * _ARM + 2
_NUMBERS = 2 * _ARM + 3


class Counts:
    """The counters of one worker in one step."""

    __slots__ = ("_numbers",)

    def __init__(self, run: Path, rollout: str, step: int, worker: int) -> None:
        """Makes the file, or goes on with it."""
        folder = run / FOLDER / rollout
        folder.mkdir(parents=True, exist_ok=True)
        self._numbers = memoryview(mapped(folder / f"{step}.{worker}.counts", 8 * _NUMBERS)).cast("q")

    def asked(self, arm: int) -> bool:
        """Counts a request that was meant for `arm` (`STABLE` or `CANDIDATE`). Whether it is new evidence: it is."""
        self._numbers[arm * _ARM + _REQUESTS] += 1
        return True

    def took(self, arm: int, seconds: float) -> None:
        """Counts the time of computing, that of the stable version with what the plan allows the candidate."""
        self.took_bin(arm, bin_of(seconds))

    def took_bin(self, arm: int, place: int, by: int = 1) -> None:
        """Counts a time by its bin, or takes one back."""
        self._numbers[arm * _ARM + _SECONDS + place] += by

    def scored(self, arm: int, score: int) -> None:
        """Counts what was answered by its bin."""
        self._numbers[arm * _ARM + _SCORES + score] += 1

    def failed(self, arm: int) -> None:
        """Counts that a request failed for a reason of the version's own."""
        self._numbers[arm * _ARM + _ERRORS] += 1

    def refused(self, arm: int) -> None:
        """Counts that the rows of a request were not taken."""
        self._numbers[arm * _ARM + _REFUSED] += 1

    def compared(self, *, changed: bool) -> None:
        """Counts a row that both versions were asked."""
        self._numbers[_COMPARED] += 1
        self._numbers[_CHANGED] += changed

    def dropped(self) -> None:
        """Counts a copy that was not made."""
        self._numbers[_DROPPED] += 1


def bin_of(seconds: float) -> int:
    """The bin of a time."""
    return bisect_left(SECONDS, seconds)


def seen(run: Path, rollout: str) -> tuple[Seen, ...]:
    """What all workers of a run counted of a rollout, by step."""
    sums: dict[int, list[int]] = {}
    for path in (run / FOLDER / rollout).glob("*.counts"):
        data = path.read_bytes()
        if len(data) != 8 * _NUMBERS:
            continue  # it is being made
        total = sums.setdefault(int(path.name.partition(".")[0]), [0] * _NUMBERS)
        for index, number in enumerate(memoryview(data).cast("q")):
            total[index] += number
    return tuple(_seen(step, sums[step]) for step in sorted(sums) if any(sums[step]))


def forget(run: Path, rollout: str) -> None:
    """Removes what was counted of a rollout that is over."""
    shutil.rmtree(run / FOLDER / rollout, ignore_errors=True)


def _seen(step: int, numbers: list[int]) -> Seen:
    return Seen(
        step=step,
        stable=_arm(numbers[:_ARM]),
        candidate=_arm(numbers[_ARM : 2 * _ARM]),
        compared=numbers[_COMPARED],
        changed=numbers[_CHANGED],
        dropped=numbers[_DROPPED],
    )


def _arm(numbers: list[int]) -> Arm:
    # A time that one worker takes back was counted by another, whose file may have been read before.
    seconds, scores = tuple(max(0, each) for each in numbers[_SECONDS:_SCORES]), tuple(numbers[_SCORES:_ARM])
    return Arm(
        requests=numbers[_REQUESTS],
        errors=numbers[_ERRORS],
        refused=numbers[_REFUSED],
        seconds=seconds if any(seconds) else (),
        scores=scores if any(scores) else (),
    )
