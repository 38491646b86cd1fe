"""Tiny problems with a known structure, for the tests of the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.models.signature import Cells, Column, Signature


@dataclass(frozen=True)
class Tiny:
    cells: Cells
    y: Any
    signature: Signature
    folds: list[tuple[Any, Any]]


def folds(rows: int, count: int = 3, seed: int = 0) -> list[tuple[Any, Any]]:
    part = np.random.default_rng(seed).permutation(rows) % count
    return [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(count)]


def mixed(rows: int = 120, *, task: str = "binary", seed: int = 0) -> Tiny:
    """Numbers (one with gaps), a category, a boolean and a date-time; all but the last matter."""
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=rows), draw.normal(size=rows)
    color = draw.integers(0, 3, size=rows).astype(float)
    flag = draw.integers(0, 2, size=rows).astype(float)
    moment = draw.integers(0, 300, size=rows) * 86400.0
    signal = a + 1.5 * (color == 1) + 0.5 * flag + 0.3 * draw.normal(size=rows)
    b[::7] = np.nan
    color[::11] = np.nan
    y: Any
    labels: tuple[Any, ...] = ()
    if task == "binary":
        y, labels = (signal > np.median(signal)).astype(np.int64), ("no", "yes")
    elif task == "multiclass":
        y = np.digitize(signal, np.quantile(signal, [0.33, 0.66])).astype(np.int64)
        labels = ("high", "low", "mid")
    else:
        y = 10.0 * signal
    columns = (
        Column(name="a", type="number"),
        Column(name="b", type="number", nullable=True),
        Column(name="color", type="category", categories=("blue", "green", "red"), nullable=True),
        Column(name="flag", type="boolean"),
        Column(name="day", type="datetime"),
    )
    signature = Signature(inputs=columns, task=task, labels=labels)  # type: ignore[arg-type]  # a task by its name
    return Tiny(Cells(np.column_stack([a, b, color, flag, moment]), {}), y, signature, folds(rows))


def messages(rows: int = 90) -> Tiny:
    """Texts whose words give the class away."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, size=rows).astype(np.int64)
    common = ["hello", "you", "there", "today", "see", "us", "at", "home"]
    telling = (["meeting", "lunch", "thanks"], ["winner", "prize", "free"])
    texts = [
        " ".join([*draw.choice(common, 4), *draw.choice(telling[label], 2)]) if row % 13 else None
        for row, label in enumerate(y.tolist())
    ]
    signature = Signature(
        inputs=(Column(name="text", type="text", nullable=True),), task="binary", labels=("ham", "spam")
    )
    return Tiny(Cells(np.full((rows, 1), np.nan), {0: texts}), y, signature, folds(rows))
