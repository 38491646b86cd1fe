"""How long a siege lasts, what repeats it, and what callers met in it."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from load import Load

SECONDS = float(os.environ.get("MAINSTAY_TEST_CHAOS", "0"))
"""That the storm lasts; 0: each of a few faults once."""
GONE = min(20.0, SECONDS)
"""Seconds that a database is gone."""
HOLD = 4.0 if SECONDS >= 60 else 2.0
"""Seconds that a step of a rollout is held."""
SEED = int(os.environ.get("MAINSTAY_TEST_SEED", random.SystemRandom().randrange(10**6)))


def dealt(chance: random.Random, faults: Sequence[str]) -> Iterator[str]:
    """Faults by chance, and none of them a second time before each has come: as cards, shuffled again."""
    while True:
        yield from chance.sample(faults, len(faults))


def counted(faults: Sequence[str]) -> str:
    """Such as "5 faults (controller 3, worker 2)"."""
    return f"{len(faults)} faults ({', '.join(f'{each} {times}' for each, times in sorted(Counter(faults).items()))})"


@dataclass
class Report:
    """A line for each part of the siege."""

    lines: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    """What was done; requests sent, failed, failed on connections of killed workers, answered wrongly."""

    def on(self, load: Load, case: str, *, wrong: str | None = None) -> None:
        """Nobody failed but who was connected to a killed worker; no version but `wrong` answered wrongly."""
        blamed = len(load.blamed)
        self.lines.append((case, load.sent, blamed, len(load.failed) - blamed, load.wrong.total()))
        told = f"{load.told(case)} (seed {SEED})"
        print(f"\n{told}")
        assert not load.blamed and set(load.wrong) <= {wrong}, told

    def table(self) -> list[str]:
        rows = [("what", "sent", "failed", "killed worker's own", "wrong")]
        rows += [(case[:120], *(f"{count:,}" for count in counts)) for case, *counts in self.lines]
        rows.append(("all", *(f"{sum(line[at] for line in self.lines):,}" for at in range(1, 5))))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])
            for cells in rows
        ]
