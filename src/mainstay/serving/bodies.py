"""Reads the plain JSON bodies that people write by hand, and says exactly what is wrong with one.

    {"features": [[1.0, "car"], …]}            rows of values in the order of the signature; one row may stand alone
    {"age": 35, "purpose": "car"}              named values: one row; or a list a column: several
    {"inputs": [{"age": 35, …}, …]}            records; or one record; or a list a column
    [{"age": 35, …}, …]                        records

`{"features": …}` and `{"inputs": …}` may carry the caller's own prediction `id`. A model that has an input of the name
`features` or `inputs` takes named values and records only, for the word could mean two things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mainstay.models.signature import Cells, InputError, Reader, Signature
from mainstay.models.tensors import depth
from mainstay.serving.fast import Asked as Asked  # noqa: PLC0414 - what a reader of bodies gives is known from here
from mainstay.serving.fast import FastBodies
from mainstay.serving.strict import BadBody as BadBody  # noqa: PLC0414 - what a reader of bodies raises is known from here
from mainstay.serving.strict import decoded, kind

FEATURES = "features"
INPUTS = "inputs"
WRAPPERS = (FEATURES, INPUTS)
ID = "id"
ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"

_ID = re.compile(ID_PATTERN)
_FORMS = 'Send {"features": [[…], …]}, {"inputs": [{…}, …]} or the columns by name.'


def valid_id(text: str) -> bool:
    """Whether a caller's id can be a prediction id."""
    return _ID.match(text) is not None


class Bodies:
    """Reads the bodies of one model. Made once per model: its tables are built here."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._axes = {tensor.name: len(tensor.shape) for tensor in signature.tensors}
        self.reader = Reader(signature)
        self._wrapped = not (set(WRAPPERS) & {*signature.names, *signature.set_aside})
        self._fast = FastBodies.of(signature, wrapped=self._wrapped)

    def read(self, body: bytes) -> Asked:
        """The rows of a body.

        Raises:
            BadBody: not JSON, a name given twice, none of the forms, or values that do not fit the signature.
        """
        asked = None if self._fast is None else self._fast.read(body)
        if asked is not None and (asked.id is None or valid_id(asked.id)):
            return asked
        return self.diagnose(body)

    def diagnose(self, body: bytes) -> Asked:
        """As `read`, value by value: slower, and able to name what is wrong."""
        document = decoded(body, forms=_FORMS)
        try:
            return self._asked(document)
        except InputError as error:
            raise BadBody(_sentence(str(error)), field=error.column, row=error.row) from error

    def _asked(self, document: Any) -> Asked:
        if isinstance(document, list):
            return Asked(self._records(document, "the body"))
        if not isinstance(document, dict):
            raise BadBody(f"The body is {kind(document)}, not an object or a list of records. {_FORMS}")
        wrapper = next((name for name in WRAPPERS if name in document), None) if self._wrapped else None
        if wrapper is None:
            return self._named(document, None)
        for name in document:
            if name not in (wrapper, ID):
                raise BadBody(f"{name!r} cannot stand beside {wrapper!r}: only {ID!r} can.", field=name)
        identity, inner = _identity(document.get(ID)), document[wrapper]
        if wrapper == FEATURES:
            return Asked(self.reader.matrix(_matrix(inner)), id=identity)
        if isinstance(inner, list):
            return Asked(self._records(inner, repr(INPUTS)), id=identity)
        if isinstance(inner, dict):
            return self._named(inner, identity)
        raise BadBody(f"{INPUTS!r} is {kind(inner)}: it takes records, or a list a column.", field=INPUTS)

    def _records(self, rows: list[Any], where: str) -> Cells:
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                hint = ' Rows of values in order go in {"features": [[…], …]}.' if isinstance(row, list) else ""
                raise BadBody(f"Row {number} of {where} is {kind(row)}, not a record.{hint}", row=number)
        return self.reader.rows(rows)

    def _named(self, named: Mapping[str, Any], identity: str | None) -> Asked:
        # A tensor's own lists are no list of rows: only what is deeper than its shape is.
        listed = [depth(named[name]) > self._axes.get(name, 0) for name in self._signature.names if name in named]
        if not any(listed):
            return Asked(self.reader.rows([named]), single=True, id=identity)
        if not all(listed):
            given = [name for name in self._signature.names if name in named]
            one, many = given[listed.index(False)], given[listed.index(True)]
            raise BadBody(
                f"Column {one!r} has one value, but column {many!r} a list: send a value for each, or a list for each.",
                field=one,
            )
        return Asked(self.reader.columns(named), id=identity)


def _matrix(inner: Any) -> list[Any]:
    if not isinstance(inner, list):
        raise BadBody(f"{FEATURES!r} is {kind(inner)}: it takes a list of rows.", field=FEATURES)
    if inner and not any(isinstance(row, list) for row in inner):
        return [inner]
    for number, row in enumerate(inner):
        if not isinstance(row, list):
            raise BadBody(f"Row {number} of {FEATURES!r} is {kind(row)}, not a list.", field=FEATURES, row=number)
    return inner


def _identity(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and valid_id(value):
        return value
    raise BadBody("'id' must be text of 1 to 128 letters, digits, '.', '_', ':' and '-'.", field=ID)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
