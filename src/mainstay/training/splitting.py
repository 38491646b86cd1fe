"""Which rows are held out, by their content: a rule that a later version's comparison can apply again.

A row's key is a seeded hash of its features (the target excluded), so equal rows share a key and never straddle
the split or a fold, the order of the rows does not matter, and new rows move no old one, but for the cut-off.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.errors import CheckFailed
from mainstay.models.signature import Floats
from mainstay.project import Project
from mainstay.training.kinds import canonical, datetime_format, moment
from mainstay.training.table import DataError, Factor, Mask, Positions, Table
from mainstay.training.values import Target

BINS = 10
"""Quantile bins, at most, by which a numeric target is stratified."""
ROWS_PER_BIN = 5
"""Rows held out of each bin, at least: smaller ones would round the share away."""
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

Keys = npt.NDArray[np.uint64]
Strata = Literal["class", "bin", "none"]


class SplitRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which rows a version was not trained on; applied to any table by `held_out`."""

    kind: Literal["stratified", "time", "group"]
    seed: int
    target: str
    columns: tuple[str, ...]
    """What a row's key is made of: the inputs, or the group column."""
    missing: tuple[str, ...] = ()
    """Texts that meant a missing value, which are part of a key."""
    strata: Strata = "none"
    edges: tuple[float, ...] = ()
    """Between the bins of a numeric target."""
    cuts: dict[str, str] = {}
    """By stratum (a class's text, a bin's number, or "all"), the largest key held out, in hexadecimal; "" for none."""
    trained: tuple[str, ...] = ()
    """Keys that were trained on though one of their strata has a higher cut: equal rows with several targets."""
    by: str | None = None
    """The time column."""
    after: float | None = None
    """Rows later than this are held out: seconds since 1970-01-01 UTC, or the number that the column has."""


@dataclass(frozen=True)
class Division:
    """A table divided. `test` is of shape (rows,), true where a row is held out.

    `folds` are pairs (train, validation) of positions among the rows not held out, that is, into
    `numpy.flatnonzero(~test)`. `keys` are all rows' keys, shape (rows,).
    """

    rule: SplitRule
    test: Mask
    folds: list[tuple[Positions, Positions]]
    keys: Keys


def split(table: Table, target: Target, project: Project) -> Division:
    """Divides the table as `[split]` says, the folds as `[search] folds` says.

    `target` is the target of each of the table's rows (see `values.prepared` and `values.target_of`).

    Raises:
        DataError: the column to split by is missing, or has missing values.
        CheckFailed: there are too few different rows, times or groups to hold some out.
    """
    if project.split.kind == "time":
        return _by_time(table, target, project)
    if project.split.kind == "group":
        return _by_group(table, target, project)
    return _by_stratum(table, target, project)


def held_out(rule: SplitRule, table: Table) -> Mask:
    """The rows, shape (rows,), that a version trained under this rule has never seen, however the table has grown.

    A row whose target was corrected since counts by the new one. Rows that two versions have never seen are the
    intersection of both versions' masks.

    Raises:
        DataError: the table lacks a column that the rule needs.
    """
    table = Table(table.frame, table.provenance, rule.missing)
    if rule.kind == "time":
        assert rule.by is not None
        assert rule.after is not None
        return np.asarray(_times(table, rule.by) > rule.after)
    keys = row_keys(table, rule.columns, rule.seed)
    cuts = {stratum: int(cut, 16) if cut else -1 for stratum, cut in rule.cuts.items()}
    lowest = min(cuts.values())
    if rule.strata == "none":
        held = _at_most(keys, cuts["all"])
    else:
        factor = table.factor(rule.target)
        by_value = [cuts.get(stratum, lowest) for stratum in _strata_of(factor, rule.strata, rule.edges)]
        held = np.zeros(len(table), dtype=np.bool_)
        for cut in set(by_value):
            here = factor.take(np.array([c == cut for c in by_value], dtype=np.bool_), lowest == cut)
            held[here] = _at_most(keys[here], cut)
    return held & ~np.isin(keys, np.array([int(key, 16) for key in rule.trained], dtype=np.uint64))


