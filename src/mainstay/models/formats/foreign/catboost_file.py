"""CatBoost's own file (.cbm); its ONNX files come in as any other.

A model of numbers is written as ONNX. One of categories or texts is kept as the file is: what CatBoost makes of them is
hashes, so the file cannot name the categories, and its signature takes any text. Embeddings are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mainstay.errors import MissingExtra
from mainstay.models.answers import Answers
from mainstay.models.formats import catboost_native
from mainstay.models.formats.catboost import loss_of, takes_more_than_numbers
from mainstay.models.formats.foreign.boosting import MOST, of_booster
from mainstay.models.formats.foreign.packing import packed
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, content_of, task_of
from mainstay.models.formats.frames import FrameColumn, FrameSpec, frame_of
from mainstay.models.formats.own_files import scored
from mainstay.models.package import ModelSpec
from mainstay.models.packaging import Built
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, Column, Label, Signature

NAME = "CatBoost"
NATIVE_READER = True
_REASON = "CatBoost hashes categories and texts itself, which no other program does"


def detect(path: Path, head: bytes) -> bool:
    return head.startswith(b"CBM1") or path.suffix == ".cbm"


def draft(path: Path, told: Told) -> Imported:
    try:
        import catboost  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A CatBoost file", "catboost", "catboost") from error
    content = content_of(path, MOST)
    try:
        model = catboost.CatBoost().load_model(blob=content)
    except catboost.CatBoostError as error:
        raise CannotImport(f"{path.name} is no model that CatBoost reads: {error}.") from error
    if model.get_embedding_feature_indices():
        raise CannotImport(f"{path.name} takes embeddings (lists of numbers in one column), which are not taken here.")
    labels = told.classes(_labels(model))
    kind = "Probability" if labels else catboost_native.prediction_type(model)

    def predict(table: Any) -> Any:
        found = np.asarray(model.predict(table, prediction_type=kind, thread_count=1), dtype=np.float64)
        return found[:, 1] if found.ndim == 2 and found.shape[1] == 2 else found

    names = told.names(_own_names(model), len(model.feature_names_))
    described = f"CatBoost {loss_of(model) or 'without a loss'}"
    if takes_more_than_numbers(model):
        built = _of_texts(model, content, names, labels, predict, target=told.target or "prediction")
        return Imported(built, described)
    return Imported(of_booster(model, told=told, names=names, labels=labels, predict=predict), described)


def _own_names(model: Any) -> tuple[str, ...]:
    """The names that the model was trained with; none where it was given none, and has positions in their place."""
    names = tuple(str(name) for name in model.feature_names_)
    return () if names == tuple(map(str, range(len(names)))) else names


def _labels(model: Any) -> tuple[Label, ...]:
    """The classes as they are spelled in the file, in the order of its probabilities; none for a regression."""
    found: list[Label] = []
    for value in np.asarray(model.classes_).tolist():
        whole = isinstance(value, float) and value.is_integer()
        found.append(int(value) if whole else value if isinstance(value, bool | int) else str(value))
    return tuple(found)


def _of_texts(
    model: Any, content: bytes, names: tuple[str, ...], labels: tuple[Label, ...], predict: Any, *, target: str
) -> Built:
    texts = {*model.get_cat_feature_indices(), *model.get_text_feature_indices()}
    inputs = tuple(
        Column(name=name, type="text") if index in texts else Column(name=name, type="number", nullable=True)
        for index, name in enumerate(names)
    )
    signature = Signature(inputs=inputs, task=task_of(labels), target=target, labels=labels).checked()
    frame = FrameSpec(
        columns=tuple(
            FrameColumn(name=name, dtype="object" if index in texts else "float64", missing="none")
            for index, name in enumerate(names)
        )
    )

    def native(cells: Cells) -> Answers:
        table: pd.DataFrame = frame_of(cells, signature, frame).set_axis(model.feature_names_, axis=1)
        return decided(scored(predict(table), signature, len(cells)), None)

    spec = ModelSpec(format="catboost", file=catboost_native.FILE, reason=_REASON)
    return packed(content, signature=signature, encoder=None, native=native, spec=spec, frame=frame)
