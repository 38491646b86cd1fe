"""From a project folder to rows that can be trained on: read, checked, divided, typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mainstay.models.signature import Cells, Signature
from mainstay.operations.watching import Watcher
from mainstay.project import FILE, Project, load
from mainstay.training.checks import check
from mainstay.training.findings import Checks
from mainstay.training.gates import Gate, parse
from mainstay.training.reading import read
from mainstay.training.splitting import Division, split
from mainstay.training.table import Table
from mainstay.training.values import Target, cells_of, prepared, signature_of, target_of

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Prepared:
    """A project's rows, ready for a search. All rows are in one order: that of `table`."""

    folder: Path
    project: Project
    text: str
    """Of the project file."""
    gates: tuple[Gate, ...]
    checks: Checks
    table: Table
    target: Target
    division: Division
    signature: Signature
    cells: Cells

    @property
    def train(self) -> Positions:
        """Positions of the rows that the search may see."""
        return np.flatnonzero(~self.division.test)

    @property
    def test(self) -> Positions:
        """Positions of the rows held out."""
        return np.flatnonzero(self.division.test)

    @property
    def positive(self) -> int | None:
        """Index of the label to find, for two classes."""
        if self.project.task != "binary":
            return None
        labels = self.target.labels
        return labels.index(self.project.positive) if self.project.positive in labels else 1


def prepare(folder: Path, *, watch: Watcher) -> Prepared:
    """Reads, checks and divides the data of a project.

    Raises:
        ProjectError, GateError, DataError, InputError: the project file or the data is not as it should be.
        CheckFailed: the data cannot be trained on; the message lists why.
    """
    project = load(folder)
    gates = tuple(parse(text, project.task) for text in project.gates)
    watch.stage("Reading the data")
    raw = read(project.data, folder)
    watch.stage("Checking the data")
    checks = check(raw, project)
    table = prepared(raw, project)
    target = target_of(table, project)
    division = split(table, target, project)
    signature = signature_of(table, project, ~division.test)
    return Prepared(
        folder=folder,
        project=project,
        text=(folder / FILE).read_text(encoding="utf-8"),
        gates=gates,
        checks=checks,
        table=table,
        target=target,
        division=division,
        signature=signature,
        cells=cells_of(table, signature),
    )
