"""Models that TensorFlow runs itself: what ONNX cannot hold, such as texts that are split into words in the graph.

A SavedModel is a program. It is loaded only where the operator trusts such files (the line `tensorflow.SavedModel` in
the trust file), only in a host process beside the workers, and only if each of its nodes is one that computes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.archives import BadArchive, archive_of, files_in
from mainstay.models.formats.foreign.onnx_outputs import Said
from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.tensorflow import calling
from mainstay.models.formats.tensorflow.interface import Reading
from mainstay.models.package import Package, PackageCorrupt, encoded
from mainstay.models.signature import Cells

FORMAT = "savedmodel"
FILE = "savedmodel.zip"
TRUST = "tensorflow.SavedModel"
"""What an operator has to trust to load one."""
_READING, _MODEL = "reading.json", "model/"


class UntrustedGraph(MainstayError):
    """A SavedModel where the operator does not trust such files."""

    def __init__(self, why: str = "") -> None:
        because = f" (it cannot be served as ONNX, since {why})" if why else ""
        super().__init__(
            f"The model is served by TensorFlow itself{because}, and a SavedModel is a program: to let it run, name "
            f"{TRUST} as trusted yourself (in trust.txt for a server, or trusted= in Python)."
        )


class SavedModelRunner:
    """A SavedModel in memory."""

    def __init__(self, model: Any, reading: Reading, said: Said, names: dict[str, int]) -> None:
        self._answer = model.signatures[calling.SIGNATURE]
        # A signature is called by name, and keeps what it is of alive no longer than this.
        self._model, self._reading, self._said, self._names = model, reading, said, names

    def run(self, cells: Cells, features: Any | None) -> Answers:
        """Scores of n rows. Raises InputError where the model itself refuses them."""
        arrays = self._reading.arrays(cells, self._names, features)
        found = calling.asked(self._called, arrays)
        return self._said.read(found, len(cells))

    def _called(self, *tensors: Any) -> Any:
        return self._answer(**{calling.input_name(at): tensor for at, tensor in enumerate(tensors)})


def archived(files: dict[str, bytes], reading: Reading) -> bytes:
    """The file of a package: a SavedModel, and how it is asked. Raises BadArchive for one that is too large."""
    return archive_of({_READING: encoded(reading), **{_MODEL + name: data for name, data in files.items()}})


def load(package: Package, *, trusted: tuple[str, ...] = ()) -> SavedModelRunner:
    """The runner of a package whose model is a SavedModel.

    Raises:
        UntrustedGraph: the operator trusts no such file.
        UnsafeModel: it does more than compute.
        MissingExtra: TensorFlow is not installed.
        PackageCorrupt: a file is missing or was changed.
    """
    if TRUST not in trusted:
        raise UntrustedGraph
    signature = package.signature
    try:
        files = {name: bytes(data) for name, data in files_in(package.read(package.spec.file)).items()}
        reading = msgspec.json.decode(files.pop(_READING), type=Reading)
    except (BadArchive, KeyError, msgspec.DecodeError) as error:
        raise PackageCorrupt(f"{package.spec.file!r} of the package cannot be understood: {error}.") from error
    try:
        model = calling.loaded({name.removeprefix(_MODEL): data for name, data in files.items()})
    except CannotExport as error:
        raise PackageCorrupt(f"{package.spec.file!r} of the package is no SavedModel: {error.reason}.") from error
    names = {column.name: index for index, column in enumerate(signature.inputs)}
    return SavedModelRunner(model, reading, reading.said(signature.labels, signature.outputs), names)
