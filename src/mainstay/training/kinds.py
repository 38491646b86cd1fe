"""What one raw cell can be read as: a number, true or false, a moment; and its canonical text.

Nothing is guessed: "001" is no number, since its zeros would be lost, and neither is an integer that a double
cannot hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from mainstay.models.signature import MAX_EXACT_INTEGER, epoch_seconds

_DECIMAL = re.compile(r"[ \t]*[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}.*)?")
_TRUTH = {"true": True, "false": False}

FORMATS = (
    "iso",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y.%m.%d",
    "%d %b %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%B %d, %Y",
)
"""Formats of date-times that are looked for, in this order; the first that reads every value is taken."""


def number(value: Any) -> float | None:
    """The finite double that a cell holds exactly as written, or None.

    Decimal text is rounded to the nearest double, as everywhere; an integer beyond 2^53 is None.
    """
    if isinstance(value, str):
        return _number_of_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return float(value) if abs(value) <= MAX_EXACT_INTEGER else None
    return value if math.isfinite(value) else None


def _number_of_text(text: str) -> float | None:
    if not _DECIMAL.fullmatch(text):
        return None
    read = float(text)
    if -MAX_EXACT_INTEGER < read < MAX_EXACT_INTEGER:
        return read
    # 2^53 + 1 would be rounded to 2^53, so that the text itself is compared.
    if _INTEGER.fullmatch(text.strip()) and abs(int(text)) > MAX_EXACT_INTEGER:
        return None
    return read if math.isfinite(read) else None


def integer(value: Any) -> int | None:
    """The integer that a cell spells in plain decimal (or holds, as 3.0 does), or None."""
    if isinstance(value, str):
        return int(value) if _INTEGER.fullmatch(value) and str(int(value)) == value else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def boolean(value: Any) -> bool | None:
    """True or false, in any case of the letters, or None."""
    if isinstance(value, bool):
        return value
    return _TRUTH.get(value.lower()) if isinstance(value, str) and len(value) <= 5 else None


def moment(value: Any, form: str = "iso") -> float | None:
    """Seconds since 1970-01-01 UTC, or None where the cell is no date-time of that format."""
    if isinstance(value, str):
        if form == "iso" and not _ISO.fullmatch(value):
            return None  # fromisoformat takes "20110101" too, which is more likely a number
    elif not isinstance(value, date):
        return None
    try:
        return epoch_seconds(value, form)
    except ValueError:
        return None


def datetime_format(values: Iterable[Any]) -> str | None:
    """The first format that reads every value, or None; see `FORMATS`."""
    values = list(values)
    if not values:
        return None
    return next((form for form in FORMATS if all(moment(value, form) is not None for value in values)), None)


def plain(value: Any) -> str:
    """A cell's text, as a category spells it and as JSON would: 3 for 3 and for 3.0, true for True."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT_INTEGER:
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def canonical(value: Any) -> str:
    """One text for all spellings of one value, so that a change of file format does not change a row's identity.

    "1", "1.0", 1 and 1.0 are "1"; "TRUE" and True are "true"; "2011-01-01" and that date are one text.
    """
    if isinstance(value, str):
        read: Any = number(value)
        if read is None:
            read = boolean(value)
        if read is not None:
            return plain(read)
    elif not isinstance(value, date):
        return plain(value)
    seconds = moment(value)
    return value if seconds is None and isinstance(value, str) else f"@{seconds!r}"
