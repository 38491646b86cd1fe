"""A blend and its parts held against the same rows, the same gates and the deployed version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.blending import Ask, Parts
from mainstay.models.package import Decision
from mainstay.operations.blending_rows import Rows, chosen
from mainstay.operations.loading import loaded
from mainstay.operations.operator import admitted
from mainstay.operations.registering import constant_answers
from mainstay.operations.split_rules import rules_of, unseen_by
from mainstay.operations.tables import slice_values
from mainstay.registry.store import Registry
from mainstay.training.evaluation import Evaluation, evaluate
from mainstay.training.gates import Champion, Gate, GateResult, decide, named
from mainstay.training.values import cells_of, label_key


@dataclass(frozen=True)
class Judge:
    """What answers are held against, the blend's and its parts' alike."""

    folder: Path
    registry: Registry
    name: str
    """Under which the blend is registered."""
    parts: Parts
    gates: tuple[Gate, ...]
    decision: Decision | None
    """By which metrics of a binary blend are told."""

    def judged(self, truth: Ask, rows: Rows) -> tuple[Evaluation, dict[str, Evaluation], list[GateResult]]:
        """The evaluation of the blend and of each part, by version, and what the gates said.

        Raises:
            DataError, InputError: the rows do not fit. EvaluationError.
        """
        cells = cells_of(rows.table, self.parts.signature)
        evaluation = self._with_baseline(truth(cells), rows)
        each = zip(self.parts.parts, self.parts.answers(cells), strict=True)
        beside = {
            part.ref: evaluate(answers, rows.y, self.parts.signature, decision=self.decision) for part, answers in each
        }
        return evaluation, beside, decide(self.gates, evaluation, champion=self._champion(truth, rows))

    def _scored(self, answers: Answers, rows: Rows) -> Evaluation:
        kept = named(self.gates)
        slices = slice_values(rows.table, sorted({*rows.slices, *kept}))
        return evaluate(answers, rows.y, self.parts.signature, slices=slices, keep=kept, decision=self.decision)

    def _with_baseline(self, answers: Answers, rows: Rows) -> Evaluation:
        base = self._scored(constant_answers(self.parts.signature, rows.y), rows)
        return msgspec.structs.replace(self._scored(answers, rows), baseline=base)

    def _champion(self, truth: Ask, rows: Rows) -> Champion | None:
        """The deployed version of the name and the blend, scored on the rows that neither has seen."""
        deployment = self.registry.deployment(self.name)
        if deployment is None:
            return None
        ref, signature = deployment.version.ref, self.parts.signature
        try:
            package = admitted(self.folder, self.registry, deployment.version)
            rules = rules_of(package)
            if not rules:
                trouble = f"Its lineage does not say which rows the champion {ref} was trained on."
                return Champion(ref=ref, trouble=trouble)
            champion = loaded(self.folder, package)
            theirs = champion.signature
            keys = [label_key(label) for label in theirs.labels]
            if theirs.task != signature.task or {*keys} != {label_key(label) for label in signature.labels}:
                return Champion(ref=ref, trouble=f"The champion {ref} does not answer what this blend does.")
            fair = chosen(rows, unseen_by(rules, rows.table))
            answers = champion.answer(cells_of(fair.table, theirs))
            order = [keys.index(label_key(label)) for label in signature.labels]
            return Champion(
                ref=ref,
                champion=self._scored(_in_order(answers, order), fair),
                challenger=self._with_baseline(truth(cells_of(fair.table, signature)), fair),
            )
        except MainstayError as error:
            return Champion(ref=ref, trouble=f"The champion {ref} cannot be scored on these rows: {error}")


def _in_order(answers: Answers, order: Sequence[int]) -> Answers:
    """Answers with their labels in another order: for each new label, its place in the old one."""
    if not order:
        return answers
    return Answers(
        labels=None if answers.labels is None else np.argsort(order)[answers.labels].astype(np.int64),
        probabilities=None if answers.probabilities is None else answers.probabilities[:, list(order)],
    )
