"""Arrow and Parquet parsed and written with pyarrow. Runs in the process that is made for it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from mainstay.models.tensors import Array
from mainstay.serving.columnar.messages import FILE, PARQUET, STREAM, Read, Values, Write
from mainstay.serving.frames import Block

MOST_CELLS = 5_000_000
"""Rows times columns of a body: as many as 20 MB of JSON could hold."""
MOST_THRIFT = 10_000_000
"""Bytes of a text, and elements of a list, in the description of a Parquet file."""
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


class Refused(Exception):
    """A table that is not taken; says why."""

    def __init__(self, message: str, *, column: str | None = None, large: bool = False) -> None:
        self.column, self.large = column, large
        super().__init__(message)


def read(asked: Read) -> dict[str, Values]:
    """The columns of a body by name, those that nobody asks for left out."""
    table = _parquet(asked.body) if asked.kind == PARQUET else _arrow(asked.body, in_file=asked.kind == FILE)
    table.validate(full=True)  # offsets, indices and texts: before this, none of them may be followed
    return {
        name: _values(name, table.column(index))
        for index, name in enumerate(table.schema.names)
        if name not in asked.ignored
    }


def _parquet(body: bytes) -> pa.Table:
    file = pa.parquet.ParquetFile(
        pa.BufferReader(body),
        pre_buffer=False,
        thrift_string_size_limit=MOST_THRIFT,
        thrift_container_size_limit=MOST_THRIFT,
    )
    _check_names(file.schema_arrow.names)
    _check_size(file.metadata.num_rows, max(file.metadata.num_columns, 1))
    return file.read(use_threads=False)


def _arrow(body: bytes, *, in_file: bool) -> pa.Table:
    source = pa.BufferReader(body)
    options = pa.ipc.IpcReadOptions(use_threads=False)
    opened = (pa.ipc.open_file if in_file else pa.ipc.open_stream)(source, options=options)
    _check_names(opened.schema.names)
    batches = map(opened.get_batch, range(opened.num_record_batches)) if in_file else opened
    kept, rows, width = [], 0, max(len(opened.schema.names), 1)
    for batch in batches:
        rows += batch.num_rows
        _check_size(rows, width)
        kept.append(batch)
    return pa.Table.from_batches(kept, schema=opened.schema)


def _check_names(names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"Column {twice[:100]!r} stands twice in the body: send each once.", column=twice)


def _check_size(rows: int, width: int) -> None:
    if rows * width > MOST_CELLS:
        raise Refused(f"The body has {rows} rows or more, too many at once: send {MOST_CELLS // width}.", large=True)


def _values(name: str, chunks: pa.ChunkedArray) -> Values:
    kind = chunks.type
    if pa.types.is_dictionary(kind) and not _is_text(kind.value_type):
        return _values(name, chunks.cast(kind.value_type))
    if isinstance(kind, pa.FixedShapeTensorType):
        return _tensor(name, chunks)
    if isinstance(kind, pa.BaseExtensionType):
        return _values(name, pa.chunked_array([chunk.storage for chunk in chunks.chunks], type=kind.storage_type))
    array = chunks.unify_dictionaries().combine_chunks()
    for fits, values in _READ:
        if fits(kind):
            return values(name, array)
    raise Refused(
        f"Column {name[:100]!r} is of type {str(kind)[:80]}: send numbers, truths, texts, dates or timestamps.",
        column=name,
    )


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    fits = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(each(kind) for each in fits)


def _is_list(kind: pa.DataType) -> bool:
    return any(each(kind) for each in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _valid(array: pa.Array) -> bytes | None:
    return array.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8).tobytes() if array.null_count else None


def _plain(array: pa.Array) -> Array:
    """The numbers or truths of an array; those that are missing are 0."""
    if array.null_count:
        array = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    numbers: Array = array.to_numpy(zero_copy_only=False)
    return numbers


def _numbers(name: str, array: pa.Array) -> Values:
    del name
    return Values("numbers", Block.of(_plain(array)), _valid(array))


def _truths(name: str, array: pa.Array) -> Values:
    del name
    return Values("truths", Block.of(_plain(array)), _valid(array))


def _nothing(name: str, array: pa.Array) -> Values:
    del name
    return Values("nothing", Block.of(np.zeros(len(array), dtype=np.uint8)), bytes(len(array)))


def _texts(name: str, array: pa.Array) -> Values:
    del name
    indices, valid, among = _indexed(array)
    return Values("texts", indices, valid, texts=among)


def _bytes(name: str, array: pa.Array) -> Values:
    del name
    indices, valid, among = _indexed(array)
    return Values("bytes", indices, valid, binaries=among)


def _indexed(array: pa.Array) -> tuple[Block, bytes | None, list[Any]]:
    """Each row's index, which rows have one, and what they are indices of."""
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    return Block.of(_plain(array.indices)), _valid(array), array.dictionary.to_pylist()


