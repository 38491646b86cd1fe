"""Labels as the agent takes them: of the rollouts that run, joined here and added to what is told of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from msgspec import structs

from mainstay.errors import CheckFailed
from mainstay.models.package import Package
from mainstay.registry.evidence import Arm, Seen
from mainstay.registry.records import Rollout, Version
from mainstay.serving.predictions.joining import Joining, Truth, forget
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


class Labelling:
    """The labels of one machine."""

    def __init__(self, registry: Facts, root: Path, member: str) -> None:
        """`root` is the project's state folder, `member` the agent's id."""
        self._registry, self._root, self._member = registry, root, member
        self._lock = threading.Lock()
        self._rollouts: dict[str, tuple[Joining, Judge]] = {}

    def __call__(self, labels: Labels) -> list[int]:
        """What became of each; see `joining`. Of labels of which one is none, nothing is counted.

        Raises:
            NoRollout; NotALabel, CannotJudge; MachineError, PackageCorrupt: of the registry; OSError: a full disk.
        """
        rollout = self._registry.rollout(labels.model)
        if rollout is None:
            raise NoRollout(labels.model)
        with self._lock:
            known = self._rollouts.get(rollout.id)
            if known is None:
                packages = self._registry.package(rollout.stable), self._registry.package(rollout.candidate)
                known = Joining(self._root, rollout.id, self._member), judge(*packages)
                self._rollouts[rollout.id] = known
        joining, judged = known
        return joining.join(
            [Truth(key_of(each.id), minute_in(each.id), each.row, judged(each.value)) for each in labels.labels]
        )

    def added(self, rollout: str, steps: Iterable[Seen]) -> tuple[Seen, ...]:
        """What workers saw of a rollout, with the labels."""
        known, found = self._rollouts.get(rollout), {seen.step: seen for seen in steps}
        for (step, arm), (labelled, wrong) in sorted({} if known is None else known[0].counts().items()):
            seen = found.get(step, Seen(step=step))
            if arm:
                found[step] = structs.replace(seen, candidate=_labelled(seen.candidate, labelled, wrong))
            else:
                found[step] = structs.replace(seen, stable=_labelled(seen.stable, labelled, wrong))
        return tuple(found[step] for step in sorted(found))

    def forget(self, ended: str) -> None:
        """Removes what is kept of a rollout that has ended."""
        with self._lock:
            self._rollouts.pop(ended, None)
        forget(self._root, ended)


def _labelled(arm: Arm, labelled: int, wrong: int) -> Arm:
    return structs.replace(arm, labelled=labelled, wrong=wrong)
