"""Labels as the agent takes them: of the rollouts that run, joined here and added to what is told of them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from msgspec import structs

from mainstay.errors import CheckFailed
from mainstay.models.package import Package
from mainstay.registry.evidence import Arm, Evidence, Seen
from mainstay.registry.records import Rollout, Version
from mainstay.serving.predictions.joining import Counts, Joining, Truth, forget
from mainstay.serving.predictions.judging import Judge, judge
from mainstay.serving.predictions.messages import Labels
from mainstay.serving.predictions.records import key_of, minute_in


class NoRollout(CheckFailed):
    """Nothing waits for labels."""

    def __init__(self, model: str) -> None:
        super().__init__(f"No rollout of {model} runs: labels are joined with what was answered while one does.")


class Facts(Protocol):
    """What is asked of the registry."""

    def rollout(self, model: str) -> Rollout | None: ...
    def package(self, version: Version) -> Package: ...
    def report(self, member_id: str, evidence: Evidence) -> None: ...


class Labelling:
    """The labels of one machine."""

    def __init__(self, registry: Facts, root: Path) -> None:
        """`root` is the project's state folder."""
        self._registry, self._root = registry, root
        self._lock = threading.Lock()
        self._joinings: dict[str, Joining] = {}
        self._judges: dict[str, Judge] = {}

    def __call__(self, labels: Labels) -> list[int]:
        """What became of each; see `joining`. Of labels of which one is none, nothing is counted.

        Raises:
            NoRollout; NotALabel, CannotJudge; MachineError, PackageCorrupt: of the registry; OSError: a full disk.
        """
        rollout = self._registry.rollout(labels.model)
        if rollout is None:
            raise NoRollout(labels.model)
        with self._lock:
            judged = self._judges.get(rollout.id)
            if judged is None:
                packages = self._registry.package(rollout.stable), self._registry.package(rollout.candidate)
                judged = self._judges[rollout.id] = judge(*packages)
        return self._joining(rollout.id).join(
            [Truth(key_of(each.id), minute_in(each.id), each.row, judged(each.value)) for each in labels.labels]
        )

    def tell(self, rollout: str) -> None:
        """Tells the registry what labels of a rollout came to, where that is news.

        Raises:
            UnknownRollout; MachineError: of the registry; OSError: a full disk.
        """
        self._joining(rollout).tell(
            lambda member, counts: self._registry.report(member, Evidence(rollout=rollout, steps=_steps(counts)))
        )

    def forget(self, ended: str) -> None:
        """Removes what is kept of a rollout that has ended."""
        with self._lock:
            self._joinings.pop(ended, None)
            self._judges.pop(ended, None)
        forget(self._root, ended)

    def _joining(self, rollout: str) -> Joining:
        with self._lock:
            return self._joinings.setdefault(rollout, Joining(self._root, rollout))


def _steps(counts: Counts) -> tuple[Seen, ...]:
    """What was counted, as evidence; arms as in `evidence_slots`."""
    found: dict[int, Seen] = {}
    for (step, arm), (labelled, wrong) in sorted(counts.items()):
        name, counted = "candidate" if arm else "stable", Arm(labelled=labelled, wrong=wrong)
        found[step] = structs.replace(found.get(step, Seen(step=step)), **{name: counted})
    return tuple(found.values())
