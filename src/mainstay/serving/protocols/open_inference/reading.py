"""An inference request's inputs: from JSON or bytes to arrays, then to the columns and tensors of a signature."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import msgspec

from mainstay.models.signature import Cells, Signature
from mainstay.models.tensors import Array, Tensor
from mainstay.models.tensors import read as read_tensor
from mainstay.serving.bodies import Bodies
from mainstay.serving.protocols.open_inference.datatypes import BYTES, DTYPES, objects, unpacked
from mainstay.serving.strict import BadBody, kind

BINARY_SIZE, CONTENT_TYPE, BASE64 = "binary_data_size", "content_type", "base64"
_CONTENT_TYPES = ("str", "np", "pd", "pd_json", "datetime", "hg_str", "raw", BASE64)
"""What MLServer's clients say of an input's meaning. The signature says it here; only base64 changes the bytes."""
Parameters = dict[str, Any]
_MOST = 2**40
"""Elements that a shape may speak of: far more than fit a body."""
GLANCED = 1 << 17
"""Numbers that are checked and copied at once: in a third of a millisecond."""


class Given(msgspec.Struct, forbid_unknown_fields=True):
    """One input, as it was sent."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: Any = msgspec.UNSET


class Tail:
    """The bytes behind the JSON, taken input by input."""

    def __init__(self, raw: memoryview) -> None:
        self._raw, self._at = raw, 0

    def take(self, size: int, name: str) -> memoryview:
        """The next bytes.

        Raises:
            BadBody: fewer are left.
        """
        left = len(self._raw) - self._at
        if size > left:
            raise BadBody(f"Input {name!r} says {size} bytes of data, but {left} are left in the body.", field=name)
        self._at += size
        return self._raw[self._at - size : self._at]

    def done(self) -> None:
        """Raises BadBody where bytes are left that no input has taken."""
        if self._at != len(self._raw):
            raise BadBody(f"The body has {len(self._raw) - self._at} bytes that belong to no input.")


class Inputs:
    """Reads the inputs of one version."""

    def __init__(self, signature: Signature, bodies: Bodies) -> None:
        self._reader = bodies.reader
        self._known = frozenset(signature.names)
        self._columns = {column.name: column for column in signature.inputs}
        self._tensors = {tensor.name: tensor for tensor in signature.tensors}
        self._width = len(signature.inputs)
        self._all_numbers = not signature.tensors and all(column.type == "number" for column in signature.inputs)

    def read(self, inputs: Sequence[Given], tail: Tail) -> Cells:
        """The rows of a request.

        Raises:
            BadBody: an input twice, or one whose data do not fit its own shape and datatype.
            InputError: it does not fit the signature.
        """
        return self.cells(_arrays(inputs, tail))

    def glance(self, inputs: Sequence[Given], tail: Tail) -> Cells | None:
        """As `read`, of `GLANCED` numbers at most, as bytes, that fit as they are: None where one needs a closer look.

        Raises:
            BadBody, InputError: as `read`.
        """
        if any(given.datatype == BYTES or given.data is not msgspec.UNSET for given in inputs):
            return None
        arrays = _arrays(inputs, tail)
        if sum(array.size for array in arrays.values()) > GLANCED:
            return None
        matrix = self._matrix(arrays)
        if matrix is not None:
            return self._reader.whole(matrix)
        alike = not self._columns and all(
            (tensor := self._tensors.get(name)) is not None and _alike(tensor, array) for name, array in arrays.items()
        )
        return self.cells(arrays) if alike else None

    def cells(self, arrays: dict[str, Array]) -> Cells:
        """The rows of named arrays, each with its rows first.

        Raises:
            BadBody: an array of another shape than its column has.
            InputError: they do not fit the signature.
        """
        matrix = self._matrix(arrays)
        if matrix is not None:
            return self._reader.array(matrix)
        return self._reader.columns({name: self._values(name, array) for name, array in arrays.items()})

    def _matrix(self, arrays: dict[str, Array]) -> Array | None:
        """The one array that holds all columns of a table of numbers, in their order; None where it is not that."""
        if len(arrays) != 1 or not self._all_numbers:
            return None
        name, array = next(iter(arrays.items()))
        whole = array.ndim == 2 and array.shape[1] == self._width and (self._width > 1 or name not in self._known)
        return array if whole else None

    def _values(self, name: str, array: Array) -> Any:
        tensor = self._tensors.get(name)
        if tensor is not None:
            return _for_tensor(tensor, array)
        if name in self._columns and array.ndim > 1:
            if array.ndim != 2 or array.shape[1] != 1:
                raise BadBody(
                    f"Input {name!r} has the shape {list(array.shape)}: a column takes [rows] or [rows, 1].", field=name
                )
            array = array[:, 0]
        if array.dtype == object:
            return _decoded_texts(name, array)
        # Few types are worth an array: the reader looks at others value by value, as Python's own.
        return array if array.dtype.kind in "fiu" else array.tolist()


def _arrays(inputs: Sequence[Given], tail: Tail) -> dict[str, Array]:
    """What the inputs say, by name."""
    arrays: dict[str, Array] = {}
    for given in inputs:
        once(given.name, arrays)
        arrays[given.name] = _array(given, tail)
    tail.done()
    return arrays


def _alike(tensor: Tensor, array: Array) -> bool:
    """Whether an array becomes the tensor's without a look at each element."""
    kind, found = tensor.numpy.kind, array.dtype.kind
    return kind == found == "b" or (kind in "iuf" and found in "iuf")


def once(name: str, before: Container[str]) -> None:
    """Refuses (BadBody) an input that was given before."""
    if name in before:
        raise BadBody(f"Input {name!r} is given twice: send each name once.", field=name)


