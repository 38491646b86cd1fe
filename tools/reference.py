"""Writes docs/reference from the code, or says with --check that it is not current.

Run as `python -m tools.reference [--check]`. Everything comes from what runs: the commands from the command line
itself, the project file from its structs, HTTP from the OpenAPI document, Python from the functions.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.references import command_line, http, project_file, python

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
MADE = "<!-- Written by `make docs` from the code: change it there. -->\n\n"

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command_line.page,
    "project-file.md": project_file.page,
    "http.md": http.page,
    "python.md": python.page,
}


def written() -> dict[str, str]:
    """The text of each page, by its file name."""
    return {name: MADE + inspect.cleandoc(page()).rstrip() + "\n" for name, page in PAGES.items()}


def outdated(folder: Path = FOLDER) -> list[str]:
    """The differences between the pages as they are and as they should be; empty where they are current."""
    said: list[str] = []
    for name, text in written().items():
        path = folder / name
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        said += difflib.unified_diff(
            before.splitlines(), text.splitlines(), f"{name} as it is", f"{name} of the code", lineterm=""
        )
    return said


def main() -> int:
    if "--check" in sys.argv[1:]:
        said = outdated()
        print(
            "\n".join([*said[:40], "docs/reference is not current: run make docs."])
            if said
            else "docs/reference is current"
        )
        return 1 if said else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in written().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
