"""SavedModel folders of TensorFlow 2: https://www.tensorflow.org/guide/saved_model.

Its program and its weights are read, and judged, before TensorFlow sees them. All other files are left where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told
from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.tensorflow import calling
from mainstay.models.formats.tensorflow.graphs import PROGRAM, files_of
from mainstay.models.formats.tensorflow.importing import imported
from mainstay.models.formats.tensorflow.interface import Spec

NAME = "TensorFlow SavedModel"
_UNNAMED = ("keras_tensor", "input_layer", "inputs", "args_0")


def detect(path: Path, head: bytes) -> bool:
    del head
    return path.is_dir() and (path / PROGRAM).is_file()


def draft(path: Path, told: Told) -> Imported:
    files = files_of(path)
    try:
        model = calling.loaded(files)
    except CannotExport as error:
        raise CannotImport(f"{path.name} is no SavedModel: {error.reason}.") from error
    signature = _signature(model)
    function = model.signatures[signature]
    taken = function.structured_input_signature[1]
    names = sorted(taken)
    specs = [_spec(name, taken[name], alone=len(names) == 1) for name in names]
    if not specs:
        raise CannotImport(f"{path.name} takes no input: export it with a signature that does.")

    def call(tensors: Sequence[Any]) -> Mapping[str, Any]:
        found = function(**dict(zip(names, tensors, strict=True)))
        return {name: found[name] for name in sorted(found)}

    source = calling.Source(lambda: files, signature, names, sorted(function.structured_outputs))
    return imported(model, call, specs, told=told, described="SavedModel of TensorFlow", source=source)


def _signature(model: Any) -> str:
    """The function that answers: the one that serves, or the only one."""
    own = [name for name in model.signatures if not name.startswith("_")]
    if calling.SIGNATURE in own:
        return calling.SIGNATURE
    if len(own) != 1:
        raise CannotImport(
            f"The SavedModel has {len(own)} signatures ({', '.join(sorted(own)) or 'none'}), and which one answers is "
            f"not said: export it with one called {calling.SIGNATURE}."
        )
    return str(own[0])


def _spec(name: str, tensor: Any, *, alone: bool) -> Spec:
    shown = "input" if alone and name.startswith(_UNNAMED) else name
    if tensor.shape.rank is None or tensor.shape.rank == 0 or tensor.shape[0] is not None:
        raise CannotImport(
            f"The input {name!r} has the shape {tensor.shape}: export it with a first size that differs."
        )
    kind = tensor.dtype.name
    return Spec(shown, "text" if kind == "string" else kind, tuple(tensor.shape.as_list()[1:]))