def _moments(name: str, array: pa.Array) -> Values:
    """A time without a zone is one of UTC; one with a zone is kept as UTC. What is finer than a microsecond is cut."""
    kind, valid = array.type, _valid(array)
    if pa.types.is_date32(kind):
        counted = _plain(array.view(pa.int32())).astype(np.int64)
        each = 86_400_000_000
    else:
        unit = "ms" if pa.types.is_date64(kind) else kind.unit
        counted = _plain(array.view(pa.int64()))
        if unit == "ns":
            return Values("moments", Block.of(counted // 1000), valid)
        each = _MICROSECONDS[unit]
    most = np.iinfo(np.int64).max // each  # far beyond the years that the worker takes: it says so, and which row
    counted = np.clip(counted, -most, most)
    return Values("moments", Block.of(counted * each), valid)


def _decimals(name: str, array: pa.Array) -> Values:
    del name
    among = [None if value is None else format(value, "f") for value in array.to_pylist()]
    return Values("decimals", Block.of(np.arange(len(among), dtype=np.int32)), _valid(array), among)


def _arrays(name: str, array: pa.Array) -> Values:
    """Lists of one length, to any depth, as one array of n rows."""
    sizes, level = [len(array)], array
    while _is_list(level.type):
        _check_whole(name, level)
        if pa.types.is_fixed_size_list(level.type):
            sizes.append(level.type.list_size)
        else:
            lengths = np.unique(_plain(level.value_lengths()))
            if len(lengths) > 1:
                raise Refused(f"Column {name[:100]!r} has lists of {lengths[0]} and {lengths[1]} values.", column=name)
            sizes.append(int(lengths[0]) if len(lengths) else 0)
        level = level.flatten()
    _check_whole(name, level)
    return Values("arrays", Block.of(_elements(name, level).reshape(sizes)))


def _tensor(name: str, chunks: pa.ChunkedArray) -> Values:
    kind = chunks.type
    if kind.permutation is not None and list(kind.permutation) != sorted(kind.permutation):
        raise Refused(f"Column {name[:100]!r} has its axes in another order: send them in their own.", column=name)
    flat = pa.chunked_array([chunk.storage for chunk in chunks.chunks], type=kind.storage_type).combine_chunks()
    _check_whole(name, flat)
    leaves = flat.flatten()
    _check_whole(name, leaves)
    return Values("arrays", Block.of(_elements(name, leaves).reshape(len(flat), *kind.shape)))


def _elements(name: str, leaves: pa.Array) -> Array:
    kind = leaves.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return _plain(leaves)
    if _is_text(kind) or _is_bytes(kind):
        elements = np.empty(len(leaves), dtype=object)
        elements[:] = leaves.to_pylist()
        return elements
    raise Refused(f"Column {name[:100]!r} has lists of {str(kind)[:80]}: send numbers, truths or texts.", column=name)


def _check_whole(name: str, array: pa.Array) -> None:
    if array.null_count:
        raise Refused(f"Column {name[:100]!r} has a null in a list: send a value for each.", column=name)


_READ: tuple[tuple[Callable[[pa.DataType], bool], Callable[[str, pa.Array], Values]], ...] = (
    (pa.types.is_boolean, _truths),
    (lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind), _numbers),
    (lambda kind: _is_text(kind) or pa.types.is_dictionary(kind), _texts),
    (lambda kind: pa.types.is_timestamp(kind) or pa.types.is_date(kind), _moments),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_null, _nothing),
    (_is_bytes, _bytes),
    (_is_list, _arrays),
)


def written(asked: Write) -> bytes:
    """Columns as a body."""
    columns = {name: _column(block.array()) for name, block in asked.columns.items()}
    table = pa.table(columns).replace_schema_metadata(asked.about)
    sink = pa.BufferOutputStream()
    if asked.kind == PARQUET:
        pa.parquet.write_table(table, sink)
    else:
        with (pa.ipc.new_stream if asked.kind == STREAM else pa.ipc.new_file)(sink, table.schema) as writer:
            writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _column(array: Array) -> pa.Array:
    flat = array.reshape(-1)
    if flat.dtype == object:
        elements = flat.tolist()
        kind = pa.binary() if any(isinstance(each, bytes) for each in elements) else pa.string()
        column = pa.array(elements, type=kind)
    else:
        missing = ~np.isfinite(flat) if flat.dtype.kind == "f" else None
        column = pa.array(flat, mask=missing)
    for size in reversed(array.shape[1:]):
        if not size:
            raise Refused("An output has a size of 0, which no list of a table can have: ask for application/json.")
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column
