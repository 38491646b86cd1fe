"""What the reader of Arrow and Parquet makes of bodies: JSON's cells of good ones, a sentence of all others."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from columnar_bodies import body_of
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from mainstay.models.refusing import InputError
from mainstay.models.signature import Column, Reader, Signature
from mainstay.serving.columnar.cells import cells_of
from mainstay.serving.columnar.client import ColumnarClient, TooBig
from mainstay.serving.columnar.messages import KINDS, PARQUET, STREAM, Done, Read
from mainstay.serving.columnar.parsing import read
from mainstay.serving.strict import BadBody

MIXED = Signature(
    inputs=(
        Column(name="number", type="number", nullable=True),
        Column(name="truth", type="boolean", nullable=True),
        Column(name="category", type="category", categories=("a", "b", "7"), nullable=True),
        Column(name="when", type="datetime", nullable=True),
        Column(name="text", type="text", nullable=True),
    ),
    task="regression",
)
READER = Reader(MIXED)
ZONES = (None, "UTC", "Asia/Tokyo", "-03:30")


WHOLE = st.integers(0, 100)
MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))  # noqa: DTZ001 - the type has the zone
SECONDS = MOMENTS.map(lambda moment: moment.replace(microsecond=0))
NAMES = st.sampled_from(["a", "b", "7", "ü" * 30])
KINDS_OF: dict[str, list[tuple[pa.DataType, st.SearchStrategy]]] = {
    "number": [
        *((kind, WHOLE) for kind in (pa.int8(), pa.uint16(), pa.int64(), pa.float16())),
        (pa.null(), st.none()),
        (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
        (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
        (pa.decimal128(20, 3), st.decimals(-(10**6), 10**6, places=3)),
        (pa.dictionary(pa.int8(), pa.int64()), WHOLE),
    ],
    "truth": [(pa.bool_(), st.booleans())],
    "category": [
        *((kind, NAMES) for kind in (pa.string(), pa.large_string(), pa.string_view())),
        (pa.dictionary(pa.int16(), pa.string()), NAMES),
        (pa.uint8(), WHOLE),
    ],
    "when": [
        *((pa.timestamp(unit, zone), MOMENTS) for zone in ZONES for unit in ("us", "ns")),
        *((pa.timestamp("s", zone), SECONDS) for zone in ZONES),
        (pa.date32(), st.dates()),
        (pa.date64(), st.dates()),
        (pa.string(), MOMENTS.map(dt.datetime.isoformat)),
    ],
    "text": [(pa.string(), st.text(st.characters(codec="utf-8"), max_size=9))],
}


@st.composite
def tables(draw) -> tuple[pa.Table, list[dict]]:
    """A table, and the same rows as JSON has them."""
    rows = draw(st.integers(0, 5))
    arrays, plain = {}, {}
    for name in draw(st.permutations(list(KINDS_OF))):
        kind, each = draw(st.sampled_from(KINDS_OF[name]))
        values = draw(st.lists(st.none() | each, min_size=rows, max_size=rows))
        arrays[name] = pa.array(zoned(values, kind), kind)
        plain[name] = [spelled(value) for value in values]
    return pa.table(arrays), [{name: plain[name][row] for name in plain} for row in range(rows)]


def zoned(values: list, kind: pa.DataType) -> list:
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        return values
    return [None if value is None else value.replace(tzinfo=dt.UTC) for value in values]


def spelled(value):
    """As JSON has it; a moment is in UTC."""
    if isinstance(value, dt.date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


@settings(max_examples=examples(60))
@given(tables(), st.sampled_from(KINDS))
def test_a_table_has_the_cells_of_the_same_rows_in_json(table_and_rows, kind):
    table, rows = table_and_rows
    expected = READER.rows(rows) if rows else READER.columns({name: [] for name in MIXED.names})
    found = cells_of(read(Read(kind, body_of(table, kind), ())), READER)
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    assert found.texts == expected.texts


def test_what_is_finer_than_a_microsecond_is_cut_as_in_json():
    column = Signature(inputs=(Column(name="when", type="datetime"),), task="regression")
    late, early = "2020-01-01T00:00:00.123456789", "1969-12-31T23:59:59.999999999"
    table = pa.table({"when": pa.array(np.array([late, early], dtype="datetime64[ns]"))})
    expected = Reader(column).rows([{"when": late}, {"when": early}])
    found = cells_of(read(Read(STREAM, body_of(table, STREAM), ())), Reader(column))
    np.testing.assert_array_equal(found.numbers, expected.numbers)


@pytest.fixture(scope="module")
def reader():
    """The process, and the loop that it is asked from."""
    with asyncio.Runner() as runner:
        client = ColumnarClient()
        yield lambda asked: runner.run(client.ask(asked))
        runner.run(client.close())


WIDE = pa.table(
    {
        "number": pa.array([1.5, None, 3.0] * 20),
        "truth": pa.array([True, False, None] * 20),
        "category": pa.array(["a", "b", None] * 20).dictionary_encode(),
        "when": pa.array([0, 1, None] * 20, pa.timestamp("us", "UTC")),
        "text": pa.array(["one", "two", "three"] * 20, pa.string_view()),
        "list": pa.array([[1, 2], [3, 4], [5, 6]] * 20),
        "decimal": pa.array([Decimal("1.50"), None, Decimal(0)] * 20),
    }
)
BODIES = {(kind, packed): body_of(WIDE, kind, compression=packed) for kind in KINDS for packed in ("zstd", None)}


@settings(max_examples=examples(150))
@given(
    st.sampled_from(list(BODIES)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.booleans(),
)
def test_damaged_bodies_are_read_or_refused_in_words(reader, chosen, flips, resealed):
    kind, _ = chosen
    body = bytearray(BODIES[chosen])
    # The beginning and the end hold what the rest is found by.
    begins, length = (0, len(body)) if resealed else (max(0, len(body) - 700), min(700, len(body)))
    for share, value in flips:
        body[begins + int(share * length)] = value
    try:
        found = reader(Read(kind, bytes(body), ()))
    except (BadBody, TooBig) as error:
        assert str(error).endswith(".")
        return
    assert isinstance(found, Done)
    for values in found.columns.values():
        assert values.rows.array().shape[0] <= 5_000_000
    try:
        cells_of(found.columns, READER)
    except InputError as error:
        assert str(error)


def test_no_body_reads_beyond_its_own_bytes(reader):
    """Offsets that point outside, as no writer makes them: followed, they would show others' rows."""
    texts = pa.array(["hello", "world", "hello", "world", "world"])
    offsets, indices = [0, 5, 10, 15, 20, 25], [0, 1, 0, 1, 1]
    for array, held in ((texts, offsets), (texts.dictionary_encode(), indices)):
        body = body_of(pa.table({"text": array}), STREAM)
        right, wrong = (np.array(each, dtype=np.int32).tobytes() for each in (held, [*held[:2], 2_000_000, *held[3:]]))
        assert body.count(right) == 1
        with pytest.raises(BadBody, match="is not an Arrow stream that can be read"):
            reader(Read(STREAM, body.replace(right, wrong), ()))


