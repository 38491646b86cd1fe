"""What the registry asks of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection


class Transactions(Protocol):
    """A database of the present schema, whose errors are MainstayErrors."""

    def read(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state of the database, and changes nothing."""

    def write(self) -> AbstractContextManager[Connection]:
        """A transaction that is alone in writing: committed, durably, at the end of the block, or not at all."""

    def close(self) -> None: ...


JSON: dict[str, Any] = {
    "json_serializer": lambda value: msgspec.json.encode(value).decode(),
    "json_deserializer": msgspec.json.decode,
}
"""How an engine keeps JSON: what is not a number, such as NaN, is null."""


def as_kept(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object as it is read back."""
    kept: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return kept
