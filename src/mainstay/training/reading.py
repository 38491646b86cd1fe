"""From the project's `[data]` to a table: files, a folder of them, or a query."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mainstay.errors import did_you_mean
from mainstay.project import Data
from mainstay.training import delimited, sql
from mainstay.training.kinds import number
from mainstay.training.table import DataError, Provenance, Table, from_columns

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
LARGEST = 4 * 2**30
"""Bytes of a file, uncompressed, that are read into memory."""

Columns = dict[str, Sequence[Any] | npt.NDArray[Any]]


@dataclass(frozen=True)
class _Read:
    """What one file holds."""

    columns: Columns
    notes: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()
    separator: str | None = None
    quote: str | None = None


def read(data: Data, folder: Path, *, environment: Mapping[str, str] | None = None) -> Table:
    """The table that `[data]` describes; a relative path is taken from `folder`, the project's.

    Raises:
        DataError: nothing there, not readable as what it is said to be, or without rows.
    """
    if data.url is not None:
        return _from_query(data, folder, os.environ if environment is None else environment)
    path = folder / Path(data.path or "").expanduser()
    if not path.exists():
        near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"There is no file or folder {path}.{did_you_mean(path.name, near)}")
    files = _files(path, data) if path.is_dir() else [path]
    read_files: list[tuple[str, _Read]] = []
    digests: dict[str, str] = {}
    for file in files:
        content = _content(file)
        digests[file.name] = hashlib.sha256(content).hexdigest()
        read_files.append((file.name, _read_file(_unzipped(content, file), file.name, data)))
        del content  # a large file's bytes need not outlive its rows
    columns = _joined(read_files)
    first = read_files[0][1]
    rows = len(next(iter(columns.values()))) if columns else 0
    if rows == 0:
        raise DataError(f"{path.name} has column names but no rows: there is nothing to learn from.")
    provenance = Provenance(
        files=digests,
        rows=rows,
        columns=len(columns),
        format=_format(files[0], data),
        separator=first.separator,
        quote=first.quote,
    )
    return from_columns(columns, provenance, missing=data.missing, notes=first.notes, nameless=first.nameless)


def _from_query(data: Data, folder: Path, environment: Mapping[str, str]) -> Table:
    assert data.url is not None
    sql.check_url(data.url)
    names, columns, digest = sql.run(data.url, data.query or "", environment=environment, folder=folder)
    names, nameless = delimited.header_names(names, "The query's answer")
    if not columns or not columns[0]:
        raise DataError("The query under [data] answers no rows: there is nothing to learn from.")
    provenance = Provenance(
        files={"query": digest},
        rows=len(columns[0]),
        columns=len(columns),
        format="sql",
        url=data.url,
        query=data.query,
    )
    return from_columns(
        dict(zip(names, columns, strict=True)), provenance, missing=data.missing, nameless=tuple(nameless)
    )


def _files(folder: Path, data: Data) -> list[Path]:
    """The data files of a folder, by name."""
    found = sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and not file.name.startswith(".") and (data.format or _suffix(file) in SUFFIXES)
    )
    if not found:
        raise DataError(f"The folder {folder} has no data file ({', '.join(SUFFIXES)}, each also with .gz).")
    return found


def _suffix(file: Path) -> str:
    """The name's ending without a further .gz, in lower case."""
    return Path(file.name.lower().removesuffix(".gz")).suffix


def _format(file: Path, data: Data) -> str:
    known = data.format or SUFFIXES.get(_suffix(file))
    if known is None:
        raise DataError(
            f'{file.name}: its name does not say what it is; set [data] format to "csv", "tsv", "jsonl" or "parquet".'
        )
    return known


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST:
            raise _too_large(file)
        return file.read_bytes()
    except PermissionError:
        raise DataError(f"{file} may not be read by this user: change its permissions.") from None


def _unzipped(content: bytes, file: Path) -> bytes:
    if not file.name.lower().endswith(".gz"):
        return content
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            plain = stream.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file.name} is not a whole gzip file ({error}): copy it again, or rename it.") from None
    if len(plain) > LARGEST:
        raise _too_large(file)
    return plain


def _too_large(file: Path) -> DataError:
    return DataError(
        f"{file.name} has more than {LARGEST // 2**30} GiB, which is more than is read into memory: take a sample."
    )


def _read_file(content: bytes, name: str, data: Data) -> _Read:
    kind = _format(Path(name), data)
    if not content:
        raise DataError(f"{name} is empty: there is no row to learn from.")
    readers: dict[str, Callable[[bytes, str, Data], _Read]] = {
        "csv": _delimited,
        "tsv": _delimited,
        "jsonl": _json_lines,
        "parquet": _parquet,
    }
    return readers[kind](content, name, data)


