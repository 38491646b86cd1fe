"""Bodies in Arrow and Parquet, made and read with pyarrow."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from mainstay.serving.columnar.messages import FILE, PARQUET, STREAM


def body_of(table: pa.Table, kind: str, *, rows: int = 300, **options) -> bytes:
    """`rows` are those of one batch."""
    sink = pa.BufferOutputStream()
    if kind == PARQUET:
        pq.write_table(table, sink, **options)
    else:
        given = pa.ipc.IpcWriteOptions(**options)
        with {STREAM: pa.ipc.new_stream, FILE: pa.ipc.new_file}[kind](sink, table.schema, options=given) as writer:
            writer.write_table(table, max_chunksize=rows)
    return sink.getvalue().to_pybytes()


def table_of(body: bytes, kind: str) -> pa.Table:
    source = pa.BufferReader(body)
    if kind == PARQUET:
        return pq.read_table(source)
    return {STREAM: pa.ipc.open_stream, FILE: pa.ipc.open_file}[kind](source).read_all()
