"""CSV and its relatives: separator and quoting found from the whole text, cells exactly as they are written."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mainstay.training.table import DataError

SEPARATORS = (",", "\t", ";", "|")
QUOTES = ('"', "'")
LARGEST_FIELD = 131_072
"""Characters in one field, the limit of Python's csv module."""


@dataclass(frozen=True)
class Dialect:
    separator: str
    quote: str
    """Around a field; "" for none."""


@dataclass(frozen=True)
class Ragged:
    """The first record whose width is not the first record's."""

    line: int
    width: int | None
    """None for a field too long to read, as behind a stray quote."""
    expected: int


@dataclass(frozen=True)
class Delimited:
    """The records of a text; without ragged ones, all are as wide as the first."""

    rows: list[list[str]]
    dialect: Dialect
    ragged: Ragged | None = None
    trust: int = 2
    """2: quotes stand only where the format (RFC 4180) has them; 1: not quoted; 0: quotes stand elsewhere too."""


def decode(content: bytes, encoding: str, name: str) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        DataError: an unknown encoding, or bytes that are not in it; names line and byte.
    """
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise DataError(
            f'There is no encoding {encoding!r}: set [data] encoding to one such as "utf-8", "cp1252" or "utf-16".'
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        likely = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
        raise DataError(
            f"{name} is not {encoding}: line {line} has the byte 0x{content[error.start]:02x} (byte {error.start} of "
            f'the file). Set encoding under [data] (init: --encoding) to what it was saved in, such as "{likely}".'
        ) from None


def parse(text: str, name: str, *, separator: str | None = None, quote: str | None = None) -> Delimited:
    """The records of a delimited text; what is not given is found from the text. Blank lines are skipped.

    A quote counts where it is genuine: it stands only around whole fields, doubled within. Else, as in free
    text with stray quotes, fields are not quoted; failing that too, quotes are taken as Python's csv does.

    Raises:
        DataError: empty, a record of another width than the first, or a field that is too long.
    """
    if not text.strip("\r\n"):
        raise DataError(f"{name} is empty: there is no row to learn from.")
    tried = [_read(text, candidate) for candidate in _candidates(text, separator, quote)]
    whole = [read for read in tried if read.ragged is None]
    wide = [read for read in whole if len(read.rows[0]) > 1]
    if wide:
        return max(wide, key=lambda read: (read.trust, len(read.rows[0])))  # the first of the best
    ragged = [read for read in tried if read.ragged is not None and len(read.rows[0]) > 1]
    if not ragged and whole:
        return whole[0]
    worst = max(ragged or tried, key=lambda read: (len(read.rows), read.trust))
    assert worst.ragged is not None
    if worst.ragged.width is None:
        raise DataError(
            f"{name}, line {worst.ragged.line}: a field has more than {LARGEST_FIELD:,} characters. "
            "Shorten it, or set separator and quote under [data] (init: --separator, --quote)."
        )
    raise DataError(
        f"{name}, line {worst.ragged.line}: {_fields(worst.ragged.width)}, but the first row has "
        f"{worst.ragged.expected} (separated by {worst.dialect.separator!r}, "
        f"{'quoted with ' + worst.dialect.quote if worst.dialect.quote else 'not quoted'}). "
        "Correct that line, or set separator and quote under [data] (init: --separator, --quote)."
    )


def header_names(row: list[str], name: str) -> tuple[list[str], list[str]]:
    """Column names of a header, and those among them that were given since the header has none.

    Raises:
        DataError: a name stands twice.
    """
    for column, count in Counter(row).items():
        if column and count > 1:
            raise DataError(f"{name} has {count} columns named {column!r}: rename all but one.")
    names, given = list(row), []
    for position, column in enumerate(row, start=1):
        if not column:
            new = f"column_{position}"
            while new in row:
                new += "_"
            names[position - 1] = new
            given.append(new)
    return names, given


def _candidates(text: str, separator: str | None, quote: str | None) -> Iterator[Dialect]:
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separators = [s for s in SEPARATORS if s in first] or [SEPARATORS[0]]
    quotes = [*(q for q in QUOTES if q in text), ""]
    for s in separators if separator is None else [separator]:
        for q in quotes if quote is None else [quote]:
            yield Dialect(s, q)


def _read(text: str, dialect: Dialect) -> Delimited:
    """The records up to the first ragged one."""
    trust = _trust(text, dialect)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.separator,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
    )
    rows: list[list[str]] = []
    line = 1
    try:
        for row in reader:
            if row:
                if rows and len(row) != len(rows[0]):
                    return Delimited(rows, dialect, Ragged(line, len(row), len(rows[0])), trust)
                rows.append(row)
            line = reader.line_num + 1
    except csv.Error:  # its one complaint without strict mode: a field beyond the limit
        return Delimited(rows or [[]], dialect, Ragged(line, None, len(rows[0]) if rows else 0), trust)
    return Delimited(rows, dialect, None, trust)


def _trust(text: str, dialect: Dialect) -> int:
    """How far the quote is borne out by the text; see `Delimited.trust`."""
    if not dialect.quote:
        return 1
    q, s = re.escape(dialect.quote), re.escape(dialect.separator)
    field = rf"(?:{q}[^{q}]*+(?:{q}{q}[^{q}]*+)*+{q}|[^{q}{s}\r\n]*+)"
    records = re.compile(rf"(?:{field}(?:{s}|\r\n|\n|\r))*+{field}")
    return 2 if records.fullmatch(text) else 0


def _fields(count: int) -> str:
    return f"{count} field" + ("" if count == 1 else "s")
