"""A version on its way to a smaller one: techniques one after the other, each kept if it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.compressing import graph_of, model_of
from mainstay.models.formats.compression.pruning import pruned
from mainstay.models.formats.compression.technique import NotApplicable
from mainstay.models.formats.compression.weights import halved, quantized
from mainstay.models.package import Package
from mainstay.models.runtime import Model
from mainstay.operations.unseen import Unseen
from mainstay.training.compression import CHOOSING, QUICK, Loss, Tried, loss_of, metric_of
from mainstay.training.intervals import Pairing

Technique = Literal["prune_trees", "quantize", "float16"]
TECHNIQUES: tuple[Technique, ...] = get_args(Technique)
"""In the order in which they are tried: pruning has to find tables of leaves as they were written."""

_OF_WEIGHTS: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "quantize": (quantized, "Weights are kept as 8-bit integers"),
    "float16": (halved, "Weights are kept in half precision"),
}


class Shrinking:
    """A graph, as small as it is by now, and what was tried."""

    def __init__(self, package: Package, model: Model, unseen: Unseen, *, metric: str | None, max_loss: float) -> None:
        """Raises CannotCompress: the package is no ONNX model. UnknownMeasure: its loss cannot be stated."""
        self.package = package
        self.original = self.graph = graph_of(package)
        self.tried: list[Tried] = []
        self.unseen = unseen
        self.max_loss = max_loss
        self.before = model.answer(unseen.cells)
        """The answers of the version itself, for all rows."""
        judged = unseen.scored(self.before.rows(unseen.judging), unseen.judging)
        self.metric = metric_of(unseen.signature.judged, judged, metric)
        # Where nothing is to be chosen, all rows judge.
        self._chooses = len(unseen.choosing) > 0
        self._rows = unseen.choosing if self._chooses else unseen.judging
        self._cells = unseen.cells.rows(self._rows)
        truth = unseen.scored(self.before.rows(self._rows), self._rows)
        self._before = Pairing(truth, seed=unseen.seed, most=QUICK)

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(each.technique for each in self.tried if each.kept)

    def _allowed(self, technique: Technique) -> float:
        """The loss that is allowed, in all, with this technique on the rows that are chosen by."""
        return self.max_loss * CHOOSING[technique] if self._chooses else self.max_loss

    def attempt(self, technique: Technique) -> None:
        """Tries a technique on the graph as it is by now; one that saves bytes and holds becomes part of it."""
        self.tried.append(self._attempted(technique))

    def _attempted(self, technique: Technique) -> Tried:
        try:
            graph, what = self._made(technique)
        except NotApplicable as error:
            return Tried(technique=technique, kept=False, reason=f"It does not apply: {error}.")
        before, after = len(self.graph), len(graph)
        if after >= before:
            reason = f"It saves nothing: {after:,} bytes in place of {before:,}."
            return Tried(technique=technique, kept=False, reason=reason, bytes=after)
        try:
            loss = self._loss(self._asked(graph))
        except MainstayError as error:  # ONNX Runtime refuses the graph
            return Tried(technique=technique, kept=False, reason=str(error), bytes=after)
        allowed = self._allowed(technique)
        if not loss.holds(allowed):
            reason = f"It loses too much: {loss.told()}, and {allowed:g} is allowed on these rows."
            return Tried(technique=technique, kept=False, reason=reason, bytes=after, loss=loss)
        self.graph = graph
        return Tried(technique=technique, kept=True, reason=f"{what}.", bytes=after, loss=loss)

    def _made(self, technique: Technique) -> tuple[bytes, str]:
        if technique in _OF_WEIGHTS:
            make, what = _OF_WEIGHTS[technique]
            return make(self.graph), what
        allowed = self._allowed(technique)
        found = pruned(self.graph, self._asked, lambda answers: self._loss(answers).holds(allowed))
        return found.graph, f"It has {found.told()}"

    def _asked(self, graph: bytes) -> Answers:
        return model_of(self.package, graph).answer(self._cells)

    def _loss(self, answers: Answers) -> Loss:
        """The loss on the rows that are chosen by."""
        return loss_of(self._before, self.unseen.scored(answers, self._rows), self.metric)
