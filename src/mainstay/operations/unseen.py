"""Rows that a registered version was not trained on, with their truth: the project's, a file's, or somebody's own.

A half of them may be chosen by; the other half then says what the choice is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models.answers import Answers
from mainstay.models.formats.objects import check_truth
from mainstay.models.formats.own_rows import check_pairs
from mainstay.models.package import Decision, Package
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, Signature
from mainstay.operations.champions import Registered, champion
from mainstay.operations.contenders import asked
from mainstay.operations.preparing import Positions, prepare
from mainstay.operations.registering import constant_answers, truth_of
from mainstay.operations.seen_rows import LEAST
from mainstay.operations.split_rules import halving, left_of, origin_of, rules_of, unseen_by
from mainstay.operations.tables import slice_values, table_of, truth_for
from mainstay.operations.watching import Watcher
from mainstay.project import FILE
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.training.evaluation import Evaluation, evaluate
from mainstay.training.gates import Champion, Gate, named, parse
from mainstay.training.metrics import Scored, scored
from mainstay.training.splitting import SplitRule, halved, row_keys
from mainstay.training.table import Table
from mainstay.training.values import cells_of, target_of

Defend = Callable[[Registry, Model, Evaluation, Evaluation], Champion | None]
"""The deployed version beside a new model: registry, the new model, then the evaluations of the version that it was
made from and of itself."""


@dataclass(frozen=True)
class Unseen:
    """Rows of a signature that a version was not trained on."""

    signature: Signature
    cells: Cells
    y: npt.NDArray[Any]
    choosing: Positions
    """Rows that may be chosen by; none of them is among `judging`."""
    judging: Positions
    gates: tuple[Gate, ...]
    defend: Defend
    columns: Mapping[str, Sequence[Any]]
    """The values of columns that are evaluated slice by slice."""
    decision: Decision | None
    seed: int
    data: Mapping[str, Any]
    """Where they come from, for the lineage."""
    rules: tuple[SplitRule, ...]
    """That all hold out no row that was trained on or chosen by; none where they are not known."""
    notes: tuple[str, ...] = ()

    def scored(self, answers: Answers, rows: Positions) -> Scored:
        """Answers for these rows, beside the truth."""
        positive = 1 if self.decision is None else self.decision.positive
        return scored(
            answers,
            self.y[rows],
            task=self.signature.judged,
            classes=len(self.signature.labels),
            positive=positive,
        )

    def evaluated(self, answers: Answers) -> Evaluation:
        """The evaluation of answers for the rows that judge, with that of the best constant answer."""
        y = self.y[self.judging]
        columns = {name: [values[row] for row in self.judging.tolist()] for name, values in self.columns.items()}

        def measured(found: Answers) -> Evaluation:
            return evaluate(
                found,
                y,
                self.signature,
                slices=columns,
                keep=named(self.gates),
                decision=self.decision,
                seed=self.seed,
            )

        return msgspec.structs.replace(measured(answers), baseline=measured(constant_answers(self.signature, y)))


@dataclass(frozen=True)
class Told:
    """For which version rows are wanted, and what for."""

    version: Version
    package: Package
    model: Model
    gates: tuple[str, ...]
    """For rows that are given; for the project's own, its gates hold."""
    name: str
    """Of the model whose deployed version gates speak of."""
    choose: bool
    """Whether half of the rows are to be chosen by."""


def of_project(folder: Path, told: Told, *, watch: Watcher) -> Unseen:
    """The rows of the project's data that the version's own training held out.

    Raises:
        CheckFailed: its lineage does not say which rows those are, or they are too few.
        ProjectError, DataError, InputError, and as `prepare`.
    """
    version, choose = told.version, told.choose
    rules = rules_of(told.package)
    if not rules or not (folder / FILE).exists():
        raise CheckFailed(
            f"Which rows {version.ref} was not trained on is not known here: give such rows, with their true answers, "
            "with --evaluate DATA --target COLUMN."
        )
    prepared = prepare(folder, watch=watch)
    project, signature, table = prepared.project, told.model.signature, prepared.table
    if (signature.target, signature.task) != (project.target, project.task):
        raise CheckFailed(
            f"{version.ref} answers {signature.target!r}, a {signature.task} task, and this project "
            f"{project.target!r}, a {project.task} task: give rows for it with --evaluate DATA --target COLUMN."
        )
    every = unseen_by(rules, table)
    left = _half(told, rules, table) if choose else rules
    judging = unseen_by(left, table) & every
    _enough(int(judging.sum()), int((every & ~judging).sum()) if choose else None)
    columns = sorted({*project.slices, *named(prepared.gates)})
    held = table.rows(np.flatnonzero(every))
    place = judging[every]

    def defend(registry: Registry, made: Model, before: Evaluation, after: Evaluation) -> Champion | None:
        del before, after
        constant = _Constant(signature, target_of(table, project, signature.labels or None).y[~every])
        return champion(registry, prepared, Registered(made), constant, unseen=judging, name=told.name)

    return Unseen(
        signature=signature,
        cells=cells_of(held, signature),
        y=target_of(held, project, signature.labels or None).y,
        choosing=np.flatnonzero(~place),
        judging=np.flatnonzero(place),
        gates=prepared.gates,
        defend=defend,
        columns=slice_values(held, columns),
        decision=asked(Registered(told.model), prepared),
        seed=project.seed,
        data=msgspec.to_builtins(table.provenance),
        rules=left,
    )


