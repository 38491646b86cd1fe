"""A locked list of requirements: exact versions, each with the hashes of the files that it may be installed from.

The form is pip's own, in the part of it that says nothing but what is installed: no option, no URL, no path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mainstay.errors import MainstayError

LONGEST = 10_000_000
"""Bytes of a list, whose packages may have a hundred files each."""

_PACKAGE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?P<extras>\[[A-Za-z0-9._,\s-]*\])?"
    r"\s*==\s*(?P<version>[A-Za-z0-9][A-Za-z0-9._+!-]*)\s*(?:;(?P<marker>.*))?"
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_COMMENT = re.compile(r"(?:^|\s)#.*")


class BadRequirements(MainstayError):
    """A list of requirements that is not locked, or says more than what is to be installed."""


@dataclass(frozen=True)
class Locked:
    """One package of a locked list."""

    name: str
    """Normalised, as PEP 503 has it."""
    version: str
    marker: str
    """Where it is installed at all; empty: everywhere."""
    hashes: int
    """How many files it may be installed from."""


def is_locked(text: str) -> bool:
    """Whether a list is meant to be a locked one: it has a hash in it."""
    return "--hash" in text


def locked(text: str, *, needed: tuple[str, ...] = ()) -> tuple[Locked, ...]:
    """The packages of a locked list.

    Args:
        text: lines as `uv pip compile --generate-hashes` and `pip-compile --generate-hashes` write them.
        needed: names that have to be among them.

    Raises:
        BadRequirements: a line without an exact version or a SHA-256, an option, a URL, a path, or a missing name.
    """
    if len(text) > LONGEST:
        raise BadRequirements(
            f"The locked requirements have more than {LONGEST:,} bytes, which is no list of packages."
        )
    found = tuple(_package(line) for line in _lines(text))
    names = {package.name for package in found}
    if missing := [name for name in needed if name not in names]:
        raise BadRequirements(
            f"The locked requirements do not hold {missing[0]!r}, through which Mainstay speaks with the class: "
            f"add {' and '.join(missing)} to the requirements and lock them again."
        )
    return found


def normalised(name: str) -> str:
    """A package's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _lines(text: str) -> list[str]:
    whole = re.sub(r"\\\r?\n", " ", text)
    lines = (_COMMENT.sub("", line).strip() for line in whole.splitlines())
    return [line for line in lines if line]


def _package(line: str) -> Locked:
    said, *hashes = line.split(" --hash=")
    found = _PACKAGE.fullmatch(said.strip())
    if found is None:
        raise BadRequirements(
            f"{_shown(line)} in the locked requirements is not a package with one exact version (name==1.2.3): "
            "options, URLs and paths are not taken there."
        )
    if not hashes:
        raise BadRequirements(f"{_shown(line)} in the locked requirements has no --hash=sha256:…: lock them again.")
    for text in hashes:
        if not _HASH.fullmatch(f"--hash={text.strip()}"):
            raise BadRequirements(f"{found['name']} in the locked requirements has a hash that is no SHA-256.")
    return Locked(normalised(found["name"]), found["version"], (found["marker"] or "").strip(), len(hashes))


def _shown(line: str) -> str:
    return repr(line if len(line) <= 60 else f"{line[:57]}...")