def checked_shape(name: str, datatype: str, given: Sequence[int]) -> tuple[int, ...]:
    """The shape of an input.

    Raises:
        BadBody: it is none, or the datatype is none.
    """
    if datatype not in DTYPES:
        raise BadBody(
            f"Input {name!r} has the datatype {datatype[:30]!r}: it takes one of {', '.join(DTYPES)}.", field=name
        )
    shape = tuple(given)
    if not shape or min(shape) < 0 or len(shape) > 32:
        raise BadBody(f"Input {name!r} has the shape {str(list(shape))[:60]}: its first size is the rows.", field=name)
    if prod(max(1, size) for size in shape) >= _MOST:
        raise BadBody(f"Input {name!r} has the shape {str(list(shape))[:60]}, which no memory holds.", field=name)
    return shape


def is_base64(name: str, parameters: Mapping[str, Any]) -> bool:
    """Whether an input's bytes are base64, by its parameters.

    Raises:
        BadBody: they name a content type that is none.
    """
    content = parameters.get(CONTENT_TYPE)
    if content is not None and content not in _CONTENT_TYPES:
        told = ", ".join(_CONTENT_TYPES)
        raise BadBody(f"Input {name!r} has the content type {str(content)[:60]!r}: it takes {told}.", field=name)
    return bool(content == BASE64)


def _array(given: Given, tail: Tail) -> Array:
    """What one input says, as an array of its shape."""
    name, parameters = given.name, given.parameters or {}
    shape = checked_shape(name, given.datatype, given.shape)
    base64ed = is_base64(name, parameters)
    size = parameters.get(BINARY_SIZE)
    if size is None:
        array = _from_json(given, shape)
    elif type(size) is not int or size < 0:
        raise BadBody(f"Input {name!r} has a {BINARY_SIZE} that is no number of bytes: {str(size)[:60]!r}.", field=name)
    elif given.data is not msgspec.UNSET:
        raise BadBody(f"Input {name!r} has both data and {BINARY_SIZE}: send one of them.", field=name)
    else:
        array = unpacked(name, given.datatype, shape, tail.take(size, name))
    return debased(name, array) if base64ed and array.dtype == object else array


def _from_json(given: Given, shape: tuple[int, ...]) -> Array:
    if not isinstance(given.data, list):
        found = "no data" if given.data is msgspec.UNSET else kind(given.data)
        raise BadBody(
            f"Input {given.name!r} has {found}: its data is a list, or bytes behind the JSON.", field=given.name
        )
    flat = _flat(given.name, given.data, shape)
    array = objects(flat).reshape(shape)
    dtype = "text" if given.datatype == BYTES else DTYPES[given.datatype]
    tensor = Tensor(name=given.name, dtype=dtype, shape=shape[1:])
    if None not in flat:
        return read_tensor(tensor, array)
    # A missing value has no type of an array: the others are checked, and all stay as they are.
    present = [value for value in flat if value is not None]
    read_tensor(Tensor(name=given.name, dtype=dtype), objects(present))
    return array


def _flat(name: str, data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """The elements of flat or nested lists, row by row.

    Raises:
        BadBody: not as many as the shape says, or nested in another way.
    """
    wanted = prod(shape)
    if not any(isinstance(each, list) for each in data):
        if len(data) != wanted and len(data) != shape[0]:
            raise _mismatch(name, f"{len(data)} elements", shape)
        if len(data) == wanted:
            return data
    if len(data) != shape[0]:
        raise _mismatch(name, f"{len(data)} rows", shape)
    level = data
    for size in shape[1:]:
        for each in level:
            if not isinstance(each, list) or len(each) != size:
                raise _mismatch(
                    name, f"{len(each)} elements in a list" if isinstance(each, list) else kind(each), shape
                )
        level = list(chain.from_iterable(level))
    if any(isinstance(each, list) for each in level):
        raise _mismatch(name, "lists in deeper levels", shape)
    return level


def _mismatch(name: str, found: str, shape: tuple[int, ...]) -> BadBody:
    return BadBody(f"Input {name!r} has {found}, which do not fit its shape {list(shape)}.", field=name)


def debased(name: str, array: Array) -> Array:
    """Texts in base64 (BadBody where they are none) as the bytes that they stand for."""
    return _each(array, lambda value, row: _unbased(name, value, row))


def _unbased(name: str, value: Any, row: int) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadBody(
            f"Row {row}, input {name!r}: its base64 cannot be read ({error}).", field=name, row=row
        ) from error


def _decoded_texts(name: str, array: Array) -> list[Any]:
    return [_text(name, value, row) for row, value in enumerate(array.tolist())]


def _text(name: str, value: Any, row: int) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadBody(f"Row {row}, input {name!r}: its bytes are not UTF-8.", field=name, row=row) from error


def _for_tensor(tensor: Tensor, array: Array) -> Any:
    """An input as the tensor takes it: texts as text, and what JSON had as text as bytes where it takes those."""
    if array.dtype != object:
        return array
    if tensor.dtype == "text":
        return _each(array, lambda value, row: _text(tensor.name, value, row))
    if tensor.dtype == "bytes":
        return _each(array, lambda value, _: value.encode() if isinstance(value, str) else value)
    if tensor.image is not None and array.size == len(array):
        return array.reshape(-1).tolist()
    return array


def _each(array: Array, change: Callable[[Any, int], Any]) -> Array:
    each = max(1, array.size // max(1, len(array)))
    return objects(change(value, at // each) for at, value in enumerate(array.reshape(-1).tolist())).reshape(
        array.shape
    )
