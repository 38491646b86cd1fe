"""Who is asked together, and that everybody gets the answers to his own rows: in an event loop whose clock is moved by
hand, so that nothing here takes time or depends on it."""

from __future__ import annotations

import asyncio
from collections import Counter

import hand_moved
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from mainstay.models.answers import Answers
from mainstay.models.signature import Cells, InputError
from mainstay.models.tensors import Tensor
from mainstay.serving.batching import LATEST, Batcher, Bounds, Busy, Late
from mainstay.serving.company import ALONE, Timed, most_rows
from mainstay.serving.joining import agree, by_row, form, joined, parted, weight


def table(*values: float) -> Cells:
    return Cells(np.array(values, dtype=np.float64).reshape(-1, 1), {})


class Watched:
    """Counts as metrics would."""

    def __init__(self) -> None:
        self.queue = self.longest = 0
        self.rows: list[int] = []
        self.waits: list[float] = []
        self.gone: Counter[str] = Counter()

    def waiting(self, change: int) -> None:
        self.queue += change
        self.longest = max(self.longest, self.queue)

    def ran(self, rows: int) -> None:
        self.rows.append(rows)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def left(self, why: str) -> None:
        self.gone[why] += 1


class Model:
    """Answers each row with itself, and fails on those below zero. It takes one second, and a tenth a row."""

    def __init__(self, *, alone: bool = False) -> None:
        self.alone, self.present, self.most = alone, 0, 0
        self.asked: list[tuple[float, list[float]]] = []
        self.ends: list[float] = []

    async def __call__(self, cells: Cells) -> Answers:
        loop, values = asyncio.get_running_loop(), cells.numbers[:, 0].copy()
        self.asked.append((loop.time(), values.tolist()))
        self.present += 1
        self.most = max(self.most, self.present)
        await asyncio.sleep(1.0 + 0.1 * len(values))
        self.present -= 1
        self.ends.append(loop.time())
        if self.alone and len(values) > 1:
            raise RuntimeError("one row at a time")
        if (values < 0).any():
            raise InputError(f"cannot take {values.min()}")
        return Answers(values=values)


def together(model: Model, *, joins: bool = True, rows: int = 8, queue: int = 100) -> tuple[Batcher, Watched]:
    watched = Watched()
    return Batcher(model, Bounds(rows=rows if joins else 1, queue=queue), lanes=2, watch=watched), watched


def ask(batcher: Batcher, *values: float, timeout: float | None = None) -> asyncio.Task[Answers]:
    loop = asyncio.get_running_loop()

    async def asking() -> Answers:
        return await batcher.answer(table(*values), None if timeout is None else began + timeout)

    began = loop.time()
    return loop.create_task(asking())


def test_a_free_model_is_asked_at_once_and_a_busy_one_for_all_who_wait():
    async def main():
        model = Model()
        batcher, watched = together(model)
        first = ask(batcher, 1.0)
        await asyncio.sleep(0.5)
        others = [ask(batcher, 10.0 + number) for number in range(3)]
        assert (await first).values.tolist() == [1.0]
        assert [(await each).values.tolist() for each in others] == [[10.0], [11.0], [12.0]]
        assert [len(values) for _, values in model.asked] == watched.rows == [1, 3]
        assert model.asked[0][0] == 0.0
        assert model.asked[1][0] == pytest.approx(1.1)
        assert watched.waits == pytest.approx([0.0, 0.6, 0.6, 0.6])
        assert not batcher.busy

    hand_moved.run(main())


def test_a_batch_has_no_more_rows_than_it_may_and_a_larger_request_is_asked_alone():
    async def main():
        model = Model()
        batcher, _ = together(model, rows=4)
        asked = [ask(batcher, *([float(number)] * size)) for number, size in enumerate((1, 3, 9, 2, 1, 1))]
        await asyncio.gather(*asked)
        assert [values for _, values in model.asked] == [[0.0], [1.0] * 3 + [4.0], [2.0] * 9, [3.0] * 2 + [5.0]]

    hand_moved.run(main())