def halved(rule: SplitRule, table: Table) -> SplitRule:
    """A rule that holds out about half of what `rule` holds out, so that something may be chosen by the other half.

    Rows that it holds out were seen neither in training nor in that choice, in this table and in larger ones.

    Raises:
        CheckFailed: by time, all rows held out are of one moment.
        DataError: as `held_out`.
    """
    if rule.kind != "time":
        cuts = {stratum: f"{int(cut, 16) // 2:016x}" if cut else "" for stratum, cut in rule.cuts.items()}
        half = msgspec.structs.replace(rule, cuts=cuts)
        held, left = held_out(rule, table), held_out(half, table)
        keys = row_keys(Table(table.frame, table.provenance, rule.missing), rule.columns, rule.seed)
        # Equal rows with several targets may stand on both sides: they are chosen by, all of them.
        both = np.intersect1d(keys[left], keys[held & ~left])
        return msgspec.structs.replace(half, trained=(*rule.trained, *(f"{key:016x}" for key in both.tolist())))
    assert rule.by is not None
    table = Table(table.frame, table.provenance, rule.missing)
    moments, counts = np.unique(_times(table, rule.by)[held_out(rule, table)], return_counts=True)
    if len(moments) < 2:
        raise CheckFailed(
            f"The rows held out have one {rule.by!r}, so that there is no later half of them: bring newer rows."
        )
    later = counts.sum() - np.cumsum(counts)
    last = int(np.argmin(np.abs(later[:-1] - counts.sum() / 2)))
    return msgspec.structs.replace(rule, after=float(moments[last]))


def row_keys(table: Table, columns: Sequence[str], seed: int) -> Keys:
    """A 64-bit hash of each row's cells in these columns, shape (rows,): equal rows have equal ones.

    A cell is hashed by its column's name and canonical text (BLAKE2b), so neither the order of the columns nor
    the file's format matters; the cells' hashes are added and mixed (the finaliser of SplitMix64).
    """
    keys = np.zeros(len(table), dtype=np.uint64)
    for name in sorted(columns):
        factor = table.factor(name)
        start = hashlib.blake2b(f"{seed}\0{name}\0".encode("utf-8", "surrogatepass"), digest_size=8)
        hashes = np.array([_hashed(start, text) for text in factor.canonical], dtype=np.uint64)
        keys += factor.take(hashes, 0)
    return _mixed(keys)


def _hashed(start: hashlib.blake2b, text: str) -> int:
    state = start.copy()
    state.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(state.digest(), "big")


def _mixed(keys: Keys) -> Keys:
    keys = (keys ^ (keys >> np.uint64(30))) * _MIX[0]
    keys = (keys ^ (keys >> np.uint64(27))) * _MIX[1]
    return keys ^ (keys >> np.uint64(31))


def _at_most(keys: Keys, cut: int) -> Mask:
    return np.asarray(keys <= np.uint64(cut)) if cut >= 0 else np.zeros(len(keys), dtype=np.bool_)


