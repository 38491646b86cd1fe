"""Rows and columns as TensorFlow Serving's clients write them, which MLflow takes too.

    instances: [{"age": 35, …}, …]   or, of a model of one input, its values; or lists in the order of the signature
    inputs: {"age": [35, …], …}      or, of a model of one input, its values; or lists in the order of the signature

Bytes, and texts where a client prefers it, are `{"b64": "…"}`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from mainstay.models.signature import Cells
from mainstay.models.tensors import BASE64, depth
from mainstay.serving.models import Loaded
from mainstay.serving.strict import BadBody, kind


class Instances:
    """Reads both forms for one version."""

    def __init__(self, loaded: Loaded) -> None:
        signature = loaded.signature
        self._reader = loaded.bodies.reader
        self._columns = frozenset(column.name for column in signature.inputs)
        self._only = signature.names[0] if len(signature.names) == 1 else None
        self._axes = len(signature.tensors[0].shape) if self._only and signature.tensors else 0

    def rows(self, rows: Any, where: str) -> Cells:
        """Cells of a list of instances; `where` names it in refusals.

        Raises:
            BadBody: of another form.
            InputError: a value does not fit.
        """
        if not isinstance(rows, list):
            raise BadBody(f"{where!r} is {kind(rows)}: it takes a list, an element a row.", field=where)
        if rows and isinstance(rows[0], dict) and not (self._only and rows[0].keys() == {BASE64}):
            for number, row in enumerate(rows):
                if not isinstance(row, dict):
                    raise BadBody(f"Row {number} of {where!r} is {kind(row)}, not an object like row 0.", row=number)
            return self._reader.rows([self._record(row, number) for number, row in enumerate(rows)])
        return self._listed(rows, where)

    def columns(self, columns: Any, where: str) -> Cells:
        """Cells of a list a column, by name.

        Raises:
            BadBody: of another form.
            InputError: a value does not fit.
        """
        if isinstance(columns, list):
            return self._listed(columns, where)
        if not isinstance(columns, dict):
            raise BadBody(f"{where!r} is {kind(columns)}: it takes a list a column, by name.", field=where)
        named = {}
        for name, values in columns.items():
            if not isinstance(values, list):
                raise BadBody(f"Column {name!r} is {kind(values)}: it takes a list, a value a row.", field=name)
            named[name] = self._texts(name, values)
        return self._reader.columns(named)

    def _listed(self, rows: list[Any], where: str) -> Cells:
        if self._only is not None and not (self._only in self._columns and depth(rows) > 1):
            return self._reader.columns({self._only: self._texts(self._only, rows)})
        for number, row in enumerate(rows):
            if not isinstance(row, list):
                raise BadBody(
                    f"Row {number} of {where!r} is {kind(row)}: send objects of values by name, or lists in the order "
                    "of the signature.",
                    row=number,
                )
        return self._reader.matrix(rows)

    def _record(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        if not any(type(value) is dict for value in row.values()):
            return row
        return {
            name: _text(name, value, number) if type(value) is dict and name in self._columns else value
            for name, value in row.items()
        }

    def _texts(self, name: str, values: list[Any]) -> list[Any]:
        if name not in self._columns:
            return values
        return [_text(name, value, row) if type(value) is dict else value for row, value in enumerate(values)]


def _text(name: str, value: dict[str, Any], row: int) -> Any:
    inner = value.get(BASE64)
    if value.keys() != {BASE64} or not isinstance(inner, str):
        return value
    try:
        return base64.b64decode(inner, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadBody(
            f"Row {row}, column {name!r}: its base64 is no text in UTF-8 ({error}).", field=name, row=row
        ) from error
