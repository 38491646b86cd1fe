"""What a worker and a host process say to each other: length-prefixed msgpack, over a Unix socket.

A frame is its length (4 bytes, big-endian) and a document. Numbers travel as their bytes, so nothing is rounded.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells
from mainstay.models.tensors import Array

LONGEST = 1 << 30
"""Bytes: a length beyond it is no frame of ours."""

ANSWER_WITHIN = 30.0
"""Seconds that a worker waits for a host's answer, unless the server's timeout is longer; a request that has less time
is given up before."""

_LENGTH = struct.Struct(">I")
_NUMBER, _INDEX = np.dtype("<f8"), np.dtype("<i8")


class Block(msgspec.Struct, frozen=True, array_like=True):
    """An array: its bytes, or, of text and bytes, its elements in order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes = b""
    elements: list[Any] | None = None

    @classmethod
    def of(cls, array: Array) -> Block:
        if array.dtype == object:
            return cls("object", array.shape, elements=array.reshape(-1).tolist())
        little = array.dtype.newbyteorder("<")
        return cls(little.str, array.shape, np.ascontiguousarray(array, dtype=little).tobytes())

    def array(self) -> Array:
        if self.elements is None:
            return np.frombuffer(self.data, dtype=np.dtype(self.dtype)).reshape(self.shape)
        flat = np.empty(len(self.elements), dtype=object)
        flat[:] = self.elements
        return flat.reshape(self.shape)


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """Rows to answer; `numbers` is float64, row by row."""

    id: int
    shape: tuple[int, int]
    """Rows and inputs: of no rows, the bytes cannot tell the inputs."""
    numbers: bytes
    texts: dict[int, list[str | None]]
    tensors: dict[str, Block] = {}
    nothing: bool = False
    """The model is not asked: who answers lives."""

    @classmethod
    def of(cls, identity: int, cells: Cells) -> Ask:
        texts = {index: list(values) for index, values in cells.texts.items()}
        rows, inputs = cells.numbers.shape
        numbers = cells.numbers.astype(_NUMBER, copy=False).tobytes()
        tensors = {name: Block.of(array) for name, array in cells.tensors.items()}
        return cls(identity, (rows, inputs), numbers, texts, tensors)

    def cells(self) -> Cells:
        numbers = np.frombuffer(self.numbers, _NUMBER).reshape(self.shape)
        tensors = {name: block.array() for name, block in self.tensors.items()}
        return Cells(numbers.astype(np.float64), self.texts, tensors)


class Told(msgspec.Struct, frozen=True, array_like=True):
    """The answers to an `Ask`, or why there are none."""

    id: int
    shape: tuple[int, int] = (0, 0)
    """Rows, and probabilities a row."""
    values: bytes | None = None
    labels: bytes | None = None
    probabilities: bytes | None = None
    error: str | None = None
    refused: bool = False
    """Whether the error is the caller's: rows that the model does not take."""
    outputs: dict[str, Block] | None = None
    seconds: float | None = None
    """That the model computed."""

    @classmethod
    def of(cls, identity: int, answers: Answers, seconds: float | None = None) -> Told:
        return cls(
            identity,
            (len(answers), 0 if answers.probabilities is None else answers.probabilities.shape[1]),
            _bytes(answers.values, _NUMBER),
            _bytes(answers.labels, _INDEX),
            _bytes(answers.probabilities, _NUMBER),
            outputs=None
            if answers.outputs is None
            else {name: Block.of(array) for name, array in answers.outputs.items()},
            seconds=seconds,
        )

    def answers(self) -> Answers:
        probabilities = _array(self.probabilities, _NUMBER)
        return Answers(
            values=_array(self.values, _NUMBER),
            labels=_array(self.labels, _INDEX),
            probabilities=None if probabilities is None else probabilities.reshape(self.shape),
            outputs=None if self.outputs is None else {name: block.array() for name, block in self.outputs.items()},
            seconds=self.seconds,
        )


def _bytes(array: npt.NDArray[Any] | None, dtype: np.dtype[Any]) -> bytes | None:
    return None if array is None else array.astype(dtype, copy=False).tobytes()


def _array(data: bytes | None, dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
    return None if data is None else np.frombuffer(data, dtype)


def framed(document: msgspec.Struct) -> bytes:
    """A document as a frame."""
    data = msgspec.msgpack.encode(document)
    return _LENGTH.pack(len(data)) + data


class Cutter:
    """Cuts what comes over a socket into the documents of its frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def cut(self, data: bytes) -> list[memoryview]:
        """The documents that are whole with this; what is left waits for more.

        Raises:
            ConnectionError: what came is no frame.
        """
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < _LENGTH.size or len(rest) < _LENGTH.size + _length(rest, 0):
                return []
            data = bytes(rest)
        whole, found, at = memoryview(data), [], 0
        while len(data) - at >= _LENGTH.size:
            begins = at + _LENGTH.size
            ends = begins + _length(data, at)
            if ends > len(data):
                break
            found.append(whole[begins:ends])
            at = ends
        if rest or at < len(data):
            self._rest = bytearray(whole[at:])
        return found


def _length(data: bytes | bytearray, at: int) -> int:
    length: int = _LENGTH.unpack_from(data, at)[0]
    if length > LONGEST:
        raise ConnectionError(f"a frame of {length} bytes is none of ours")
    return length


async def next_frame(reader: asyncio.StreamReader) -> bytes:
    """The document of the next frame.

    Raises:
        asyncio.IncompleteReadError: the other side is gone.
        ConnectionError: what came is no frame.
    """
    return await reader.readexactly(_length(await reader.readexactly(_LENGTH.size), 0))
