"""From a graph made of a foreign file to the files of a package, held against the model's own library.

There are no rows of the model's training here, so the rows of the proof are synthetic: drawn from the columns' ranges,
from the thresholds of the trees, with missing and unseen values. For the same reason a package has no profile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.answers import Answers
from mainstay.models.encoder import Encoder
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.frames import FRAME, FrameSpec
from mainstay.models.golden import Golden
from mainstay.models.package import Draft, ModelSpec, encoded
from mainstay.models.packaging import GOLDEN_ROWS, ONNX_FILE, Built
from mainstay.models.parity import (
    OTHER_ROWS,
    Compared,
    Parity,
    boundary_cells,
    boundary_limit,
    compare,
    lineage,
    missing_cells,
    one_at_a_time,
    unseen_cells,
)
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, Column, Floats, InputError, Reader, Signature
from mainstay.models.synthetic import LIKELY, rows_for, synthetic_rows, wide
from mainstay.models.tensors import empty

SEED = 0
GRAPH = ModelSpec(format="onnx", file=ONNX_FILE)


def packed(
    data: bytes,
    *,
    signature: Signature,
    encoder: Encoder | None,
    native: Callable[[Cells], Answers] | None,
    thresholds: Mapping[int, Floats] | None = None,
    spec: ModelSpec = GRAPH,
    frame: FrameSpec | None = None,
    trusted: Sequence[str] = (),
    reach: float = LIKELY,
) -> Built:
    """The package of a graph that speaks as `formats.onnx` wants it, or of the model's own file.

    Args:
        data: of the model's file.
        native: the model's own library, asked for the same rows; None where there is none, and the golden predictions
            are the graph's own.
        thresholds: split points by feature.
        spec: what the file is; by default an ONNX graph.
        frame: the table that the model takes, where there is no encoder.
        trusted: what an operator has to trust to load the model's own file.
        reach: how far from zero the numbers of a column without a range are drawn.

    Raises:
        CannotImport: it does not answer as the library does, or answers no row at all.
    """
    content = {
        spec.file: data,
        files.SIGNATURE: encoded(signature),
        files.SPEC: encoded(spec),
    }
    if frame is not None:
        content[FRAME] = encoded(frame)
    if encoder is not None:
        content[files.ENCODER] = encoded(encoder)
    model = Model.load(Draft(content).package(), trusted=trusted)
    points = dict(thresholds or {})
    paths = lineage(encoder, signature)
    places = {
        path.column: values for feature, values in points.items() if (path := paths[feature]) and not path.factors
    }
    rows = _synthetic(signature, rows_for(signature), places, reach)
    cells = Reader(signature).rows(rows)
    truth = native or model.answer
    try:
        expected = truth(cells)
    except (InputError, ValueError) as error:
        raise CannotImport(f"The model refuses rows that its own columns describe: {error}") from error
    parity = (
        _parity(model, truth, cells, expected, signature=signature, encoder=encoder, thresholds=points)
        if native
        else _alone(model, cells)
    )
    if not parity.holds:
        raise CannotImport(f"What was made of the file does not answer as its own library does: {parity.told()}.")
    finite, answers = _finite(rows, expected)
    first = slice(0, GOLDEN_ROWS)
    content[files.GOLDEN] = encoded(Golden.of(finite[first], answers.rows(first)))
    draft = Draft(content, {files.PARITY: encoded(parity)})
    Model.load(draft.package(), trusted=trusted).check_golden()
    return Built(draft, parity, spec.format, spec.reason, tuple(trusted))


def alone(model: Model) -> tuple[Golden, Parity]:
    """The golden predictions of a model that there is no library to hold against, and what can be proven of it:
    that it gives an answer to what its signature describes, and to each row the same, whatever stands beside it.

    Raises:
        CannotImport: it does not.
    """
    signature = model.signature
    rows = _synthetic(signature, min(GOLDEN_ROWS, rows_for(signature)), {})
    read = Reader(signature)
    try:
        answers = model.answer(read.rows(rows))
    except MainstayError as error:
        row = next((row for row in rows if _fails(model, read.rows([row]))), None)
        shown = "" if row is None else f" Asked for {_shown(row)} alone, it fails too."
        raise CannotImport(
            f"The model does not answer rows that are drawn from its signature: {error}{shown} Mend it, or say in the "
            "signature what it takes (minimum, maximum, nullable)."
        ) from error
    parity = _alone(model, read.rows(rows))
    if not parity.holds:
        raise CannotImport(
            f"The model answers a row otherwise when other rows stand beside it ({parity.told()}): an answer has to "
            "follow from its own row alone, and to be the same each time."
        )
    return Golden.of(rows, answers), parity


def _fails(model: Model, cells: Cells) -> bool:
    try:
        model.answer(cells)
    except MainstayError:
        return True
    return False


def _shown(row: Mapping[str, object]) -> str:
    text = msgspec.json.encode(row).decode()
    return text if len(text) <= 200 else f"{text[:200]}..."


def _synthetic(
    signature: Signature, rows: int, thresholds: Mapping[int, Floats], reach: float = LIKELY
) -> list[dict[str, Any]]:
    nothing = Cells(
        np.empty((0, len(signature.inputs))),
        dict.fromkeys(_texts(signature), ()),
        {tensor.name: empty(tensor) for tensor in signature.tensors},
    )
    return synthetic_rows(wide(signature, reach), rows, reference=nothing, thresholds=thresholds, seed=SEED)


def ranged(column: Column, points: Floats) -> Column:
    """A number column with a range that holds its thresholds, for forms and synthetic rows."""
    if column.type != "number" or not len(points):
        return column
    low, high = float(np.min(points)), float(np.max(points))
    margin = (high - low) / 10 or max(1.0, abs(low) / 10)
    return msgspec.structs.replace(column, minimum=low - margin, maximum=high + margin, typical=(low + high) / 2)


def _texts(signature: Signature) -> list[int]:
    return [index for index, column in enumerate(signature.inputs) if column.type == "text"]


def _parity(
    model: Model,
    native: Callable[[Cells], Answers],
    cells: Cells,
    expected: Answers,
    *,
    signature: Signature,
    encoder: Encoder | None,
    thresholds: dict[int, Floats],
) -> Parity:
    def both(rows: Cells) -> Compared:
        return compare(model.answer(rows), native(rows)) if len(rows) else Compared()

    held = compare(model.answer(cells), expected)
    boundary = Compared()
    if encoder is not None and thresholds:
        limit = boundary_limit(encoder.width)
        boundary = both(boundary_cells(cells, lineage(encoder, signature), thresholds, limit=limit, seed=SEED))
    return Parity(
        rows=held.rows,
        label_disagreements=held.label_disagreements,
        largest_difference=held.largest_difference,
        boundary=boundary,
        missing=both(missing_cells(cells, signature)),
        unseen=both(unseen_cells(cells, signature)),
        single=one_at_a_time(model.answer, cells.rows(slice(0, OTHER_ROWS))),
    )


def _alone(model: Model, cells: Cells) -> Parity:
    """What can be proven without another library: that the answers know nothing of each other."""
    return Parity(
        rows=0,
        label_disagreements=0,
        largest_difference=0.0,
        single=one_at_a_time(model.answer, cells.rows(slice(0, OTHER_ROWS))),
    )


def _finite(rows: Sequence[Mapping[str, object]], answers: Answers) -> tuple[list[Mapping[str, object]], Answers]:
    """The rows whose answers are numbers: a logarithm of an unlikely row may be none.

    Raises:
        CannotImport: there are no such rows.
    """
    kept = np.ones(len(rows), dtype=np.bool_)
    numbers = [array for array in (answers.outputs or {}).values() if array.dtype.kind == "f"]
    for found in (answers.values, answers.probabilities, *numbers):
        if found is not None:
            kept &= np.isfinite(found.reshape(len(rows), -1)).all(axis=1)
    if not kept.any():
        raise CannotImport("The model gives no number for any row that its own columns describe.")
    return [row for row, keep in zip(rows, kept.tolist(), strict=True) if keep], answers.rows(kept)
