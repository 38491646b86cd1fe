"""What a worker and its reader of Arrow and Parquet say to each other: length-prefixed msgpack, as to a host process.

Numbers travel as their bytes, texts as the different ones and an index a row: nothing is rounded, and a body that
repeats one long text a million times stays small.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mainstay.serving.frames import Block

STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"
KINDS = (STREAM, FILE, PARQUET)
"""The content types."""
CALLED = {STREAM: "an Arrow stream", FILE: "an Arrow file", PARQUET: "a Parquet file"}

Held = Literal["nothing", "numbers", "truths", "moments", "texts", "decimals", "bytes", "arrays"]


class Values(msgspec.Struct, frozen=True, array_like=True):
    """A column of n rows."""

    held: Held
    """Moments are microseconds since 1970-01-01 UTC; decimals are their digits as text."""
    rows: Block
    """Of shape (n, …): the values; of texts, decimals and bytes, each row's index among those that differ."""
    valid: bytes | None = None
    """A byte a row: 0 where the value is missing. None: none is."""
    texts: list[str | None] = []
    """Those that differ: of texts, or of decimals."""
    binaries: list[bytes | None] = []


class Read(msgspec.Struct, frozen=True, array_like=True, tag="read"):
    """Read a body."""

    kind: str
    """One of `KINDS`."""
    body: bytes
    ignored: tuple[str, ...]
    """Columns that nobody asks for."""


class Write(msgspec.Struct, frozen=True, array_like=True, tag="write"):
    """Write columns of one length; what is not finite becomes null."""

    kind: str
    columns: dict[str, Block]
    about: dict[str, str]
    """Kept in the schema."""


class Done(msgspec.Struct, frozen=True, array_like=True):
    """What became of it."""

    columns: dict[str, Values] = {}
    data: bytes = b""
    error: str | None = None
    """One sentence: why there is none of both."""
    column: str | None = None
    large: bool = False
    """Whether the error is one of size."""
    ends: bool = False
    """Whether the process ends now: it has met its bound of memory."""
