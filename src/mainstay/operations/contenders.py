"""Models that can be scored: fitted just now, registered before, or the user's own."""

from __future__ import annotations

from typing import Protocol

from mainstay.models.answers import Answers
from mainstay.models.package import Decision
from mainstay.models.signature import Cells, Signature
from mainstay.operations.preparing import Prepared
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
        decision=contender.decision,
        seed=prepared.project.seed,
    )
