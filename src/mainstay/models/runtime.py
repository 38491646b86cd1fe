"""A package, loaded and ready to answer: the same code in the serving worker, the host process and a notebook."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.encoder import compiled
from mainstay.models.package import Decision, Format, ModelSpec, Package
from mainstay.models.signature import Cells, Floats, InputError, Reader, Signature
from mainstay.models.tensors import Array, plain


class Runner(Protocol):
    """Runs one model file."""

    def run(self, cells: Cells, features: Any | None) -> Answers:
        """Scores of n rows.

        Args:
            cells: the rows, as the signature read them.
            features: the encoder's features of shape (n, width); None where the package has no encoder.
        """


AT_ONCE = 16_384
"""Rows that a model is asked for at once: a forest of many classes needs rows x trees x classes numbers on the way."""

# A format's module is imported only where a package of that format is loaded.
FORMATS: dict[Format, str] = {
    "onnx": "mainstay.models.formats.onnx",
    "skops": "mainstay.models.formats.skops",
    "lightgbm": "mainstay.models.formats.lightgbm_native",
    "xgboost": "mainstay.models.formats.xgboost_native",
    "catboost": "mainstay.models.formats.catboost_native",
    "ensemble": "mainstay.models.formats.composite",
    "savedmodel": "mainstay.models.formats.savedmodel",
    "python-class": "mainstay.models.formats.python_class",
}


def load_runner(package: Package, *, trusted: Sequence[str] = ()) -> Runner:
    """The runner of a package's model file; `trusted` are the type names (skops) and code ids (classes) that the
    operator trusts."""
    module = importlib.import_module(FORMATS[package.spec.format])
    runner: Runner = module.load(package, trusted=tuple(trusted))
    return runner


class Model:
    """A loaded version: rows in, answers out."""

    def __init__(self, package: Package, runner: Runner) -> None:
        self.package = package
        self.signature: Signature = package.signature
        self.spec: ModelSpec = package.spec
        self.read = Reader(self.signature)
        self._runner = runner
        encoder = package.encoder
        self._encode: Callable[[Cells], Any] | None = None if encoder is None else compiled(encoder)

    @classmethod
    def load(cls, package: Package, *, trusted: Sequence[str] = ()) -> Model:
        """The model of a package, in this process.

        Raises:
            PackageCorrupt: a file is missing or was changed.
            UntrustedTypes: the file holds types that the operator does not trust.
        """
        return cls(package, load_runner(package, trusted=trusted))

    def answer(self, cells: Cells) -> Answers:
        """The answers for rows that the signature has read; of many rows, part by part."""
        rows = len(cells.numbers)
        if rows <= AT_ONCE:
            return self._answer(cells)
        starts = range(0, rows, AT_ONCE)
        return Answers.joined([self._answer(cells.rows(slice(start, start + AT_ONCE))) for start in starts])

    def _answer(self, cells: Cells) -> Answers:
        features = None if self._encode is None else self._encode(cells)
        return decided(self._runner.run(cells, features), self.spec.decision)

    def check_golden(self) -> None:
        """Replays the golden predictions.

        Raises:
            GoldenMismatch: the answers differ from those of the native model.
        """
        golden = self.package.golden
        if golden.rows:
            golden.check(self.answer(self.read.rows(golden.rows)))

    def predict(self, data: Any) -> list[Any]:
        """Predictions for a pandas DataFrame, a mapping of columns (or of arrays), or a list of records; or for an
        array: of a model's only tensor, or of rows whose values stand in the order of the signature.

        A general model answers the outputs of each row, by name.

        Raises:
            InputError: the data does not fit the signature.
        """
        return self.predictions(self.answer(self.cells(data)))

    def predict_proba(self, data: Any) -> Floats:
        """Probabilities of shape (n, labels), in the order of `signature.labels`.

        Raises:
            InputError: the data does not fit the signature.
            TypeError: the model gives no probabilities.
        """
        probabilities = self.answer(self.cells(data)).probabilities
        if probabilities is None:
            raise TypeError("This model gives no probabilities; use predict.")
        return probabilities

    def cells(self, data: Any) -> Cells:
        """The cells of a DataFrame, a mapping of columns, a list of records, or an array: of a model's only tensor, or
        of rows whose values stand in the order of the signature.

        Raises:
            InputError: it is none of these, or does not fit the signature.
        """
        if isinstance(data, np.ndarray):
            if len(self.signature.tensors) == 1 and not self.signature.inputs:
                return self.read.columns({self.signature.tensors[0].name: data})
            return self.read.matrix([data.tolist()] if data.ndim == 1 else data.tolist())
        if hasattr(data, "columns") and hasattr(data, "to_dict"):
            if not data.columns.is_unique:
                twice = data.columns[data.columns.duplicated()][0]
                raise InputError(f"The column {twice!r} stands more than once in these rows: send it once.")
            return self.read.columns({name: data[name].tolist() for name in data.columns})
        if isinstance(data, Mapping):
            if alone := [name for name, values in data.items() if not hasattr(values, "__len__")]:
                raise InputError(f"Column {alone[0]!r} is one value, and a column has one a row: give {_TAKEN}.")
            return self.read.columns(data)
        if not isinstance(data, Sequence) or any(not isinstance(row, Mapping) for row in data):
            raise InputError(f"Rows were given as {_kind_of(data)}: give {_TAKEN}.")
        return self.read.rows(data)

    def predictions(self, answers: Answers) -> list[Any]:
        """The label, the value or the outputs of each row, as plain Python values."""
        if answers.outputs is not None:
            return rowwise(answers.outputs)
        if answers.labels is None:
            return [] if answers.values is None else answers.values.tolist()
        labels = self.signature.labels
        return [labels[index] for index in answers.labels.tolist()]


_TAKEN = "a DataFrame, columns as {name: [values]}, a list of records {name: value}, or a NumPy array"


def _kind_of(data: Any) -> str:
    listed = isinstance(data, Sequence) and not isinstance(data, str | bytes)
    other = next((row for row in data if not isinstance(row, Mapping)), None) if listed else None
    return f"a {type(data).__name__} of {type(other).__name__}" if listed else type(data).__name__


def rowwise(outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Outputs by name as one mapping a row, of values that JSON can carry."""
    columns = [plain(array) for array in outputs.values()]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


def decided(scores: Answers, decision: Decision | None) -> Answers:
    """Scores with their labels: by threshold, as the model itself says, or the most probable."""
    if scores.probabilities is None:
        return scores
    if decision is not None:
        reached = scores.probabilities[:, decision.positive] >= decision.threshold
        labels = (reached if decision.positive else ~reached).astype(np.int64)
    elif scores.labels is not None:
        return scores
    else:
        labels = scores.probabilities.argmax(1).astype(np.int64, copy=False)
    return Answers(labels=labels, probabilities=scores.probabilities)