def _delimited(content: bytes, name: str, data: Data) -> _Read:
    if data.header and data.columns:
        raise DataError("[data] columns names the columns of a file without a header: set header = false with it.")
    for what, mark in (("separator", data.separator), ("quote", data.quote)):
        if mark is None or (what == "quote" and mark == ""):
            continue
        if len(mark) != 1 or mark in "\r\n":
            raise DataError(f"[data] {what} = {mark!r} must be one character.")
    text = delimited.decode(content, data.encoding, name)
    found = delimited.parse(text, name, separator=data.separator, quote=data.quote)
    rows = found.rows
    width = len(rows[0])
    notes: list[str] = []
    nameless: list[str] = []
    if data.header:
        names, nameless = delimited.header_names(rows.pop(0), name)
        if sum(number(column) is not None for column in names) > width / 2:
            notes.append(f"The first row of {name} looks like data: use header = false (--no-header) if it is.")
    elif data.columns:
        names = list(data.columns)
        delimited.header_names(names, "[data] columns")
        if len(names) != width:
            raise DataError(f"{name} has {width} columns, but [data] columns names {len(names)}.")
    else:
        names = [f"column_{position}" for position in range(1, width + 1)]
    if nameless:
        notes.append(f"{_columns_without_name(nameless)} in {name}; called {', '.join(nameless)} here.")
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return _Read(
        {column: list(values) for column, values in zip(names, columns, strict=True)},
        tuple(notes),
        tuple(nameless),
        found.dialect.separator,
        found.dialect.quote,
    )


def _columns_without_name(nameless: Sequence[str]) -> str:
    return "One column has no name" if len(nameless) == 1 else f"{len(nameless)} columns have no name"


def _json_lines(content: bytes, name: str, data: Data) -> _Read:
    text = delimited.decode(content, data.encoding, name)
    decoder = msgspec.json.Decoder()
    columns: dict[str, list[Any]] = {}
    count = 0
    for line, record in enumerate(io.StringIO(text), start=1):
        if not record.strip():
            continue
        try:
            row = decoder.decode(record)
        except msgspec.DecodeError as error:
            raise DataError(f"{name}, line {line} is not JSON: {error}.") from None
        if not isinstance(row, dict):
            raise DataError(f'{name}, line {line}: a row must be an object such as {{"age": 35}}.')
        for key, value in row.items():
            if isinstance(value, dict | list):
                raise DataError(
                    f"{name}, line {line}: {key!r} holds {'an object' if isinstance(value, dict) else 'an array'}; "
                    "a cell must be a text, a number, true, false or null. Flatten it first."
                )
            if key not in columns:
                columns[key] = [None] * count
            columns[key].append(value)
        count += 1
        for values in columns.values():
            if len(values) < count:
                values.append(None)
    if not columns:
        raise DataError(f"{name} is empty: there is no row to learn from.")
    names, nameless = delimited.header_names(list(columns), name)
    return _Read(dict(zip(names, columns.values(), strict=True)), nameless=tuple(nameless))


def _parquet(content: bytes, name: str, data: Data) -> _Read:
    try:
        table = pq.ParquetFile(io.BytesIO(content)).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name} is not a readable Parquet file: {str(error).splitlines()[0]}") from None
    names, nameless = delimited.header_names(list(table.column_names), name)
    return _Read(
        {column: _arrow_values(table.column(i), column, name) for i, column in enumerate(names)},
        nameless=tuple(nameless),
    )


def _arrow_values(column: pa.ChunkedArray, name: str, file: str) -> Sequence[Any] | npt.NDArray[Any]:
    """A column's values, exactly: integers with nulls stay integers."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _arrow_values(column.cast(kind.value_type), name, file)
    if pa.types.is_signed_integer(kind) and column.null_count == 0:
        return np.asarray(column.to_numpy(), dtype=np.int64)
    if pa.types.is_floating(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    if pa.types.is_decimal(kind):
        return [None if value is None else format(Decimal(value), "f") for value in column.to_pylist()]
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    plain = (
        pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
        or pa.types.is_null(kind)
    )
    if not plain:
        raise DataError(f"{file}: column {name!r} is of type {kind}, which is no table cell: flatten or drop it first.")
    values: list[Any] = column.to_pylist()
    return values


def _joined(files: Sequence[tuple[str, _Read]]) -> Columns:
    """The columns of all files, one below the other, in the first one's order."""
    first_name, first = files[0]
    for name, other in files[1:]:
        if lacks := [column for column in first.columns if column not in other.columns]:
            raise DataError(f"{name} has no column {lacks[0]!r}, which {first_name} has: all files need the same.")
        if extra := [column for column in other.columns if column not in first.columns]:
            raise DataError(f"{name} has a column {extra[0]!r}, which {first_name} has not: all files need the same.")
    if len(files) == 1:
        return first.columns
    return {column: _stacked([read.columns[column] for _, read in files]) for column in first.columns}


def _stacked(parts: Sequence[Sequence[Any] | npt.NDArray[Any]]) -> Sequence[Any] | npt.NDArray[Any]:
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts) and len({array.dtype for array in arrays}) == 1:
        return np.concatenate(arrays)
    return [value for part in parts for value in (part.tolist() if isinstance(part, np.ndarray) else part)]
