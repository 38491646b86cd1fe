"""`.keras` files of Keras 3: https://keras.io/guides/serialization_and_saving/.

The file is judged and written anew before Keras reads it, for Keras builds whatever it names.
"""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

from mainstay.errors import MissingExtra
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, content_of
from mainstay.models.formats.tensorflow import calling
from mainstay.models.formats.tensorflow.importing import imported
from mainstay.models.formats.tensorflow.keras_files import MOST, WEIGHTS, checked
from mainstay.models.formats.tensorflow.keras_models import called, gives_classes, ranges_of, specs_of
from mainstay.models.formats.tensorflow.weights import check_weights

NAME = "Keras"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_OLD = (".h5", ".hdf5")


def detect(path: Path, head: bytes) -> bool:
    return path.suffix.lower() in (".keras", *_OLD) or head.startswith(_HDF5)


def draft(path: Path, told: Told) -> Imported:
    if not path.is_file():
        raise CannotImport(f"{path.name} is a folder: save the model in one file, with model.save('model.keras').")
    content = content_of(path, MOST)
    if content.startswith(_HDF5) or path.suffix.lower() in _OLD:
        raise CannotImport(
            f"{path.name} is HDF5, the old format of Keras, which can run code when it is loaded: load it where you "
            "trust it, with keras.saving.load_model, and save it with model.save('model.keras')."
        )
    model = _loaded(checked(content, path.name), path.name)
    specs = specs_of(model)
    if not specs:
        raise CannotImport(f"{path.name} does not say which inputs it takes: build the model with keras.Input.")
    if not (told.labels or told.general) and (end := gives_classes(model)):
        raise CannotImport(
            f"The model ends in a {end}, so it answers classes: name them with --labels, in their order, or take its "
            "outputs as they are (--general)."
        )
    return imported(
        model,
        called(model, specs),
        specs,
        told=told,
        described=f"{type(model).__name__} of Keras",
        ranged=lambda columns: ranges_of(model, columns),
    )


def _loaded(judged: bytes, name: str) -> Any:
    """The model of a file that was judged and written anew."""
    calling.library()
    try:
        import keras  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A .keras file", "tensorflow", "keras") from error
    if keras.backend.backend() != "tensorflow":
        raise CannotImport(
            f"Keras runs on {keras.backend.backend()} here, and a model is written from TensorFlow: set KERAS_BACKEND "
            "to tensorflow."
        )
    with tempfile.TemporaryDirectory(prefix="mainstay-") as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(judged)
        with zipfile.ZipFile(path) as archive:
            check_weights(archive.read(WEIGHTS))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises whatever its layers do with a configuration that does not fit them
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise CannotImport(f"Keras cannot load {name}: {said}") from error
