"""A version's answers as named arrays, for the protocols that have outputs.

`prediction` (n,), the label or the value; `probabilities` (n, labels), where the model gives them; of a general model,
its own outputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.signature import Label
from mainstay.models.tensors import Array, Dtype, Tensor
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import Problem
from mainstay.serving.replies import label_key

PREDICTION, PROBABILITIES = "prediction", "probabilities"
_encode = msgspec.json.Encoder().encode


class Outputs:
    """The outputs of one version."""

    def __init__(self, loaded: Loaded) -> None:
        signature = loaded.signature
        self._labels = _array_of(signature.labels)
        self._keys = tuple(map(label_key, signature.labels))
        if signature.outputs:
            self.tensors: tuple[Tensor, ...] = signature.outputs
            return
        dtype: Dtype = "float64"
        if signature.labels:
            kinds: dict[type, Dtype] = {bool: "bool", int: "int64", str: "text"}
            dtype = kinds[type(signature.labels[0])]
        self.tensors = (Tensor(name=PREDICTION, dtype=dtype),)
        if loaded.nothing.probabilities is not None:
            self.tensors += (Tensor(name=PROBABILITIES, dtype="float64", shape=(len(signature.labels),)),)

    def table(self, answers: Answers) -> Mapping[str, list[Any]]:
        """The answers as columns: `prediction`, and `probability_LABEL` for each label; null where not finite.

        Raises:
            Problem: an output is an array a row, which is no cell; 406.
        """
        columns = self.columns(answers)
        for name, array in columns.items():
            if array.ndim > 1 or any(tensor.name == name and tensor.dtype == "bytes" for tensor in self.tensors):
                raise Problem(406, f"Output {name!r} fits no cell of CSV: ask for application/json.")
        return {name: _cells(array) for name, array in columns.items()}

    def columns(self, answers: Answers) -> Mapping[str, Array]:
        """The same as arrays of shape (n, …)."""
        columns: dict[str, Array] = {}
        arrays = self.arrays(answers)
        for tensor in self.tensors:
            array = arrays[tensor.name]
            if tensor.name == PROBABILITIES and self._keys:
                columns |= {f"probability_{key}": array[:, index] for index, key in enumerate(self._keys)}
            else:
                columns[tensor.name] = array
        return columns

    def arrays(self, answers: Answers) -> Mapping[str, Array]:
        """By name, arrays of shape (n, …) in the order of `tensors`."""
        return {tensor.name: self.array(answers, tensor.name) for tensor in self.tensors}

    def array(self, answers: Answers, name: str) -> Array:
        """One of them."""
        if answers.outputs is not None:
            return answers.outputs[name]
        if name == PROBABILITIES and answers.probabilities is not None:
            return answers.probabilities
        if answers.labels is not None:
            return self._labels[answers.labels]
        return np.empty(0) if answers.values is None else answers.values


def _cells(array: Array) -> list[Any]:
    cells: list[Any] = array.tolist()
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return cells
    return [cell if np.isfinite(cell) else None for cell in cells]


def _array_of(labels: tuple[Label, ...]) -> Array:
    if labels and not isinstance(labels[0], str):
        return np.array(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def with_tokens(document: Any, arrays: Mapping[str, Array]) -> bytes:
    """JSON with the tokens NaN and Infinity, which are none of JSON's, where an answer is not finite."""
    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in arrays.values()):
        return _encode(document)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
