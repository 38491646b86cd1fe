"""The weights in a `.keras` file (HDF5), judged before Keras reads them.

HDF5 can hold data of other files (external storage, external links, virtual datasets: CVE-2026-1669 read any file so),
and can state sizes that it does not have. Weights are plain datasets in plain groups.
"""

from __future__ import annotations

import io
from typing import Any

from mainstay.errors import MissingExtra
from mainstay.models.formats.tensorflow.graphs import UnsafeModel

EXPANSION = 20
"""How many times the file's size its datasets may have together."""
FILTERS = {1, 2}
"""Of HDF5: deflate and shuffle; all others are libraries that it would look for."""
DEEPEST = 100


def check_weights(data: bytes) -> None:
    """Whether an HDF5 file holds nothing but numbers and texts of its own.

    Raises:
        UnsafeModel: it does not.
        MissingExtra: h5py is not installed.
    """
    try:
        import h5py  # noqa: PLC0415 - an extra, which Keras brings
    except ModuleNotFoundError as error:
        raise MissingExtra("A .keras file", "tensorflow", "h5py") from error
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            size = _size(h5py, file, 0)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise UnsafeModel(f"The weights cannot be read: {error}.") from error
    if size > EXPANSION * len(data):
        raise UnsafeModel(f"The weights state {size:,} bytes, and their file has {len(data):,}: it is no model's.")


def _size(h5py: Any, group: Any, depth: int) -> int:
    """The bytes of all datasets below a group."""
    if depth > DEEPEST:
        raise UnsafeModel("The weights are nested without end.")
    total = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UnsafeModel(f"{name!r} among the weights is a link to elsewhere, and none is followed.")
        entry = group[name]
        if isinstance(entry, h5py.Group):
            total += _size(h5py, entry, depth + 1)
        elif isinstance(entry, h5py.Dataset):
            total += _checked(h5py, entry, name)
        else:
            raise UnsafeModel(f"{name!r} among the weights is neither a group nor a dataset.")
    return total


def _checked(h5py: Any, dataset: Any, name: str) -> int:
    if dataset.external or dataset.is_virtual:
        raise UnsafeModel(f"{name!r} among the weights holds data of another file, and none is read.")
    layout = dataset.id.get_create_plist()
    if {layout.get_filter(at)[0] for at in range(layout.get_nfilters())} - FILTERS:
        raise UnsafeModel(f"{name!r} among the weights is packed in a way that needs a library of its own.")
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        raise UnsafeModel(f"{name!r} among the weights holds references, and weights are numbers.")
    return int(dataset.size or 0) * int(dataset.dtype.itemsize)