def _by_stratum(table: Table, target: Target, project: Project) -> Division:
    columns = tuple(sorted(project.columns))
    keys = row_keys(table, columns, project.seed)
    factor = table.factor(project.target)
    strata: Strata = "class" if target.labels else "bin"
    edges = () if target.labels else _edges(np.asarray(target.y, dtype=np.float64), project.split.test)
    names, codes = _row_strata(factor, strata, edges)
    unique, groups = np.unique(keys, return_inverse=True)
    if len(unique) < 2:
        raise CheckFailed(f"All {len(table)} rows are the same in every input: there is nothing to hold out.")
    share = project.split.test
    cuts = [_cut(keys[codes == code], share) for code in range(len(names))]
    # Equal rows with several targets stand in several strata: the smallest cut decides for all of them.
    of_row = np.array([cut if cut is not None else -1 for cut in cuts], dtype=object)[codes]
    of_group = np.full(len(unique), 1 << 64, dtype=object)
    np.minimum.at(of_group, groups, of_row)
    test = np.array([int(key) <= cut for key, cut in zip(unique, of_group, strict=True)], dtype=np.bool_)[groups]
    rounding = 0.5 * len(names) / len(table)
    if abs(test.mean() - share) > max(0.2 * share, rounding) or not test.any() or test.all():
        # Few different rows, most of them with several targets: strata would tear the share apart.
        strata, edges, names, codes = "none", (), ["all"], np.zeros(len(table), dtype=np.intp)
        cuts = [_cut(keys, share, at_least=1)]
        test = _at_most(keys, int(cuts[0] or 0))
    alone = [int(cut) if cut is not None else -1 for cut in cuts]
    would = np.array([int(key) <= alone[code] for key, code in zip(keys, codes, strict=True)], dtype=np.bool_)
    rule = SplitRule(
        kind="stratified",
        seed=project.seed,
        target=project.target,
        columns=columns,
        missing=table.missing,
        strata=strata,
        edges=edges,
        cuts={name: "" if cut < 0 else f"{cut:016x}" for name, cut in zip(names, alone, strict=True)},
        trained=tuple(f"{key:016x}" for key in np.unique(keys[would & ~test])),
    )
    train = ~test
    _refuse_lost_class(target, test)
    return Division(rule, test, _folds(keys[train], codes[train], target, train, project.search.folds), keys)


def _by_group(table: Table, target: Target, project: Project) -> Division:
    by = project.split.by or ""
    factor = table.factor(by)
    if factor.missing.any():
        raise DataError(
            f"{int(factor.missing.sum())} rows have no {by!r}, the group that they are split by: fill them in."
        )
    keys = row_keys(table, (by,), project.seed)
    if len(factor.values) < 3:
        raise CheckFailed(f"Column {by!r} has {len(factor.values)} groups: a split by groups needs at least 3.")
    cut = _cut(keys, project.split.test, at_least=1)
    test = _at_most(keys, int(cut or 0))
    rule = SplitRule(
        kind="group",
        seed=project.seed,
        target=project.target,
        columns=(by,),
        missing=table.missing,
        cuts={"all": f"{cut:016x}"},
    )
    train = ~test
    _refuse_lost_class(target, test)
    together = np.zeros(int(train.sum()), dtype=np.intp)
    return Division(rule, test, _folds(keys[train], together, target, train, project.search.folds), keys)


def _by_time(table: Table, target: Target, project: Project) -> Division:
    by = project.split.by or ""
    times = _times(table, by)
    if np.isnan(times).any():
        raise DataError(f"{int(np.isnan(times).sum())} rows have no {by!r}, the time that they are split by.")
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) < 3:
        raise CheckFailed(f"Column {by!r} has {len(moments)} different times: a split by time needs at least 3.")
    later = len(times) - np.cumsum(counts)  # rows after each moment
    last = int(np.argmin(np.abs(later[1:-1] - project.split.test * len(times)))) + 1
    after = float(moments[last])
    test = np.asarray(times > after)
    rule = SplitRule(
        kind="time",
        seed=project.seed,
        target=project.target,
        columns=tuple(sorted(project.columns)),
        missing=table.missing,
        by=by,
        after=after,
    )
    folds = _forward(times[~test], target.y[~test], project.search.folds, classes=len(target.labels))
    return Division(rule, test, folds, row_keys(table, rule.columns, project.seed))


def _cut(keys: Keys, share: float, *, at_least: int = 0) -> int | None:
    """The largest key held out so that the rows up to it are nearest to the share; None for no row.

    At least `at_least` distinct keys are held out, and at least one is not.
    """
    unique, counts = np.unique(keys, return_counts=True)
    held = np.concatenate(([0], np.cumsum(counts)))[: len(unique)]  # for 0, 1, … distinct keys, but not all
    number_of = max(int(np.argmin(np.abs(held - share * len(keys)))), at_least)
    return int(unique[number_of - 1]) if number_of else None


def _refuse_lost_class(target: Target, test: Mask) -> None:
    for index, label in enumerate(target.labels):
        if not (target.y[~test] == index).any():
            raise CheckFailed(
                f"The split leaves no row of class {label!r} to train on: bring more rows of it, or leave it out."
            )


