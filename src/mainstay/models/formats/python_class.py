"""Runs a person's own Python class: its code is imported here, so this module is for a host process alone.

The class is made once, with the folder of its files, and asked with `predict(rows)`. What it answers is checked as
strictly as what a caller sends: it is the one part of a version that nobody has proven.
"""

from __future__ import annotations

import importlib
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.archives import unpack
from mainstay.models.classes import CLASS, CODE, ClassSpec, require_trusted
from mainstay.models.package import Package
from mainstay.models.signature import Cells, Column, Floats, Signature
from mainstay.models.tensors import Array, Tensor, empty

SUM_WITHIN = 1e-6
"""How far the probabilities of a row may be from 1 in all: what single precision leaves of a softmax."""


class ClassFault(MainstayError):
    """A class that does not keep its side of the contract; names the class, and no value of anybody's."""


class ClassRunner:
    """One instance of a person's class."""

    def __init__(self, name: str, instance: Any, signature: Signature) -> None:
        self._name, self._predict, self._signature = name, instance.predict, signature

    def run(self, cells: Cells, features: Any | None) -> Answers:
        """Scores of n rows; of none, the class is not asked.

        Raises:
            ClassFault: what it gave is no answer to these rows; or whatever the class itself raises.
        """
        del features
        if not len(cells):
            return _nothing(self._signature)
        return answers_of(self._predict(columns_of(cells, self._signature)), len(cells), self._signature, self._name)


def load(package: Package, *, trusted: tuple[str, ...] = ()) -> ClassRunner:
    """The runner of a package that is a Python class; `trusted` holds the code ids that the operator trusts.

    Raises:
        UntrustedCode: the operator does not trust it; nothing of it was imported.
        ClassFault: there is no such class, it cannot be made, or this is not its Python.
        PackageCorrupt, BadArchive: a file is missing or was changed.
    """
    require_trusted(package.manifest, trusted)
    spec = package.document(CLASS, ClassSpec).checked()
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if spec.python != here:
        raise ClassFault(f"{spec.name} is locked for Python {spec.python}, and this is Python {here}.")
    # A folder of its own for each process: what the class writes there is seen by no other, and by no later one.
    folder = Path(tempfile.mkdtemp(prefix="class-")) / "files"
    unpack(package.read(CODE), folder)  # what was trusted, whichever file `package.spec` names
    sys.path.insert(0, str(folder))
    return ClassRunner(spec.name, _made(spec.name, folder), package.signature)


def columns_of(cells: Cells, signature: Signature) -> dict[str, Array]:
    """What a class is given: an array of shape (n,) a column and of (n, …) a tensor, by name, in the signature's order.

    A number is float64 (NaN: missing), a boolean is bool, or where it may be missing an object (None: missing); a
    category and a text are objects, str or None (missing, or no category that is known); a date-time is
    datetime64[us] in UTC (NaT: missing); a tensor is of its own type, text and bytes as objects.
    """
    columns = {column.name: _column(cells, index, column) for index, column in enumerate(signature.inputs)}
    # Copies, which a class may write into: what came over the socket is read-only.
    return {**columns, **{tensor.name: cells.tensors[tensor.name].copy() for tensor in signature.tensors}}


def answers_of(given: Any, rows: int, signature: Signature, name: str) -> Answers:
    """What a class gave for so many rows, as answers.

    Raises:
        ClassFault: another shape, another type, NaN, infinity, no probabilities, or a label that there is not.
    """
    if signature.task == "general":
        return Answers(outputs=_outputs(given, rows, signature, name))
    if signature.task == "regression":
        values = _numbers(given, name, "one number a row")
        if values.shape != (rows,):
            raise ClassFault(_misshapen(name, values, rows, f"one value a row, of shape ({rows},)"))
        return Answers(values=values)
    array = _array(given, name)
    if array.ndim == 2:
        return Answers(probabilities=_probabilities(array, rows, signature, name))
    if array.shape != (rows,):
        expected = f"probabilities of shape ({rows}, {len(signature.labels)}), or labels of shape ({rows},)"
        raise ClassFault(_misshapen(name, array, rows, expected))
    return Answers(labels=_labels(array, signature, name))


def _nothing(signature: Signature) -> Answers:
    if signature.task == "general":
        return Answers(outputs={output.name: empty(output) for output in signature.outputs})
    if signature.task == "regression":
        return Answers(values=np.empty(0))
    return Answers(labels=np.empty(0, dtype=np.int64))


def _made(name: str, folder: Path) -> Any:
    """The instance. Whatever the class's own code raises goes on as it is: only its author can tell what it means."""
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ClassFault(
                f"{name} imports {error.name!r}, which is neither among its files nor its requirements: add it."
            ) from error
        raise ClassFault(f"There is no module {module_name!r} among the files of the class: check `class`.") from error
    for part in path.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise ClassFault(f"The module {module_name} has no {path!r}: check `class`.")
    instance = found(folder)
    if not callable(getattr(instance, "predict", None)):
        raise ClassFault(f"{name} has no method `predict`: it is what answers rows.")
    return instance


