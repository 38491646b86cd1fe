"""A model of TensorFlow on its way into a package: asked as it is, written as ONNX, or kept as a SavedModel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import onnx

from mainstay.models.answers import Answers
from mainstay.models.encoder import Encoder
from mainstay.models.formats import savedmodel
from mainstay.models.formats.export import Exported
from mainstay.models.formats.foreign.onnx_ends import check_logits
from mainstay.models.formats.foreign.onnx_outputs import outputs_of
from mainstay.models.formats.foreign.protocol import Told, task_of
from mainstay.models.formats.graph import CannotExport, Precision
from mainstay.models.formats.guarded_ids import refuse_negative
from mainstay.models.formats.tensorflow import calling
from mainstay.models.formats.tensorflow.interface import Feed, Reading, Spec, named, shell
from mainstay.models.package import Decision
from mainstay.models.packaging import Kept
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, Column, Label, Signature
from mainstay.models.tensors import Tensor


@dataclass(frozen=True)
class Taken:
    """The inputs that a signature has for a model's own."""

    columns: tuple[Column, ...]
    tensors: tuple[Tensor, ...]
    encoder: Encoder | None
    feeds: tuple[Feed, ...]
    """For each input of the model, the column or tensor that it takes."""


@dataclass(frozen=True)
class Subject:
    """A model, and what its answers mean."""

    model: calling.Traced
    taken: Taken
    signature: Signature
    reading: Reading
    decision: Decision | None

    def native(self, cells: Cells) -> Answers:
        """The model's own answers. Raises InputError where it refuses the rows."""
        features = None if self.taken.encoder is None else cells.numbers
        arrays = self.reading.arrays(cells, self._places, features)
        said = self.reading.said(self.signature.labels, self.signature.outputs)
        return decided(said.read(self.model.ask(arrays), len(cells)), self.decision)

    @property
    def _places(self) -> dict[str, int]:
        return {column.name: index for index, column in enumerate(self.signature.inputs)}

    def graph(self, source: calling.Source, told: Told) -> Exported:
        """The model as ONNX, through a SavedModel of it. Raises CannotExport."""
        graph = calling.to_onnx(source)
        refuse_negative(graph)  # as every look-up of TensorFlow does
        named(graph, source.inputs, source.outputs, _face(self.model, self.taken))
        outputs_of(graph, told)
        precision = cast("Precision", self.taken.feeds[0].dtype) if self.taken.encoder else "float32"
        return Exported(graph.SerializeToString(deterministic=True), precision, {})

    def check_logits(self, source: calling.Source) -> None:
        """Raises CannotImport where what is told to be logits is probabilities; only the graph shows that."""
        try:
            graph = calling.to_onnx(source)
        except CannotExport:
            return  # what ONNX cannot hold cannot be looked into
        named(graph, source.inputs, source.outputs, _face(self.model, self.taken))
        for entry in graph.graph.output:
            check_logits(graph, entry.name)

    def kept(self, files: dict[str, bytes]) -> Kept:
        """The model as a SavedModel."""
        data = savedmodel.archived(files, self.reading)
        return Kept("savedmodel", savedmodel.FILE, {savedmodel.FILE: data}, (savedmodel.TRUST,))


def subject_of(
    model: calling.Traced,
    taken: Taken,
    told: Told,
    *,
    labels: tuple[Label, ...] = (),
    decision: Decision | None = None,
) -> Subject:
    """What a model's outputs mean.

    Args:
        labels: the classes as they were given, where texts told do not say enough.

    Raises:
        CannotImport: it is not clear, or contradicts what is told.
        SignatureError: names that clash.
    """
    said = outputs_of(_face(model, taken), told)
    signature = Signature(
        inputs=taken.columns,
        tensors=taken.tensors,
        task="general" if said.outputs else task_of(said.labels),
        target=told.target or "prediction",
        labels=labels or said.labels,
        outputs=said.outputs,
    ).checked()
    return Subject(model, taken, signature, Reading.of(taken.feeds, said), decision)


def _face(model: calling.Traced, taken: Taken) -> onnx.ModelProto:
    """The interface, with inputs named as the runner of ONNX feeds them."""
    names = ["features"] if taken.encoder else [feed.name for feed in taken.feeds]
    inputs = [Spec(name, spec.dtype, spec.shape) for name, spec in zip(names, model.inputs, strict=True)]
    return shell(inputs, model.outputs)
