"""The routing table: which versions answer, written by the agent of a machine and followed by its workers.

A small document, replaced as a whole. A worker acknowledges it with a file of its own once it serves what the table
says, or says why it cannot. A table has the generation of the registry that it brings about; while a part of that is
still being made ready, the table has the generation before, so that nobody takes the whole for done.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from mainstay.models.package import Manifest

TABLE = "table.json"
ACKS = "acknowledged"
IN_WORKER = "onnx"
"""The format of versions that run inside the workers, unless they are to run apart."""


class Placed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version, and where it runs."""

    version: str
    """As people write it, "credit:3"."""
    manifest: Manifest
    socket: str | None = None
    """Path of the host process's Unix socket; None: the version runs inside the worker."""


Mode = Literal["probe", "split", "shadow", "rolling", "warm", "watch"]
"""probe, warm: it is ready and gets no traffic. split: it answers a share of the requests. shadow: it gets copies of a
share of them. rolling: it answers all of them, in a share of the workers. watch: it is the version before, to which
requests fall back that the one which takes the traffic, and is judged, cannot answer."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The other version of a rollout, and what workers are to do with it."""

    rollout: str
    """The rollout's id."""
    version: str
    """As in `Table.versions`."""
    mode: Mode
    share: int = 0
    """In ten-thousandths."""
    step: int = 0
    """Of the rollout, from 0: what is seen is counted by step."""
    header: str | None = None
    """Whose value decides who has the candidate; lower case."""
    field: str | None = None
    """An input column that does."""
    slowdown: float = 1.0
    """How many times the stable version's computing time the candidate may take,"""
    slack: float = 0.0
    """and how many seconds more."""
    lease: int = -1
    """The slot of its lease (`serving.leases`)."""


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What answers for a model."""

    stable: str | None
    """The version that takes the traffic, as in `Table.versions`; None: it could not be placed, or not yet."""
    beside: tuple[str, ...] = ()
    """The versions that answer where they are asked for by number, as in `Table.versions`."""
    aliases: dict[str, str] = {}
    """The version that each alias of the model names, whether it is served or not."""
    candidate: Candidate | None = None
    """Of the rollout that runs."""

    @property
    def placed(self) -> list[str]:
        """Every version that answers where it is asked for."""
        return [*([] if self.stable is None else [self.stable]), *self.beside]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a worker needs to know."""

    generation: int
    """Of the registry: the newest that this table brings about in full."""
    blobs: str
    """Root folder of the blob store."""
    routes: dict[str, Route] = {}
    """By model."""
    versions: dict[str, Placed] = {}
    """By version."""
    errors: dict[str, str] = {}
    """By model, or of those beside by version, why what is deployed could not be placed."""
    models: tuple[str, ...] = ()
    """Of the registry: all that could be deployed, by name."""
    control: str | None = None
    """Path of the Unix socket on which the agent takes what callers ask to have changed; None: it takes nothing."""
    edition: int = 0
    """Counts the tables of one agent."""


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker serves, having followed the table of a generation."""

    worker: int
    pid: int
    generation: int
    edition: int = 0
    """Of the table."""
    serving: dict[str, str] = {}
    """The version that takes the traffic, by model."""
    errors: dict[str, str] = {}
    """By model, why the version of the table does not answer (the previous one, if any, still does); by version, why
    one beside, or a candidate, does not."""
    hosted: tuple[str, ...] = ()
    """The versions that it asks in their host processes."""


def write_table(folder: Path, table: Table) -> None:
    """Replaces the table in one step."""
    replace(folder / TABLE, msgspec.json.encode(table))


def read_table(folder: Path) -> Table | None:
    """The present table; None before the first one."""
    try:
        return msgspec.json.decode((folder / TABLE).read_bytes(), type=Table)
    except FileNotFoundError:
        return None


def mark(folder: Path) -> tuple[int, int] | None:
    """What changes whenever the table does: cheap enough to ask for many times a second."""
    try:
        state = os.stat(folder / TABLE)  # noqa: PTH116 - no Path: asked for all the time
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_mtime_ns


def acknowledge(folder: Path, said: Acknowledgement) -> None:
    """Replaces a worker's acknowledgement in one step."""
    (folder / ACKS).mkdir(exist_ok=True)
    replace(folder / ACKS / f"{said.worker}.json", msgspec.json.encode(said))


def acknowledgements(folder: Path) -> list[Acknowledgement]:
    """What the workers said last, by worker."""
    return [
        msgspec.json.decode(path.read_bytes(), type=Acknowledgement)
        for path in sorted((folder / ACKS).glob("[0-9]*.json"))
    ]


def replace(path: Path, data: bytes) -> None:
    """Writes a file beside `path` and moves it there: a reader sees the old one or the new one, whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)  # noqa: PTH105 - `name` is no Path
    except BaseException:
        os.unlink(name)  # noqa: PTH108
        raise
