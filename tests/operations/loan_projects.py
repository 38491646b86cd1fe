"""Small projects on made-up loans: a second of training each."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from mainstay.operations.initialising import initialise, source_of
from mainstay.operations.publishing import Trained
from mainstay.operations.training import train
from mainstay.project import FILE, Project, load
from mainstay.training.project_file import render

NAMES = ("age", "income", "purpose", "class")
QUICK = {"candidates": ("linear", "decision_tree"), "folds": 3, "trials": 2}


def loans(rows: int, *, seed: int = 0) -> list[tuple[Any, ...]]:
    """Rows of NAMES, about a third of them bad. More rows of one seed begin with the fewer ones."""
    draw = random.Random(seed)
    found = []
    for _ in range(rows):
        age, income = draw.randint(18, 80), round(draw.gauss(3000, 800), 2)
        purpose = draw.choice(["car", "house", "holiday"])
        risk = (45 - age) / 12 + (3000 - income) / 900 + 0.8 * (purpose == "car") + draw.gauss(0, 0.7)
        found.append((age, income, purpose, "bad" if risk > 1.0 else "good"))
    return found


def write_loans(path: Path, rows: int = 400, *, seed: int = 0) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        writer.writerows(loans(rows, seed=seed))
    return path


def project_in(folder: Path, *, rows: int = 400, **changes: Any) -> Path:
    """A project that predicts `class` with two quick candidates; `changes` are keys of the project file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_loans(folder / "loans.csv", rows)
    initialise(folder, source_of(str(folder / "loans.csv")), target="class")
    return changed(folder, search={**QUICK, **changes.pop("search", {})}, **changes)


def changed(folder: Path, **changes: Any) -> Path:
    """The same project with other values; a dict changes keys of a table."""
    project: Project = load(folder)
    for key, value in changes.items():
        table = getattr(project, key)
        inner = isinstance(value, dict) and isinstance(table, msgspec.Struct)
        project = msgspec.structs.replace(project, **{key: msgspec.structs.replace(table, **value) if inner else value})
    (folder / FILE).write_text(render(project, []), encoding="utf-8")
    return folder


def trained(folder: Path, **words: Any) -> Trained:
    return train(folder, **words)


def processes_of_ours(*, since: Sequence[psutil.Process] = ()) -> list[psutil.Process]:
    """Mainstay's processes below this one, but for those of `since`; a browser that other tests keep open is none."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child not in since and any("mainstay" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:  # it ended meanwhile
            continue
    return found
