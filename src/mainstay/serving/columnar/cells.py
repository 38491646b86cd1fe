"""From columns of Arrow and Parquet to values that a signature's reader takes: what JSON would have said, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from mainstay.models.refusing import InputError, place
from mainstay.models.signature import Cells, Column, Reader
from mainstay.models.tensors import Array
from mainstay.serving.columnar.messages import Values

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST, _MOST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds of the years 1 to 9999."""


def cells_of(columns: Mapping[str, Values], reader: Reader) -> Cells:
    """The cells of a table.

    Raises:
        InputError: a column is missing or unknown, or a value does not fit.
    """
    inputs = {column.name: column for column in reader.signature.inputs}
    return reader.columns({name: _listed(name, values, inputs.get(name)) for name, values in columns.items()})


def _listed(name: str, values: Values, column: Column | None) -> Sequence[Any] | Array:
    """A column's values, None where missing; `column` is the signature's, None for a tensor or a name unknown."""
    rows = values.rows.array()
    match values.held:
        case "arrays" if column is not None:
            raise InputError(f"column {name!r}: got lists, expected one value a row.", column=name)
        case "nothing":
            return [None] * len(rows)
        case "texts" | "bytes":
            return _chosen([*(values.texts or values.binaries), None], rows, values.valid)
        case "decimals":
            numbers = column is not None and column.type == "number"
            decimals = [None if each is None else Decimal(each) for each in values.texts]
            return [_number(each) for each in decimals] if numbers else decimals
        case "moments":
            return _moments(name, rows, values.valid)
    if values.valid is None and (column is None or (column.type == "number" and values.held == "numbers")):
        return rows
    return [value if whole else None for value, whole in zip(rows.tolist(), _mask(values.valid, rows), strict=True)]


def _mask(valid: bytes | None, rows: Array) -> Array:
    return np.ones(len(rows), dtype=np.bool_) if valid is None else np.frombuffer(valid, dtype=np.bool_)


def _chosen(among: Sequence[Any], rows: Array, valid: bytes | None) -> list[Any]:
    """One of `among` a row, the last of them where the row's value is missing; what repeats is one object."""
    each = np.empty(len(among), dtype=object)
    each[:] = among
    chosen: list[Any] = each[np.where(_mask(valid, rows), rows, len(among) - 1)].tolist()
    return chosen


def _number(value: Decimal | None) -> int | float | None:
    """As its digits would be read: whole numbers as integers, others as the double that is nearest."""
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _moments(name: str, rows: Array, valid: bytes | None) -> list[datetime | None]:
    whole = _mask(valid, rows)
    outside = whole & ((rows < _LEAST) | (rows > _MOST))
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            f"{place(row, len(rows))}column {name!r}: got a time outside of the years 1 to 9999.", column=name, row=row
        )
    return [
        _EPOCH + timedelta(microseconds=moment) if known else None
        for moment, known in zip(rows.tolist(), whole.tolist(), strict=True)
    ]
