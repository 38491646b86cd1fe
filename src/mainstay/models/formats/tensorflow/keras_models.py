"""What a Keras model says of its inputs, and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.tensorflow import calling
from mainstay.models.formats.tensorflow.interface import Spec
from mainstay.models.signature import Column

_UNNAMED = ("keras_tensor", "input_layer")
_PROBABILITIES = ("sigmoid", "softmax")


def specs_of(model: Any) -> list[Spec]:
    """The inputs of a Sequential or functional model, by the names that they were given; none for a subclassed one.

    Raises:
        CannotImport: an input has a fixed number of rows, or is sparse or ragged.
    """
    inputs = getattr(model, "inputs", None) or []
    specs = []
    for at, tensor in enumerate(inputs):
        name = tensor.name
        if name.startswith(_UNNAMED):
            name = "input" if len(inputs) == 1 else f"input_{at}"
        if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
            raise CannotImport(f"The input {name!r} is sparse or ragged: make it a dense one.")
        rows, *shape = tensor.shape
        if rows is not None:
            raise CannotImport(f"The input {name!r} takes exactly {rows} rows: build the model without a batch size.")
        dtype = "text" if tensor.dtype == "string" else str(tensor.dtype)
        specs.append(Spec(name, "float32" if dtype == "bfloat16" else dtype, tuple(shape)))
    return specs


def called(model: Any, specs: Sequence[Spec], takes: Any = None) -> Callable[[list[Any]], Mapping[str, Any]]:
    """Calls a model with tensors in the order of its inputs, in the shapes that it takes; its outputs by name.

    Args:
        model: of Keras 3.
        specs: its inputs.
        takes: rows as a subclassed model takes them: by name, or in a list.
    """
    import keras as library  # noqa: PLC0415 - an extra, which a model of it has brought

    tf = calling.library()
    structure = getattr(model, "_inputs_struct", None)  # a functional model has its inputs in a list, or by name
    names = getattr(model, "output_names", None)

    def call(tensors: list[Any]) -> Mapping[str, Any]:
        given = [_fitting(tf, tensor, spec) for tensor, spec in zip(tensors, specs, strict=True)]
        inputs: Any = given[0]
        if isinstance(structure, Mapping):
            inputs = library.tree.pack_sequence_as(structure, given)
        elif len(given) > 1:
            by_name = structure is None and isinstance(takes, Mapping)
            inputs = dict(zip([spec.name for spec in specs], given, strict=True)) if by_name else given
        return _by_name(model(inputs, training=False), names)

    return call


def gives_classes(model: Any) -> str:
    """The activation of the last layer, where it is one that makes probabilities; else an empty text."""
    layers = getattr(model, "layers", None) or [None]
    name = str(getattr(getattr(layers[-1], "activation", None), "__name__", ""))
    return name if name in _PROBABILITIES else ""


def ranges_of(model: Any, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns with the ranges that a first layer of normalization has learnt: three deviations to each side."""
    first: Any = next((layer for layer in model.layers if type(layer).__name__ != "InputLayer"), None)
    if type(first).__name__ != "Normalization" or getattr(first, "mean", None) is None:
        return tuple(columns)
    means, deviations = (np.asarray(each, dtype=np.float64).reshape(-1) for each in (first.mean, first.variance))
    if len(means) not in (1, len(columns)) or any(column.type != "number" for column in columns):
        return tuple(columns)
    found = np.broadcast_to([means, 3 * np.sqrt(deviations)], (2, len(columns))).T.tolist()
    return tuple(
        msgspec.structs.replace(column, minimum=mean - reach, maximum=mean + reach, typical=mean)
        for column, (mean, reach) in zip(columns, found, strict=True)
    )


def _fitting(tf: Any, tensor: Any, spec: Spec) -> Any:
    if spec.dtype not in ("text", tensor.dtype.name):
        tensor = tf.cast(tensor, spec.dtype)
    return tf.reshape(tensor, [-1]) if spec.shape == () and len(tensor.shape) == 2 else tensor


def _by_name(found: Any, names: Sequence[str] | None) -> dict[str, Any]:
    if isinstance(found, Mapping):
        return {str(name): found[name] for name in sorted(found)}
    if not isinstance(found, list | tuple):
        return {"output": found}
    if len(found) == 1:
        return {"output": found[0]}
    # Two outputs of one layer have one name.
    named = names if names and len(set(names)) == len(names) == len(found) else None
    return {named[at] if named else f"output_{at}": each for at, each in enumerate(found)}
