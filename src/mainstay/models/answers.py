"""What a model says about n rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.models.signature import Floats
from mainstay.models.tensors import Array

SLACK = 1e-3
"""How far from one the probabilities of a row may add up: those of half precision are not exact."""


class Answers(msgspec.Struct, frozen=True, eq=False):  # made for each request
    """Scores and decisions of n rows, in float64.

    A regression has `values` (n,). A classifier has `labels` (n,), the index of each row's label in the signature,
    and, where it knows them, `probabilities` (n, labels). A general model has `outputs`, arrays (n, …) by name.
    """

    values: Floats | None = None
    labels: npt.NDArray[np.int64] | None = None
    probabilities: Floats | None = None
    outputs: Mapping[str, Array] | None = None
    seconds: float | None = None
    """That the model computed, where another process tells; of answers that were computed together, of all of them."""
    alone: bool = True
    """Whether the rows were computed without those of other requests, so that the time is this request's own."""

    def __len__(self) -> int:
        if self.outputs:
            return len(next(iter(self.outputs.values())))
        decided = self.values if self.labels is None else self.labels
        return 0 if decided is None else len(decided)

    @property
    def size(self) -> int:
        """How many numbers, or other values, there are."""
        arrays = (self.values, self.labels, self.probabilities, *(self.outputs or {}).values())
        return sum(array.size for array in arrays if array is not None)

    def rows(self, chosen: slice | npt.NDArray[Any]) -> Answers:
        """The answers of the chosen rows (a slice, positions, or a mask of shape (n,))."""

        def part(array: npt.NDArray[Any] | None) -> Any:
            return None if array is None else array[chosen]

        outputs = None if self.outputs is None else {name: array[chosen] for name, array in self.outputs.items()}
        return Answers(
            part(self.values), part(self.labels), part(self.probabilities), outputs, self.seconds, self.alone
        )

    @staticmethod
    def joined(parts: Sequence[Answers]) -> Answers:
        """The answers of one model for parts of a table, one after the other; at least one part."""
        first = parts[0]

        def whole(arrays: Sequence[Any]) -> Any:
            return None if arrays[0] is None else np.concatenate(arrays)

        names = first.outputs or {}
        outputs = {name: np.concatenate([(part.outputs or {})[name] for part in parts]) for name in names}
        return Answers(
            whole([part.values for part in parts]),
            whole([part.labels for part in parts]),
            whole([part.probabilities for part in parts]),
            None if first.outputs is None else outputs,
        )


def are_probabilities(shares: Floats) -> bool:
    """Whether numbers (n, labels) can be probabilities: none below zero, and each row adds up to one.

    Those of one class alone, p, stand as (1 - p, p): they add up to one whatever p is, and are below zero where it is
    above one.
    """
    return bool(np.all(shares >= -SLACK) and np.all(np.abs(shares.sum(axis=1) - 1) <= SLACK))
