"""What tables of a project file share: an unknown key is an error, and lengths of time are as people write them."""

from __future__ import annotations

import re

import msgspec

from mainstay.errors import MainstayError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LENGTH = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of the project file: an unknown key is an error."""


class NoLength(MainstayError):
    """A text is no length of time."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"{text!r} is no length of time: write a number and its unit, such as 90s, 10m, 2h or 1d, with seven "
            "digits at most."
        )


def seconds_of(text: str) -> float:
    """Seconds of a length of time: "5ms", "90s", "10m", "2h", "1d". Raises NoLength."""
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise NoLength(text)
    return float(found[1]) * _UNITS[found[2]]
