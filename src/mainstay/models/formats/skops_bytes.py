"""The bytes of a file of skops, the same for the same model.

skops numbers objects by where they lie in memory, calls its own files by that or by chance, and dates them; so one
model has other bytes, and another content id, each time it is written.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

_SCHEMA = "schema.json"
_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a zip knows."""


def canonical(data: bytes) -> bytes:
    """The file with its objects and files numbered as they come in its document."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    document, ids, names = json.loads(files.pop(_SCHEMA)), dict[int, int](), dict[str, str]()
    _renumber(document, ids, names, frozenset(files))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, renamed in names.items():
            archive.writestr(zipfile.ZipInfo(renamed, _DATE), files[name])
        archive.writestr(zipfile.ZipInfo(_SCHEMA, _DATE), json.dumps(document, indent=2))
    return written.getvalue()


def forget_counts(model: Any) -> None:
    """Sets the counters of distances to zero that scikit-learn's trees of neighbours keep for who measures them."""
    seen, left = set[int](), [model]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if hasattr(each, "reset_n_calls"):
            each.reset_n_calls()
        elif isinstance(each, dict):
            left += each.values()
        elif isinstance(each, list | tuple):
            left += each
        else:
            left += getattr(each, "__dict__", {}).values()


def _renumber(state: Any, ids: dict[int, int], names: dict[str, str], files: frozenset[str]) -> None:
    """Changes a state of skops and all inside it; what it calls one, it goes on calling one."""
    if isinstance(state, list):
        for each in state:
            _renumber(each, ids, names, files)
    elif isinstance(state, dict):
        if "__loader__" in state:  # else it is a mapping of somebody's own keys
            if isinstance(state.get("__id__"), int):
                state["__id__"] = ids.setdefault(state["__id__"], len(ids) + 1)
            if isinstance(name := state.get("file"), str) and name in files:
                suffix = name.rpartition(".")[2]
                state["file"] = names.setdefault(name, f"{len(names) + 1}.{suffix}")
        for each in state.values():
            _renumber(each, ids, names, files)
