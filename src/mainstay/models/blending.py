"""From registered models and a method to the package of a blend: one graph where that can be, proven either way.

The truth is what the parts themselves answer, each loaded as it was registered and asked as it would be alone, combined
by NumPy in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.answers import Answers
from mainstay.models.combining import Combination
from mainstay.models.formats import composite
from mainstay.models.formats.export import FEATURES
from mainstay.models.formats.merged_graph import Piece, merged_graph
from mainstay.models.formats.thresholds import thresholds_of
from mainstay.models.golden import Golden
from mainstay.models.merging import merged
from mainstay.models.package import Decision, Draft, ModelSpec, Package, encoded
from mainstay.models.packaging import BASE_ROWS, GOLDEN_ROWS, ONNX_FILE, Built, ParityFailed
from mainstay.models.parity import (
    OTHER_ROWS,
    Compared,
    Lineage,
    Parity,
    boundary_cells,
    boundary_limit,
    compare,
    compared,
    lineage,
    missing_cells,
    unseen_cells,
)
from mainstay.models.profile import profile_of
from mainstay.models.runtime import Model, decided
from mainstay.models.signature import Cells, Floats, InputError, Reader, Signature
from mainstay.models.synthetic import rows_for, synthetic_rows, wide, words_of
from mainstay.models.tensors import empty
from mainstay.models.uniting import CannotBlend, united, view_of

Ask = Callable[[Cells], Answers]


@dataclass(frozen=True)
class Part:
    """A registered model to be blended."""

    ref: str
    """Such as "credit:3"."""
    package: Package
    model: Model


class Parts:
    """Several models over one signature."""

    def __init__(self, parts: Sequence[Part], *, target: str | None = None) -> None:
        """Raises CannotBlend: fewer than two, or such as contradict each other."""
        if len(parts) < 2:
            raise CannotBlend("A blend has two parts or more: name them behind --of.")
        self.parts = tuple(parts)
        self.signature = united([(part.ref, part.model.signature) for part in parts], target=target)
        self.views = tuple(view_of(self.signature, part.model.signature) for part in parts)

    def answers(self, cells: Cells) -> list[Answers]:
        """What each part answers for rows of the united signature, with labels in its order.

        Raises:
            InputError: a part refuses a row.
        """
        return [
            view.answers(part.model.answer(view.cells(cells)))
            for part, view in zip(self.parts, self.views, strict=True)
        ]

    def blended(self, combination: Combination, decision: Decision | None) -> Ask:
        """The truth of a blend: its answers for any cells."""
        asked = [(part.model, view) for part, view in zip(self.parts, self.views, strict=True)]
        return lambda cells: decided(composite.joined(asked, combination, self.signature, cells), decision)


def build(
    parts: Parts,
    combination: Combination,
    *,
    decision: Decision | None,
    cells: Cells | None,
    trusted: Sequence[str],
    seed: int = 0,
) -> Built:
    """The package of a blend: one ONNX graph, or where that cannot be (the reason says why) the parts' own files.

    Args:
        decision: the threshold of a binary blend's label.
        cells: real rows for the proof and the profile, that no part was trained on; None where there are none.
        trusted: types that the operator lets parts hold.

    Raises:
        ParityFailed: not even the parts together answer as they do alone.
    """
    subject = _Subject(parts, parts.blended(combination, decision), decision, combination, tuple(trusted), seed)
    reason = _in_the_way(parts)
    if not reason:
        try:
            return _proven(subject, _graph(subject), cells, "onnx", "")
        except MainstayError as error:  # CannotMerge, ParityFailed, or a graph that ONNX Runtime refuses
            reason = getattr(error, "reason", str(error)).rstrip(".")
    content = composite.nested([part.package for part in parts.parts], combination)
    content[files.SPEC] = encoded(
        ModelSpec(
            format="ensemble", file=composite.FILE, decision=decision, reason=f"Its parts are no one graph: {reason}"
        )
    )
    return _proven(subject, content, cells, "ensemble", reason)


@dataclass(frozen=True)
class _Subject:
    parts: Parts
    truth: Ask
    decision: Decision | None
    combination: Combination
    trusted: tuple[str, ...]
    seed: int


def _in_the_way(parts: Parts) -> str:
    for part in parts.parts:
        if part.model.spec.format != "onnx":
            return f"{part.ref} is served as {part.model.spec.format}"
    return ""


def _graph(subject: _Subject) -> dict[str, bytes]:
    """The files of one merged graph. Raises CannotMerge."""
    parts = subject.parts
    pieces = [
        Piece(
            model=part.package.read(part.model.spec.file),
            signature=part.model.signature,
            encoder=part.package.encoder,
            decision=part.model.spec.decision,
            view=view,
        )
        for part, view in zip(parts.parts, parts.views, strict=True)
    ]
    found = merged([(piece.signature, piece.encoder, piece.view) for piece in pieces])
    content = {
        ONNX_FILE: merged_graph(pieces, found, subject.combination, parts.signature),
        files.SPEC: encoded(ModelSpec(format="onnx", file=ONNX_FILE, decision=subject.decision)),
    }
    if found.encoder is not None:
        content[files.ENCODER] = encoded(found.encoder)
    return content


def _proven(subject: _Subject, content: dict[str, bytes], cells: Cells | None, kind: str, reason: str) -> Built:
    """The package with its golden predictions. Raises ParityFailed; MainstayError: the format cannot hold it."""
    signature = subject.parts.signature
    content = {**content, files.SIGNATURE: encoded(signature)}
    edges = _edges(subject.parts)
    reference = cells if cells is not None else _nothing(signature)
    rows = synthetic_rows(
        wide(signature),
        rows_for(signature),
        reference=reference,
        thresholds=_places(edges),
        words=_words(subject.parts, reference),
        seed=subject.seed,
    )
    model = Model.load(Draft(content).package(), trusted=subject.trusted)
    read = Reader(signature)
    made = _answerable(subject.truth, read, rows)
    base = cells if cells is not None and len(cells) else read.rows(made)
    parity = _parity(subject, model, base, read.rows(made), edges)
    if not parity.holds:
        raise ParityFailed(f"The blend does not answer as its parts do: {parity.told()}.")
    golden = made[:GOLDEN_ROWS]
    content[files.GOLDEN] = encoded(Golden.of(golden, subject.truth(read.rows(golden))))
    attestations = {files.PARITY: encoded(parity)}
    if cells is not None and len(cells):
        attestations[files.PROFILE] = encoded(profile_of(cells, signature, subject.truth(cells)))
    draft = Draft(content, attestations)
    Model.load(draft.package(), trusted=subject.trusted).check_golden()
    return Built(draft, parity, kind, reason)


def _parity(subject: _Subject, model: Model, cells: Cells, made: Cells, edges: Sequence[_Edges]) -> Parity:
    def both(rows: Cells) -> Compared:
        return compared(model.answer, subject.truth, rows)

    held = compare(model.answer(cells), subject.truth(cells))
    base, few = _spread(cells, BASE_ROWS), _spread(cells, OTHER_ROWS)
    boundary = both(made)
    for paths, points in edges:
        limit = boundary_limit(len(paths)) // len(edges)
        boundary = boundary.joined(both(boundary_cells(base, paths, points, limit=limit, seed=subject.seed)))
    single, together = Compared(), model.answer(few)
    for row in range(len(few)):
        part = slice(row, row + 1)
        single = single.joined(compare(model.answer(few.rows(part)), together.rows(part)))
    signature = subject.parts.signature
    return Parity(
        rows=held.rows,
        label_disagreements=held.label_disagreements,
        largest_difference=held.largest_difference,
        boundary=boundary,
        missing=both(missing_cells(base, signature)),
        unseen=both(unseen_cells(base, signature)),
        single=single,
    )


_Edges = tuple[Sequence[Lineage | None], dict[int, Floats]]
"""Where each feature of a part comes from in the united signature, and the values that it splits on."""


def _edges(parts: Parts) -> list[_Edges]:
    found: list[_Edges] = []
    for part, view in zip(parts.parts, parts.views, strict=True):
        encoder = part.package.encoder
        if part.model.spec.format != "onnx" or encoder is None:
            continue
        points = thresholds_of(part.package.read(part.model.spec.file), FEATURES)
        paths = [
            None if path is None else msgspec.structs.replace(path, column=view.columns[path.column])
            for path in lineage(encoder, part.model.signature)
        ]
        if points:
            found.append((paths, points))
    return found


def _places(edges: Sequence[_Edges]) -> dict[int, Floats]:
    """The values of interest by column of the united signature."""
    found: dict[int, list[float]] = {}
    for paths, points in edges:
        for feature, values in points.items():
            path = paths[feature] if feature < len(paths) else None
            if path is not None:
                found.setdefault(path.column, []).extend(path.back(value) for value in values.tolist())
    return {column: np.unique([v for v in values if np.isfinite(v)]) for column, values in found.items()}


def _words(parts: Parts, reference: Cells) -> dict[int, tuple[str, ...]]:
    found = words_of(None, reference)
    for part, view in zip(parts.parts, parts.views, strict=True):
        signature = part.model.signature
        known: dict[int, tuple[str, ...]] = {
            **words_of(part.package.encoder, _nothing(signature)),
            **{index: signature.inputs[index].categories for index in view.spelled},
        }
        for index, words in known.items():
            found[view.columns[index]] = found.get(view.columns[index], ()) or words
    return found


def _answerable(truth: Ask, read: Reader, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows that the parts answer with numbers: a pipeline may refuse values that its columns do not show.

    Raises:
        CannotBlend: there are none.
    """
    try:
        answers = truth(read.rows(rows))
        kept = _finite(answers, len(rows))
    except (ValueError, InputError):
        kept = []
        for row in rows[: 4 * GOLDEN_ROWS]:
            try:
                kept += _finite(truth(read.rows([row])), 1)
            except (ValueError, InputError):
                kept.append(False)
    found = [row for row, keep in zip(rows, kept, strict=False) if keep]
    if not found:
        raise CannotBlend(
            "The parts answer none of the synthetic rows that their blend is checked with: one of them may need values "
            "that its columns do not show."
        )
    return found


def _finite(answers: Answers, rows: int) -> list[bool]:
    kept = np.ones(rows, dtype=np.bool_)
    for found in (answers.values, answers.probabilities):
        if found is not None:
            kept &= np.isfinite(found.reshape(rows, -1)).all(axis=1)
    return [bool(keep) for keep in kept]


def _nothing(signature: Signature) -> Cells:
    texts = {index: () for index, column in enumerate(signature.inputs) if column.type == "text"}
    arrays = {tensor.name: empty(tensor) for tensor in signature.tensors}
    return Cells(np.empty((0, len(signature.inputs))), texts, arrays)


def _spread(cells: Cells, rows: int) -> Cells:
    """At most so many rows, evenly from all of them."""
    if len(cells) <= rows:
        return cells
    return cells.rows(np.linspace(0, len(cells) - 1, rows).astype(np.intp))
