"""MLflow model folders (`MLmodel` and its files): whichever file a flavour names is read, by the module of its format.

Nothing of the folder is run. A flavour whose file is a pickle, or that brings code of its own, is refused by name; one
kept with skops needs the operator's trust in its types, never the folder's own list.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import pandas as pd
import yaml

from mainstay.models import package as files
from mainstay.models.formats import skops
from mainstay.models.formats.foreign.protocol import CannotImport, Format, Imported, Told, content_of
from mainstay.models.formats.objects import Given, format_of_object
from mainstay.models.package import Draft

NAME = "MLflow"
DESCRIPTION = "MLmodel"
MOST_WORDS = 1 << 20
"""Bytes of the description and of the example rows."""
MOST = 1 << 31
ROWS = 256
"""Rows of random numbers that stand in where the folder has no example."""

_FILES = {
    # flavour: the key that names its file, and the module that reads it
    "onnx": ("data", "onnx_file"),
    "xgboost": ("data", "xgboost_file"),
    "lightgbm": ("data", "lightgbm_file"),
    "catboost": ("data", "catboost_file"),
}
_NETWORKS = ("keras", "tensorflow")
_SAVED = ("model.keras", "model")
"""What these flavours call what they keep in their folder: a file, or the SavedModel that it was exported as."""
_NUMBERS = {"integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
_TYPES: dict[str, Any] = {**_NUMBERS, "boolean": "bool", "datetime": "datetime64[us]", "string": "str"}


@dataclass(frozen=True)
class _Described:
    """What the description says."""

    folder: Path
    flavors: Mapping[str, Mapping[str, Any]]
    columns: tuple[tuple[str, str, bool], ...]
    """Name, type, and whether it may be missing, of each input column; empty where the signature has none."""
    example: str | None
    """File of the example rows."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self.columns)


def detect(path: Path, head: bytes) -> bool:
    del head
    return path.is_dir() and (path / DESCRIPTION).is_file()


def draft(path: Path, told: Told) -> Imported:
    described = _described(path)
    for flavor, (key, module) in _FILES.items():
        if flavor in described.flavors:
            file = _file(described, flavor, key)
            if file.suffix == ".skops":
                return _kept_with_skops(described, flavor, file, told)
            return _read(described, cast("Format", importlib.import_module(f"{__package__}.{module}")), file, told)
    if "sklearn" in described.flavors:
        how = described.flavors["sklearn"].get("serialization_format")
        if how != "skops":
            raise CannotImport(
                f"{path.name} keeps its scikit-learn model as {how or 'a pickle'}, which runs code when it is loaded: "
                "load it where you trust it and register it from there with mainstay.register, or save it again with "
                'serialization_format="skops".'
            )
        return _kept_with_skops(described, "sklearn", _file(described, "sklearn", "pickled_model"), told)
    if networks := [name for name in _NETWORKS if name in described.flavors]:
        return _network(described, networks[0], told)
    raise CannotImport(_refused(path, described.flavors))


def _refused(path: Path, flavors: Mapping[str, Any]) -> str:
    out = "load it where you trust it and register it from there with mainstay.register, or save it with mlflow.onnx"
    if "pytorch" in flavors:
        return f"{path.name} keeps a PyTorch module in a file that runs code when it is loaded: {out}."
    own = sorted(set(flavors) - {"python_function"})
    if own:
        known = ", ".join((*_FILES, "sklearn", *_NETWORKS))
        return f"{path.name} has the flavours {', '.join(own)}, and those that are read are {known}: {out}."
    return f"{path.name} is a Python function of its own, kept as a pickle that runs code when it is loaded: {out}."


# What the folder says


_MALFORMED = (
    yaml.YAMLError,
    UnicodeDecodeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
)
"""What a description that is none raises when it is read as one."""


def _described(path: Path) -> _Described:
    try:
        document = yaml.safe_load(content_of(path / DESCRIPTION, MOST_WORDS))
        flavors = {str(name): dict(flavor) for name, flavor in document["flavors"].items()}
        columns = _columns((document.get("signature") or {}).get("inputs"))
        example = (document.get("saved_input_example_info") or {}).get("artifact_path")
    except _MALFORMED as error:
        said = " ".join(str(error).split())[:200]
        raise CannotImport(
            f"{DESCRIPTION} of {path.name} cannot be understood ({said}): save the model again."
        ) from error
    return _Described(path, flavors, columns, example if isinstance(example, str) else None)


