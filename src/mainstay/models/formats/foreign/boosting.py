"""What files of boosted trees have in common: a booster, its names and labels, and the graph of its trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats.export import to_onnx
from mainstay.models.formats.foreign.packing import packed, ranged
from mainstay.models.formats.foreign.protocol import CannotImport, Told, task_of
from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.own_files import own_file_of, scored
from mainstay.models.package import ModelSpec
from mainstay.models.packaging import Built
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, Column, Floats, Label, Signature

MOST = 1 << 31


def of_booster(
    booster: Any,
    *,
    told: Told,
    names: Sequence[str],
    labels: tuple[Label, ...],
    predict: Callable[[Floats], Any],
    categories: dict[int, tuple[str, ...]] | None = None,
    closed: bool = False,
) -> Built:
    """The package of a booster: as ONNX where that answers as the library does, else as the library's own file.

    Args:
        names: of its features.
        labels: of its classes; none for a regression.
        predict: the library's own answers for float64 features (n, width), as `own_files.scored` takes them.
        categories: by feature, the texts whose positions are its codes.
        closed: whether it refuses others than these.

    Raises:
        CannotImport: neither answers as the library does.
    """
    texts = categories or {}

    def signature(thresholds: Mapping[int, Floats]) -> Signature:
        empty = np.empty(0)
        inputs = tuple(
            Column(name=name, type="category", nullable=True, categories=texts[index], closed=closed)
            if index in texts
            else ranged(Column(name=name, type="number", nullable=True), thresholds.get(index, empty))
            for index, name in enumerate(names)
        )
        return Signature(
            inputs=inputs, task=task_of(labels), target=told.target or "prediction", labels=labels
        ).checked()

    plain = signature({})

    def native(cells: Cells) -> Answers:
        return decided(scored(predict(cells.numbers), plain, len(cells)), None)

    every = (Block(tuple(range(len(names)))),)
    try:
        exported = to_onnx(booster, width=len(names))
        return packed(
            exported.graph,
            signature=signature(exported.thresholds),
            encoder=Encoder(every, dtype=exported.dtype),
            native=native,
            thresholds=exported.thresholds,
        )
    except (CannotExport, CannotImport) as error:
        reason = getattr(error, "reason", str(error)).rstrip(".")
    own = own_file_of(booster)
    assert own is not None, "a booster is of one of the three libraries"
    return packed(
        own.save(booster),
        signature=plain,
        encoder=Encoder(every),
        native=native,
        spec=ModelSpec(format=own.FORMAT, file=own.FILE, reason=reason),
    )
