"""ONNX models in memory, as `onnx.load` and the converters give them."""

from __future__ import annotations

from typing import Any

from mainstay.models.formats.foreign.onnx_file import of_bytes
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told
from mainstay.models.formats.objects import CannotRegister, Given, in_python, is_a
from mainstay.models.packaging import Built
from mainstay.models.runtime import Model

NAME = "ONNX"


def recognizes(model: Any) -> bool:
    return is_a(model, "ModelProto", "onnx")


def draft(model: Any, given: Given) -> Imported:
    if given.decision is not None:
        raise CannotRegister("An ONNX model decides itself: leave threshold out, or make it part of the graph.")
    told = Told(
        columns=given.columns,
        labels=tuple(map(str, given.labels)),
        target=given.target,
        general=given.general,
        logits=given.logits,
        images=given.images,
    )
    try:
        imported = of_bytes(model.SerializeToString(), told, "the model")
    except CannotImport as error:
        raise CannotRegister(in_python(str(error))) from error
    _check_rows(imported.built, given)
    return imported


def _check_rows(built: Built, given: Given) -> None:
    """The model must take the rows that are given with it."""
    loaded = Model.load(built.draft.package())
    for rows in (given.X, given.X_test):
        if rows is not None:
            loaded.cells(rows)