def test_the_process_has_neither_files_nor_secrets(reader, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    with asyncio.Runner() as runner:
        client = ColumnarClient()
        runner.run(client.ask(Read(PARQUET, BODIES[PARQUET, None], ())))
        status = dict(
            line.rsplit(None, 3)[:2] for line in _proc(client.pid, "limits").splitlines()[1:] if "files" in line
        )
        assert "hunter2" not in _proc(client.pid, "environ")
        assert int(status["Max open files"]) <= 8
        runner.run(client.close())


def _proc(pid: int | None, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8") as file:  # noqa: PTH123 - a path of the system's
        return file.read()


def test_callers_each_get_their_own_and_one_that_leaves_costs_the_others_nothing():
    async def ask_many() -> None:
        client = ColumnarClient()
        bodies = [body_of(pa.table({"x": [number]}), STREAM) for number in range(12)]
        await client.ask(Read(STREAM, bodies[0], ()))
        tasks = [asyncio.create_task(client.ask(Read(STREAM, body, ()))) for body in bodies]
        await asyncio.sleep(0)
        tasks[0].cancel()  # in the midst of its turn
        tasks[5].cancel()  # while it waits
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for number, done in enumerate(found):
            if number in (0, 5):
                assert isinstance(done, asyncio.CancelledError)
            else:
                assert done.columns["x"].rows.array().tolist() == [number]
        await client.close()

    asyncio.run(ask_many())
