"""From a package and a smaller graph to the package of the smaller model.

Its answers differ from those of the model that it was made from, by design: the parity document says from which, and
by how much. Its golden predictions are its own; that a row asked alone is answered as in a batch holds as ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models import package as files
from mainstay.models.answers import Answers
from mainstay.models.encoder import compiled
from mainstay.models.formats.compression.technique import parsed
from mainstay.models.formats.onnx import FEATURES, OnnxRunner
from mainstay.models.golden import Golden
from mainstay.models.package import Draft, Package, encoded
from mainstay.models.packaging import Built
from mainstay.models.parity import OTHER_ROWS, Parity, compare, one_at_a_time
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells

CALLS = 300
SECONDS = 2.0
"""At most so long is spent on the latency of a model."""


class CannotCompress(MainstayError):
    """A version that nothing here can make smaller, whatever its accuracy."""


class NotItself(CheckFailed):
    """A smaller graph gives no number, or another answer to a row alone than in a batch."""


def graph_of(package: Package) -> bytes:
    """The ONNX graph of a package.

    Raises:
        CannotCompress: it is no ONNX model. PackageCorrupt.
    """
    spec = package.spec
    if spec.format != "onnx":
        raise CannotCompress(
            f"This version is served as {spec.format}, and only ONNX graphs are made smaller."
            + (f" It is no ONNX because of this: {spec.reason}" if spec.reason else "")
        )
    return package.read(spec.file)


def model_of(package: Package, graph: bytes) -> Model:
    """The model of a package with another graph in it. Raises MainstayError where ONNX Runtime refuses it."""
    return Model.load(Draft(_content(package, graph)).package())


def repacked(package: Package, graph: bytes, *, source: str, cells: Cells) -> Built:
    """The package of a smaller graph.

    Args:
        package: that the graph was made from.
        source: its version, such as "credit:3".
        cells: rows on which the two are held against each other.

    Raises:
        NotItself: see there.
    """
    content = _content(package, graph)
    model, before = Model.load(Draft(content).package()), Model.load(package)
    golden = package.golden
    answers = model.answer(model.read.rows(golden.rows))
    if not _finite(answers):
        raise NotItself("The smaller model gives no finite number for a golden row.")
    content[files.GOLDEN] = encoded(Golden.of(golden.rows, answers))
    found = compare(model.answer(cells), before.answer(cells))
    parity = Parity(
        against=f"{source}, from which it was compressed and differs by design",
        rows=found.rows,
        label_disagreements=found.label_disagreements,
        largest_difference=found.largest_difference,
        single=one_at_a_time(model.answer, cells.rows(slice(0, OTHER_ROWS))),
    )
    if not parity.holds:
        raise NotItself(f"The smaller model does not answer as itself: {parity.told()}.")
    kept = {files.PROFILE: package.read(files.PROFILE)} if files.PROFILE in package else {}
    draft = Draft(content, {**kept, files.PARITY: encoded(parity)})
    Model.load(draft.package()).check_golden()
    return Built(draft, parity, "onnx", "")


def latencies(packages: Sequence[Package], cells: Cells) -> list[float]:
    """The median time of the graphs alone for one row, in microseconds, in this process and on one thread.

    The graphs take turns, so that whatever else the machine does is shared among them.

    Args:
        packages: of ONNX models that take the same cells.
        cells: one row.
    """
    calls = [_call(package, cells) for package in packages]
    for call in calls * 20:
        call()
    spent: list[list[int]] = [[] for _ in calls]
    end = time.monotonic() + SECONDS * len(calls)
    for _ in range(CALLS):
        for call, times in zip(calls, spent, strict=True):
            start = time.perf_counter_ns()
            call()
            times.append(time.perf_counter_ns() - start)
        if time.monotonic() > end:
            break
    return [float(np.median(times)) / 1000 for times in spent]


def _call(package: Package, cells: Cells) -> Callable[[], Any]:
    encoder = package.encoder
    runner = OnnxRunner(graph_of(package), package.signature)
    return runner.call(cells, None if encoder is None else compiled(encoder)(cells))


def _content(package: Package, graph: bytes) -> dict[str, bytes]:
    content = {name: package.read(name) for name in package.manifest.content}
    content[package.spec.file] = graph
    encoder = package.encoder
    if encoder is not None:
        content[files.ENCODER] = encoded(msgspec.structs.replace(encoder, dtype=_taken(parsed(graph))))
    return content


def _taken(model: onnx.ModelProto) -> str:
    """The type of the features that a graph takes."""
    kinds = {entry.name: entry.type.tensor_type.elem_type for entry in model.graph.input}
    return "float32" if kinds[FEATURES] == TensorProto.FLOAT else "float64"


def _finite(answers: Answers) -> bool:
    return all(found is None or bool(np.isfinite(found).all()) for found in (answers.probabilities, answers.values))
