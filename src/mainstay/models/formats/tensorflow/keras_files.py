"""What stands in a `.keras` file, judged before Keras sees it.

Keras builds whatever its configuration names, and each of its own checks has been got around in turn (CVE-2024-3660,
CVE-2025-1550, CVE-2025-8747, CVE-2025-9906: functions and modules by name; CVE-2025-12058: a vocabulary that is a path
or an address; CVE-2026-12479: layers whose names are paths). So the file is taken apart here: a configuration may name
the layers, initializers and the like of the lists below, with plain values, and nothing else; and what Keras is given
is written anew from what was judged, without what it was compiled with.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import msgspec

from mainstay.models.formats.tensorflow.graphs import UnsafeModel
from mainstay.models.formats.tensorflow.layers import CLASSES, MODULES, VALUES

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_CONFIG = 64 << 20
MOST = 2 << 30
MOST_FILES = 10_000
EXPANSION = 100
"""How many times its packed size a file in the archive may have."""
DEEPEST = 200
LONGEST_NAME = 200
_ASSET = re.compile(r"assets(/[\w\-][\w.\-]*){1,30}")
_NAME = re.compile(r"\w[\w.\-> ]*")
_PATH = re.compile(r"[/~\\]|[A-Za-z]:\\|[\w+.\-]+://|\.\./")
_WORDS = ("vocabulary", "idf_weights")


def checked(content: bytes, name: str) -> bytes:
    """A `.keras` file that holds the same model and nothing but what was judged.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        UnsafeModel: no such file; or it names what is none of Keras' own layers.
    """
    files = _files(content, name)
    config = _config(files[CONFIG])
    _check(config, "the model", 0)
    kept = {**files, CONFIG: msgspec.json.encode(config)}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(kept):
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), kept[path])
    return written.getvalue()


def _files(content: bytes, name: str) -> dict[str, bytes]:
    """The files of the archive that belong to a model."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OverflowError) as error:
        raise UnsafeModel(f"{name} is no .keras file: {error}.") from error
    with archive:
        entries = archive.infolist()
        if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST:
            raise UnsafeModel(f"{name} holds more than {MOST_FILES:,} files or {MOST:,} bytes, which is no model.")
        found: dict[str, bytes] = {}
        for entry in entries:
            if entry.filename in found:
                raise UnsafeModel(f"{name} holds {entry.filename!r} twice.")
            found[entry.filename] = _content(archive, entry, name)
    if missing := [path for path in (CONFIG, METADATA, WEIGHTS) if path not in found]:
        raise UnsafeModel(f"{name} has no {missing[0]}: save it with model.save('model.keras') of Keras 3.")
    return found


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> bytes:
    path = entry.filename
    if path not in (CONFIG, METADATA, WEIGHTS) and not _ASSET.fullmatch(path):
        raise UnsafeModel(f"{name} holds {path!r}, which belongs to no model that Keras writes in one file.")
    if entry.external_attr >> 28 not in (0, 8) or entry.flag_bits & 1:
        raise UnsafeModel(f"{path!r} of {name} is a link, a device or encrypted: save the model with Keras itself.")
    if entry.file_size > max(1 << 20, EXPANSION * entry.compress_size) or (
        path in (CONFIG, METADATA) and entry.file_size > MOST_CONFIG
    ):
        raise UnsafeModel(
            f"{path!r} of {name} grows to {entry.file_size:,} bytes when it is unpacked, which is no model."
        )
    try:
        with archive.open(entry) as file:
            data = file.read(entry.file_size + 1)
    except Exception as error:  # zipfile raises what its decompressors raise, which differ between them
        raise UnsafeModel(f"{path!r} of {name} cannot be unpacked: {error}.") from error
    if len(data) != entry.file_size:
        raise UnsafeModel(f"{path!r} of {name} is not of the size that the archive says: it is damaged.")
    return data


def _config(data: bytes) -> dict[str, Any]:
    try:
        config = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnsafeModel(f"{CONFIG} cannot be read: {error}.") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise UnsafeModel(f"{CONFIG} describes no model.")
    # What a model was compiled with (optimizer, losses, metrics) takes no part in its answers.
    config.pop("compile_config", None)
    return config


def _check(value: Any, where: str, depth: int) -> None:
    """Raises UnsafeModel for a value that is no plain one, nor a description of something on the lists."""
    if depth > DEEPEST:
        raise UnsafeModel("The model's configuration is nested without end.")
    if isinstance(value, list):
        for each in value:
            _check(each, where, depth + 1)
    elif isinstance(value, str):
        if _PATH.match(value) or "../" in value:
            raise UnsafeModel(
                f"The configuration of {where} holds {value[:80]!r}, a path or an address: nothing is read."
            )
    elif isinstance(value, dict):
        if "class_name" in value:
            where = _named(value, where)
        if "compile_config" in value:
            raise UnsafeModel(
                f"The configuration of {where} brings an optimizer or losses, which a part of a model does not."
            )
        for key, each in value.items():
            if key in _WORDS:
                _check_words(key, each, where)
            elif key == "name" and each is not None:
                _check_name(each, where)
            else:
                _check(each, where, depth + 1)


def _named(value: dict[str, Any], where: str) -> str:
    """The name of a class that is described, if it is on the lists."""
    name, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
    texts = isinstance(name, str) and isinstance(module, str | None)
    if texts and name in VALUES and module is None and registered is None:
        return where
    if not texts or name not in CLASSES or (module is not None and module not in MODULES):
        shown = ".".join(str(each)[:80] for each in (module, name) if each is not None)
        raise UnsafeModel(
            f"The model holds {shown!r}, which is none of Keras' own layers and their parts: own code, lambdas and "
            "other modules are not loaded from a file. Load it where you trust it, and register the model from there "
            "with mainstay.register."
        )
    if registered not in (None, name):
        raise UnsafeModel(
            f"The model holds {str(registered)[:80]!r}, a class of somebody's own, under the name of {name}."
        )
    return str(name)


def _check_words(key: str, value: Any, where: str) -> None:
    """A list of words or numbers may hold any text; a text in place of the list would be a path."""
    plain = value is None or (isinstance(value, list) and all(isinstance(each, str | int | float) for each in value))
    if not plain:
        raise UnsafeModel(
            f"{key} of {where} is no list but {str(value)[:80]!r}, which would be read from a file: nothing is."
        )


def _check_name(value: Any, where: str) -> None:
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not _NAME.fullmatch(value) or ".." in value:
        raise UnsafeModel(f"{str(value)[:80]!r} cannot be a name in {where}: use letters, digits, '_', '-' and '.'.")
