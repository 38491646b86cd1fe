"""DVC's pointers: which version of a tracked file or folder the data was."""

from __future__ import annotations

import re
from pathlib import Path

_FACT = re.compile(r"^\s*(?:-\s+)?(md5|etag|checksum|size|nfiles):\s*['\"]?([^'\"#\s]+)", re.MULTILINE)


def pointers(folder: Path, data: str | None) -> dict[str, dict[str, str]]:
    """The facts of the `.dvc` file beside the data, or beside a folder above it within the project, by its name;
    empty where there is none.

    Args:
        folder: of the project.
        data: the path of the data, seen from there.
    """
    if data is None:
        return {}
    place = folder / data
    for path in (place, *place.parents):
        if path == folder or folder not in path.parents:
            break
        pointer = path.with_name(path.name + ".dvc")
        if pointer.is_file():
            # The file is YAML of a few flat keys; what is under `outs` is what the pointer points at.
            outs = pointer.read_text(encoding="utf-8", errors="replace").partition("outs:")[2]
            return {str(pointer.relative_to(folder)): dict(_FACT.findall(outs))}
    return {}
