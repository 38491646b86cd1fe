"""Files that are known, and never read: those that run code when they are loaded, and those that hold weights alone.

Told by their first bytes, whatever they are called, so that a person learns the way out; nothing of them is unpacked.
"""

from __future__ import annotations

from pathlib import Path

from mainstay.models.formats.foreign.protocol import CannotImport

CODE = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".pt2", ".ptl", ".sav")
WEIGHTS = (".safetensors", ".ckpt")
_CATBOOST = (b'"features_info"', b'"oblivious_trees"', b'"catboost_version_info"')
_ZIP = b"PK\x03\x04"
_PICKLES = tuple(bytes([0x80, version]) for version in range(2, 6))
"""The opcode PROTO and a version of the pickle protocol: nothing that is read here begins so."""


def check_readable(path: Path, head: bytes) -> None:
    """Refuses what is known to be none of the formats that can be read.

    Args:
        path: of the file, for its name alone.
        head: its first bytes; none of a folder.

    Raises:
        CannotImport: it runs code when it is loaded; or it is weights without their model.
    """
    suffix = path.suffix.lower()
    if suffix in CODE or head.startswith(_PICKLES) or _of_torch(head):
        raise CannotImport(
            f"{path.name} runs code when it is loaded, whoever wrote it: load it where you trust it, and register the "
            "model from there with mainstay.register, or export it as ONNX."
        )
    if suffix in WEIGHTS or _safetensors(head):
        raise CannotImport(
            f"{path.name} holds weights without the model that they belong to: load them into it, and register the "
            "model from there with mainstay.register, or export it as ONNX."
        )
    if _catboost_json(head):
        raise CannotImport(
            f"{path.name} is CatBoost's JSON, which CatBoost alone reads back, and not always as the same model: load "
            'it there, and save it as cbm: model.save_model("model.cbm").'
        )


def _catboost_json(head: bytes) -> bool:
    """By the keys of its top level, of which the first stands at the beginning."""
    return head.lstrip()[:1] == b"{" and b'"learner"' not in head and any(key in head for key in _CATBOOST)


def _of_torch(head: bytes) -> bool:
    """Whether the first entry of a zip archive is one of PyTorch: by its name, or by the filling that PyTorch puts
    before each (an extra field called FB)."""
    if not head.startswith(_ZIP) or len(head) < 30:
        return False
    end = 30 + int.from_bytes(head[26:28], "little")
    name = head[30:end]
    return head[end : end + 2] == b"FB" or name.endswith((b"data.pkl", b"archive_format"))


def _safetensors(head: bytes) -> bool:
    """A length in eight bytes, and so much JSON; the first entry is in quotes, or there is none."""
    return len(head) > 9 and 2 <= int.from_bytes(head[:8], "little") <= 100_000_000 and head[8:10] in (b'{"', b"{}")
