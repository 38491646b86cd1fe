"""What a person should know of the data before a model is trained on it, a sentence each, with counts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mainstay.errors import did_you_mean
from mainstay.project import Project
from mainstay.training.findings import Checks, DataRefused, Finding, Level, error, few, note, rows_are, warning
from mainstay.training.inference import look, suspects
from mainstay.training.kinds import boolean, datetime_format
from mainstay.training.table import Factor, Table
from mainstay.training.target_checks import target_findings
from mainstay.training.values import prepared, repeated, row_ids


def check(table: Table, project: Project) -> Checks:
    """All findings, if none is an error.

    Raises:
        DataRefused: the data cannot be trained on; lists each error. It is a CheckFailed.
    """
    checks = examine(table, project)
    if checks.errors:
        raise DataRefused(checks)
    return checks


def examine(table: Table, project: Project) -> Checks:
    """All findings, errors first, then in the order of the checks. Never raises for what the data is."""
    found = list(_basics(table, project))
    # Where columns are absent or there is nothing to look at, the further checks would only repeat that.
    if not found:
        for one in (target_findings, _rows, _inputs, _cells, _giveaways):
            found += one(table, project)
    order: dict[Level, int] = {"error": 0, "warning": 1, "note": 2}
    found.sort(key=lambda finding: order[finding.level])
    found += [Finding(level="note", code="reading", message=note) for note in table.notes]
    return Checks(rows=len(table), columns=len(table.names), findings=tuple(found))


def _basics(table: Table, project: Project) -> Iterator[Finding]:
    if not len(table):
        yield error("empty", "The data has no rows: there is nothing to learn from.")
    named = {"target": [project.target], "[columns]": list(project.columns), "slices": list(project.slices)}
    named["[split] by"] = [project.split.by] if project.split.by else []
    for where, columns in named.items():
        for name in columns:
            if name not in table.names:
                close = did_you_mean(name, table.names) or f" It has {len(table.names)} other columns."
                yield error("missing_column", f"The data has no column {name!r}, which {where} names.{close}", name)
    if table.names == (project.target,):
        yield error("one_column", f"The data has one column, the target {project.target!r}, and no input.")


def _rows(table: Table, project: Project) -> Iterator[Finding]:
    names = tuple(project.columns)
    same = int(repeated(table, (*names, project.target)).sum())
    if same:
        how = "trained on once" if project.cleaning.drop_duplicates else "kept, and never on both sides of the split"
        yield note("duplicates", f"{same} rows repeat an earlier one exactly: {how}.")
    factor = table.factor(project.target)
    groups = row_ids(table, names)[~factor.missing]
    codes = factor.codes[~factor.missing]
    pairs = np.unique(np.stack([groups, codes], axis=1), axis=0)
    several = np.flatnonzero(np.bincount(pairs[:, 0]) > 1) if len(pairs) else np.empty(0)
    if len(several) and project.task != "regression":
        rows = int(np.isin(groups, several).sum())
        yield warning(
            "contradictions",
            f"{rows_are(rows)} the same in every input as another row of a different class "
            f"({len(several)} such groups): no model can get them all right.",
        )
    unknown = [n for n in table.names if n != project.target and n not in project.columns and n not in project.left_out]
    if unknown:
        yield warning(
            "unknown_columns",
            f"{len(unknown)} columns are in neither [columns] nor [left_out], and are not used: {few(unknown)}.",
        )
    if project.cleaning.impute == "refuse":
        kept = len(prepared(table, project))
        if gone := int((~factor.missing).sum()) - kept - (same if project.cleaning.drop_duplicates else 0):
            yield warning("refused_rows", f'{rows_are(max(0, gone))} left out, as impute = "refuse" says.')


def _inputs(table: Table, project: Project) -> Iterator[Finding]:
    for name, kind in project.columns.items():
        seen = look(table, name)
        if seen.code and seen.reason and not (kind == "text" and seen.code == "identifier"):
            yield warning(seen.code, f"Column {name!r}: {seen.reason}; move it to [left_out].", name)
        factor = table.factor(name)
        lacking = int(factor.missing.sum())
        if lacking and factor.values:
            share = 100 * lacking / len(table)
            tell = warning if share > 50 else note
            yield tell("missing_values", f"Column {name!r} is missing in {lacking} rows ({share:.2g} %).", name)
        present = int(factor.counts.sum())
        if kind == "category" and not seen.code and len(factor.values) > max(50, 0.5 * present):
            yield warning(
                "near_unique",
                f"Column {name!r} is a category with {len(factor.values)} values in {present} rows: "
                'most will be unseen when serving. Is it "text", or an identifier?',
                name,
            )
        yield from _mixed(name, kind, factor)


def _mixed(name: str, kind: str, factor: Factor) -> Iterator[Finding]:
    if kind not in ("category", "text") or not factor.values:
        return
    readable = ~np.isnan(factor.numbers)
    numbers, present = int(factor.counts[readable].sum()), int(factor.counts.sum())
    types = {type(value).__name__ for value in factor.values}
    if kind == "category" and 0.5 <= numbers / present < 1:
        odd = factor.values[int(np.argmin(readable))]
        yield warning(
            "mixed_types",
            f"Column {name!r} has {numbers} numbers and {present - numbers} other values, such as {odd!r}: "
            "if those mean a missing value, add them to [data] missing and make the column a number.",
            name,
        )
    elif len(types) > 1:
        yield warning("mixed_types", f"Column {name!r} mixes values of types {', '.join(sorted(types))}.", name)


def _cells(table: Table, project: Project) -> Iterator[Finding]:
    """Values that are not of their column's type."""
    for name, kind in project.columns.items():
        factor = table.factor(name)
        if kind == "number":
            fits = ~np.isnan(factor.numbers)
        elif kind == "boolean":
            fits = np.array([boolean(value) is not None for value in factor.values], dtype=np.bool_)
        elif kind == "datetime":
            fits = np.full(len(factor.values), bool(not factor.values or datetime_format(factor.values)))
        else:
            continue
        if not fits.all():
            odd = factor.values[int(np.argmin(fits))]
            yield error(
                "column_type",
                f"Column {name!r} is a {kind}, but {int(factor.counts[~fits].sum())} values are not, such as {odd!r}: "
                "correct them, add them to [data] missing, or change the type under [columns].",
                name,
            )


def _giveaways(table: Table, project: Project) -> Iterator[Finding]:
    found = suspects(table, project.target, project.task, project.columns)
    for name, reason in found.items():
        yield warning(
            "giveaway",
            f"Column {name!r} gives the target away: {reason}. If it is not known when an answer is asked for, "
            "move it to [left_out].",
            name,
        )
