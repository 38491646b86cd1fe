"""CatBoost's own file (.cbm), for what ONNX cannot hold: categories, texts, losses that are not exported.

https://catboost.ai/docs/en/concepts/python-reference_catboost_save_model. See `own_files` for what such a file may do;
CatBoost checks the whole of it when it is loaded.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mainstay.errors import MissingExtra
from mainstay.models.formats.catboost import loss_of
from mainstay.models.formats.own_files import OwnFileRunner
from mainstay.models.package import Package, PackageCorrupt

FORMAT = "catboost"
FILE = "model.cbm"
TAKES_TABLES = True
KINDS = ("CatBoostClassifier", "CatBoostRegressor", "CatBoost")
_EXPONENTIAL = ("Poisson", "Tweedie")


def save(estimator: Any) -> bytes:
    """The file of a fitted CatBoostClassifier, CatBoostRegressor or CatBoost."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        estimator.save_model(str(path), format="cbm")
        return path.read_bytes()


def load(package: Package, *, trusted: tuple[str, ...] = ()) -> OwnFileRunner:
    """The runner of a package whose model is CatBoost's own file.

    Raises:
        MissingExtra: CatBoost is not installed.
        PackageCorrupt: a file is missing, was changed, or is none that CatBoost reads.
    """
    del trusted  # the file holds no code
    try:
        import catboost  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A model kept as CatBoost's own file", "catboost", "catboost") from error
    try:
        model = catboost.CatBoost().load_model(blob=package.read(package.spec.file))
    except catboost.CatBoostError as error:
        raise PackageCorrupt(f"{package.spec.file} is no model that CatBoost reads: {error}.") from error
    kind = "Probability" if package.signature.labels else prediction_type(model)
    names = model.feature_names_

    def predict(table: Any) -> Any:
        if hasattr(table, "set_axis"):  # a file's names may have been told anew
            table = table.set_axis(names, axis=1)
        found = np.asarray(model.predict(table, prediction_type=kind, thread_count=1), dtype=np.float64)
        return found[:, 1] if found.ndim == 2 and found.shape[1] == 2 else found

    return OwnFileRunner(predict, package, width=len(names), refusals=catboost.CatBoostError)


def prediction_type(model: Any) -> str:
    """What CatBoostRegressor itself answers: of counts, their mean."""
    return "Exponent" if loss_of(model) in _EXPONENTIAL else "RawFormulaVal"
