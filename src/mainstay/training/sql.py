"""Rows of a SQL query. Credentials come from the environment alone, and are in no error and no provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mainstay.registry import urls
from mainstay.training.table import DataError

_WHERE = "[data] url"


def run(
    url: str, query: str, *, environment: Mapping[str, str], folder: Path
) -> tuple[list[str], list[list[Any]], str]:
    """The answer's column names, its columns, and a SHA-256 of its rows.

    A relative SQLite file is looked for in `folder`. Decimal numbers come as their text.

    Raises:
        DataError: a literal password, a variable that is not set, or a database or query that does not work.
    """
    try:
        expanded = urls.expanded(url, environment, where=_WHERE)
    except urls.BadUrl as error:
        raise DataError(str(error)) from None
    address = expanded.url
    if address.get_backend_name() == "sqlite":
        address = _existing(address, folder, url)
    try:
        engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise DataError(f"{url} needs the driver {error.name}, which is not installed: pip install it.") from None
    except (NoSuchModuleError, ArgumentError):
        raise DataError(
            f"{url}: SQLAlchemy knows no such database; the URL starts with its name, sqlite:///."
        ) from None
    try:
        with engine.connect() as connection:
            # Without parameters a % or : of the query is only a character.
            answer = connection.execution_options(no_parameters=True).exec_driver_sql(query)
            if not answer.returns_rows:
                raise DataError("The query under [data] answers no rows: it must be a SELECT.")
            names = list(answer.keys())
            rows = answer.fetchall()
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
        # `from None`: the cause's own text may hold what was expanded.
        raise DataError(f"{url}: the query failed: {expanded.redacted(said)}.") from None
    finally:
        engine.dispose()
    digest = hashlib.sha256(repr(names).encode())
    for row in rows:
        digest.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    columns = [[_cell(row[i], names[i]) for row in rows] for i in range(len(names))]
    return names, columns, digest.hexdigest()


def check_url(url: str) -> None:
    """Raises DataError where the URL itself holds a password; called before it is written or kept anywhere."""
    try:
        urls.check_url(url, where=_WHERE)
    except urls.BadUrl as error:
        raise DataError(str(error)) from None


def _existing(url: URL, folder: Path, shown: str) -> URL:
    """SQLite would make an empty database of a name that is not there."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return url
    path = folder / url.database
    if not path.is_file():
        raise DataError(f"{shown}: there is no such database file (a relative name is looked for in {folder}).")
    return url.set(database=str(path))


def _cell(value: Any, column: str) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes | bytearray | memoryview | Sequence | Mapping) and not isinstance(value, str):
        raise DataError(
            f"Column {column!r} of the query has values of type {type(value).__name__}, which are no table cells: "
            "convert or leave it out in the query."
        )
    return value
