"""From a model of TensorFlow that came in a file to a package: as ONNX, else as a SavedModel if that is trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.formats import savedmodel
from mainstay.models.formats.foreign.onnx_file import check_probabilities
from mainstay.models.formats.foreign.onnx_inputs import inputs_of
from mainstay.models.formats.foreign.packing import packed
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told
from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.tensorflow import calling
from mainstay.models.formats.tensorflow.interface import Feed, Spec, shell
from mainstay.models.formats.tensorflow.subject import Subject, Taken, subject_of
from mainstay.models.package import ModelSpec
from mainstay.models.packaging import Built
from mainstay.models.signature import Column

_REACH = 1.0
"""Networks are trained on numbers of this size. Far from those, sums of single precision depend on their order."""


def imported(
    model: Any,
    call: Callable[[list[Any]], Mapping[str, Any]],
    specs: Sequence[Spec],
    *,
    told: Told,
    described: str,
    source: calling.Source | None = None,
    ranged: Callable[[Sequence[Column]], tuple[Column, ...]] = tuple,
) -> Imported:
    """The package of a model.

    Args:
        model: what holds its weights.
        call: gives the outputs by name for tensors in the order of the inputs.
        specs: its inputs.
        told: what its file does not say.
        described: the model, for people.
        source: the SavedModel that it came as, where it did.
        ranged: gives columns the ranges that the model knows of them.

    Raises:
        CannotImport: it is not clear what the model answers, or it does not answer as it should.
        UntrustedGraph: only TensorFlow can serve it, and the operator does not trust that.
    """
    found = inputs_of(shell(specs, ()), told)
    feeds = [Feed(spec.name, spec.dtype) for spec in specs]
    if found.encoder is not None:
        feeds = [Feed("features", found.encoder.dtype)]
    taken = Taken(ranged(found.columns), found.tensors, found.encoder, tuple(feeds))
    try:
        subject = subject_of(calling.traced(model, call, specs), taken, told)
    except CannotExport as error:
        raise CannotImport(f"The model cannot be used: {error.reason}.") from error
    source = source or calling.source_of(subject.model)
    if told.logits:
        subject.check_logits(source)
    built = _built(subject, told, source)
    check_probabilities(built)
    return Imported(built, described)


def _built(subject: Subject, told: Told, source: calling.Source) -> Built:
    signature, encoder = subject.signature, subject.taken.encoder
    try:
        exported = subject.graph(source, told)
        encoder = encoder and msgspec.structs.replace(encoder, dtype=exported.dtype)
        return packed(exported.graph, signature=signature, encoder=encoder, native=subject.native, reach=_REACH)
    except MainstayError as error:  # CannotExport, a graph that ONNX Runtime refuses, or one that answers otherwise
        reason = str(getattr(error, "reason", error)).rstrip(".")
        if savedmodel.TRUST not in told.trusted:
            raise savedmodel.UntrustedGraph(reason) from error
    # Written anew, for it is asked by names of our own.
    kept = subject.kept(calling.saved(subject.model))
    return packed(
        kept.content[kept.file],
        signature=signature,
        encoder=encoder,
        native=subject.native,
        spec=ModelSpec(format="savedmodel", file=kept.file, reason=reason),
        trusted=kept.untrusted,
        reach=_REACH,
    )
