"""Writes docs/reference, and parts of other pages, from the code, or says with --check that they are not current.

Run as `python -m tools.reference [--check]`. Everything comes from what runs: the commands from the command line
itself, the project file from its structs, HTTP from the OpenAPI document, Python from the functions. A part of a page
that is written by hand stands between `<!-- of the code: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.references import command_line, http, project_file, python, rollouts

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "reference"
MADE = "<!-- Written by `make docs` from the code: change it there. -->\n\n"

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command_line.page,
    "project-file.md": project_file.page,
    "http.md": http.page,
    "python.md": python.page,
}

PARTS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "explanation/rollouts.md": {"drawing": rollouts.drawing, "moves": rollouts.moves},
}
"""Of pages that are written by hand otherwise."""


def written() -> dict[str, str]:
    """The text of each page, by its file name."""
    return {name: MADE + inspect.cleandoc(page()).rstrip() + "\n" for name, page in PAGES.items()}


def filled(page: str, text: str) -> str:
    """A page that is written by hand, with its parts as the code has them.

    Raises:
        ValueError: the page has no place for one.
    """
    for name, part in PARTS[page].items():
        place = re.compile(rf"(<!-- of the code: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        found = place.findall(text)
        if len(found) != 1:
            raise ValueError(f"docs/{page} has {len(found)} places for {name!r}, which it should have once")
        begins, ends = found[0]
        text = place.sub((f"{begins}\n{part()}\n{ends}").replace("\\", r"\\"), text)
    return text


def outdated(folder: Path = FOLDER, docs: Path = DOCS) -> list[str]:
    """The differences between the pages as they are and as they should be; empty where they are current."""
    said: list[str] = []
    for name, text in written().items():
        path = folder / name
        said += _differences(name, path.read_text(encoding="utf-8") if path.exists() else "", text)
    for name in PARTS:
        before = (docs / name).read_text(encoding="utf-8")
        said += _differences(name, before, filled(name, before))
    return said


def _differences(name: str, before: str, after: str) -> list[str]:
    names = f"{name} as it is", f"{name} of the code"
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm=""))


def main() -> int:
    if "--check" in sys.argv[1:]:
        said = outdated()
        print("\n".join([*said[:40], "docs are not current: run make docs."]) if said else "docs are current")
        return 1 if said else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in written().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    for name in PARTS:
        path = DOCS / name
        path.write_text(filled(name, path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
