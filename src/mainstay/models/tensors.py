"""Named tensors: arrays of one type and a known number of axes, for inputs and answers that are no columns of a table.

Images, sequences, embeddings, raw bytes. The first axis is always the rows, and is not part of a tensor's shape.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from itertools import chain
from math import prod
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.errors import did_you_mean
from mainstay.models.refusing import InputError, place, shown

Dtype = Literal[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "text",
    "bytes",
]
Array = npt.NDArray[Any]
BASE64 = "b64"
"""The key under which JSON carries bytes: `{"b64": "…"}`."""
MAX_EXACT = 2**53
"""Beyond this a double cannot hold every integer."""
MOST_DECODED = 1 << 26
"""Numbers that the pictures of one request may become: one of a single colour is a few bytes, whatever its size."""
_EXACTLY = "a number that a double holds exactly (at most 2^53)"


class Image(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an encoded picture (PNG or JPEG) becomes a tensor's numbers: channel values 0 to 255, times `scale`, plus
    `offset`."""

    mode: Literal["L", "RGB", "RGBA"]
    """Gray, or colours."""
    layout: Literal["HW", "HWC", "CHW"]
    """The axes of a row: height, width, channels."""
    scale: float = 1.0
    offset: float = 0.0


class Tensor(msgspec.Struct, frozen=True, kw_only=True, tag="tensor", tag_field="kind", omit_defaults=True):
    """One named tensor."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...] = ()
    """Of one row. A text names a size that may differ from request to request: the same name, the same size."""
    image: Image | None = None
    """Set where an encoded picture may be sent in place of the numbers."""
    minimum: float | None = None
    """The range seen in training: a hint for examples and golden rows, never a bound."""
    maximum: float | None = None

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type of its arrays; text and bytes are Python objects."""
        return np.dtype(object) if self.dtype in ("text", "bytes") else np.dtype(self.dtype)

    def told(self) -> str:
        """Its type and shape as words: `float32 (28, 28)`."""
        return f"{self.dtype} ({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''})"


def with_images(tensors: Sequence[Tensor], images: Mapping[str, Image]) -> tuple[Tensor, ...]:
    """The tensors, of which those that are named may be sent as pictures too.

    Raises:
        InputError: a name is none of theirs.
    """
    names = [tensor.name for tensor in tensors]
    if unknown := [name for name in images if name not in names]:
        known = ", ".join(map(repr, names)) or "none, for all inputs are columns"
        raise InputError(
            f"images names {unknown[0]!r}, which is no input of arrays: the model has {known}."
            f"{did_you_mean(unknown[0], names)}"
        )
    return tuple(
        msgspec.structs.replace(tensor, image=images[tensor.name]) if tensor.name in images else tensor
        for tensor in tensors
    )


def read(tensor: Tensor, values: Sequence[Any] | Array) -> Array:
    """The array of a tensor's values for n rows: shape (n, *sizes), in the tensor's own type.

    Args:
        tensor: what they have to fit.
        values: a value a row: nested lists, arrays, encoded pictures, or one array of all rows.

    Raises:
        InputError: a value of another type, shape or range, or one that is not finite.
    """
    if not isinstance(values, np.ndarray):
        values = list(values)
        if tensor.image is not None and any(_encoded(value) for value in values):
            values = _pictures(tensor, values)
        elif values and all(isinstance(value, np.ndarray) for value in values):
            values = _stacked(tensor, values)
    if isinstance(values, np.ndarray):
        return _checked_array(tensor, values)
    sizes, flat = _flattened(tensor, values)
    return _typed(tensor, flat, len(values)).reshape(sizes)


def same_sizes(tensors: Sequence[Tensor], arrays: Mapping[str, Array]) -> None:
    """Checks that one name of a size means one size.

    Raises:
        InputError: it means two.
    """
    seen: MutableMapping[str, tuple[int, str]] = {}
    for tensor in tensors:
        for axis, size in enumerate(tensor.shape):
            if isinstance(size, int):
                continue
            found = arrays[tensor.name].shape[axis + 1]
            known, by = seen.setdefault(size, (found, tensor.name))
            if known != found:
                raise InputError(
                    f"Tensor {tensor.name!r} has {found} for {size!r}, but {by!r} has {known}: both need the same.",
                    column=tensor.name,
                )