def _column(cells: Cells, index: int, column: Column) -> Array:
    numbers = cells.numbers[:, index]
    match column.type:
        case "text":
            return _objects(cells.texts[index])
        case "category":
            known = column.categories
            return _objects([known[int(code)] if code >= 0 else None for code in numbers.tolist()])  # NaN is not
        case "boolean":
            if not column.nullable:
                return numbers.astype(np.bool_)
            return _objects([None if math.isnan(value) else bool(value) for value in numbers.tolist()])
        case "datetime":
            moments = np.full(len(numbers), np.datetime64("NaT", "us"))
            present = ~np.isnan(numbers)
            moments[present] = np.rint(numbers[present] * 1e6).astype(np.int64).astype("datetime64[us]")
            return moments
    return numbers.copy()


def _objects(values: Any) -> Array:
    # Filled, not converted: numpy would make something else of a list of lists, and of None.
    made = np.empty(len(values), dtype=object)
    made[:] = list(values)
    return made


def _array(given: Any, name: str) -> Array:
    if given is None or isinstance(given, str | bytes | Mapping):
        raise ClassFault(f"{name} gave {type(given).__name__} where `predict` gives an array or a list.")
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as error:  # rows of unequal length, say
        raise ClassFault(f"{name} gave a {type(given).__name__} that is no array: its rows differ in size.") from error


def _numbers(given: Any, name: str, what: str) -> Floats:
    array = _array(given, name)
    if array.dtype.kind not in "fiu":
        raise ClassFault(f"{name} gave {array.dtype} where `predict` gives {what}.")
    numbers: Floats = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.argwhere(~np.isfinite(numbers))[0][0])
        raise ClassFault(f"{name} gave NaN or infinity for row {row}, which is no answer.")
    return numbers


def _probabilities(array: Array, rows: int, signature: Signature, name: str) -> Floats:
    labels = len(signature.labels)
    if array.shape != (rows, labels):
        raise ClassFault(_misshapen(name, array, rows, f"probabilities of shape ({rows}, {labels}), a label a column"))
    found = _numbers(array, name, "probabilities")
    odd = ((found < 0) | (found > 1)).any(axis=1) | (np.abs(found.sum(axis=1) - 1.0) > SUM_WITHIN)
    if odd.any():
        raise ClassFault(
            f"{name} gave row {int(np.argmax(odd))} numbers that are no probabilities: they lie between 0 and 1, and "
            "add up to 1 over the labels."
        )
    return found


def _labels(array: Array, signature: Signature, name: str) -> npt.NDArray[np.int64]:
    # True is 1 to Python, and no label 1: so the types are compared too.
    codes = {(type(label), label): code for code, label in enumerate(signature.labels)}
    found = [codes.get((type(label), label), -1) for label in array.tolist()]
    if -1 in found:
        row = found.index(-1)
        known = ", ".join(map(repr, signature.labels[:8]))
        raise ClassFault(
            f"{name} gave row {row} a {type(array.tolist()[row]).__name__} that is none of the labels: {known}."
        )
    return np.array(found, dtype=np.int64)


def _outputs(given: Any, rows: int, signature: Signature, name: str) -> dict[str, Array]:
    wanted = {output.name: output for output in signature.outputs}
    if not isinstance(given, Mapping) or given.keys() != wanted.keys():
        found = sorted(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        raise ClassFault(f"{name} gave {found} where `predict` gives a dictionary of {sorted(wanted)}.")
    return {key: _output(given[key], rows, tensor, f"{name}, output {key!r},") for key, tensor in wanted.items()}


def _output(given: Any, rows: int, tensor: Tensor, name: str) -> Array:
    if tensor.numpy == np.dtype(object):
        # Not `asarray`, which would make texts of whatever stands beside a text.
        array = np.array(given, dtype=object) if isinstance(given, list | tuple) else _array(given, name).astype(object)
        kind = str if tensor.dtype == "text" else bytes
        if not all(isinstance(value, kind) for value in array.reshape(-1).tolist()):
            raise ClassFault(f"{name} gave something else than {tensor.dtype}.")
    else:
        array = _array(given, name)
        if not np.can_cast(array.dtype, tensor.numpy, "same_kind"):
            raise ClassFault(f"{name} gave {array.dtype} where it is to give {tensor.told()} a row.")
        with np.errstate(over="ignore"):
            array = array.astype(tensor.numpy)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ClassFault(f"{name} gave NaN or infinity for row {int(np.argwhere(~np.isfinite(array))[0][0])}.")
    fixed = [size if isinstance(size, int) else None for size in tensor.shape]
    if array.ndim != len(fixed) + 1 or any(
        wanted not in (None, found) for wanted, found in zip((rows, *fixed), array.shape, strict=True)
    ):
        raise ClassFault(_misshapen(name, array, rows, f"{tensor.told()} a row"))
    return array


def _misshapen(name: str, array: Array, rows: int, expected: str) -> str:
    return f"{name} gave an array of shape {array.shape} for {rows} row{'s' * (rows != 1)}: it gives {expected}."
