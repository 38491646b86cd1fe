"""Which rows versions have never seen: said by the rules in their lineage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.package import Package, PackageCorrupt
from mainstay.training.splitting import SplitRule, held_out
from mainstay.training.table import Mask, Table

_KEY = re.compile(r"[0-9a-f]{1,16}")
_MIDDLE = f"{(1 << 63) - 1:016x}"


def rules_of(package: Package) -> tuple[SplitRule, ...]:
    """The rules of a version: a row that all of them hold out is one that it was not trained on. Empty where not known.

    A blend has the rules of all its parts, and one of its own where it was fitted. Raises PackageCorrupt.
    """
    return rules_in(_lineage(package), files.LINEAGE)


def rules_in(said: Mapping[str, Any], name: str) -> tuple[SplitRule, ...]:
    """The rules that a lineage states; it may come from anywhere. Raises PackageCorrupt: they are no rules."""
    given = said.get("splits") or ([said["split"]] if said.get("split") else [])
    try:
        rules = tuple(msgspec.convert(given, list[SplitRule]))
    except msgspec.ValidationError as error:
        raise PackageCorrupt(f"{name!r} of the package has a split rule that cannot be understood: {error}.") from error
    if not all(map(_sound, rules)):
        raise PackageCorrupt(f"{name!r} of the package has a split rule that says of no row whether it was held out.")
    return rules


def files_of(package: Package) -> frozenset[str]:
    """The hashes of the files that a version, or one that it was made from, was trained or chosen with.

    Raises PackageCorrupt.
    """
    return files_in(_lineage(package), files.LINEAGE)


def files_in(said: Mapping[str, Any], name: str) -> frozenset[str]:
    """The hashes that a lineage states, as `files_of`; it may come from anywhere. Raises PackageCorrupt."""
    try:
        told = msgspec.convert(said, _Seen)
    except msgspec.ValidationError as error:
        raise PackageCorrupt(f"{name!r} of the package cannot be understood: {error}.") from error
    # Of rows that a version was only judged on, its rules tell those that it was not trained on.
    judged = told.data is not None and told.data.use == "evaluation" and bool(rules_in(said, name))
    own = [] if told.data is None or judged else list(told.data.files.values())
    return frozenset((*own, *told.seen))


class _Data(msgspec.Struct):
    files: dict[str, str] = {}
    use: str = ""


class _Seen(msgspec.Struct):
    data: _Data | None = None
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """What the lineage of a version says of the rows that it has seen."""

    name: str
    """Of the version, as a person knows it."""
    rules: tuple[SplitRule, ...]
    files: frozenset[str]


def origin_of(name: str, package: Package) -> Origin:
    """Raises PackageCorrupt."""
    return Origin(name, rules_of(package), files_of(package))


@dataclass(frozen=True)
class Left:
    """The rows of a file that versions were not trained on."""

    mask: Mask
    """(rows,)"""
    trained: tuple[str, ...]
    """The versions that were trained on rows of this very file; none of the others' rules counts."""

    @property
    def dropped(self) -> int:
        return int((~self.mask).sum())

    def told(self, source: str) -> str:
        """What was dropped, as a sentence; empty where nothing was."""
        if not self.trained:
            return ""
        return (
            f"Judged on the rows of {source} that {' and '.join(self.trained)} held out in training: {self.dropped} of "
            f"its {len(self.mask)} rows were trained on, and are left out."
        )


def left_of(origins: Iterable[Origin], table: Table, source: str) -> Left:
    """The rows of a file, by its hash, that none of these versions was trained on.

    The rules of a version count where it was trained on this very file, or where its lineage has rules but does not
    say for which files. Of another file the caller says that no version has seen it.

    Raises:
        MainstayError: a version was made with the file, and does not say which rows it has seen.
        DataError: the table lacks a column of a rule.
    """
    hashes = frozenset(table.provenance.files.values())
    trained = [each for each in origins if hashes & each.files or (each.rules and not each.files)]
    for each in trained:
        if not each.rules:
            raise MainstayError(
                f"{each.name} was made with {source}, and its lineage does not say which of its rows it has seen: give "
                "others with --evaluate."
            )
    mask = unseen_by([rule for each in trained for rule in each.rules], table)
    return Left(mask, tuple(dict.fromkeys(each.name for each in trained)))


def unseen_by(rules: Iterable[SplitRule], table: Table) -> Mask:
    """The rows, shape (rows,), that every rule holds out. Raises DataError: the table lacks a column of a rule."""
    mask = np.ones(len(table), dtype=np.bool_)
    for rule in dict.fromkeys(map(_hashable, rules)):
        mask &= held_out(msgspec.json.decode(rule, type=SplitRule), table)
    return mask


def every_rule(packages: Sequence[Package]) -> tuple[SplitRule, ...]:
    """The rules of all versions, each once; none where those of one are not known. Raises PackageCorrupt."""
    found = [rules_of(package) for package in packages]
    if not all(found):
        return ()
    once = dict.fromkeys(_hashable(rule) for rules in found for rule in rules)
    return tuple(msgspec.json.decode(rule, type=SplitRule) for rule in once)


def halving(
    packages: Sequence[Package], *, target: str, columns: tuple[str, ...], missing: tuple[str, ...]
) -> SplitRule:
    """The rule of a blend that is fitted: it holds out half of the rows, by their content.

    The seed is of the parts' content, so that no rule of a part, and of no blend among them, draws the same half.
    """
    spelled = "\0".join(package.manifest.content_id for package in packages)
    return SplitRule(
        kind="stratified",
        seed=int(hashlib.sha256(spelled.encode()).hexdigest()[:12], 16),
        target=target,
        columns=tuple(sorted(columns)),
        missing=missing,
        cuts={"all": _MIDDLE},
    )


def _hashable(rule: SplitRule) -> bytes:
    return msgspec.json.encode(rule, order="deterministic")


def _lineage(package: Package) -> dict[str, Any]:
    return package.document(files.LINEAGE, dict[str, Any]) if files.LINEAGE in package else {}


def _sound(rule: SplitRule) -> bool:
    """Whether a rule has all that `held_out` reads of it."""
    if rule.kind == "time":
        return rule.by is not None and rule.after is not None
    cuts = list(rule.cuts.values())
    keys = [*(cut for cut in cuts if cut), *rule.trained]
    stated = bool(cuts) if rule.strata != "none" else bool(rule.cuts.get("all"))
    return stated and bool(rule.columns) and all(_KEY.fullmatch(key) for key in keys)
