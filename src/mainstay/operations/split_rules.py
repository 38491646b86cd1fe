"""Which rows versions have never seen: said by the rules in their lineage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from mainstay.models import package as files
from mainstay.models.package import Package
from mainstay.training.splitting import SplitRule, held_out
from mainstay.training.table import Mask, Table

_MIDDLE = f"{(1 << 63) - 1:016x}"


def rules_of(package: Package) -> tuple[SplitRule, ...]:
    """The rules of a version: a row that all of them hold out is one that it was not trained on. Empty where not known.

    A blend has the rules of all its parts, and one of its own where it was fitted. Raises PackageCorrupt.
    """
    if files.LINEAGE not in package:
        return ()
    said = package.document(files.LINEAGE, dict[str, Any])
    given = said.get("splits") or ([said["split"]] if said.get("split") else [])
    return tuple(msgspec.convert(rule, SplitRule) for rule in given)


def split_rule(package: Package) -> SplitRule | None:
    """The rule by which a version's training left rows out; None where its lineage does not say."""
    if files.LINEAGE not in package:
        return None
    split = msgspec.json.decode(package.read(files.LINEAGE)).get("split")
    return msgspec.convert(split, SplitRule) if split else None


def files_of(package: Package) -> frozenset[str]:
    """The hashes of the files that a version was made with. Raises PackageCorrupt."""
    if files.LINEAGE not in package:
        return frozenset()
    data = package.document(files.LINEAGE, dict[str, Any]).get("data") or {}
    return frozenset((data.get("files") or {}).values())


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
