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
KEYS = 1 << 21
"""Places for the keys of a step of a sticky rollout: of 100,000, one in forty is taken for another, and not counted."""

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

    def answered(self, arm: int, seconds: float, score: int | None) -> None:
        """Counts a request that was answered.

        Args:
            arm: `STABLE` or `CANDIDATE`.
            seconds: of computing, those of the stable version with what the plan allows the candidate.
            score: the bin of what was answered; None: it has none.
        """
        numbers, begins = self._numbers, arm * _ARM
        numbers[begins] += 1
        numbers[begins + _SECONDS + bisect_left(SECONDS, seconds)] += 1
        if score is not None:
            numbers[begins + _SCORES + score] += 1

    def failed(self, arm: int) -> None:
        """Counts a request that failed for a reason of the version's own."""
        self._numbers[arm * _ARM + _REQUESTS] += 1
        self._numbers[arm * _ARM + _ERRORS] += 1

    def refused(self, arm: int) -> None:
        """Counts a request whose rows were not taken."""
        self._numbers[arm * _ARM + _REQUESTS] += 1
        self._numbers[arm * _ARM + _REFUSED] += 1

    def left(self, arm: int, seconds: float | None) -> None:
        """Counts a request whose caller went before its answer was there, having seen so many seconds of computing."""
        self._numbers[arm * _ARM + _REQUESTS] += 1
        if seconds is not None:
            self._numbers[arm * _ARM + _SECONDS + bisect_left(SECONDS, seconds)] += 1

    def compared(self, *, changed: bool) -> None:
        """Counts a row that both versions were asked."""
        self._numbers[_COMPARED] += 1
        self._numbers[_CHANGED] += changed

    def dropped(self) -> None:
        """Counts a copy that was not made."""
        self._numbers[_DROPPED] += 1


class Keys:
    """The keys that were counted in a step of a sticky rollout, by all workers of a server."""

    __slots__ = ("_seen",)

    def __init__(self, run: Path, rollout: str, step: int) -> None:
        folder = run / FOLDER / rollout
        folder.mkdir(parents=True, exist_ok=True)
        self._seen = mapped(folder / f"{step}.keys", KEYS)

    def first(self, place: int) -> bool:
        """Whether the key at a place (see `splitting.place_of_key`) comes for the first time."""
        at = place % KEYS  # the low bits; the share is decided by the high ones
        if self._seen[at]:
            return False
        self._seen[at] = 1  # a byte, not a bit: two workers write without undoing each other's
        return True


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
    seconds, scores = tuple(numbers[_SECONDS:_SCORES]), tuple(numbers[_SCORES:_ARM])
    return Arm(
        requests=numbers[_REQUESTS],
        errors=numbers[_ERRORS],
        refused=numbers[_REFUSED],
        seconds=seconds if any(seconds) else (),
        scores=scores if any(scores) else (),
    )
