"""How many requests a model may be asked together, and gains from it: measured on golden rows when it is loaded."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.golden import Golden
from mainstay.models.signature import Cells, InputError, Reader, Signature
from mainstay.serving.host_client import ModelFailed
from mainstay.serving.joining import agree, by_row

SAMPLE = 8
"""Golden rows that a model is asked together, and one by one."""
LONGEST_SAMPLE = 1.0
"""Seconds after which no more rows are asked one by one: of a slow model, two must do."""
WORTH = 0.75
"""Of the time that rows take one by one, what they may take together for joining to be a gain."""
LONGEST_RUN = 1.0
"""Seconds that a batch may take, if more rows take more time in proportion: who comes next waits for it."""
ALONE = 1
"""Rows of a batch of a model that is asked each request alone."""


class Timed(NamedTuple):
    """Answers, and the seconds that they took."""

    answers: Answers
    seconds: float


def sample(signature: Signature, golden: Golden, read: Reader) -> Cells | None:
    """Golden rows to be asked together and alone; None where they could not tell whether that makes a difference."""
    rows = golden.rows
    if not by_row(signature) or all(row == rows[0] for row in rows):
        return None
    return read.rows([rows[at % len(rows)] for at in range(SAMPLE)])


def enough(apart: Sequence[Timed]) -> bool:
    """Whether as many rows were asked one by one as it takes."""
    return len(apart) == SAMPLE or (len(apart) > 1 and sum(each.seconds for each in apart) > LONGEST_SAMPLE)


def most_rows(apart: Sequence[Timed], together: Sequence[Timed]) -> int:
    """How many rows of several requests may be asked at once.

    Args:
        apart: rows, each asked alone.
        together: the same rows in one request, asked again and again.
    """
    same = all(agree(each.answers, [alone.answers for alone in apart]) for each in together)
    fastest = min(each.seconds for each in together)
    if not same or fastest > WORTH * sum(each.seconds for each in apart):
        return ALONE
    return max(len(apart), int(len(apart) * LONGEST_RUN / max(fastest, 1e-9)))


def most_rows_here(answer: Callable[[Cells], Answers], cells: Cells) -> int:
    """The same of a model in this process; `cells` are its sample."""

    def timed(part: Cells) -> Timed:
        start = time.thread_time()  # of this thread's own work: a clock on the wall would count the others' too
        return Timed(answer(part), time.thread_time() - start)

    apart: list[Timed] = []
    while not enough(apart):
        apart.append(timed(cells.rows(np.array([len(apart)]))))
    try:
        together = [timed(cells.rows(slice(0, len(apart)))) for _ in range(2)]
    except Exception:  # noqa: BLE001 - whatever it raises: it takes one row, and not several
        return ALONE
    return most_rows(apart, together)


async def most_rows_there(answer: Callable[[Cells], Awaitable[Answers]], cells: Cells) -> int:
    """The same of a model in a host process: its way there and back is a part of what joining saves.

    Raises:
        HostGone: the host is lost.
    """

    async def timed(part: Cells) -> Timed:
        start = time.perf_counter()
        return Timed(await answer(part), time.perf_counter() - start)

    apart: list[Timed] = []
    while not enough(apart):
        apart.append(await timed(cells.rows(np.array([len(apart)]))))
    try:
        together = [await timed(cells.rows(slice(0, len(apart)))) for _ in range(2)]
    except (InputError, ModelFailed):
        return ALONE
    return most_rows(apart, together)
