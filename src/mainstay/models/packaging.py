"""From a fitted estimator to the files of a package: exported, proven, with golden predictions and profile.

Export is never trusted. A format is taken when the files that would be registered, loaded as a server loads them,
answer as the native model does on every row of the proof (`parity`); otherwise the next one is tried, and the
package says why. The last one is the native model itself, in the own file of its library, or kept with skops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models import package as files
from mainstay.models.answers import Answers
from mainstay.models.encoder import Encoder, compiled
from mainstay.models.formats import skops
from mainstay.models.formats.export import Exported, to_onnx
from mainstay.models.formats.faces import behind
from mainstay.models.formats.frames import FRAME, FrameSpec
from mainstay.models.formats.native import native_answers
from mainstay.models.formats.own_files import own_file_of
from mainstay.models.golden import Golden
from mainstay.models.package import Decision, Draft, Format, ModelSpec, encoded
from mainstay.models.parity import (
    OTHER_ROWS,
    Compared,
    Parity,
    asked,
    boundary_cells,
    boundary_features,
    boundary_limit,
    compare,
    compared,
    lineage,
    missing_cells,
    one_at_a_time,
    unseen_cells,
)
from mainstay.models.profile import profile_of
from mainstay.models.runtime import Model, Runner, decided, load_runner
from mainstay.models.signature import Cells, Floats, Reader, Signature
from mainstay.models.synthetic import synthetic_rows, words_of

GOLDEN_ROWS = 32
BASE_ROWS = 2000
"""Held-out rows that the boundary rows are made from."""
ONNX_FILE = "model.onnx"

Ask = Callable[[Cells], Answers]


class ParityFailed(CheckFailed):
    """Not even the last format answers as the native model does."""


@dataclass(frozen=True)
class Built:
    """A package that may be registered, and what its proof found."""

    draft: Draft
    parity: Parity
    format: str
    """"onnx", or that of its own library."""
    reason: str
    """Why it is not ONNX; empty where it is."""
    untrusted: tuple[str, ...] = ()
    """Types that an operator has to trust to load it (skops)."""


@dataclass(frozen=True)
class Kept:
    """A model as its own library writes it, for what ONNX cannot hold."""

    format: Format
    file: str
    content: Mapping[str, bytes]
    """The model's file, and what else its runner reads, by name."""
    untrusted: tuple[str, ...] = ()
    """What an operator has to trust to load it."""


@dataclass(frozen=True)
class _Subject:
    """What is packaged, and what it is held against."""

    estimator: Any
    encoder: Encoder | None
    signature: Signature
    decision: Decision | None
    native: Ask
    cells: Cells
    expected: Answers
    kept: Callable[[], Kept]
    seed: int
    attestations: Mapping[str, bytes] = field(default_factory=dict)


