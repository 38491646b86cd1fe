"""The rows that a blend is fitted and judged on: such as none of its parts was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.package import Package
from mainstay.models.signature import Signature
from mainstay.operations.split_rules import every_rule, left_of, origin_of, rules_of, unseen_by
from mainstay.operations.tables import table_of, truth_for
from mainstay.project import FILE, load
from mainstay.training.reading import read
from mainstay.training.table import DataError, Table
from mainstay.training.values import label_key, prepared

_TOKENS = ("", "NA", "NaN", "null")


@dataclass(frozen=True)
class Rows:
    """Rows that no part has seen, with their truth, and what is known of how they were chosen."""

    table: Table
    y: Any
    """(n,): float64 values, or int64 positions of the labels in the signature."""
    slices: tuple[str, ...]
    note: str


def rows_of(
    folder: Path, parts: Sequence[tuple[str, Package]], signature: Signature, data: Path | None
) -> tuple[Rows | None, str]:
    """The rows, or None and the reason why there are none.

    Without `data` they come from the project's data: those that the lineage of every part says it held out. With it,
    from that file, of which the caller says that no part was trained on; where a part was trained on that very file,
    its rule counts all the same.

    Raises:
        DataError, InputError, ProjectError: the data cannot be read, or lacks what the parts need.
        MainstayError: `data` has no column of true answers, or others than the labels.
    """
    if signature.tensors:
        return None, f"a file of rows holds columns, and a part takes the tensor {signature.tensors[0].name!r}"
    return _given(folder, parts, signature, data) if data is not None else _own(folder, parts, signature)


def chosen(rows: Rows, mask: Any) -> Rows:
    """The rows of a mask."""
    return Rows(rows.table.rows(np.flatnonzero(mask)), rows.y[mask], rows.slices, rows.note)


def _given(
    folder: Path, parts: Sequence[tuple[str, Package]], signature: Signature, data: Path
) -> tuple[Rows | None, str]:
    tokens = dict.fromkeys(token for _, part in parts for token in part.signature.missing_tokens)
    table, slices = table_of(folder, data.absolute(), missing=tuple(tokens) or _TOKENS)
    left = left_of([origin_of(name, part) for name, part in parts], table, data.name)
    kept = table.rows(np.flatnonzero(left.mask))
    if not len(kept):
        raise MainstayError(f"No row of {data.name} is left to judge by: give others with --evaluate.")
    note = left.told(data.name) or f"Judged on rows of {data.name}, as one that no part was trained on."
    return Rows(kept, _truth(kept, signature, data.name), _present(slices, kept), note), ""


def _own(folder: Path, parts: Sequence[tuple[str, Package]], signature: Signature) -> tuple[Rows | None, str]:
    if not (folder / FILE).exists():
        return None, "there is no project file that says where its data is"
    for name, part in parts:
        if not rules_of(part):
            return None, f"the lineage of {name} does not say which rows it was trained on"
    project = load(folder)
    if project.target != signature.target:
        return None, f"the project's data is of {project.target!r}, and the parts answer {signature.target!r}"
    table = prepared(read(project.data, folder), project)
    try:
        kept = table.rows(np.flatnonzero(unseen_by(every_rule([part for _, part in parts]), table)))
    except DataError as error:
        return None, f"the project's data is not what a part was trained on ({str(error).rstrip('.')})"
    if not len(kept):
        return None, "every row of the project's data was seen by a part in training"
    note = "Judged on rows of the project's data that every part held out in training."
    return Rows(kept, _truth(kept, signature, "the project's data"), _present(project.slices, kept), note), ""


def _present(slices: Sequence[str], table: Table) -> tuple[str, ...]:
    return tuple(name for name in slices if name in table.names)


def _truth(table: Table, signature: Signature, name: str) -> Any:
    truth = truth_for(table, signature)
    if truth is None:
        raise MainstayError(
            f"{name} has no full column {signature.target!r} of true answers: name the column with --target."
        )
    if not signature.labels:
        return np.array(truth, dtype=np.float64)
    place = {label_key(label): index for index, label in enumerate(signature.labels)}
    for value in truth:
        if not isinstance(value, bool | int | str) or label_key(value) not in place:
            raise MainstayError(f"{name} has the answer {value!r}, and the parts know {signature.labels}.")
    return np.array([place[label_key(v)] for v in truth if isinstance(v, bool | int | str)], dtype=np.int64)
