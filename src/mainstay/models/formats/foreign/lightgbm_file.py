"""LightGBM's own text file, as `Booster.save_model` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mainstay.errors import MissingExtra
from mainstay.models.formats.foreign.boosting import MOST, of_booster
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, content_of
from mainstay.models.formats.lightgbm import classes_of

NAME = "LightGBM"
NATIVE_READER = True


def detect(path: Path, head: bytes) -> bool:
    del path
    return head.startswith((b"tree\n", b"tree\r\n")) and b"num_tree_per_iteration=" in head


def draft(path: Path, told: Told) -> Imported:
    try:
        import lightgbm  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A LightGBM file", "train", "lightgbm") from error
    try:
        text = content_of(path, MOST).decode("utf-8")
        booster = lightgbm.Booster(model_str=text)
    except (UnicodeDecodeError, lightgbm.basic.LightGBMError) as error:
        raise CannotImport(f"{path.name} is no model that LightGBM reads: {error}.") from error
    fields = dict(line.split("=", 1) for line in text.split("\nTree=", 1)[0].splitlines() if "=" in line)
    objective = fields.get("objective", "").split(" ")[0]
    width = booster.num_feature()
    built = of_booster(
        booster,
        told=told,
        names=told.names(_own(booster.feature_name(), told.columns), width),
        labels=told.classes(range(classes_of(booster))),
        predict=booster.predict,
        categories=_categories(text, fields.get("feature_infos", "").split(" ")),
    )
    return Imported(built, f"LightGBM {objective or 'without an objective'}")


def _own(names: list[str], told: tuple[str, ...]) -> tuple[str, ...]:
    """The file's names; those that are told, where they are the same but for spaces, which LightGBM writes as `_`."""
    return told if [name.replace(" ", "_") for name in told] == names else tuple(names)


def _categories(text: str, infos: list[str]) -> dict[int, tuple[str, ...]]:
    """The categories of columns that were pandas' own when the model was trained, by feature."""
    line = next((line for line in reversed(text.splitlines()) if line.startswith("pandas_categorical:")), "")
    kept: Any = json.loads(line.partition(":")[2] or "null")
    if not kept:
        return {}
    # A range is "[low:high]", a set of categories "0:1:2", and a column that is never split on "none".
    places = [index for index, info in enumerate(infos) if not info.startswith("[") and info != "none"]
    if len(places) != len(kept):
        raise CannotImport(
            f"This LightGBM file names the categories of {len(kept)} columns, and {len(places)} can be told from it: "
            "leave out columns that hold one value alone, and train it again."
        )
    if any(not isinstance(value, str) for values in kept for value in values):
        raise CannotImport(
            "This LightGBM file has pandas categories that are not texts: train it on texts or on codes."
        )
    return {place: tuple(values) for place, values in zip(places, kept, strict=True)}
