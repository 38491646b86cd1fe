"""LightGBM's own text file, for what ONNX cannot hold: linear trees, objectives of a person's own.

https://lightgbm.readthedocs.io/en/stable/Python-Intro.html#training. See `own_files` for what such a file may do.
"""

from __future__ import annotations

from typing import Any

from mainstay.errors import MissingExtra
from mainstay.models.formats.own_files import OwnFileRunner
from mainstay.models.package import Package, PackageCorrupt
from mainstay.models.signature import Floats

FORMAT = "lightgbm"
FILE = "model.txt"
TAKES_TABLES = False
KINDS = ("LGBMClassifier", "LGBMRegressor", "Booster")


def save(estimator: Any) -> bytes:
    """The text of a fitted LGBMClassifier, LGBMRegressor or Booster, at its best iteration."""
    text: str = getattr(estimator, "booster_", estimator).model_to_string()
    return text.encode()


def load(package: Package, *, trusted: tuple[str, ...] = ()) -> OwnFileRunner:
    """The runner of a package whose model is LightGBM's own text.

    Raises:
        MissingExtra: LightGBM is not installed.
        PackageCorrupt: a file is missing, was changed, or is none that LightGBM reads.
    """
    del trusted  # the file holds no code
    try:
        import lightgbm  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A model kept as LightGBM's own file", "train", "lightgbm") from error
    data = package.read(package.spec.file)
    try:
        booster = lightgbm.Booster(model_str=data.decode())
    except (UnicodeDecodeError, lightgbm.basic.LightGBMError) as error:
        raise PackageCorrupt(f"{package.spec.file} is no model that LightGBM reads: {error}.") from error

    def predict(features: Floats) -> Any:
        return booster.predict(features, num_threads=1)

    return OwnFileRunner(predict, package, width=booster.num_feature())
