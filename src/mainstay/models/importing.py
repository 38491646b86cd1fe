"""Which module reads which file: the one table of foreign formats."""

from __future__ import annotations

import contextlib
import importlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.formats.foreign.plain_files import check_files
from mainstay.models.formats.foreign.protocol import CannotImport, Format, Imported, Told
from mainstay.models.formats.foreign.refused import check_readable

_HERE = "mainstay.models.formats.foreign"
MODULES = (
    "native_folder",
    "class_folder",
    "mlflow_folder",
    "pmml_file",
    "xgboost_file",
    "lightgbm_file",
    "catboost_file",
    "keras_file",
    "savedmodel_folder",
    "onnx_file",
)
"""In the order in which they are asked whether a file is theirs."""
_HEAD = 4096
WITHIN = 600.0
"""Seconds in which a file has to be read and proven."""
_SAID = ("columns", "labels", "nullable", "target", "general", "logits")
"""What a native reader uses of what is told."""


def formats() -> list[Format]:
    """All foreign formats."""
    return [cast("Format", importlib.import_module(f"{_HERE}.{name}")) for name in MODULES]


def called(path: Path) -> Path:
    """The path under the name that errors and lineage call it by: that of `.` is in the path of the folder."""
    return path if path.name not in ("", "..") else path.resolve()


def format_of(path: Path) -> Format:
    """The format of a file or a folder.

    Raises:
        CannotImport: there is none, or none that is known; or a file that could only be loaded by running its code.
    """
    if not path.exists():
        raise CannotImport(f"There is no file or folder {path}.")
    check_files(path)
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(_HEAD)
    check_readable(path, head)
    for module in formats():
        if module.detect(path, head):
            return module
    known = ", ".join(module.NAME for module in formats())
    raise CannotImport(f"{path.name} is none of the formats that are read: {known}.")


def check_apart(path: Path, told: Told, *, within: float = WITHIN) -> None:
    """Reads a file once in a process of its own, where it may end the process, or never come to an end.

    Args:
        within: seconds that it may take.

    Raises:
        CannotImport: it did.
    """
    module = format_of(path)
    if not getattr(module, "NATIVE_READER", False):
        return
    said = {name: getattr(told, name) for name in _SAID}
    words = [sys.executable, "-m", __name__, str(path), msgspec.json.encode(said).decode()]
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(words, stdout=quiet, stderr=quiet, check=False, timeout=within)
    except subprocess.TimeoutExpired:
        raise CannotImport(
            f"{path.name} was not read and asked for a few hundred rows within {within:g} s: it is none that could be "
            "served."
        ) from None
    if done.returncode < 0:
        raise CannotImport(
            f"{path.name} ended the process that read it with {module.NAME}'s library "
            f"({signal.Signals(-done.returncode).name}): it is damaged, so write it again."
        )


def draft_of_file(path: Path, told: Told) -> Imported:
    """The package of a file. Raises CannotImport, MissingExtra, PackageCorrupt, SignatureError."""
    return format_of(path).draft(path, told)


def _read_apart(path: str, told: str) -> None:
    """What `check_apart` runs. That a file is refused is told by the process that asked."""
    with contextlib.suppress(MainstayError):
        draft_of_file(Path(path), Told(**{name: _tuple(value) for name, value in msgspec.json.decode(told).items()}))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


if __name__ == "__main__":
    _read_apart(*sys.argv[1:])
