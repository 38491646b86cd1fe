"""Rows that a candidate is tried on before it gets any traffic: those that its project holds out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.signature import Cells, Signature
from mainstay.project import FILE, Project, load

MOST = 1_000
"""Rows, evenly spaced over those held out."""
LARGEST = 500_000_000
"""Bytes of a data file beyond which reading it would take longer than it is worth here."""


@dataclass(frozen=True)
class TrialRows:
    """The same rows as each of some signatures reads them."""

    cells: tuple[Cells | None, ...]
    """One a signature; None where these rows do not fit it, or there are none."""
    note: str = ""
    """Why there are none; empty where there are."""


def trial_rows(folder: Path, model: str, signatures: tuple[Signature, ...]) -> TrialRows:
    """The held-out rows of the project, if it is the model's and its data is in files here.

    Raises:
        ProjectError.
    """
    nothing = (None,) * len(signatures)
    project = load(folder) if (folder / FILE).exists() else None
    if project is None or project.name != model:
        return TrialRows(nothing, f"no project file of {model} is here")
    if why := _too_much(project, folder):
        return TrialRows(nothing, why)
    try:
        return TrialRows(_read(folder, project, signatures))
    except ModuleNotFoundError as error:
        return TrialRows(nothing, f"{error.name} is not installed here (the extra train has it)")
    except MainstayError as error:  # told, and no reason against the version: it need not be of this data
        return TrialRows(nothing, str(error))


def _too_much(project: Project, folder: Path) -> str:
    """Why the data is not read; empty where it is."""
    if project.data.path is None:
        return "the project's data is in a database, which is not asked for this"
    path = folder / project.data.path
    files = [path] if path.is_file() else path.rglob("*") if path.is_dir() else []
    if sum(file.stat().st_size for file in files if file.is_file()) > LARGEST:
        return f"the project's data is more than {LARGEST // 1_000_000} MB"
    return ""


def _read(folder: Path, project: Project, signatures: tuple[Signature, ...]) -> tuple[Cells | None, ...]:
    from mainstay.training.reading import read  # noqa: PLC0415 - an extra, which a server need not have
    from mainstay.training.splitting import split  # noqa: PLC0415
    from mainstay.training.values import cells_of, prepared, target_of  # noqa: PLC0415

    table = prepared(read(project.data, folder), project)
    held_out = np.flatnonzero(split(table, target_of(table, project), project).test)
    chosen = held_out[np.linspace(0, len(held_out) - 1, min(MOST, len(held_out))).astype(np.intp)]
    wanted = np.zeros(len(table), dtype=np.bool_)
    wanted[chosen] = True
    rows = table.rows(wanted)
    return tuple(None if signature.tensors else cells_of(rows, signature) for signature in signatures)
