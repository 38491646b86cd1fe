"""Names of models, versions and aliases: "credit:1", "credit@champion", "credit" (its latest version)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mainstay.errors import MainstayError

CHAMPION = "champion"
"""The alias of the version that is deployed; it moves by deploying, and by nothing else."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class BadName(MainstayError):
    """A text that cannot be the name of a model, a version or an alias."""


@dataclass(frozen=True)
class Ref:
    """What a person calls a version: by number, by alias, or, with neither, the latest of its model."""

    model: str
    number: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.model}:{self.number}"
        return f"{self.model}@{self.alias}" if self.alias is not None else self.model


def parse(text: str) -> Ref:
    """The ref that a text spells. Raises BadName, also for what is no text, as Python may give it."""
    if not isinstance(text, str):
        raise BadName(f"{text!r} does not name a version: write it as a text, such as 'credit:1'.")
    if ":" in text:
        model, _, number = text.partition(":")
        if not _NUMBER.fullmatch(number):
            alias = f", or {model}@{number} if that is an alias" if _ALIAS.fullmatch(number) else ""
            raise BadName(f"{text!r} does not name a version: write MODEL:NUMBER, such as credit:1{alias}.")
        return Ref(model_name(model), number=int(number))
    model, at, alias = text.partition("@")
    return Ref(model_name(model), alias=alias_name(alias) if at else None)


def model_name(text: str) -> str:
    """`text`, if a model can have this name. Raises BadName."""
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise BadName(
            f"{text!r} cannot be the name of a model: use a-z, 0-9, '_' and '-', at most 63, "
            "starting with a letter or digit."
        )
    return text


def alias_name(text: str) -> str:
    """`text`, if an alias can have this name. Raises BadName."""
    if not isinstance(text, str) or not _ALIAS.fullmatch(text):
        raise BadName(f"{text!r} cannot be an alias: use a-z, 0-9, '_' and '-', at most 63, starting with a letter.")
    return text
