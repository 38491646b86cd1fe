"""Models in the worker's own process: at once, in slices, or in a thread."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from subjects import loan

from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, InputError
from mainstay.serving.batching import Batcher, Bounds
from mainstay.serving.models import SLICES, Inside, mixed_rows

INLINE = 10


@pytest.fixture(scope="module")
def model():
    return Model.load(loan().package())


@pytest.fixture
def rows(model) -> Cells:
    return mixed_rows(model.read.rows(model.package.golden.rows), SLICES * INLINE + 1)


class Watched:
    """A model that notes where and how much it was asked."""

    def __init__(self, model: Model, refuses: int = -1) -> None:
        self.signature, self._model, self._refuses = model.signature, model, refuses
        self.asked: list[tuple[int, bool]] = []

    def answer(self, cells: Cells):
        self.asked.append((len(cells), threading.current_thread() is threading.main_thread()))
        if len(self.asked) - 1 == self._refuses:
            raise InputError("it does not take these rows.")
        return self._model.answer(cells)


def place(watched: Watched, pool: ThreadPoolExecutor) -> Inside:
    return Inside(watched, pool, inline_rows=INLINE, queue=partial(Batcher, bounds=Bounds(rows=1)))  # type: ignore[arg-type] # a model as far as it is asked


async def turns_during(asking) -> tuple[object, int]:
    """What is answered, and how often the event loop got round meanwhile."""
    task, turns = asyncio.ensure_future(asking), 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    return await task, turns


def test_rows_in_slices_are_answered_as_they_are_at_once_and_others_have_their_turn(model, rows):
    watched = Watched(model)
    cells, whole = rows.rows(slice(0, 35)), model.answer(rows.rows(slice(0, 35)))

    async def run():
        with ThreadPoolExecutor(1) as pool:
            inside = place(watched, pool)
            assert inside.now(cells, len(cells)) is None
            return await turns_during(inside.later(cells))

    found, turns = asyncio.run(run())
    np.testing.assert_array_equal(found.labels, whole.labels)
    np.testing.assert_allclose(found.probabilities, whole.probabilities, rtol=0, atol=1e-9)
    assert watched.asked == [(9, True), (9, True), (9, True), (8, True)]
    assert turns >= len(watched.asked)


def test_two_callers_share_the_turns_of_one(model, rows):
    watched = Watched(model)

    async def run():
        with ThreadPoolExecutor(1) as pool:
            inside = place(watched, pool)
            parts = [rows.rows(slice(start, start + 15)) for start in (0, 20)]
            return await asyncio.gather(*(turns_during(inside.later(part)) for part in parts))

    for (found, _), start in zip(asyncio.run(run()), (0, 20), strict=True):
        np.testing.assert_array_equal(found.labels, model.answer(rows.rows(slice(start, start + 15))).labels)
    assert watched.asked == [(8, True), (7, True)] * 2  # the second begins when the first is done


def test_more_rows_than_slices_are_for_go_to_a_thread(model, rows):
    watched = Watched(model)

    async def run():
        with ThreadPoolExecutor(1) as pool:
            return await place(watched, pool).later(rows)

    assert len(asyncio.run(run())) == len(rows)
    assert watched.asked == [(len(rows), False)]


def test_a_slice_that_is_refused_refuses_the_request_and_the_next_is_answered(model, rows):
    watched = Watched(model, refuses=1)

    async def run():
        with ThreadPoolExecutor(1) as pool:
            inside = place(watched, pool)
            with pytest.raises(InputError):
                await inside.later(rows.rows(slice(0, 30)))
            return await inside.later(rows.rows(slice(0, 30)))

    assert len(asyncio.run(run())) == 30


def test_mixed_rows_have_each_number_from_its_own_column(model):
    golden = model.read.rows(model.package.golden.rows)
    mixed = mixed_rows(golden, 50)
    assert len(mixed) == 50
    for given, found in zip(golden.numbers.T, mixed.numbers.T, strict=True):
        assert set(map(str, found)) <= set(map(str, given))  # as texts, NaN is equal to itself
    assert len(model.answer(mixed)) == 50
