"""Permutation importance: how much a model loses when one column's values are shuffled among the rows.

Breiman 2001, "Random forests", section 10.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells, Signature
from mainstay.training.metrics import LOWER_IS_BETTER, PRIMARY, measure, scored

ROWS = 2000
"""Rows that are shuffled at most; more change the answer little."""


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """How much worse a metric becomes without the information of a column."""

    column: str
    metric: str
    loss: float
    """Positive where the model needs the column, in units of the metric; the mean over repeats."""
    error: float | None = None
    """Standard error over the repeats; None for a single one."""
    repeats: int


def importance(
    answer: Callable[[Cells], Answers],
    cells: Cells,
    y: npt.ArrayLike,
    signature: Signature,
    *,
    positive: int = 1,
    repeats: int = 5,
    seconds: float = 20.0,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> list[Importance]:
    """Each input column's importance for the model's primary metric, the largest first.

    Args:
        answer: the model: the answers for cells.
        cells: n held-out rows, of which `ROWS` are drawn where there are more.
        y: (n,) true values or label indices.
        signature: of the model.
        positive: index of the positive label of a binary task.
        repeats: shuffles a column.
        seconds: no shuffle is started after this long, so that fewer columns, or fewer repeats, may be measured.
        seed: of the rows and shuffles.
        clock: seconds, for tests.

    Returns:
        Empty where the rows define no metric.
    """
    end = clock() + seconds
    rng = np.random.default_rng(seed)
    truth = np.asarray(y)
    if len(cells) > ROWS:
        chosen = np.sort(rng.choice(len(cells), ROWS, replace=False)).astype(np.intp)
        cells, truth = cells.rows(chosen), truth[chosen]

    def score(rows: Cells) -> dict[str, float]:
        found = scored(answer(rows), truth, task=signature.judged, classes=len(signature.labels), positive=positive)
        return measure(found).values

    whole = score(cells)
    metric = next(
        (name for name in (PRIMARY[signature.judged], "balanced_accuracy", "accuracy") if name in whole), None
    )
    if metric is None:
        return []
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
    losses: dict[int, list[float]] = {}
    # Repeats are the outer loop: where time runs out, every column was measured about as often.
    for _ in range(repeats):
        for index in range(len(signature.inputs)):
            if clock() >= end:
                break
            shuffled = score(_shuffled(cells, index, rng.permutation(len(cells))))
            if metric in shuffled:
                losses.setdefault(index, []).append(sign * (shuffled[metric] - whole[metric]))
    return sorted(
        (_importance(signature.inputs[index].name, metric, found) for index, found in losses.items()),
        key=lambda one: (-one.loss, one.column),
    )


def _shuffled(cells: Cells, index: int, order: npt.NDArray[np.intp]) -> Cells:
    numbers = cells.numbers.copy()
    numbers[:, index] = numbers[order, index]
    texts = dict(cells.texts)
    if index in texts:
        texts[index] = [texts[index][row] for row in order]
    return Cells(numbers, texts)


def _importance(column: str, metric: str, losses: list[float]) -> Importance:
    several = len(losses) > 1
    return Importance(
        column=column,
        metric=metric,
        loss=float(np.mean(losses)),
        error=float(np.std(losses, ddof=1) / np.sqrt(len(losses))) if several else None,
        repeats=len(losses),
    )
