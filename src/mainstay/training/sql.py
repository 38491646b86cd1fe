"""Rows of a SQL query. Credentials come from the environment alone, and are in no error and no provenance."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mainstay.training.table import DataError

_PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLACES_ONLY = re.compile(r"(?:\$\{[A-Za-z_][A-Za-z0-9_]*\})+")
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|credential|api_?key", re.IGNORECASE)


def run(
    url: str, query: str, *, environment: Mapping[str, str], folder: Path
) -> tuple[list[str], list[list[Any]], str]:
    """The answer's column names, its columns, and a SHA-256 of its rows.

    A relative SQLite file is looked for in `folder`. Decimal numbers come as their text.

    Raises:
        DataError: a literal password, a variable that is not set, or a database or query that does not work.
    """
    secrets: dict[str, str] = {}
    expanded = _expanded(url, environment, secrets)
    if expanded.get_backend_name() == "sqlite":
        expanded = _existing(expanded, folder, url)
    try:
        engine = sqlalchemy.create_engine(expanded, poolclass=sqlalchemy.NullPool, hide_parameters=True)
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
        raise DataError(f"{url}: the query failed: {_redacted(said, secrets)}.") from None
    finally:
        engine.dispose()
    digest = hashlib.sha256(repr(names).encode())
    for row in rows:
        digest.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    columns = [[_cell(row[i], names[i]) for row in rows] for i in range(len(names))]
    return names, columns, digest.hexdigest()


def _expanded(url: str, environment: Mapping[str, str], secrets: dict[str, str]) -> URL:
    """The URL with each ${NAME} replaced, part by part, so that a password may hold any character."""

    def fill(part: str) -> str:
        for name in _PLACE.findall(part):
            if name not in environment:
                raise DataError(f"[data] url needs the environment variable {name}, which is not set.")
            secrets[name] = environment[name]
        return _PLACE.sub(lambda match: environment[match[1]], part)

    whole = _PLACES_ONLY.fullmatch(url) is not None
    try:
        parsed = make_url(fill(url) if whole else url)
    except (ArgumentError, ValueError):
        raise DataError(
            f"[data] url = {_shown(url)!r} is no database URL, such as "
            "postgresql+psycopg://user:${DB_PASSWORD}@host:5432/name."
        ) from None
    if whole:
        if parsed.password:
            secrets[f"{_PLACE.findall(url)[0]} (password)"] = str(parsed.password)
        return parsed
    _refuse_literal_secrets(parsed)
    query = {
        key: fill(value) if isinstance(value, str) else tuple(map(fill, value)) for key, value in parsed.query.items()
    }
    return URL.create(
        parsed.drivername,
        username=fill(parsed.username) if parsed.username else None,
        password=fill(str(parsed.password)) if parsed.password else None,
        host=fill(parsed.host) if parsed.host else None,
        port=parsed.port,
        database=fill(parsed.database) if parsed.database else None,
        query=query,
    )


def check_url(url: str) -> None:
    """Raises DataError where the URL itself holds a password; called before it is written or kept anywhere."""
    if _PLACES_ONLY.fullmatch(url):
        return
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return  # said by `run`, which needs it
    _refuse_literal_secrets(parsed)


def _refuse_literal_secrets(url: URL) -> None:
    named = [("a password", str(url.password))] if url.password else []
    for key, value in url.query.items():
        if _SECRET_KEY.search(key):
            named += [(f"{key}=", part) for part in ([value] if isinstance(value, str) else value)]
    for what, value in named:
        if not _PLACES_ONLY.fullmatch(value):
            raise DataError(
                f"[data] url holds {what} in plain text: put it in an environment variable, "
                "and write ${DB_PASSWORD} (its name) in its place."
            )


def _existing(url: URL, folder: Path, shown: str) -> URL:
    """SQLite would make an empty database of a name that is not there."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return url
    path = folder / url.database
    if not path.is_file():
        raise DataError(f"{shown}: there is no such database file (a relative name is looked for in {folder}).")
    return url.set(database=str(path))


def _shown(url: str) -> str:
    """A URL that cannot be parsed, without what may be a password."""
    return re.sub(r"(://[^:@/]*):.*@", r"\1:***@", url.partition("?")[0])


def _redacted(text: str, secrets: Mapping[str, str]) -> str:
    for name, value in sorted(secrets.items(), key=lambda item: -len(item[1])):
        if value:
            text = text.replace(value, "${" + name + "}")
    return text.rstrip(".")


def _cell(value: Any, column: str) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes | bytearray | memoryview | Sequence | Mapping) and not isinstance(value, str):
        raise DataError(
            f"Column {column!r} of the query has values of type {type(value).__name__}, which are no table cells: "
            "convert or leave it out in the query."
        )
    return value
