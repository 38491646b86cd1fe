"""What files of boosted trees have in common: a booster, its names and labels, and the graph of its trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats.export import to_onnx
from mainstay.models.formats.foreign.packing import packed, ranged
from mainstay.models.formats.foreign.protocol import CannotImport, Told, task_of
from mainstay.models.formats.graph import CannotExport
from mainstay.models.packaging import Built
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, Column, Floats, Label, Signature

MOST = 1 << 31


def of_booster(
    booster: Any,
    *,
    told: Told,
    names: Sequence[str],
    classes: int,
    predict: Callable[[Floats], Any],
    categories: dict[int, tuple[str, ...]] | None = None,
) -> Built:
    """The package of a booster.

    Args:
        names: of its features.
        classes: 0 for a regression.
        predict: the library's own answers for float64 features (n, width): (n,) values or probabilities of the second
            class, or (n, classes).
        categories: by feature, the texts whose positions are its codes.
    """
    labels: tuple[Label, ...] = told.classes(tuple(range(classes)))
    try:
        exported = to_onnx(booster, width=len(names))
    except CannotExport as error:
        raise CannotImport(error.reason) from error
    texts = categories or {}
    empty = np.empty(0)
    inputs = tuple(
        Column(name=name, type="category", nullable=True, categories=texts[index])
        if index in texts
        else ranged(Column(name=name, type="number", nullable=True), exported.thresholds.get(index, empty))
        for index, name in enumerate(names)
    )
    signature = Signature(
        inputs=inputs, task=task_of(labels), target=told.target or "prediction", labels=labels
    ).checked()
    encoder = Encoder((Block(tuple(range(len(names)))),), dtype=exported.dtype)

    def native(cells: Cells) -> Answers:
        found = np.asarray(predict(cells.numbers), dtype=np.float64)
        if not labels:
            return Answers(values=found.reshape(len(cells)))
        if found.ndim == 1:
            found = np.stack([1 - found, found], axis=1)
        return decided(Answers(probabilities=found), None)

    return packed(exported.graph, signature=signature, encoder=encoder, native=native, thresholds=exported.thresholds)
