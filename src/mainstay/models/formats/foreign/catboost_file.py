"""CatBoost's own file (.cbm), through CatBoost's own ONNX writer; its ONNX files come in as any other.

CatBoost writes ONNX only for models of numbers: categories and texts are refused by it, and so here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mainstay.errors import MissingExtra
from mainstay.models.formats.foreign import onnx_file
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, content_of

NAME = "CatBoost"


def detect(path: Path, head: bytes) -> bool:
    return head.startswith(b"CBM1") or path.suffix == ".cbm"


def draft(path: Path, told: Told) -> Imported:
    try:
        import catboost  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A CatBoost file", "catboost", "catboost") from error
    content = content_of(path, onnx_file.MOST)
    try:
        model = catboost.CatBoost().load_model(blob=content)
    except catboost.CatBoostError as error:
        raise CannotImport(f"{path.name} is no model that CatBoost reads: {error}.") from error
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.onnx"
        try:
            model.save_model(str(written), format="onnx")
        except catboost.CatBoostError as error:
            raise CannotImport(
                f"CatBoost cannot write {path.name} as ONNX, and answers through nothing else here: {error}."
            ) from error
        data = written.read_bytes()
    names = told.columns or tuple(str(name) for name in model.feature_names_)
    # CatBoost reads a missing number as its own least value, which its ONNX file does not know.
    told = Told(names, told.labels, told.nullable, told.target)
    return onnx_file.of_bytes(data, told, path.name, "CatBoost, as ONNX")
