"""What every module for a foreign format has, and what it is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.package import Draft, Package
from mainstay.models.packaging import Built
from mainstay.models.runtime import Model
from mainstay.models.signature import Label, Task
from mainstay.models.tensors import Image

_AUTOMATIC = re.compile(r"(?:Column_|feature_|column_|f|x)?\d+")
"""Names that a library makes up for columns that have none."""


class CannotImport(MainstayError):
    """A file that cannot become a version that answers as it does where it comes from; says what is in the way."""


@dataclass(frozen=True)
class Told:
    """What a person says of a file, where the file itself does not."""

    columns: tuple[str, ...] = ()
    """Names of the inputs, in their order."""
    labels: tuple[str, ...] = ()
    """Names of the classes, in the order of the probabilities."""
    nullable: tuple[str, ...] = ()
    """Columns that may be missing; `*` for all."""
    target: str | None = None
    """Name of what is predicted."""
    trusted: tuple[str, ...] = ()
    """Types that the operator lets be restored (skops)."""
    general: bool = False
    """Whether the model's outputs are answered as they are: no class, no single value."""
    images: Mapping[str, Image] = field(default_factory=dict)
    """By input: how an encoded picture becomes its numbers."""
    logits: bool = False
    """Whether what it gives for the classes are logits, of which softmax (of one: the sigmoid) makes probabilities."""

    opened: Callable[[Package], Model] | None = None
    """How a package is loaded where that takes more than this process: a class runs in one of its own."""
    locked: Callable[[str, str], str] | None = None
    """How requirements are locked, for a minor version of Python."""

    def names(self, own: Sequence[str], width: int) -> tuple[str, ...]:
        """Names for `width` inputs: those told, else the file's own, else x0 to xN.

        Raises:
            CannotImport: another number of names was told, or one stands twice, or the file has other names.
        """
        given = tuple(name for name in own if not _AUTOMATIC.fullmatch(name))
        if self.columns and len(given) == len(own) == len(self.columns) and given != self.columns:
            raise CannotImport(
                f"The file names its inputs itself, {', '.join(map(repr, given))}: leave --columns out, or give these, "
                "in their order."
            )
        names = self.columns or tuple(own) or tuple(f"x{index}" for index in range(width))
        if len(names) != width:
            raise CannotImport(f"The model takes {width} inputs, and {len(names)} names are given: name each of them.")
        if twice := [name for name in names if names.count(name) > 1]:
            raise CannotImport(f"The name {twice[0]!r} stands for two inputs: give other names with --columns.")
        return names

    def classes(self, own: Sequence[Label]) -> tuple[Label, ...]:
        """The classes: those told in place of the file's own, which say how many there are.

        Raises:
            CannotImport: another number of labels was told.
        """
        if not self.labels:
            return tuple(own)
        if len(self.labels) != len(own):
            raise CannotImport(f"The model has {len(own)} classes, and {len(self.labels)} labels are given.")
        if any(isinstance(label, str) for label in own) and list(map(str, own)) != list(self.labels):
            raise CannotImport(
                f"The model names its classes itself, {', '.join(map(repr, own))}: leave --labels out, or give these "
                "in their order."
            )
        if sorted(map(str, own)) == sorted(self.labels) and list(map(str, own)) != list(self.labels):
            raise CannotImport(
                f"The model's classes are {', '.join(map(repr, own))}, in this order: give their names in it."
            )
        # Numbers told on a command line are numbers where the file has numbers.
        spelled = {str(label): label for label in own}
        if all(label in spelled for label in self.labels) and list(map(str, own)) == list(self.labels):
            return tuple(own)
        whole = all(text.lstrip("-").isdigit() and str(int(text)) == text for text in self.labels)
        return tuple(int(text) for text in self.labels) if whole else tuple(self.labels)

    def may_miss(self, names: Sequence[str]) -> frozenset[str]:
        """The inputs that may be missing, as told.

        Raises:
            CannotImport: one of them is no input.
        """
        if self.nullable == ("*",):
            return frozenset(names)
        for name in self.nullable:
            if name not in names:
                raise CannotImport(f"--nullable names {name!r}, which is no input.{did_you_mean(name, names)}")
        return frozenset(self.nullable)


@dataclass(frozen=True)
class Imported:
    """A package made from a file, and what is to be told of it."""

    built: Built
    description: str
    notes: tuple[str, ...] = ()

    @property
    def draft(self) -> Draft:
        return self.built.draft


class Format(Protocol):
    """A module for one format."""

    NAME: str
    """As a person calls it. A module whose library may end the process at a damaged file, or run one for ever, has
    `NATIVE_READER = True`."""

    def detect(self, path: Path, head: bytes) -> bool:
        """Whether a file (with its first 4,096 bytes) or a folder (with none) is of this format."""

    def draft(self, path: Path, told: Told) -> Imported:
        """The package of a file.

        Raises:
            CannotImport: the file is not whole, or holds what would not be answered as it should.
            MissingExtra: its library is not installed.
        """


def task_of(labels: Sequence[Label]) -> Task:
    """The task that so many labels make; none make a regression."""
    if not labels:
        return "regression"
    return "binary" if len(labels) == 2 else "multiclass"


def content_of(path: Path, limit: int) -> bytes:
    """The bytes of a file of at most `limit` bytes. Raises CannotImport for a larger one, OSError as reading does."""
    size = path.stat().st_size
    if size > limit:
        raise CannotImport(f"{path.name} has {size:,} bytes, more than the {limit:,} that are read of such a file.")
    return path.read_bytes()