def build(
    *,
    estimator: Any,
    encoder: Encoder | None,
    signature: Signature,
    cells: Cells,
    reference: Cells,
    decision: Decision | None = None,
    attestations: Mapping[str, bytes] | None = None,
    seed: int = 0,
    native: Ask | None = None,
    expected: Answers | None = None,
    frame: FrameSpec | None = None,
    graphs: Sequence[Callable[[], Exported]] | None = None,
    kept: Callable[[], Kept] | None = None,
    only_graphs: bool = False,
    reason: str = "",
) -> Built:
    """Exports a fitted estimator, proves the export, and makes the package's files.

    Args:
        estimator: what takes the encoder's features; or, with `encoder` None, the table that `frame` describes.
        encoder: from cells to features; its dtype is replaced by what the exported graph takes.
        signature: of the raw columns.
        cells: held-out rows, on which every answer must agree.
        reference: training rows, for the profile; no golden row is one of them.
        decision: the threshold of a binary model's label, if not the estimator's own.
        attestations: further documents, by file name.
        seed: of the synthetic rows.
        native: the truth for any cells; by default the estimator, fed with the encoder's features in double precision.
        expected: the truth for `cells`, where it was asked with the user's own table.
        frame: how the native table is built, for a model without an encoder.
        graphs: the exports to try, in order; by default `to_onnx` of the estimator, where there is an encoder.
        kept: the model in its own format, for where no graph answers as it does; by default the own file of its
            library, or with skops.
        only_graphs: whether there is no other form than the graphs.
        reason: why better formats were not tried, where that is known already.

    Raises:
        ParityFailed: no format answers as the native model does.
        MainstayError: the native model refuses the held-out rows, or skops cannot keep it.
    """
    double = None if encoder is None else msgspec.structs.replace(encoder, dtype="float64")
    if native is None:
        native = _native(estimator, double, signature, decision)
    subject = _Subject(
        estimator,
        double,
        signature,
        decision,
        native,
        cells,
        expected if expected is not None else native(cells),
        kept or (lambda: _kept(estimator, frame)),
        seed,
        attestations or {},
    )
    profile = encoded(profile_of(reference, signature, native(reference)))
    reasons = [reason] if reason else []
    if graphs is None:
        graphs = [] if double is None else [lambda: to_onnx(estimator, width=double.width)]
    thresholds: dict[int, Floats] = {}
    for graph in graphs:
        try:
            exported = graph()
            thresholds = exported.thresholds
            return _proven(subject, exported, thresholds=thresholds, reference=reference, profile=profile)
        except MainstayError as error:  # CannotExport, ParityFailed, or a graph that ONNX Runtime refuses
            reasons.append(getattr(error, "reason", str(error)).rstrip("."))
    # The thresholds prove the encoder, whatever stands behind it.
    told = "; ".join(dict.fromkeys(reasons))
    if only_graphs:
        raise ParityFailed(f"The model cannot be served: {told}.")
    return _proven(subject, None, thresholds=thresholds, reference=reference, profile=profile, reason=told)


def _native(estimator: Any, encoder: Encoder | None, signature: Signature, decision: Decision | None) -> Ask:
    if encoder is None:
        raise MainstayError("A model without an encoder needs to say how it is asked: give `native`.")
    encode = compiled(encoder)
    return lambda cells: native_answers(estimator, encode(cells), signature, decision)


def _kept(estimator: Any, frame: FrameSpec | None) -> Kept:
    """The native model as a file: its library's own one, which needs nobody's trust; else skops, and the types it
    holds that need it."""
    table = {} if frame is None else {FRAME: encoded(frame)}
    own = own_file_of(estimator)
    if own is not None and (frame is None or own.TAKES_TABLES):
        return Kept(own.FORMAT, own.FILE, {own.FILE: own.save(behind(estimator)), **table})
    data = skops.save(estimator)
    return Kept("skops", skops.FILE, {skops.FILE: data, **table}, skops.untrusted(data))


def _proven(
    subject: _Subject,
    exported: Exported | None,
    *,
    thresholds: dict[int, Floats],
    reference: Cells,
    profile: bytes,
    reason: str = "",
) -> Built:
    """The package in one format, proven.

    Raises:
        ParityFailed: its answers are not the native ones.
        MainstayError: the format cannot hold the model.
    """
    content: dict[str, bytes] = {files.SIGNATURE: encoded(subject.signature)}
    untrusted: tuple[str, ...] = ()
    encoder = subject.encoder
    if exported is not None:
        spec = ModelSpec(format="onnx", file=ONNX_FILE, decision=subject.decision)
        content[ONNX_FILE] = exported.graph
        encoder = encoder and msgspec.structs.replace(encoder, dtype=exported.dtype)
    else:
        kept = subject.kept()
        spec = ModelSpec(format=kept.format, file=kept.file, decision=subject.decision, reason=reason)
        content.update(kept.content)
        untrusted = kept.untrusted
    content[files.SPEC] = encoded(spec)
    if encoder is not None:
        content[files.ENCODER] = encoded(encoder)
    golden = _golden(subject, thresholds, reference)
    content[files.GOLDEN] = encoded(golden)

    # From here on the package is what a server would load. Its types come from the object in our own hands.
    package = Draft(content).package()
    runner = load_runner(package, trusted=untrusted)
    model = Model(package, runner)
    parity = _parity(subject, model, Reader(subject.signature).rows(golden.rows), thresholds)
    if exported is not None:
        on_features = _on_features(subject, runner, exported)
        parity = msgspec.structs.replace(parity, boundary=parity.boundary.joined(on_features))
    if not parity.holds:
        raise ParityFailed(f"The {spec.format} model does not answer as the native one: {parity.told()}.")
    model.check_golden()
    attestations = {**subject.attestations, files.PROFILE: profile, files.PARITY: encoded(parity)}
    return Built(Draft(content, attestations), parity, spec.format, spec.reason, untrusted)


