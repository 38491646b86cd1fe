"""Tables beside the project's own: a file to ask versions about, its slices, its truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mainstay.models.signature import Label, Signature
from mainstay.project import FILE, Data, load
from mainstay.training.kinds import boolean, integer, number, plain
from mainstay.training.reading import read
from mainstay.training.table import Table


def table_of(folder: Path, data: Path, *, missing: tuple[str, ...]) -> tuple[Table, list[str]]:
    """The rows of a file, read as the project's data is where there is a project, and the project's slices."""
    settings, slices = Data(missing=missing), []
    if (folder / FILE).exists():
        project = load(folder)
        slices = list(project.slices)
        settings = msgspec.structs.replace(project.data, url=None, query=None, format=None, missing=missing)
        if settings.separator is not None and data.suffix != Path(settings.path or "").suffix:
            settings = msgspec.structs.replace(settings, separator=None, quote=None)
    return read(msgspec.structs.replace(settings, path=str(data.absolute())), folder), slices


def slice_values(table: Table, names: Sequence[str]) -> dict[str, list[Any]]:
    """The values of columns, one a row, for slices: numbers where all are, else text; None where missing.

    Raises:
        DataError: the table has no such column.
    """
    found: dict[str, list[Any]] = {}
    for name in names:
        factor = table.factor(name)
        numbers = [number(value) for value in factor.values]
        values = [plain(value) for value in factor.values] if any(n is None for n in numbers) else numbers
        spelled: list[Any] = [*values, None]
        found[name] = [spelled[code] for code in factor.codes]
    return found


def truth_for(table: Table, signature: Signature) -> list[Label] | list[float] | None:
    """The true answers, where the table has the target column in full; None elsewhere."""
    if signature.target not in table.names:
        return None
    factor = table.factor(signature.target)
    if factor.missing.any():
        return None
    if signature.task == "regression":
        values = [number(value) for value in factor.values]
        if any(value is None for value in values):
            return None
        return [float(value) for value in np.array(values, dtype=np.float64)[factor.codes]]
    kind = type(signature.labels[0])
    read_label: Callable[[Any], Any] = boolean if kind is bool else integer if kind is int else plain
    spelled: list[Any] = []
    for value in factor.values:
        label = read_label(value)
        spelled.append(plain(value) if label is None else label)
    return [spelled[code] for code in factor.codes]