def of_file(folder: Path, told: Told, data: Path, *, target: str | None) -> Unseen:
    """The rows of a file, of which somebody says that the version was not trained on them.

    Raises:
        DataError, InputError, GateError, CheckFailed; MainstayError: no true answers, or ones that it does not know.
    """
    signature = told.model.signature
    if signature.tensors:
        raise MainstayError(
            "A file of rows holds columns, and this model takes tensors: give arrays, with X_test and y_test "
            "of mainstay.compress in Python."
        )
    conditions = tuple(parse(text, signature.judged) for text in told.gates)
    table, wanted = table_of(folder, data.absolute(), missing=signature.missing_tokens or ("", "NA", "NaN", "null"))
    left = left_of([origin_of(told.version.ref, told.package)], table, data.name)
    table = table.rows(np.flatnonzero(left.mask))
    truth = truth_for(table, msgspec.structs.replace(signature, target=target or signature.target))
    if truth is None:
        raise MainstayError(
            f"{data.name} has no full column {target or signature.target!r} of true answers: name it with --target."
        )
    inputs = [column for column in signature.names if column in table.names]
    halves = row_keys(table, inputs, 0) % np.uint64(2) == 0
    slices = sorted({*(column for column in wanted if column in table.names), *named(conditions)})
    return _given(
        told,
        cells_of(table, signature),
        np.array(truth, dtype=object) if signature.labels else np.array(truth),
        halves=halves if told.choose else np.zeros(len(table), dtype=np.bool_),
        gates=conditions,
        columns=slice_values(table, slices),
        data={**msgspec.to_builtins(table.provenance), "use": "evaluation"},
        notes=(left.told(data.name),) if left.trained else (),
    )


def of_arrays(told: Told, rows: Any, truth: Any) -> Unseen:
    """Rows as `Model.predict` takes them, of which somebody says that the version was not trained on them.

    Raises:
        InputError, GateError, CheckFailed; MainstayError: another number of answers, or ones that it does not know.
    """
    check_pairs(rows, truth)
    model = told.model
    cells = model.cells(rows)
    answers = np.asarray(truth).reshape(-1)
    if len(answers) != len(cells):
        raise MainstayError(f"y_test has {len(answers)} values, but there are {len(cells)} test rows: give one a row.")
    conditions = tuple(parse(text, model.signature.judged) for text in told.gates)
    if named(conditions):
        raise MainstayError("Gates on slices need columns: give the rows as a file, with data.")
    return _given(
        told,
        cells,
        answers,
        halves=np.arange(len(cells)) % 2 == (0 if told.choose else 2),
        gates=conditions,
        columns={},
        data={"use": "evaluation", "rows": len(cells)},
    )


def _given(
    told: Told,
    cells: Cells,
    truth: npt.NDArray[Any],
    *,
    halves: npt.NDArray[np.bool_],
    gates: tuple[Gate, ...],
    columns: Mapping[str, Sequence[Any]],
    data: Mapping[str, Any],
    notes: tuple[str, ...] = (),
) -> Unseen:
    signature = told.model.signature
    if signature.labels and (unknown := [value for value in truth.tolist() if value not in signature.labels]):
        raise MainstayError(
            f"The true answers hold {unknown[0]!r}, and the model knows {', '.join(map(repr, signature.labels))}."
        )
    if not signature.labels:
        check_truth(truth, len(cells), ())
    _enough(int((~halves).sum()), int(halves.sum()) if told.choose else None)
    # Of rows that were chosen by, nobody can say whether the version's own rules hold them out.
    rules = () if told.choose else rules_of(told.package)

    def defend(registry: Registry, made: Model, before: Evaluation, after: Evaluation) -> Champion | None:
        del made
        deployment = registry.deployment(told.name)
        if deployment is None:
            return None
        ref = deployment.version.ref
        if deployment.version.content_id == told.version.content_id:
            return Champion(ref=ref, champion=before, challenger=after)
        return Champion(
            ref=ref, trouble=f"Whether {ref} was trained on these rows cannot be known: leave the gate out."
        )

    return Unseen(
        signature=signature,
        cells=cells,
        y=truth_of(signature, truth),
        choosing=np.flatnonzero(halves),
        judging=np.flatnonzero(~halves),
        gates=gates,
        defend=defend,
        columns=columns,
        decision=told.model.spec.decision,
        seed=0,
        data=data,
        rules=rules,
        notes=notes,
    )


def _half(told: Told, rules: tuple[SplitRule, ...], table: Table) -> tuple[SplitRule, ...]:
    """Rules that hold out about half of what these hold out together."""
    if len(rules) == 1:
        return (halved(rules[0], table),)
    signature = told.model.signature
    half = halving([told.package], target=signature.target, columns=signature.names, missing=table.missing)
    return (*rules, half)


@dataclass(frozen=True)
class _Constant:
    """The best constant answer to some true ones, as a contender."""

    signature: Signature
    truth: npt.NDArray[Any]
    decision: Decision | None = None

    def answer(self, cells: Cells) -> Answers:
        one = constant_answers(self.signature, self.truth).rows(slice(0, 1))
        return one.rows(np.zeros(len(cells), dtype=np.intp))


def _enough(judging: int, choosing: int | None) -> None:
    for rows, what in ((judging, "to judge by"), (choosing, "to choose by")):
        if rows is not None and rows < LEAST:
            raise CheckFailed(
                f"There are {rows} rows {what} that the version was not trained on, and {LEAST} are needed: bring more."
            )