def _parity(subject: _Subject, model: Model, golden: Cells, thresholds: dict[int, Floats]) -> Parity:
    held_out = compare(model.answer(subject.cells), subject.expected)
    base = _spread(subject.cells, BASE_ROWS)
    few = _spread(subject.cells, OTHER_ROWS)
    boundary = compared(model.answer, subject.native, golden)
    if subject.encoder is not None:
        paths, limit = lineage(subject.encoder, subject.signature), boundary_limit(subject.encoder.width)
        cells = boundary_cells(base, paths, thresholds, limit=limit, seed=subject.seed)
        boundary = boundary.joined(compared(model.answer, subject.native, cells))
    return Parity(
        rows=held_out.rows,
        label_disagreements=held_out.label_disagreements,
        largest_difference=held_out.largest_difference,
        boundary=boundary,
        missing=compared(model.answer, subject.native, missing_cells(base, subject.signature)),
        unseen=compared(model.answer, subject.native, unseen_cells(base, subject.signature)),
        single=one_at_a_time(model.answer, few),
    )


def _on_features(subject: _Subject, runner: Runner, exported: Exported) -> Compared:
    """Features on each threshold, handed to the graph and to the estimator without the encoder between."""
    if subject.encoder is None or not exported.thresholds:
        return Compared()
    base = compiled(subject.encoder)(_spread(subject.cells, BASE_ROWS))
    limit = boundary_limit(subject.encoder.width)
    features = boundary_features(base, exported.thresholds, limit=limit, seed=subject.seed)
    if not len(features):
        return Compared()
    found = runner.run(Cells(np.empty((len(features), 0)), {}), features.astype(exported.dtype))
    truth = native_answers(subject.estimator, features, subject.signature, subject.decision)
    return compare(decided(found, subject.decision), truth)


def _golden(subject: _Subject, thresholds: dict[int, Floats], reference: Cells) -> Golden:
    """Synthetic rows, and the native model's answers for those that it does not refuse."""
    places: dict[int, Floats] = {}
    paths = lineage(subject.encoder, subject.signature)
    for feature, values in sorted(thresholds.items()):
        path = paths[feature] if feature < len(paths) else None
        if path is not None:
            found = np.array([path.back(value) for value in values.tolist()])
            places[path.column] = np.concatenate([places.get(path.column, np.empty(0)), found[np.isfinite(found)]])
    rows = synthetic_rows(
        subject.signature,
        GOLDEN_ROWS,
        reference=reference,
        thresholds=places,
        words=words_of(subject.encoder, reference),
        seed=subject.seed,
    )
    read = Reader(subject.signature)
    answers = asked(subject.native, read.rows(rows))
    kept = rows
    if answers is None or not _finite(answers):
        # Some of the rows are none that the model takes: the others will do.
        kept = [row for row in rows if _finite(asked(subject.native, read.rows([row])))]
    if not kept:
        raise MainstayError(
            "The native model answers none of the synthetic rows that its package is checked with: "
            "it may need values that its columns do not show."
        )
    if answers is None or len(kept) < len(rows):
        answers = subject.native(read.rows(kept))
    return Golden.of(kept, answers)


def _finite(answers: Answers | None) -> bool:
    if answers is None:
        return False
    numbers = [array for array in (answers.outputs or {}).values() if array.dtype.kind == "f"]
    found = [array for array in (answers.values, answers.probabilities, *numbers) if array is not None]
    return all(bool(np.isfinite(array).all()) for array in found)


def _spread(cells: Cells, rows: int) -> Cells:
    """At most so many rows, evenly from all of them."""
    if len(cells) <= rows:
        return cells
    return cells.rows(np.linspace(0, len(cells) - 1, rows).astype(np.intp))