def _columns(inputs: Any) -> tuple[tuple[str, str, bool], ...]:
    """The input columns; none where the inputs are tensors without names.

    Raises:
        ValueError, KeyError, TypeError: it is no such list.
    """
    if inputs is None:
        return ()
    listed = json.loads(inputs)
    found = tuple(
        (str(each["name"]), str(each["type"]), not each.get("required", True)) for each in listed if "name" in each
    )
    names = [name for name, _, _ in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise CannotImport(f"The signature has the column {twice[0]!r} twice: save the model with a sound signature.")
    return found if len(found) == len(listed) else ()


def _file(described: _Described, flavor: str, key: str) -> Path:
    """The file of a flavour: inside the folder, and no link out of it."""
    if described.flavors[flavor].get("code") is not None:
        raise CannotImport(
            f"The flavour {flavor} of {described.folder.name} brings code of its own, which is not run: save the model "
            "without code_paths, or register it from Python."
        )
    named = described.flavors[flavor].get(key)
    if not isinstance(named, str) or not named:
        raise CannotImport(f"The flavour {flavor} of {described.folder.name} does not name its file ({key!r}).")
    return _inside(described.folder, named)


def _inside(folder: Path, named: str) -> Path:
    parts = PurePosixPath(named)
    path = folder / parts
    if parts.is_absolute() or ".." in parts.parts or "\\" in named or "\0" in named:
        raise CannotImport(f"{folder.name} names the file {named!r}, which is not inside it.")
    root = folder.resolve()
    if not path.exists() or path.resolve() != root / parts:
        raise CannotImport(f"{folder.name} has no file {named!r}, or it is a link: put the file itself there.")
    return path


# Files of their own formats


def _read(described: _Described, module: Format, file: Path, told: Told) -> Imported:
    """A file by the module of its format, under the names of the signature where it has none of its own."""
    imported = module.draft(file, told)
    found = imported.draft.package().signature
    own = found.names
    if described.columns and not told.columns and not found.tensors and set(own) != set(described.names):
        automatic = tuple(f"x{index}" for index in range(len(own)))
        spaced = tuple(name.replace(" ", "_") for name in described.names)  # as LightGBM writes them
        if own not in (automatic, spaced) or len(own) != len(described.names):
            raise CannotImport(
                f"The signature of {described.folder.name} has the columns {', '.join(map(repr, described.names))}, "
                f"and its {module.NAME} file takes {', '.join(map(repr, own))}: save the model with its own signature."
            )
        nullable = tuple(name for name, _, missing in described.columns if missing) or told.nullable
        imported = module.draft(file, replace(told, columns=described.names, nullable=nullable))
    return replace(imported, description=f"MLflow, {imported.description}")


def _network(described: _Described, flavor: str, told: Told) -> Imported:
    from mainstay.models.importing import format_of  # noqa: PLC0415 - it knows this module in its turn

    key = "saved_model_dir" if "saved_model_dir" in described.flavors[flavor] else "data"
    data = _file(described, flavor, key)
    named = data.relative_to(described.folder).as_posix()
    kept = next((name for name in _SAVED if (data / name).exists()), None)
    inner = data if kept is None else _inside(described.folder, f"{named}/{kept}")
    imported = format_of(inner).draft(inner, told)
    return replace(imported, description=f"MLflow, {imported.description}")


# Objects kept with skops


def _kept_with_skops(described: _Described, flavor: str, file: Path, told: Told) -> Imported:
    model = skops.restored(content_of(file, MOST), told.trusted)
    if told.labels or told.columns:
        raise CannotImport("The model knows its columns and classes itself: leave --columns and --labels out.")
    rows, note = _rows(described, model)
    imported = format_of_object(model).draft(
        model, Given(X=rows, target=told.target or "prediction", trusted=told.trusted)
    )
    built = imported.built
    # A handful of example rows, or random ones, are no profile of the training data.
    kept = {name: data for name, data in built.draft.attestations.items() if name != files.PROFILE}
    return Imported(
        replace(built, draft=Draft(built.draft.content, kept)),
        f"MLflow {flavor}, {imported.description}",
        (*imported.notes, note),
    )


def _rows(described: _Described, model: Any) -> tuple[pd.DataFrame, str]:
    """Rows to hold the model against itself: the folder's example, else random numbers."""
    if described.example is not None:
        return _example(described), "Proven on the example rows of the folder."
    columns = described.columns
    if not columns:
        names = getattr(model, "feature_names_in_", None)
        width = getattr(model, "n_features_in_", None)
        if names is None and width is None:
            raise CannotImport(
                f"{described.folder.name} has neither a signature nor an example: save it with input_example=."
            )
        known = (
            [str(name) for name in names] if names is not None else [f"x{index}" for index in range(int(width or 0))]
        )
        columns = tuple((name, "double", False) for name in known)
    if text := [name for name, kind, _ in columns if kind not in _NUMBERS]:
        raise CannotImport(
            f"Which values the column {text[0]!r} has cannot be told from {described.folder.name}: save it with "
            "input_example=."
        )
    random = np.random.default_rng(0)
    table = {name: (10 * random.normal(size=ROWS)).astype(_NUMBERS[kind]) for name, kind, _ in columns}
    return pd.DataFrame(table), "The folder has no example rows: proven on rows of random numbers."


def _example(described: _Described) -> pd.DataFrame:
    path = _inside(described.folder, cast("str", described.example))
    try:
        said = json.loads(content_of(path, MOST_WORDS))
        frame = pd.DataFrame(said["data"], columns=said["columns"])
        for name, kind, _ in described.columns:
            frame[name] = frame[name].astype(_TYPES.get(kind, "object"))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CannotImport(
            f"The example rows of {described.folder.name} cannot be read as its signature says ({error}): save it with "
            "a table as input_example=."
        ) from error
    return frame