def _folds(keys: Keys, strata: Positions, target: Target, rows: Mask, count: int) -> list[tuple[Positions, Positions]]:
    """Folds of nearly equal size and proportions of the strata; rows with one key stay together.

    `keys` and `strata` are those of the chosen `rows`. A fold whose training part would lack a class is left out.
    """
    unique, first, groups, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    fold_of = np.zeros(len(unique), dtype=np.intp)
    stratum = strata[first]
    again = _mixed(unique + np.uint64(0x9E3779B97F4A7C15))  # another order than the split's
    turn = 0
    for code in np.unique(stratum):
        here = np.flatnonzero(stratum == code)
        here = here[np.argsort(again[here])]
        middles = np.cumsum(sizes[here]) - sizes[here] / 2
        if len(here) < count:
            fold_of[here] = (np.arange(len(here)) + turn) % count  # a small stratum goes to different folds
            turn += len(here)
        else:
            fold_of[here] = np.minimum((middles * count / sizes[here].sum()).astype(np.intp), count - 1)
    of_row = fold_of[groups]
    folds = [(np.flatnonzero(of_row != fold), np.flatnonzero(of_row == fold)) for fold in range(count)]
    y, classes = target.y[rows], len(target.labels)
    folds = [
        (train, valid)
        for train, valid in folds
        if len(valid) and len(train) and (not classes or len(np.unique(y[train])) == classes)
    ]
    if len(folds) < 2:
        raise CheckFailed(f"The {len(keys)} rows to train on are too few different ones for two folds.")
    return folds


def _forward(
    times: Floats, y: npt.NDArray[np.generic], count: int, *, classes: int
) -> list[tuple[Positions, Positions]]:
    """Forward chaining: each fold is validated on a later stretch than all that it trains on."""
    moments, inverse, sizes = np.unique(times, return_inverse=True, return_counts=True)
    middles = np.cumsum(sizes) - sizes / 2
    block = np.minimum((middles * (count + 1) / len(times)).astype(np.intp), count)[inverse]
    folds = []
    for later in range(1, count + 1):
        train, valid = np.flatnonzero(block < later), np.flatnonzero(block == later)
        # A stretch that lacks a class cannot be learned from.
        if len(train) and len(valid) and (not classes or len(np.unique(y[train])) == classes):
            folds.append((train, valid))
    if not folds:
        raise CheckFailed(
            f"The {len(moments)} different times to train on give no fold whose earlier part has every class: "
            'set kind = "stratified" under [split], or bring more data.'
        )
    return folds


def _times(table: Table, by: str) -> Floats:
    """The time of each row, NaN where missing: date-times in seconds, numbers as they are."""
    factor = table.factor(by)
    if not np.isnan(factor.numbers).any():
        return factor.take(factor.numbers, np.nan)
    form = datetime_format(factor.values)
    if form is None:
        raise DataError(f"Column {by!r} is to give the order in time, but holds neither date-times nor numbers.")
    return factor.take(np.array([moment(value, form) for value in factor.values], dtype=np.float64), np.nan)


def _edges(y: Floats, share: float) -> tuple[float, ...]:
    bins = max(1, min(BINS, int(len(y) * share / ROWS_PER_BIN)))
    inner = np.unique(np.quantile(y, np.linspace(0, 1, bins + 1)[1:-1]))
    return tuple(float(edge) for edge in inner)


def _row_strata(factor: Factor, strata: Strata, edges: tuple[float, ...]) -> tuple[list[str], Positions]:
    """The strata's names, and each row's stratum as a position among them."""
    of_value = _strata_of(factor, strata, edges)
    names = sorted(set(of_value))
    position = {name: code for code, name in enumerate(names)}
    return names, factor.take(np.array([position[name] for name in of_value], dtype=np.intp), -1)


def _strata_of(factor: Factor, strata: Strata, edges: tuple[float, ...]) -> list[str]:
    """The stratum of each distinct target."""
    if strata == "class":
        return [canonical(value) for value in factor.values]
    bins = np.searchsorted(edges, factor.numbers)
    return ["" if math.isnan(value) else str(code) for value, code in zip(factor.numbers, bins, strict=True)]
