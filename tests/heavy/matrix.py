"""The cases of docs/reference/formats.md: a model of each format for each task, and how its own library is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.formats.objects import Given
from mainstay.models.golden import largest_difference
from mainstay.models.importing import draft_of_file
from mainstay.models.package import Package
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model

ROWS = 64
"""Rows whose answers are compared, none of them trained on."""
REPEATS = 50
TASKS = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class Made:
    """A model, ready to be registered, and its own library's answers."""

    model: Any
    """An object, or the path of a file."""
    given: Given | Told
    rows: Any
    """Held-out rows, as `Model.predict` takes them."""
    native: Callable[[Any], Any]
    """Rows, as its own library takes them, to probabilities (n, labels), values (n,) or labels."""
    native_rows: Any
    one: Callable[[Any], Any] = field(default=lambda rows: rows[:1])
    """One of the native rows."""
    opened: Callable[[Package], Model] | None = None
    """How a version is loaded that is code; others are loaded in this process."""


@dataclass(frozen=True)
class Case:
    """A line of the matrix."""

    format: str
    model: str
    task: str
    make: Callable[[Path], Made]

    @property
    def name(self) -> str:
        return f"{self.format} | {self.model} | {self.task}"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for a case."""

    format: str
    model: str
    task: str
    served_as: str
    difference: float
    """The largest |a - b| / max(1, |b|) from the native answers."""
    native: float
    """Median seconds of a row, asked of its own library."""
    served: float
    """The same of the version: read, checked, computed, decided, in this process."""


def found(case: Case, folder: Path, *, repeats: int = REPEATS) -> Line:
    """Registers, loads and asks a case's model, beside its own library.

    Raises:
        MainstayError: it does not register, or does not answer as it should.
    """
    made = case.make(folder)
    if isinstance(made.given, Told):
        built = draft_of_file(made.model, made.given).built
    else:
        built = draft_of(made.model, made.given).built
    package = built.draft.package()
    trusted = (*built.untrusted, *made.given.trusted)
    served = Model.load(package, trusted=trusted) if made.opened is None else made.opened(package)
    served.check_golden()
    expected = made.native(made.native_rows)
    if served.signature.outputs:
        answers = served.answer(served.cells(made.rows)).outputs or {}
        difference = max(largest_difference(answers[name], array) for name, array in expected.items())
    elif served.signature.labels and np.ndim(expected) == 2:
        difference = largest_difference(served.predict_proba(made.rows), expected)
    elif served.signature.labels:
        difference = float(np.mean([a != b for a, b in zip(served.predict(made.rows), expected, strict=True)]))
    else:
        difference = largest_difference(served.predict(made.rows), np.ravel(expected))
    native_one, cells = made.one(made.native_rows), served.cells(made.rows)
    record = _record(served, cells, made.rows)
    native, own = _side_by_side(
        lambda: made.native(native_one), lambda: served.answer(served.read.rows([record])), repeats
    )
    return Line(
        format=case.format,
        model=case.model,
        task=case.task,
        served_as=built.format,
        difference=difference,
        native=native,
        served=own,
    )


def _record(served: Model, cells: Any, rows: Any) -> dict[str, Any]:
    """The first row as a client sends it."""
    names = served.signature.names
    if hasattr(rows, "columns"):
        return {str(name): rows[name].tolist()[0] for name in rows.columns}
    if isinstance(rows, dict):
        return {name: _plain(values[0]) for name, values in rows.items()}
    if isinstance(rows, np.ndarray) and not served.signature.tensors:
        return dict(zip(names, rows[0].tolist(), strict=True))
    if isinstance(rows, np.ndarray):
        return {names[0]: rows[0].tolist()}
    del cells
    return dict(rows[0])


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _side_by_side(one: Callable[[], Any], other: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds of two calls, taken in turns so that a busy machine is unfair to neither."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (one, other):
        call()
    for _ in range(repeats):
        for call, spent in zip((one, other), times, strict=True):
            begun = time.perf_counter()
            call()
            spent.append(time.perf_counter() - begun)
    return median(times[0]), median(times[1])


def page(lines: Sequence[Line], machine: str, versions: str) -> str:
    """docs/reference/formats.md."""
    table = "\n".join(
        f"| {line.format} | {line.model} | {line.task} | yes | {_runs_as(line.served_as)} | {line.difference:.1g} | "
        f"{_micro(line.native)} | {_micro(line.served)} |"
        for line in lines
    )
    return f"""# Formats

Which models come in, how they are served, and how exactly. Each line is a test that registers a model of that format,
loads the version as a server does, replays its golden predictions, and holds its answers for {ROWS} rows that it was
not trained on against its own library's.

```sh
make test-formats ARGS="-k matrix"                           # runs every line
MAINSTAY_WRITE_MATRIX=1 make test-formats ARGS="-k matrix"   # and writes this page
```

{table_head()}
{table}

- *Largest difference*: |served - native| / max(1, |native|), over all probabilities or values; of models that give
  labels alone, the share of labels that differ.
- *Native*: median µs of one row, asked of the model's own library as its user asks it. *Served*: the same for the
  version: reading and checking the row, encoding, inference and decision, in one process, without HTTP.
- What is not served as ONNX runs in a host process of its own beside the workers; *served* is what it takes there. Of a
  Python class, which has a process of its own everywhere, it is the whole way there and back.
- Measured on {machine}, one thread, with {versions}.
"""


def table_head() -> str:
    return (
        "| format | model | task | registers | served as | largest difference | native, µs | served, µs |\n"
        "|---|---|---|---|---|---|---|---|"
    )


def _runs_as(form: str) -> str:
    return {"onnx": "ONNX", "savedmodel": "SavedModel", "python-class": "its own process"}.get(form, form)


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f}"
