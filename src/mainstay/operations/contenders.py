"""Models that can be scored: fitted just now, registered before, or the user's own."""

from __future__ import annotations

from typing import Protocol

from mainstay.models.answers import Answers
from mainstay.models.package import Decision
from mainstay.models.signature import Cells, Signature
from mainstay.operations.preparing import Positions, Prepared
from mainstay.operations.tables import slice_values
from mainstay.training.evaluation import Evaluation, evaluate
from mainstay.training.gates import named
from mainstay.training.table import Table
from mainstay.training.values import cells_of, target_of


class Contender(Protocol):
    """Answers for cells of its own signature."""

    @property
    def signature(self) -> Signature: ...

    @property
    def decision(self) -> Decision | None: ...

    def answer(self, cells: Cells) -> Answers: ...


def cells_for(contender: Contender, prepared: Prepared, rows: Positions) -> Cells:
    """The rows at these positions, typed as the contender takes them. Raises InputError where they do not fit it."""
    if contender.signature is prepared.signature:
        return prepared.cells.rows(rows)
    return cells_of(prepared.table.rows(rows), contender.signature)


def scored(contender: Contender, table: Table, prepared: Prepared) -> Evaluation:
    """The evaluation of a contender on the rows of a table, sliced as the project and its gates say.

    Raises:
        DataError, InputError: the rows do not fit the contender's signature or labels.
    """
    kept = named(prepared.gates)
    return evaluate(
        contender.answer(cells_of(table, contender.signature)),
        target_of(table, prepared.project, contender.signature.labels or None).y,
        contender.signature,
        slices=slice_values(table, sorted({*prepared.project.slices, *kept})),
        keep=kept,
        decision=asked(contender, prepared),
        seed=prepared.project.seed,
    )


def asked(contender: Contender, prepared: Prepared) -> Decision | None:
    """How the contender decides, told of the label that the project finds, whatever the contender was made to find."""
    if prepared.positive is None:
        return contender.decision
    label, labels = prepared.target.labels[prepared.positive], contender.signature.labels
    if label not in labels:
        return contender.decision
    index, decision = labels.index(label), contender.decision
    if decision is None:
        return Decision(positive=index, threshold=0.5)
    return decision if decision.positive == index else Decision(positive=index, threshold=1 - decision.threshold)
