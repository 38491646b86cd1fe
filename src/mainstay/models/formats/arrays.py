"""The inputs of a model that takes arrays (Keras, PyTorch), told from the rows that are given with it.

One array (rows, columns) of floats, or a table of numbers, is columns: they are sent by name, and may be missing where
they were in X. All else is tensors, of the shapes and types that X has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats.frames import Taken, cells_of, retaken, take
from mainstay.models.formats.objects import CannotRegister
from mainstay.models.signature import Cells, Column, Reader, Signature
from mainstay.models.tensors import Array, Dtype, Image, Tensor, with_images

Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a model: columns that one array takes, or tensors."""

    columns: tuple[Column, ...]
    tensors: tuple[Tensor, ...]
    taken: Taken | None
    """The table that the columns are of."""

    def encoder(self, dtype: Precision) -> Encoder | None:
        """From the columns to the one array (rows, columns) of the model; None for tensors."""
        return None if self.taken is None else Encoder((Block(tuple(range(len(self.columns)))),), dtype=dtype)

    def cells(self, rows: Any, signature: Signature) -> Cells:
        """Rows as X has them, for a signature with these inputs.

        Raises:
            InputError, SignatureError, CannotRegister: they are other than X.
        """
        if self.taken is not None:
            return cells_of(retaken(rows, self.taken), signature)
        return Reader(signature).columns(by_name(rows, [tensor.name for tensor in self.tensors]))


def inputs_of(
    X: Any,
    names: Sequence[str],
    shapes: Mapping[str, Sequence[int | str | None]] | None = None,
    images: Mapping[str, Image] | None = None,
) -> Inputs:
    """The inputs of a model that takes arrays of these names.

    Args:
        X: a table of numbers; an array (n, …); a mapping from name to array, or a sequence of arrays in their order.
        names: of the model's inputs, in their order.
        shapes: of one row, where the model says so; a size that it leaves open is a text or None.
        images: by input, how an encoded picture becomes its numbers.

    Raises:
        CannotRegister: X has other inputs than the model, or is no array of numbers, booleans, texts or bytes.
        SignatureError: a table that a signature cannot hold.
    """
    alone = X[names[0]] if isinstance(X, Mapping) and len(names) == 1 and names[0] in X else X
    table = isinstance(alone, pd.DataFrame) or (
        isinstance(alone, np.ndarray) and alone.ndim == 2 and alone.dtype.kind == "f"
    )
    if len(names) == 1 and table and not images:
        taken = take(alone)
        if others := [column.name for column in taken.inputs if column.type != "number"]:
            raise CannotRegister(
                f"Column {others[0]!r} of X is none of numbers, and the model takes numbers alone: give X as the model "
                "takes it, after your own encoding."
            )
        return Inputs(taken.inputs, (), taken)
    arrays = by_name(X, names)
    tensors = tuple(_tensor(name, array, (shapes or {}).get(name)) for name, array in arrays.items())
    return Inputs((), with_images(tensors, images or {}), None)


def by_name(rows: Any, names: Sequence[str]) -> dict[str, Array]:
    """Arrays of one number of rows, by the names of a model's inputs.

    Raises:
        CannotRegister: there are more, fewer or others than the model takes, or of differing numbers of rows.
    """
    if isinstance(rows, Mapping):
        if set(rows) != set(names):
            raise CannotRegister(
                f"The model takes {', '.join(map(repr, names))}, and X has {', '.join(map(repr, rows))}: name each."
            )
        given = [rows[name] for name in names]
    elif isinstance(rows, list | tuple) and len(names) > 1:
        given = list(rows)
    else:
        given = [rows]
    if len(given) != len(names):
        raise CannotRegister(f"The model takes {len(names)} inputs, and X has {len(given)}: give one array for each.")
    arrays = {name: np.asarray(array) for name, array in zip(names, given, strict=True)}
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or not all(counts.values()):
        raise CannotRegister(f"The arrays of X have {counts} rows: each input needs the same number, at least one.")
    return arrays


def _tensor(name: str, array: Array, stated: Sequence[int | str | None] | None) -> Tensor:
    shape = array.shape[1:]
    if stated is not None:
        if len(stated) != len(shape) or any(
            isinstance(wanted, int) and wanted != found for wanted, found in zip(stated, shape, strict=True)
        ):
            raise CannotRegister(
                f"The input {name!r} takes rows of shape {tuple(stated)}, and those of X have {shape}."
            )
        sizes = tuple(
            size if isinstance(size, int | str) else f"{name} {axis}" for axis, size in enumerate(stated, start=1)
        )
    else:
        sizes = shape
    low = high = None
    if array.dtype.kind in "iuf" and array.size:
        low, high = float(array.min()), float(array.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise CannotRegister(f"The input {name!r} has values that are not finite, which a tensor does not take.")
    return Tensor(name=name, dtype=_dtype(name, array), shape=sizes, minimum=low, maximum=high)


def _dtype(name: str, array: Array) -> Dtype:
    if array.dtype.kind in "biuf" and array.dtype.itemsize <= 8:
        return cast("Dtype", array.dtype.name)
    values = array.reshape(-1).tolist()
    if all(isinstance(value, str) for value in values):
        return "text"
    if all(isinstance(value, bytes) for value in values):
        return "bytes"
    raise CannotRegister(
        f"The input {name!r} is of type {array.dtype}, and a tensor holds numbers, booleans, texts or bytes."
    )
