"""The fast way through well-formed bodies: types made from the signature, decoded in C.

It reads a body only where it is certain of what `Bodies.diagnose` would say, and gives up otherwise. It refuses
nothing: a body that it gives up on is read again, value by value, by the code that can name what is wrong.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from mainstay.models.signature import MAX_EXACT_INTEGER, UNSEEN, Cells, Column, Floats, Signature, epoch_seconds

_LEAD = re.compile(rb'\s*(?:(\[)|\{\s*"(?:(inputs)|(features))"\s*:)')
_LIST, _INPUTS, _FEATURES = 1, 2, 3
# Strictly less: an integer one beyond the limit rounds to it when it becomes a double.
_NUMBER = Annotated[float, msgspec.Meta(gt=-MAX_EXACT_INTEGER, lt=MAX_EXACT_INTEGER)]


class Asked(NamedTuple):
    """A request, read: its rows, and how the answer is to look."""

    cells: Cells
    single: bool = False
    """One named row was sent: the answer is one value, not a list."""
    id: str | None = None
    form: Any = None
    """What the codec that read it needs to know when it writes the answer."""
    timeout: float | None = None
    """Seconds that the caller gives the server, where the body says so."""


class _GivesUp(Exception):
    pass


class FastBodies:
    """Decoders for one signature."""

    def __init__(self, signature: Signature, *, wrapped: bool) -> None:
        self._width = len(signature.inputs)
        row: Any = _row_type(signature)
        values: Any = tuple[tuple(_cell_type(column) for column in signature.inputs)]  # type: ignore[misc] # made at run time
        inputs: Any = msgspec.defstruct(
            "Inputs", [("inputs", list[row] | row), ("id", str | None, None)], forbid_unknown_fields=True
        )
        features: Any = msgspec.defstruct(
            "Features",
            [("features", list[values]), ("id", str | None, None)],
            forbid_unknown_fields=True,
        )
        self._row = row
        self._wrapped = wrapped
        self._decode_one = msgspec.json.Decoder(row).decode
        self._decode_list = msgspec.json.Decoder(list[row]).decode
        self._decode_inputs = msgspec.json.Decoder(inputs).decode
        self._decode_features = msgspec.json.Decoder(features).decode
        self._text = tuple(i for i, column in enumerate(signature.inputs) if column.type == "text")
        missing = [frozenset(signature.tokens(column)) for column in signature.inputs]
        self._converters = tuple(
            (index, _common_codes(column, missing[index]), convert)
            for index, column in enumerate(signature.inputs)
            if (convert := _converter(column, missing[index])) is not None
        )
        self._pack = struct.Struct(f"={self._width}d").pack
        self._any_aside = bool(signature.set_aside)
        self._colons = self._width + sum(name.count(":") for name in signature.names)
        self._colon_in_name = any(":" in name for name in (*signature.names, *signature.set_aside))
        self._aside_colons = [1 + name.count(":") for name in signature.set_aside]

    @classmethod
    def of(cls, signature: Signature, *, wrapped: bool) -> FastBodies | None:
        """The decoders of a signature; None where a column's name cannot be a field's (it needs escapes in JSON), and
        for tensors."""
        if signature.tensors:
            return None
        try:
            return cls(signature, wrapped=wrapped)
        except ValueError:
            return None

    def read(self, body: bytes) -> Asked | None:
        """The rows of a body, or None where the slow way must look."""
        lead = _LEAD.match(body)
        try:
            if lead is None:
                return self._records(body, [self._decode_one(body)], single=True, identity=None, around=0)
            form = lead.lastindex
            if form == _LIST:
                return self._records(body, self._decode_list(body), single=False, identity=None, around=0)
            if not self._wrapped:
                return None
            if form == _INPUTS:
                asked = self._decode_inputs(body)
                around = 1 + (asked.id is not None)
                single = not isinstance(asked.inputs, list)
                rows = [asked.inputs] if single else asked.inputs
                return self._records(body, rows, single=single, identity=asked.id, around=around)
            return self._features(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, _GivesUp):
            return None

    def _records(
        self, body: bytes, records: Sequence[Any], *, single: bool, identity: str | None, around: int
    ) -> Asked | None:
        rows = [msgspec.structs.astuple(record) for record in records]
        expected = around + len(rows) * self._colons
        if self._any_aside:
            expected += self._aside_given(rows)
        # A name that is given twice would decode in silence, but it brings a colon of its own.
        surplus = body.count(b":") - expected
        if (surplus or self._colon_in_name) and b"\\" in body:
            return None
        if surplus and surplus != _colons_in_values(rows):
            return None
        if self._any_aside:
            rows = [row[: self._width] for row in rows]
        return self._found(rows, single=single, identity=identity)

    def _aside_given(self, rows: Sequence[tuple[Any, ...]]) -> int:
        return sum(
            colons
            for row in rows
            for colons, value in zip(self._aside_colons, row[self._width :], strict=True)
            if value is not msgspec.UNSET
        )

    def _features(self, body: bytes) -> Asked | None:
        asked = self._decode_features(body)
        if (surplus := body.count(b":") - 1 - (asked.id is not None)) and (
            b"\\" in body or surplus != _colons_in_values(asked.features)
        ):
            return None
        return self._found(asked.features, single=False, identity=asked.id)

    def _found(self, rows: Sequence[tuple[Any, ...]], *, single: bool, identity: str | None) -> Asked:
        texts: dict[int, Sequence[str | None]] = {}
        numbers: Sequence[Sequence[Any]] = rows
        if self._converters or self._text:
            numbers = changed = [list(row) for row in rows]
            for index, common, convert in self._converters:
                for row in changed:
                    value = row[index]
                    code = common.get(value)
                    row[index] = convert(value) if code is None else code
            for index in self._text:
                texts[index] = [row[index] for row in changed]
                for row in changed:
                    row[index] = math.nan
        return Asked(Cells(self._numbers(numbers), texts), single, identity)

    def _numbers(self, rows: Sequence[Sequence[Any]]) -> Floats:
        shape = len(rows), self._width
        pack = self._pack
        try:  # three times as fast as what numpy makes of lists
            return np.ndarray(shape, np.float64, bytearray(b"".join([pack(*row) for row in rows])))
        except struct.error:  # None, which becomes NaN
            return np.array(rows, dtype=np.float64).reshape(shape)


def _colons_in_values(rows: Sequence[tuple[Any, ...]]) -> int:
    return sum(value.count(":") for row in rows for value in row if isinstance(value, str))


def _row_type(signature: Signature) -> Any:
    names = {f"c{index}": name for index, name in enumerate((*signature.names, *signature.set_aside))}
    fields: list[Any] = [(f"c{index}", _cell_type(column)) for index, column in enumerate(signature.inputs)]
    fields += [(f"c{len(signature.inputs) + index}", Any, msgspec.UNSET) for index in range(len(signature.set_aside))]
    return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True)


def _cell_type(column: Column) -> Any:
    plain: Any
    match column.type:
        case "number":
            plain = _NUMBER
        case "boolean":
            plain = bool
        case "category":
            plain = str | int
        case _:
            plain = str
    return plain | None if column.nullable else plain


def _converter(column: Column, missing: frozenset[str]) -> Callable[[Any], Any] | None:
    """From a decoded value to a code, seconds, or a text; None for what needs no change."""
    match column.type:
        case "category":
            return _codes(column, missing)
        case "datetime":
            return _seconds(column, missing | {"NaT"})
        case "text":
            return _text(column, missing)
        case _:
            return None


def _common_codes(column: Column, missing: frozenset[str]) -> Mapping[Any, float]:
    """What nearly every value of a category is found in: the others are for its converter."""
    return {text: float(code) for code, text in enumerate(column.categories) if text not in missing}


def _codes(column: Column, missing: frozenset[str]) -> Callable[[Any], float]:
    codes = {category: float(code) for code, category in enumerate(column.categories)}
    nullable, closed = column.nullable, column.closed

    def convert(value: str | int | None) -> float:
        if value is None or value in missing:
            if nullable:
                return math.nan
            raise _GivesUp
        code = codes.get(str(value)) if isinstance(value, int) else None
        if code is None and closed:
            raise _GivesUp
        return UNSEEN if code is None else code

    return convert


def _seconds(column: Column, missing: frozenset[str]) -> Callable[[str | None], float]:
    def convert(value: str | None) -> float:
        if value is None or value in missing:
            if column.nullable:
                return math.nan
            raise _GivesUp
        try:
            return epoch_seconds(value, column.format)
        except (ValueError, OverflowError):
            raise _GivesUp from None

    return convert


def _text(column: Column, missing: frozenset[str]) -> Callable[[str | None], str | None]:
    def convert(value: str | None) -> str | None:
        if value is None or value in missing:
            if column.nullable:
                return None
            raise _GivesUp
        return value

    return convert