def test_what_the_model_cannot_take_fails_alone():
    async def main():
        model = Model()
        batcher, _ = together(model)
        asked = [ask(batcher, value) for value in (0.0, 1.0, 2.0, -3.0, 4.0, 5.0)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [str(each) if isinstance(each, Exception) else each.values[0] for each in answers] == [
            *(0.0, 1.0, 2.0),
            "cannot take -3.0",
            *(4.0, 5.0),
        ]

    hand_moved.run(main())


def test_a_model_that_cannot_take_company_is_asked_one_by_one_from_then_on():
    async def main():
        model = Model(alone=True)
        batcher, watched = together(model)
        for _ in range(2):
            answers = await asyncio.gather(*[ask(batcher, float(number)) for number in range(5)])
            assert [each.values[0] for each in answers] == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert watched.rows == [1, 4, 2, 1, 1, 2, 1, 1, *([1] * 5)]

    hand_moved.run(main())


def test_a_batch_that_was_too_large_is_followed_by_smaller_ones_that_grow_again():
    async def main():
        watched, large = Watched(), []

        async def run(cells: Cells) -> Answers:
            await asyncio.sleep(1.0)
            if len(cells) > 8 and not large:
                large.append(len(cells))
                raise MemoryError
            return Answers(values=cells.numbers[:, 0])

        batcher = Batcher(run, Bounds(rows=16), watch=watched)
        for _ in range(15):
            await asyncio.gather(*[ask(batcher, 1.0) for _ in range(17)])
        # One alone, sixteen that were too many, their halves; from then on eight, and after ten batches more.
        assert watched.rows[:7] == [1, 16, 8, 8, 1, 8, 8]
        assert watched.rows[-2] > 9

    hand_moved.run(main())


def test_a_lost_host_is_not_asked_again_for_each_of_a_batch():
    class Gone(Exception):
        pass

    async def main():
        runs = []

        async def run(cells: Cells) -> Answers:
            runs.append(len(cells))
            await asyncio.sleep(1.0)
            raise Gone

        batcher = Batcher(run, Bounds(), lost=(Gone,))
        answers = await asyncio.gather(*[ask(batcher, 1.0) for _ in range(6)], return_exceptions=True)
        assert [type(each) for each in answers] == [Gone] * 6
        assert runs == [1, 5]
        # It may have been too much at once: fewer are asked together from then on.
        await asyncio.gather(*[ask(batcher, 1.0) for _ in range(6)], return_exceptions=True)
        assert runs == [1, 5, 1, 2, 1, 1, 1]

    hand_moved.run(main())


class Killed:
    """A model whose process dies of numbers below zero, and is back after three seconds; or not."""

    def __init__(self, *, returns: bool) -> None:
        self.runs: list[list[float]] = []
        self.waits = 0
        self._returns = returns

    async def run(self, cells: Cells) -> Answers:
        values = cells.numbers[:, 0].copy()
        self.runs.append(values.tolist())
        await asyncio.sleep(1.0)
        if (values < 0).any():
            raise EOFError
        return Answers(values=values)

    async def back(self, error: Exception) -> bool:
        assert isinstance(error, EOFError)
        self.waits += 1
        await asyncio.sleep(3.0)
        return self._returns

    def batcher(self) -> Batcher:
        return Batcher(self.run, Bounds(), lost=(EOFError,), back=self.back)


def test_who_was_asked_together_with_what_kills_a_host_is_asked_again_alone():
    async def main():
        model = Killed(returns=True)
        batcher = model.batcher()
        asked = [ask(batcher, value) for value in (9.0, 1.0, -1.0, 2.0)] + [ask(batcher, 3.0, timeout=3.0)]
        said = await asyncio.gather(*asked, return_exceptions=True)
        assert model.runs == [[9.0], [1.0, -1.0, 2.0, 3.0], [1.0], [-1.0], [2.0]]
        assert [said[at].values.tolist() for at in (0, 1, 3)] == [[9.0], [1.0], [2.0]]
        assert isinstance(said[2], EOFError)
        assert isinstance(said[4], Late)  # before the host was back: it is not computed again

    hand_moved.run(main())


def test_who_waits_while_a_host_dies_waits_until_it_is_back():
    async def main():
        model = Killed(returns=True)
        batcher = model.batcher()
        said = await asyncio.gather(ask(batcher, -1.0), ask(batcher, 1.0), ask(batcher, 2.0), return_exceptions=True)
        assert isinstance(said[0], EOFError)
        assert (model.runs, model.waits) == ([[-1.0], [1.0, 2.0]], 1)
        await asyncio.gather(ask(batcher, -1.0), return_exceptions=True)
        assert model.waits == 1  # for nobody
        assert not batcher.busy

    hand_moved.run(main())


def test_a_host_that_does_not_come_back_is_waited_for_once():
    async def main():
        model = Killed(returns=False)
        batcher = model.batcher()
        said = await asyncio.gather(*[ask(batcher, value) for value in (1.0, 2.0, -1.0, 3.0)], return_exceptions=True)
        assert (model.runs, model.waits) == ([[1.0], [2.0, -1.0, 3.0]], 1)
        assert [type(each) for each in said[1:]] == [EOFError] * 3

    hand_moved.run(main())


def test_who_is_late_is_told_so_in_time_and_is_not_computed():
    async def main():
        model = Model()
        batcher, watched = together(model)
        loop = asyncio.get_running_loop()
        first, second = ask(batcher, 1.0), ask(batcher, 2.0, timeout=0.25)
        with pytest.raises(Late):
            await second
        assert loop.time() == pytest.approx(0.25)
        late = ask(batcher, 3.0, timeout=0.0)
        with pytest.raises(Late):
            await late
        slow = ask(batcher, 4.0, timeout=1.5)  # being computed when its time is up
        with pytest.raises(Late):
            await slow
        assert loop.time() == pytest.approx(1.75)
        await first
        assert [values for _, values in model.asked] == [[1.0], [4.0]]
        assert watched.gone == {"timeout": 3}
        assert watched.queue == 0

    hand_moved.run(main())


def test_a_full_queue_refuses_and_says_when_there_may_be_room():
    async def main():
        batcher, watched = together(Model(), rows=2, queue=4)
        await ask(batcher, 0.0)  # tells how long a run takes: 1.1 s
        asked = [ask(batcher, 1.0) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="4 requests are waiting") as refused:
            await batcher.answer(table(1.0))
        assert refused.value.after == 3  # two runs of two
        assert watched.gone == {"rejected": 1}
        await asyncio.gather(*asked)
        many, _ = together(Model(), joins=False, queue=200)
        await ask(many, 0.0)
        asked = [ask(many, 1.0) for _ in range(202)]
        await asyncio.sleep(0)
        with pytest.raises(Busy) as refused:
            await many.answer(table(1.0))
        assert refused.value.after == LATEST
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    hand_moved.run(main())


def test_a_cancelled_caller_leaves_the_queue_and_wedges_nobody():
    async def main():
        model = Model()
        batcher, watched = together(model)
        first, gone, last = ask(batcher, 1.0), ask(batcher, 2.0), ask(batcher, 3.0)
        await asyncio.sleep(0.1)
        gone.cancel()
        first.cancel()  # is being computed: its answer is nobody's
        await asyncio.sleep(0)
        assert watched.queue == 1
        assert (await last).values.tolist() == [3.0]
        assert [values for _, values in model.asked] == [[1.0], [3.0]]
        assert watched.gone == {"cancelled": 2}
        assert not batcher.busy

    hand_moved.run(main())


WHEN = st.integers(0, 60).map(lambda tenths: tenths / 10)
CALLERS = st.lists(
    st.tuples(
        WHEN,
        st.integers(1, 6),
        st.sampled_from([False] * 5 + [True]),
        st.none() | st.integers(0, 40).map(lambda tenths: tenths / 10 + 0.05),
        st.none() | st.integers(1, 40).map(lambda tenths: tenths / 10 + 0.025),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=examples(150), deadline=None)
@given(callers=CALLERS, joins=st.booleans(), rows=st.integers(1, 9), queue=st.integers(1, 12))
def test_everybody_gets_the_answers_to_his_own_rows(callers, joins, rows, queue):
    """Callers come, give up and go at any time, and some send what the model fails on."""

    async def main():
        model, loop = Model(), asyncio.get_running_loop()
        batcher, watched = together(model, joins=joins, rows=rows, queue=queue)
        ended: dict[int, float] = {}
        outcomes: Counter[str] = Counter()

        async def call(number: int, caller):
            when, size, bad, timeout, cancel = caller
            await asyncio.sleep(when)
            # Every value in the test is one caller's; one that fails is below zero.
            mine = [(-1.0 if bad and at == size - 1 else 1.0) * (100 * number + at + 1) for at in range(size)]
            was_idle = not batcher.busy
            task = ask(batcher, *mine, timeout=timeout)
            if cancel is not None:
                loop.call_later(cancel, task.cancel)
            await asyncio.wait([task])
            ended[number] = loop.time()
            if task.cancelled():
                outcomes["cancelled"] += 1
                assert loop.time() == pytest.approx(when + cancel)
                return
            match task.exception():
                case None:
                    assert not bad
                    assert task.result().values.tolist() == mine
                    assert not (was_idle and model.most == 1) or loop.time() >= when + 1.0
                case InputError() as error:
                    assert bad
                    assert str(error) == f"cannot take {min(mine)}"
                case Late():
                    outcomes["timeout"] += 1
                    assert loop.time() == pytest.approx(when + timeout)
                case Busy():
                    outcomes["rejected"] += 1
                    assert loop.time() == pytest.approx(when)
                case other:
                    raise AssertionError(other)

        await asyncio.gather(*(call(number, each) for number, each in enumerate(callers)))
        while batcher.busy:
            await asyncio.sleep(0.1)

        bound = 1 if joins and rows > 1 else 2
        assert model.most <= bound
        arrivals = [each[0] for each in callers]
        for begun, values in model.asked:
            whose = {int(abs(value) - 1) // 100 for value in values}
            assert len(whose) == 1 or (joins and len(values) <= rows)
            for number in whose:
                assert begun <= ended[number] + 1e-9, "somebody who had left was computed"
            # An idle model never waits: a run begins when a caller comes, or when another run ends.
            assert any(abs(begun - moment) < 1e-6 for moment in arrivals + model.ends)
        assert watched.queue == 0
        assert watched.longest <= queue
        assert +watched.gone == +outcomes

    hand_moved.run(main())


def tensors(**arrays) -> Cells:
    found = {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
    return Cells(np.empty((len(next(iter(found.values()))), 0)), {}, found)


def test_tables_are_joined_column_by_column_and_answers_parted_row_by_row():
    one = Cells(np.array([[1.0, np.nan]]), {1: ["a"]}, {"t": np.ones((1, 2), dtype=np.float32)})
    two = Cells(np.array([[2.0, np.nan], [3.0, np.nan]]), {1: [None, "b"]}, {"t": np.zeros((2, 2), dtype=np.float32)})
    whole = joined([one, two])
    assert whole.numbers[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert whole.texts == {1: ["a", None, "b"]}
    assert whole.tensors["t"].tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert weight(one) == 16 + 1 + 8
    answers = Answers(labels=np.array([0, 1, 0]), probabilities=np.eye(3)[:, :2])
    first, second = parted(answers, [1, 2])
    # The time is that of all of them, and is bet on for none: counted for each, equal versions were told apart by it.
    assert [each.alone for each in (answers, first, second, second.rows(slice(0, 1)))] == [True, False, False, False]
    assert parted(first, [1])[0].alone is False and parted(answers, [3])[0].alone
    assert first.labels.tolist() == [0]
    assert second.labels.tolist() == [1, 0]
    assert second.probabilities.tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_tensors_of_other_sizes_or_types_have_another_form():
    assert form(tensors(t=np.ones((1, 3)))) == form(tensors(t=np.ones((5, 3))))
    assert form(tensors(t=np.ones((1, 3)))) != form(tensors(t=np.ones((1, 4))))
    typed = Cells(np.empty((1, 0)), {}, {"t": np.ones((1, 3))})
    assert form(typed) != form(tensors(t=np.ones((1, 3))))


def test_requests_of_other_sizes_are_not_asked_together():
    async def main():
        sizes = []

        async def run(cells: Cells) -> Answers:
            sizes.append(cells.tensors["t"].shape)
            await asyncio.sleep(1.0)
            return Answers(outputs={"sum": cells.tensors["t"].sum(axis=1)})

        batcher = Batcher(run, Bounds())
        asked = [batcher.answer(tensors(t=np.full((1, size), size))) for size in (3, 2, 3, 2, 3)]
        answers = await asyncio.gather(*asked)
        assert [each.outputs["sum"].tolist() for each in answers] == [[9.0], [4.0], [9.0], [4.0], [9.0]]
        assert sizes == [(1, 3), (2, 2), (2, 3)]

    hand_moved.run(main())


def test_an_output_as_long_as_a_batch_needs_is_no_answer_to_a_row():
    from mainstay.models.signature import Signature

    sequence = Tensor(name="t", dtype="float32", shape=("n",))

    def general(*shape: int | str) -> Signature:
        outputs = (Tensor(name="out", dtype="float32", shape=shape),)
        return Signature(inputs=(), tensors=(sequence,), task="general", outputs=outputs)

    assert by_row(general(3))
    assert by_row(general("n"))
    assert not by_row(general("found"))


def test_batched_and_unbatched_answers_agree_within_a_millionth():
    alone = [Answers(values=np.array([1.0])), Answers(values=np.array([200.0]))]
    assert agree(Answers(values=np.array([1.0, 200.0001])), alone)
    assert not agree(Answers(values=np.array([1.0 + 2e-6, 200.0])), alone)
    assert not agree(Answers(values=np.array([1.0])), alone)
    labels = [Answers(labels=np.array([0])), Answers(labels=np.array([1]))]
    assert agree(Answers(labels=np.array([0, 1])), labels)
    assert not agree(Answers(labels=np.array([1, 1])), labels)


def timed(seconds: float, *values: float) -> Timed:
    return Timed(Answers(values=np.array(values)), seconds)


def test_rows_are_joined_where_that_is_faster_and_changes_no_answer_and_no_more_than_a_second_of_them():
    apart = [timed(0.02, 1.0), timed(0.02, 2.0)]
    assert most_rows(apart, [timed(0.05, 1.0, 2.0), timed(0.025, 1.0, 2.0)]) == 80
    assert most_rows(apart, [timed(0.035, 1.0, 2.0)]) == ALONE
    assert most_rows(apart, [timed(0.025, 1.0, 2.0), timed(0.025, 1.0, 2.1)]) == ALONE
    very_slow = [timed(20.0, 1.0), timed(20.0, 2.0)]
    assert most_rows(very_slow, [timed(21.0, 1.0, 2.0)]) == 2
