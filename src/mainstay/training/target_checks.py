"""What a person should know of the target column before a model is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mainstay.project import Project
from mainstay.training.findings import Finding, error, few, rows_are, warning
from mainstay.training.kinds import boolean, integer, plain
from mainstay.training.table import Factor, Table
from mainstay.training.values import label_key, labels_of

MINIMUM_ROWS = 20
"""Rows with a target: fewer cannot be split, searched and evaluated."""
FEW_OF_A_CLASS = 10
MANY_CLASSES = 50
FEW_VALUES = 10
"""Distinct values of a numeric target up to which it looks like classes."""
RARE_CLASS = 0.1
FAR = 20.0
"""Distances between the quartiles, beyond which a target's value is far out."""


def target_findings(table: Table, project: Project) -> Iterator[Finding]:
    """Findings on the target column, which the table has."""
    name, factor = project.target, table.factor(project.target)
    without, rows = int(factor.missing.sum()), int((~factor.missing).sum())
    if not rows:
        yield error("target_missing", f"The target {name!r} is missing in all {len(table)} rows.", name)
        return
    if without:
        yield warning("target_missing", f"{rows_are(without)} left out, without a value of the target {name!r}.", name)
    if rows < MINIMUM_ROWS:
        yield error("toofew_rows", f"{rows_are(rows)} too few to learn from: at least {MINIMUM_ROWS} are needed.")
    if len(factor.values) == 1:
        only = plain(factor.values[0])
        yield error(
            "one_class",
            f"The target {name!r} is {only!r} in all {rows} rows: there is nothing to tell apart.",
            name,
        )
        return
    yield from _quantity(project, factor) if project.task == "regression" else _classes(project, factor)


def _quantity(project: Project, factor: Factor) -> Iterator[Finding]:
    name = project.target
    readable = ~np.isnan(factor.numbers)
    if not readable.all():
        odd = int(factor.counts[~readable].sum())
        shown = factor.values[int(np.argmin(readable))]
        yield error(
            "target_type",
            f"The target {name!r} of a regression holds {odd} values that are no finite numbers, such as {shown!r}: "
            "correct them, or add them to [data] missing.",
            name,
        )
        return
    values = np.repeat(factor.numbers, factor.counts)
    if len(factor.values) <= FEW_VALUES:
        yield warning(
            "suspicious_target",
            f'The target {name!r} has only {len(factor.values)} different values: if they are classes, set task = "'
            f'{"binary" if len(factor.values) == 2 else "multiclass"}".',
            name,
        )
    low, high = np.quantile(values, [0.25, 0.75])
    far = (values < low - FAR * (high - low)) | (values > high + FAR * (high - low))
    if high > low and 0 < far.sum() <= 0.01 * len(values) + 1:
        worst = float(values[far][np.argmax(np.abs(values[far]))])
        yield warning(
            "suspicious_target",
            f"The target {name!r} has {int(far.sum())} values far from all others, such as {worst:g}: "
            "check whether they stand for something else.",
            name,
        )
    if (common := float(factor.counts.max() / factor.counts.sum())) > 0.9:
        shown = plain(factor.values[int(np.argmax(factor.counts))])
        yield warning("suspicious_target", f"The target {name!r} is {shown} in {100 * common:.1f} % of the rows.", name)


def _classes(project: Project, factor: Factor) -> Iterator[Finding]:
    name, labels = project.target, labels_of(factor)
    counts = {label_key(label): 0 for label in labels}
    read: Callable[[object], object] = {bool: boolean, int: integer}.get(type(labels[0]), plain)
    for value, count in zip(factor.values, factor.counts, strict=True):
        label = read(value)
        assert isinstance(label, bool | int | str)
        counts[label_key(label)] += int(count)
    rows = sum(counts.values())
    if project.task == "binary" and len(labels) != 2:
        yield error(
            "target_type",
            f"The target {name!r} of a binary task has {len(labels)} classes, not 2: "
            + ('set task = "multiclass".' if len(labels) <= MANY_CLASSES else 'set task = "regression" if it is one.'),
            name,
        )
    if project.positive is not None and label_key(project.positive) not in counts:
        yield error(
            "positive",
            f"positive = {project.positive!r} is no value of the target {name!r}, which has "
            f"{', '.join(repr(label) for label in labels[:10])}.",
            name,
        )
    single = [label for _, label in (key for key, count in counts.items() if count == 1)]
    if single:
        yield error(
            "single_row_class",
            f"Of {len(single)} classes of {name!r} there is a single row ({few(single)}), which cannot be both "
            "learned and checked: bring more rows, merge classes, or leave those rows out.",
            name,
        )
    scarce = [label for (_, label), count in counts.items() if 1 < count < FEW_OF_A_CLASS]
    if scarce:
        yield warning(
            "rare_class",
            f"Of {len(scarce)} classes of {name!r} there are fewer than {FEW_OF_A_CLASS} rows ({few(scarce)}): "
            "what is measured on them means little.",
            name,
        )
    if len(labels) > MANY_CLASSES:
        yield warning("suspicious_target", f"The target {name!r} has {len(labels)} classes; is it a quantity?", name)
    rarest = min(counts.values())
    if rarest < RARE_CLASS * rows / max(1, len(labels) / 2):
        label = min(counts, key=lambda key: counts[key])[1]
        yield warning(
            "imbalance",
            f"Of class {label!r} there are {rarest} rows of {rows} ({100 * rarest / rows:.2g} %): "
            "consider imbalance under [search], and a threshold by cost.",
            name,
        )
    folded = {plain(value).strip().casefold() for value in factor.values}
    if type(labels[0]) is str and len(folded) < len(labels):
        yield warning(
            "suspicious_target", f"Classes of {name!r} differ only in capitals or blanks: {few(list(labels))}.", name
        )
