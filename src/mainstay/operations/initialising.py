"""`mainstay init`: looks at data and writes the project file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.signature import Label
from mainstay.project import FILE, Data, Project, checked
from mainstay.training.inference import infer, proposed
from mainstay.training.project_file import render
from mainstay.training.reading import read
from mainstay.training.sql import check_url
from mainstay.training.table import Table
from mainstay.training.values import labels_of

KINDS = ("csv", "tsv", "jsonl", "parquet")
ENDINGS = (".gz", ".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")


class Initialised(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay init` answers."""

    path: str
    name: str
    target: str
    task: str
    rows: int
    positive: Label | None
    columns: dict[str, str]
    left_out: dict[str, str]
    split: str
    notes: list[str]


class ProjectExists(MainstayError):
    """There is a project file already."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is there already: edit it, or give --force to replace it.")


def source_of(
    data: str,
    *,
    header: bool = True,
    columns: str | None = None,
    separator: str | None = None,
    quote: str | None = None,
    encoding: str = "utf-8",
    query: str | None = None,
    kind: str | None = None,
) -> Data:
    """The data of a project, as words on a command line say it: a path, or a URL with a query.

    Raises:
        MainstayError: words that do not go together.
        DataError: a URL with a password in it.
    """
    names = tuple(name.strip() for name in columns.split(",")) if columns else ()
    if not header and not names:
        raise MainstayError("--no-header needs --columns, the names from left to right: --columns label,text.")
    if header and names:
        raise MainstayError("--columns names the columns of a file without a header: give --no-header too.")
    if "://" in data or data.startswith("${"):
        check_url(data)  # before a word of it is kept anywhere
        if query is None:
            raise MainstayError('A database needs --query, such as --query "SELECT * FROM loans".')
        return Data(url=data, query=query)
    if query is not None:
        raise MainstayError("--query belongs to a database URL, such as postgresql://${USER}:${PASSWORD}@host/name.")
    if kind is not None and kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f" Known: {', '.join(KINDS)}."
        raise MainstayError(f"--format {kind!r} is none that can be read.{hint}")
    known = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
    separator = known.get(separator, separator) if separator else None
    found: dict[str, Any] = {} if kind is None else {"format": kind}
    return Data(path=data, header=header, columns=names, separator=separator, quote=quote, encoding=encoding, **found)


def initialise(
    folder: Path,
    source: Data,
    *,
    target: str,
    name: str | None = None,
    positive: str | None = None,
    force: bool = False,
) -> Initialised:
    """Reads the data, infers what it is, and writes the commented project file.

    Args:
        folder: where the project file is written.
        source: where the rows come from; a relative path is taken from the working folder.
        target: the column to predict.
        name: of the model; by default, the data file's.
        positive: of two classes, the one to find, as the data spells it.
        force: replace a project file that is there.

    Raises:
        ProjectExists; DataError: the data cannot be read; CheckFailed: nothing to learn from.
    """
    path = folder / FILE
    if path.exists() and not force:
        raise ProjectExists(path)
    source = relative(source, folder)
    table = read(source, folder)
    if target not in table.names:
        known = ", ".join(repr(name) for name in table.names[:20])
        hint = did_you_mean(target, table.names) or f" It has {known}."
        raise MainstayError(f"The data has no column {target!r}.{hint}")
    inferred = infer(table, target)
    project = proposed(inferred, name=name or _name_of(source), data=source)
    if positive is not None:
        project = msgspec.structs.replace(project, positive=_label(table, project, positive))
    text = render(checked(project), inferred.notes)
    _replace(path, text)
    return Initialised(
        path=str(path),
        name=project.name,
        target=target,
        task=project.task,
        rows=len(table),
        positive=project.positive,
        columns=dict(project.columns),
        left_out=dict(project.left_out),
        split=project.split.kind,
        notes=list(inferred.notes),
    )


def relative(source: Data, folder: Path) -> Data:
    """The source with its path as seen from the project folder, where it lies below it."""
    if source.path is None:
        return source
    path = Path(source.path).expanduser().absolute()
    inside = path.is_relative_to(folder.absolute())
    return msgspec.structs.replace(source, path=str(path.relative_to(folder.absolute()) if inside else path))


def _name_of(source: Data) -> str:
    """A model's name from a file's, a folder's or a database's."""
    name = Path(source.path or (source.url or "").rsplit("/", 1)[-1].split("?")[0]).name
    while Path(name).suffix.lower() in ENDINGS:
        name = Path(name).stem
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63] or "model"


def _label(table: Table, project: Project, positive: str) -> Label:
    if project.task != "binary":
        raise MainstayError(f"--positive belongs to a target of two values; {project.target!r} is {project.task}.")
    labels = labels_of(table.factor(project.target))
    by_text: dict[str, Any] = {str(label): label for label in labels}
    if positive not in by_text:
        hint = did_you_mean(positive, by_text) or f" It holds {', '.join(map(repr, by_text))}."
        raise MainstayError(f"--positive {positive!r} is no value of {project.target!r}.{hint}")
    found: Label = by_text[positive]
    return found


def _replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
