"""URLs of databases as a person writes them: secrets come from the environment alone, and are in no error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from mainstay.errors import MainstayError

_PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLACES_ONLY = re.compile(r"(?:\$\{[A-Za-z_][A-Za-z0-9_]*\})+")
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|credential|api_?key", re.IGNORECASE)


class BadUrl(MainstayError):
    """A URL that is none, that holds a secret in plain text, or whose variables are not set."""


@dataclass(frozen=True)
class Expanded:
    """A URL with its places filled in."""

    url: URL = field(repr=False)
    shown: str
    """As it was written."""
    secrets: Mapping[str, str] = field(repr=False)
    """What was filled in, by the name of its variable."""

    def redacted(self, text: str) -> str:
        """The text with each secret replaced by its place, without a full stop at its end."""
        for name, value in sorted(self.secrets.items(), key=lambda item: -len(item[1])):
            if value:
                text = text.replace(value, "${" + name + "}")
        return text.rstrip(".")


def expanded(url: str, environment: Mapping[str, str], *, where: str) -> Expanded:
    """The URL with each ${NAME} replaced, part by part, so that a password may hold any character.

    Args:
        where: the place of the URL, for errors, such as "[data] url".

    Raises:
        BadUrl: no URL, a literal password, or a variable that is not set.
    """
    secrets: dict[str, str] = {}

    def fill(part: str) -> str:
        for name in _PLACE.findall(part):
            if name not in environment:
                raise BadUrl(f"{where} needs the environment variable {name}, which is not set.")
            secrets[name] = environment[name]
        return _PLACE.sub(lambda match: environment[match[1]], part)

    whole = _PLACES_ONLY.fullmatch(url) is not None
    try:
        parsed = make_url(fill(url) if whole else url)
    except (ArgumentError, ValueError):
        # `from None`: the cause's own text may hold what was expanded.
        raise BadUrl(
            f"{where} = {_shown(url)!r} is no database URL, such as "
            "postgresql+psycopg://user:${DB_PASSWORD}@host:5432/name."
        ) from None
    if whole:
        if parsed.password:
            secrets[f"{_PLACE.findall(url)[0]} (password)"] = str(parsed.password)
        return Expanded(parsed, url, secrets)
    _refuse_literal_secrets(parsed, where)
    query = {
        key: fill(value) if isinstance(value, str) else tuple(map(fill, value)) for key, value in parsed.query.items()
    }
    filled = URL.create(
        parsed.drivername,
        username=fill(parsed.username) if parsed.username else None,
        password=fill(str(parsed.password)) if parsed.password else None,
        host=fill(parsed.host) if parsed.host else None,
        port=parsed.port,
        database=fill(parsed.database) if parsed.database else None,
        query=query,
    )
    return Expanded(filled, url, secrets)


def check_url(url: str, *, where: str) -> None:
    """Raises BadUrl where the URL itself holds a password; called before it is written or kept anywhere."""
    if _PLACES_ONLY.fullmatch(url):
        return
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return  # said by `expanded`, when it is used
    _refuse_literal_secrets(parsed, where)


def _refuse_literal_secrets(url: URL, where: str) -> None:
    named = [("a password", str(url.password))] if url.password else []
    for key, value in url.query.items():
        if _SECRET_KEY.search(key):
            named += [(f"{key}=", part) for part in ([value] if isinstance(value, str) else value)]
    for what, value in named:
        if not _PLACES_ONLY.fullmatch(value):
            raise BadUrl(
                f"{where} holds {what} in plain text: put it in an environment variable, "
                "and write ${DB_PASSWORD} (its name) in its place."
            )


def _shown(url: str) -> str:
    """A URL that cannot be parsed, without what may be a password."""
    return re.sub(r"(://[^:@/]*):.*@", r"\1:***@", url.partition("?")[0])
