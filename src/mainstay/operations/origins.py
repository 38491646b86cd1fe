"""`mainstay lineage`: what a version was made from, as a tree and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.package import Package
from mainstay.operations.registries import opened
from mainstay.registry.records import Version
from mainstay.registry.store import Registry

ROW, STEP, LETTER, MARGIN = 26, 24, 7.4, 16
"""Of the picture, in pixels: a line, an indent, a letter, an edge."""


DEEPEST = 8
"""Versions that were made from versions that were made from versions …; further ones are named alone."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A version or a thing that it was made from, and what that was made from in turn."""

    text: str
    parts: tuple[Origin, ...] = ()


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay lineage` answers."""

    version: str
    origin: Origin


def lineage(folder: Path, ref: str) -> Lineage:
    """What a version was made from. Raises NoRegistry, VersionNotFound and its like, PackageCorrupt."""
    with opened(folder, create=False) as registry:
        version = registry.version(ref)
        return Lineage(version=version.ref, origin=_traced(registry, version, DEEPEST))


def origin_of(version: Version, package: Package, traced: Callable[[str, str], Origin] | None = None) -> Origin:
    """The tree of a version, from its attestations; `traced` gives the trees of the versions that it was made from, by
    their names and content ids. Raises PackageCorrupt."""
    said = package.document(files.LINEAGE, dict[str, Any]) if files.LINEAGE in package else {}
    trials = package.document(files.TRIALS, dict[str, Any]) if files.TRIALS in package else None
    parts = [*_making(version, said, traced or _named), *_data(said.get("data") or {}), *_code(said)]
    if trials is not None:
        parts.append(_search(trials))
    if said.get("libraries"):
        libraries = tuple(Origin(text=f"{name} {number}") for name, number in said["libraries"].items())
        parts.append(Origin(text=f"Python {said.get('python', '')} on {said.get('platform', '')}", parts=libraries))
    if not said:
        parts.append(Origin(text="Nothing else is known: the version was registered without its lineage"))
    return Origin(text=_named(version.ref, version.content_id).text, parts=tuple(parts))


def tree(origin: Origin) -> str:
    """The lineage as text, a line for each thing."""
    return "\n".join([origin.text, *_lines(origin, "")])


def picture(origin: Origin) -> str:
    """The lineage as an SVG image that needs nothing else."""
    rows = list(_rows(origin, 0, None))
    width = round(max(MARGIN * 2 + depth * STEP + len(text) * LETTER for depth, text, _ in rows)) + MARGIN
    height = MARGIN * 2 + len(rows) * ROW
    drawn = []
    for row, (depth, text, above) in enumerate(rows):
        x, y = MARGIN + depth * STEP, MARGIN + row * ROW + ROW // 2
        if above is not None:
            left, top = x - STEP + 4, MARGIN + above * ROW + ROW // 2 + 6
            drawn.append(f'<path d="M{left} {top}V{y}H{x - 4}" fill="none" stroke="#9aa4b1"/>')
        drawn.append(f'<circle cx="{x + 4}" cy="{y}" r="4" fill="{"#1f6feb" if depth < 1 else "#57606a"}"/>')
        weight = ' font-weight="bold"' if depth < 1 else ""
        drawn.append(f'<text x="{x + 14}" y="{y + 4}"{weight}>{escape(_printable(text))}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escape(_printable(origin.text))}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<g font-family="monospace" font-size="12" fill="#1f2328">{"".join(drawn)}</g></svg>\n'
    )


def _traced(registry: Registry, version: Version, depth: int) -> Origin:
    """The tree of a version, and those of the versions that it was made from, where the registry still has them."""

    def part(ref: str, content_id: str) -> Origin:
        try:
            found = registry.version(ref)
        except MainstayError:
            return Origin(text=f"{_named(ref, content_id).text}, which this registry does not have")
        if found.content_id != content_id:
            return Origin(text=f"{_named(ref, content_id).text}; {ref} is another one in this registry")
        return _traced(registry, found, depth - 1) if depth else _named(ref, content_id)

    return origin_of(version, registry.package(version), part)


def _named(ref: str, content_id: str) -> Origin:
    return Origin(text=f"{ref}, content {content_id[:12]}")


def _making(version: Version, said: dict[str, Any], traced: Callable[[str, str], Origin]) -> Iterator[Origin]:
    at = f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC"
    yield Origin(text=f"registered {at} by {version.actor}")
    if command := said.get("command"):
        parent = said.get("replayed")
        parts = (Origin(text=f"fitted again from {parent}"),) if parent else ()
        yield Origin(text=f"made by {command}", parts=parts)
    if made_from := said.get("parts"):
        yield Origin(text="made from", parts=tuple(traced(part["version"], part["content_id"]) for part in made_from))


def _data(data: dict[str, Any]) -> Iterator[Origin]:
    if not data:
        return
    rows, columns = data.get("rows"), data.get("columns")
    size = f", {rows} rows" if rows is not None else ""
    size += f", {columns} columns" if columns is not None else ""
    parts = [Origin(text=f"{name}, SHA-256 {sha}") for name, sha in (data.get("files") or {}).items()]
    if data.get("url"):
        parts.append(Origin(text=f"{data['url']}: {data.get('query') or ''}".rstrip(": ")))
    for name, pointer in (data.get("dvc") or {}).items():
        parts.append(Origin(text=f"{name}: " + ", ".join(f"{key} {value}" for key, value in pointer.items())))
    yield Origin(text=f"data{size}", parts=tuple(parts))


def _code(said: dict[str, Any]) -> Iterator[Origin]:
    git = said.get("git") or {}
    if git:
        changed = ", with local changes" if git.get("dirty") else ""
        yield Origin(text=f"git commit {git.get('commit', '')}{changed}")
    elif said:
        yield Origin(text="no git commit")
    if said.get("configuration"):
        yield Origin(
            text=f"configuration, SHA-256 {said['configuration']}", parts=(Origin(text=f"seed {said.get('seed')}"),)
        )


def _search(trials: dict[str, Any]) -> Origin:
    made = trials.get("trials", [])
    winner: dict[str, Any] = next((trial for trial in made if trial.get("number") == trials.get("winner")), {})
    family = (winner.get("plan") or {}).get("family", "the baseline")
    text = f"search of {len(made)} trials by {trials.get('metric')} on {trials.get('folds')} folds"
    return Origin(text=text, parts=(Origin(text=f"won by trial {trials.get('winner')}, {family}"),))


def _lines(origin: Origin, before: str) -> Iterator[str]:
    for part in origin.parts:
        last = part is origin.parts[-1]
        yield f"{before}{'└─ ' if last else '├─ '}{_printable(part.text)}"
        yield from _lines(part, before + ("   " if last else "│  "))


def _rows(origin: Origin, depth: int, above: int | None, start: int = 0) -> Iterator[tuple[int, str, int | None]]:
    """Depth, text, and the row of what it belongs to, for each row from the top."""
    yield depth, origin.text, above
    row = start + 1
    for part in origin.parts:
        found = list(_rows(part, depth + 1, start, row))
        yield from found
        row += len(found)


def _printable(text: str) -> str:
    """One line without what would end it, or move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
