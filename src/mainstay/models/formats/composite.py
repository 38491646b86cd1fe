"""A blend whose parts are asked one by one: the files of each lie in the package under names of its own.

It runs in the process that any native model runs in, with what its parts need and with the operator's trust for each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from mainstay.models import package as files
from mainstay.models.answers import Answers
from mainstay.models.combining import Combination, combined
from mainstay.models.package import Format, Manifest, Package, PackageCorrupt
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, Signature
from mainstay.models.uniting import View, view_of

FILE = "ensemble.json"
HELD: tuple[Format, ...] = ("onnx", "skops", "lightgbm", "xgboost", "catboost", "ensemble")
"""Formats of parts: those that run in the process of whoever loads them, and run no code of their file's."""
_PREFIX = re.compile(r"part[0-9]{1,3}\.")


class Ensemble(msgspec.Struct, frozen=True, kw_only=True):
    """The document of such a blend."""

    combination: Combination
    parts: tuple[str, ...]
    """What stands before the names of each part's files."""


class CompositeRunner:
    """The parts, loaded, and how their answers become one."""

    def __init__(self, parts: Sequence[Model], combination: Combination, signature: Signature) -> None:
        self._parts = [(part, view_of(signature, part.signature)) for part in parts]
        self._combination, self._signature = combination, signature

    def run(self, cells: Cells, features: object | None) -> Answers:
        """Scores of n rows. Raises InputError where a part refuses them."""
        del features
        return joined(self._parts, self._combination, self._signature, cells)


def joined(
    parts: Sequence[tuple[Model, View]], combination: Combination, signature: Signature, cells: Cells
) -> Answers:
    """What the parts answer, each asked as it would be alone, as one."""
    return combined(combination, signature, [view.answers(part.answer(view.cells(cells))) for part, view in parts])


def nested(parts: Sequence[Package], combination: Combination) -> dict[str, bytes]:
    """The files of a blend that decide its answers: those of its parts, and the document.

    Raises:
        MainstayError: a name is too long for a package, as of blends of blends of blends.
    """
    prefixes = tuple(f"part{number}." for number in range(len(parts)))
    content = {FILE: files.encoded(Ensemble(combination=combination, parts=prefixes))}
    for prefix, part in zip(prefixes, parts, strict=True):
        for name in part.manifest.content:
            if name != files.GOLDEN:
                content[prefix + name] = part.read(name)
    return content


def part_of(package: Package, prefix: str) -> Package:
    """A part as a package of its own."""
    content = {
        name.removeprefix(prefix): entry for name, entry in package.manifest.content.items() if name.startswith(prefix)
    }
    names: Mapping[str, str] = {entry.sha256: prefix + name for name, entry in content.items()}
    return Package(Manifest(content, {}), lambda sha: package.read(names[sha]))


def load(package: Package, *, trusted: tuple[str, ...] = ()) -> CompositeRunner:
    """The runner of a package whose parts are asked one by one.

    Raises:
        UntrustedTypes: a part holds types that are not in `trusted`. PackageCorrupt: a file is missing or was changed.
    """
    document, signature = package.document(package.spec.file, Ensemble), package.signature
    prefixes = document.parts
    if not all(_PREFIX.fullmatch(prefix) for prefix in prefixes) or len({*prefixes}) < max(2, len(prefixes)):
        raise PackageCorrupt(f"{package.spec.file} of the package does not name two parts or more, each once.")
    packages = [part_of(package, prefix) for prefix in prefixes]
    if other := [part.spec.format for part in packages if part.spec.format not in HELD]:
        raise PackageCorrupt(f"The package holds a part in the format {other[0]!r}, which no blend can hold.")
    if not _fits(signature, [part.signature for part in packages], document.combination):
        raise PackageCorrupt(f"{package.spec.file} of the package does not fit its parts and its signature.")
    return CompositeRunner([Model.load(part, trusted=trusted) for part in packages], document.combination, signature)


def _fits(whole: Signature, parts: Sequence[Signature], combination: Combination) -> bool:
    """Whether every part finds its inputs and its labels, and every number its part."""
    columns = {column.name: column.type for column in whole.inputs}
    tensors = {tensor.name for tensor in whole.tensors}
    for part in parts:
        known = all(columns.get(column.name) in (column.type, "text") for column in part.inputs)
        if not known or part.task != whole.task or {*map(repr, part.labels)} != {*map(repr, whole.labels)}:
            return False
        if not tensors.issuperset(tensor.name for tensor in part.tensors):
            return False
    if combination.method == "weights":
        return len(combination.weights) == len(parts)
    if combination.method != "stack":
        return True
    each = 1 if whole.task != "multiclass" else len(whole.labels)
    rows = combination.coefficients
    return len(rows) == len(combination.intercepts) == each and all(len(row) == each * len(parts) for row in rows)
