"""`mainstay export`: a version as a file or folder for other programs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

import msgspec

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.package import Package
from mainstay.operations.registries import opened
from mainstay.registry.disk import refused

ExportFormat = Literal["onnx", "pmml", "mlflow", "native"]


class ExportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay export` answers."""

    version: str
    format: str
    output: str
    bytes: int


def export(folder: Path, ref: str, *, kind: str, output: Path) -> ExportedVersion:
    """Writes a version as ONNX or PMML (a file), for MLflow (a folder), or as it is (a folder that `mainstay import`
    takes back).

    What is at `output` already is never touched. A file or folder appears there whole, or not at all.

    Raises:
        CannotExport: the version cannot be written so that it answers as it does.
        VersionNotFound and its like, PackageCorrupt; MainstayError: no such format, no folder to write in, or something
            is there already. DiskFull, NotWritable, MachineError: the disk said no.
    """
    if kind not in get_args(ExportFormat):
        known = get_args(ExportFormat)
        raise MainstayError(
            f"{kind!r} is no format to export to: it is one of {', '.join(known)}.{did_you_mean(kind, known)}"
        )
    if not output.parent.is_dir():
        raise MainstayError(f"There is no folder {output.parent} to write {output.name} in: make it first.")
    if output.exists() or output.is_symlink():
        raise MainstayError(f"{output} exists already: remove it, or name another --output.")
    with opened(folder, create=False) as registry:
        version = registry.version(ref)
        written = _WRITERS[kind](registry.package(version))
    try:
        if isinstance(written, bytes):
            _put(output, written)
            size = len(written)
        else:
            _put_all(output, written)
            size = sum(map(len, written.values()))
    except OSError as error:
        raise refused(error, output) from error
    return ExportedVersion(version=version.ref, format=kind, output=str(output), bytes=size)


def _onnx(package: Package) -> bytes:
    from mainstay.models.formats.raw_export import onnx_of  # noqa: PLC0415 - of the extra `train`

    return onnx_of(package)


def _pmml(package: Package) -> bytes:
    from mainstay.models.formats.pmml.writing import pmml_of  # noqa: PLC0415 - as above

    return pmml_of(package)


def _mlflow(package: Package) -> dict[str, bytes]:
    from mainstay.models.formats.mlflow_export import mlflow_of  # noqa: PLC0415 - as above

    return mlflow_of(package)


def _native(package: Package) -> dict[str, bytes]:
    from mainstay.models.formats.foreign.native_folder import written  # noqa: PLC0415 - as above

    return written(package)


_WRITERS: Mapping[str, Callable[[Package], bytes | dict[str, bytes]]] = {
    "onnx": _onnx,
    "pmml": _pmml,
    "mlflow": _mlflow,
    "native": _native,
}


def _put(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _put_all(path: Path, files: Mapping[str, bytes]) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        for name, data in files.items():
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_bytes(data)
        draft.chmod(0o755)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