def depth(value: Any) -> int:
    """How many lists a value is wrapped in, told by its first elements."""
    if isinstance(value, np.ndarray):
        return value.ndim
    levels = 0
    while isinstance(value, list | tuple):
        levels += 1
        if not value:
            break
        value = value[0]
    return levels


def empty(tensor: Tensor) -> Array:
    """The array of no rows; sizes that differ are none."""
    return np.empty((0, *(size if isinstance(size, int) else 0 for size in tensor.shape)), dtype=tensor.numpy)


def plain(array: Array) -> list[Any]:
    """An array as nested lists that JSON can carry; bytes as `{"b64": "…"}`."""
    listed: list[Any] = array.tolist()
    return _with_base64(listed) if array.dtype == object else listed


def _with_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64(each) for each in value]
    return {BASE64: base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _encoded(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, Mapping) and value.keys() == {BASE64})


def _pictures(tensor: Tensor, values: Sequence[Any]) -> Array:
    from mainstay.models.pictures import decoded  # noqa: PLC0415 - an extra, and only where pictures are sent

    at_once = max(1, MOST_DECODED // max(1, prod(size for size in tensor.shape if isinstance(size, int))))
    if len(values) > at_once:
        raise InputError(
            f"Tensor {tensor.name!r}: got {len(values)} pictures, and {at_once} of this size are decoded at once: send "
            "fewer at a time, or send their numbers.",
            column=tensor.name,
        )
    found = []
    for row, value in enumerate(values):
        if not _encoded(value):
            raise _wrong(tensor, value, row, len(values), "an encoded picture like the other rows")
        found.append(decoded(tensor, _bytes(tensor, value, row, len(values)), row, len(values)))
    return np.stack(found)


def _stacked(tensor: Tensor, values: Sequence[Array]) -> Array:
    shapes = {value.shape for value in values}
    if len(shapes) > 1:
        row = next(row for row, value in enumerate(values) if value.shape != values[0].shape)
        raise _ragged(tensor, row, values[row].shape, values[0].shape)
    return np.stack(values)


def _flattened(tensor: Tensor, values: Sequence[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """The sizes of nested lists, and their elements in order."""
    rows, level, sizes = len(values), list(values), [len(values)]
    for size in tensor.shape:
        each = max(1, len(level) // max(1, rows))  # how many lists of this level a row has
        for at, value in enumerate(level):
            if not isinstance(value, list | tuple | np.ndarray) or (isinstance(value, np.ndarray) and not value.ndim):
                raise _wrong(tensor, value, at // each, rows, _expected(tensor))
        found = len(level[0]) if level else (size if isinstance(size, int) else 0)
        wanted = size if isinstance(size, int) else found
        for at, value in enumerate(level):
            if len(value) != wanted:
                raise InputError(
                    f"{place(at // each, rows)}tensor {tensor.name!r}: got {len(value)} values where "
                    f"{wanted} belong: {_expected(tensor)}.",
                    column=tensor.name,
                    row=at // each,
                )
        sizes.append(wanted)
        level = list(chain.from_iterable(level))
    return tuple(sizes), level


def _typed(tensor: Tensor, flat: list[Any], rows: int) -> Array:
    """The elements as one array of the tensor's type."""
    each = max(1, len(flat) // max(1, rows))

    def check(fits: Callable[[Any], bool], wanted: str) -> None:
        at = next((at for at, value in enumerate(flat) if not fits(value)), None)
        if at is not None:
            raise _wrong(tensor, flat[at], at // each, rows, wanted)

    match tensor.numpy.kind:
        case "O" if tensor.dtype == "text":
            check(lambda value: isinstance(value, str), "text")
            return _objects(flat)
        case "O":
            return _objects([_bytes(tensor, value, at // each, rows) for at, value in enumerate(flat)])
        case "b":
            check(lambda value: isinstance(value, bool | np.bool_), "true or false")
            return np.array(flat, dtype=np.bool_)
        case "i" | "u":
            limits = np.iinfo(tensor.numpy)
            check(_is_integer, "an integer")
            check(lambda value: limits.min <= value <= limits.max, f"{limits.min} to {limits.max}")
            return np.array(flat, dtype=tensor.numpy)
    if set(map(type, flat)) != {float}:  # what JSON gives most of the time needs no look at each
        check(lambda value: _is_integer(value) or isinstance(value, float | np.floating), _expected(tensor))
        check(lambda value: not _is_integer(value) or abs(int(value)) <= MAX_EXACT, _EXACTLY)
    return _cast(tensor, np.array(flat, dtype=np.float64), each, rows)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _checked_array(tensor: Tensor, values: Array) -> Array:
    """One array of all rows in the tensor's type."""
    fits = values.ndim == len(tensor.shape) + 1 and all(
        wanted == found for wanted, found in zip(tensor.shape, values.shape[1:], strict=True) if isinstance(wanted, int)
    )
    if not fits:
        raise InputError(
            f"Tensor {tensor.name!r}: got the shape {values.shape}, expected {_expected(tensor)} after the rows.",
            column=tensor.name,
        )
    kind, rows = tensor.numpy.kind, len(values)
    if kind == values.dtype.kind == "b":
        return values
    if kind not in "iuf" or values.dtype.kind not in "iuf":
        return _typed(tensor, values.reshape(-1).tolist(), rows).reshape(values.shape)
    each = max(1, values.size // max(1, rows))

    def check(outside: Array, wanted: str) -> None:
        if outside.any():
            at = int(np.argmax(outside.reshape(-1)))
            raise _wrong(tensor, values.reshape(-1)[at].item(), at // each, rows, wanted)

    if kind in "iu":
        if values.dtype.kind == "f":
            raise InputError(
                f"Tensor {tensor.name!r}: got numbers of type {values.dtype}, expected integers ({tensor.dtype}).",
                column=tensor.name,
            )
        limits = np.iinfo(tensor.numpy)
        check((values < limits.min) | (values > limits.max), f"{limits.min} to {limits.max}")
        return values.astype(tensor.numpy)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        check((values > MAX_EXACT) | (values < -MAX_EXACT), _EXACTLY)
    return _cast(tensor, values, each, rows)


def _cast(tensor: Tensor, values: Array, each: int, rows: int) -> Array:
    """Numbers in a type of floats. What that type cannot hold is refused; what it rounds is rounded."""
    with np.errstate(over="ignore"):
        # What another language packed need not stand where this machine reads numbers at once.
        cast = values.astype(tensor.dtype, copy=not values.flags.aligned)
    finite = np.isfinite(cast)
    if not finite.all():
        at = int(np.argmin(finite.reshape(-1)))
        value = values.reshape(-1)[at].item()
        wanted = f"a number that {tensor.dtype} can hold" if np.isfinite(value) else "a finite number"
        raise _wrong(tensor, value, at // each, rows, wanted)
    return cast


def _objects(flat: Sequence[Any]) -> Array:
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array


def _bytes(tensor: Tensor, value: Any, row: int, rows: int) -> bytes:
    if isinstance(value, bytes):
        return value
    text = value.get(BASE64) if isinstance(value, Mapping) and value.keys() == {BASE64} else None
    if not isinstance(text, str):
        raise _wrong(tensor, value, row, rows, '{"b64": "…"} with bytes in base64')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            f"{place(row, rows)}tensor {tensor.name!r}: its base64 cannot be read ({error}).",
            column=tensor.name,
            row=row,
        ) from error


def _expected(tensor: Tensor) -> str:
    if not tensor.shape:
        return f"one value of type {tensor.dtype}"
    return f"{tensor.dtype} of shape ({', '.join(map(str, tensor.shape))}{',' if len(tensor.shape) == 1 else ''})"


def _ragged(tensor: Tensor, row: int, found: tuple[int, ...], first: tuple[int, ...]) -> InputError:
    return InputError(
        f"Row {row}, tensor {tensor.name!r}: got the shape {found}, but row 0 has {first}: rows of one request need "
        "the same shape.",
        column=tensor.name,
        row=row,
    )


def _wrong(tensor: Tensor, value: Any, row: int, rows: int, expected: str) -> InputError:
    return InputError(
        f"{place(row, rows)}tensor {tensor.name!r}: got {shown(value)}, expected {expected}.",
        column=tensor.name,
        row=row,
    )
