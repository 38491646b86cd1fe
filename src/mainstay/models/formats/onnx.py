"""Runs ONNX graphs with ONNX Runtime.

A graph behind an encoder has the input `features` of shape (n, width), and may take texts by their names beside it. A
graph without one takes each column of the signature by its name, of shape (n, 1): text as strings, all else as the
graph's own type. A tensor goes in by its own name, of shape (n, …). Outputs are found by name: `probabilities` (n,
labels), `label` (n,) as label indices, `value` (n,) or (n, 1); those of a general model by the names in its signature.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.formats.bounded_runs import bounded_run
from mainstay.models.formats.quiet_onnx import onnxruntime
from mainstay.models.package import Package
from mainstay.models.signature import Cells, InputError, Signature

FEATURES = "features"
ROUNDING = ["MatMulScaleFusion"]
"""What ONNX Runtime must not do to a graph: it keeps a factor beside a product of matrices in single precision, even
where all else is double, which is wrong in the eighth digit."""
_TYPES = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


_OUTSIDE = re.compile(
    r"(?:indices element out of data bounds|invalid index found)"
    r"(?:, idx=-?\d+ must be within the inclusive range \[-\d+,(?P<last>\d+)\])?"
)
"""An id that a table does not hold; a negative one too where the graph guards its look-ups (`guarded_ids`)."""


def said(error: Exception) -> str:
    """What ONNX Runtime says of an error, without the places in its own source."""
    text = re.sub(r"\S*\.(?:cc|h):\d+ .*?\)(?: const)?\s*", "", " ".join(str(error).split()))
    return text.rpartition(" : ")[2].strip().rstrip(".")[:300] or type(error).__name__


class OnnxRunner:
    """One ONNX Runtime session, one thread: the workers are the parallelism."""

    def __init__(self, graph: bytes, signature: Signature) -> None:
        """Raises MainstayError for a graph that ONNX Runtime refuses or that has none of the known outputs."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # rows that a graph refuses are told to who sent them
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=ROUNDING
            )
        except Exception as error:  # ONNX Runtime raises classes of its own, with no common root
            raise MainstayError(f"ONNX Runtime refuses the model: {said(error)}.") from error
        # Kept by the session for making itself again on other hardware: a second copy of the model that nobody reads.
        self._session._model_bytes = None  # noqa: SLF001 - there is no public way
        self._run = bounded_run(self._session, graph)
        self._signature = signature
        self._types = {entry.name: entry.type for entry in self._session.get_inputs()}
        self._alone = self._types.keys() == {FEATURES}
        known = {entry.name for entry in self._session.get_outputs()}
        if signature.outputs:
            self._outputs = [output.name for output in signature.outputs]
            if missing := [name for name in self._outputs if name not in known]:
                raise MainstayError(f"The ONNX model has no output {missing[0]!r}, which its signature names.")
            return
        self._outputs = [name for name in ("probabilities", "label", "value") if name in known]
        if not self._outputs:
            raise MainstayError("The ONNX model has none of the outputs 'probabilities', 'label' and 'value'.")
        self._places = [
            self._outputs.index(name) if name in self._outputs else None for name in ("value", "label", "probabilities")
        ]

    def call(self, cells: Cells, features: Any | None) -> Callable[[], Any]:
        """What runs the graph for these rows each time it is called, and nothing else: for measuring."""
        feeds = self._feeds(cells, features)
        return lambda: self._run(self._outputs, feeds)

    def _feeds(self, cells: Cells, features: Any | None) -> dict[str, Any]:
        if self._alone and features is not None:
            return {FEATURES: features}
        feeds = {} if features is None else {FEATURES: features}
        return {**self._columns(cells), **feeds, **cells.tensors}

    def run(self, cells: Cells, features: Any | None) -> Answers:
        feeds = self._feeds(cells, features)
        try:
            answered = self._run(self._outputs, feeds)
        except InputError:
            raise
        except Exception as error:  # as above
            outside = _OUTSIDE.search(str(error))
            if not cells.tensors and outside is None:
                raise
            # Whether the values of a tensor suit a graph (ids of words, lengths) is for the graph alone to say.
            why = _no_such_id(outside["last"]) if outside else said(error)
            raise InputError(f"The model does not take these rows: {why}.") from error
        rows = len(cells.numbers)
        if self._signature.outputs:
            return Answers(outputs=self._checked(dict(zip(self._outputs, answered, strict=True)), rows))
        value, label, shares = self._places
        return Answers(
            None if value is None else np.asarray(answered[value], dtype=np.float64).reshape(rows),
            None if label is None else np.asarray(answered[label], dtype=np.int64).reshape(rows),
            None if shares is None else np.asarray(answered[shares], dtype=np.float64),
        )

    def _checked(self, found: dict[str, Any], rows: int) -> dict[str, Any]:
        """Outputs of a general model; one that has not a value a row would be somebody else's."""
        for name, array in found.items():
            if not isinstance(array, np.ndarray) or array.shape[:1] != (rows,):
                raise MainstayError(f"The output {name!r} of the ONNX model is not one array with a value a row.")
        return found

    def _columns(self, cells: Cells) -> dict[str, Any]:
        feeds: dict[str, Any] = {}
        for index, column in enumerate(self._signature.inputs):
            if column.name not in self._types:
                continue  # the graph does not use every column
            if index in cells.texts:
                texts = [text if text is not None else "" for text in cells.texts[index]]
                feeds[column.name] = np.array(texts, dtype=object).reshape(-1, 1)
            else:
                feeds[column.name] = cells.numbers[:, index : index + 1].astype(_TYPES[self._types[column.name]])
        return feeds


def _no_such_id(last: str | None) -> str:
    return f"an id lies outside {f'0 to {last}, which is what its table holds' if last else 'what its table holds'}"


def load(package: Package, *, trusted: tuple[str, ...] = ()) -> OnnxRunner:
    """The runner of a package whose model file is ONNX. Nothing of a graph needs trust: it holds no code."""
    del trusted
    return OnnxRunner(package.read(package.spec.file), package.signature)
