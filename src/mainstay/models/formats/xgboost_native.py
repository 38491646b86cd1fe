"""XGBoost's own file (UBJSON), for what ONNX cannot hold: linear boosters, objectives that are not exported.

https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html. See `own_files` for what such a file may do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.errors import MissingExtra
from mainstay.models.formats.own_files import OwnFileRunner
from mainstay.models.package import Package, PackageCorrupt
from mainstay.models.signature import Floats

FORMAT = "xgboost"
FILE = "model.ubj"
TAKES_TABLES = False
KINDS = ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor", "Booster")
MISSING = "mainstay.missing"
"""The attribute of the file that says which number stands for a missing value, where one does."""


def save(estimator: Any) -> bytes:
    """The file of a fitted estimator, with the trees up to its best iteration, or of a Booster, with all."""
    booster = estimator
    if hasattr(estimator, "get_booster"):
        booster = estimator.get_booster()
        best = booster.attr("best_iteration")
        if best is not None and booster.num_boosted_rounds() > int(best) + 1:
            booster = booster[: int(best) + 1]
        missing = estimator.missing
        if missing is not None and not np.isnan(missing):
            booster = booster.copy()
            booster.set_attr(**{MISSING: repr(float(missing))})
    return bytes(booster.save_raw("ubj"))


def load(package: Package, *, trusted: tuple[str, ...] = ()) -> OwnFileRunner:
    """The runner of a package whose model is XGBoost's own file.

    Raises:
        MissingExtra: XGBoost is not installed.
        PackageCorrupt: a file is missing, was changed, or is none that XGBoost reads.
    """
    del trusted  # the file holds no code
    try:
        import xgboost  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A model kept as XGBoost's own file", "train", "xgboost-cpu") from error
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(package.read(package.spec.file)))
        booster.set_param({"nthread": 1})
        missing = float(booster.attr(MISSING) or "nan")
    except (ValueError, xgboost.core.XGBoostError) as error:
        said = (str(error).strip().splitlines() or [""])[-1]
        raise PackageCorrupt(f"{package.spec.file} is no model that XGBoost reads: {said}.") from error
    names, types = booster.feature_names, booster.feature_types

    def predict(features: Floats) -> Any:
        matrix = xgboost.DMatrix(
            features.astype(np.float32), missing=missing, feature_names=names, feature_types=types, nthread=1
        )
        return booster.predict(matrix)

    return OwnFileRunner(predict, package, width=booster.num_features())
