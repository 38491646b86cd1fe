"""Tables as CSV (RFC 4180, UTF-8): a first line of names, then a line a row, typed by the signature.

An empty cell is a missing value. Nothing is guessed from the looks of a column: `007` is text where the signature says
text, and a number's cell that is no number is refused.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mainstay.models.signature import Cells, ColumnType, Reader
from mainstay.serving.protocols.codec import Problem
from mainstay.serving.strict import BadBody

_INTEGER = re.compile(r"[+-]?[0-9]{1,25}\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\Z")
_TRUTHS = {"true": True, "false": False}
_LONGEST = 2**31 - 1
"""Characters of a cell: as many as its body has, which is bounded elsewhere."""


def _own_parser() -> Any:
    """The parser of the module `csv`, with a limit of its own on the length of a cell.

    Python's limit of 131,072 characters is of the whole process, and belongs to whoever runs it. But it is kept in the
    module that does the work, of which there may be several (PEP 489).
    """
    spec = importlib.util.find_spec("_csv")
    assert spec is not None
    assert spec.loader is not None
    made: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.field_size_limit(_LONGEST)
    return made


_csv = _own_parser()


def read_csv(body: bytes, reader: Reader) -> Cells:
    """The rows of a body.

    Raises:
        Problem: the model takes tensors; 415.
        BadBody: no CSV, no UTF-8, a name twice, or a line of another length.
        InputError: a column is missing or unknown, or a value does not fit.
    """
    signature = reader.signature
    if signature.tensors:
        raise Problem(415, f"Tensor {signature.tensors[0].name!r} does not fit a cell of CSV: send application/json.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadBody(f"The body is not UTF-8 (byte {error.start}): send CSV in UTF-8.") from error
    names, rows = _lines(text)
    types = {column.name: column.type for column in signature.inputs}
    columns: dict[str, list[Any]] = {}
    for index, name in enumerate(names):
        typed = _TYPED.get(types.get(name, "text"), _as_is)
        columns[name] = [typed(row[index]) if row[index] else None for row in rows]
    return reader.columns(columns)


def _lines(text: str) -> tuple[list[str], list[list[str]]]:
    lines = _csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(lines, None)
        if not names:
            raise BadBody("The body is empty: send a line of column names, then a line a row.")
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            raise BadBody(f"Column {twice!r} stands twice in the first line: send each once.", field=twice)
        # One column's missing value is an empty line; elsewhere such a line is none.
        rows = [line or [""] for line in lines if line or len(names) == 1]
    except _csv.Error as error:
        raise BadBody(f"Line {lines.line_num} of the body is not CSV: {error}.") from error
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise BadBody(f"Row {number} has {len(row)} cells, but the first line names {len(names)}.", row=number)
    return names, rows


def _as_is(cell: str) -> Any:
    return cell


def _number(cell: str) -> Any:
    """A number; a text that is none goes on as it is, since it may mean a missing value."""
    plain = cell.strip(" ")
    if _INTEGER.match(plain):
        return int(plain)
    return float(plain) if _NUMBER.match(plain) else cell


def _boolean(cell: str) -> Any:
    return _TRUTHS.get(cell.strip(" ").lower(), cell)


_TYPED: Mapping[ColumnType, Callable[[str], Any]] = {"number": _number, "boolean": _boolean}


def written(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Columns of one length as CSV; null is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(_cells(columns.values()))
    return text.getvalue().encode()


def _cells(columns: Iterable[Sequence[Any]]) -> Iterator[list[Any]]:
    for row in zip(*columns, strict=True):
        yield [("true" if cell else "false") if isinstance(cell, bool) else cell for cell in row]
