"""Where two versions answer differently: the rows, by how much, and for whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mainstay.operations.loading import loaded
from mainstay.operations.operator import admitted
from mainstay.operations.registries import opened
from mainstay.operations.tables import slice_values, table_of, truth_for
from mainstay.training.comparison import Diff
from mainstay.training.comparison import diff as differences
from mainstay.training.values import cells_of


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose answer changes; `row` counts from 1, without the header."""

    row: int
    before: Any
    after: Any
    score_before: float | None
    score_after: float | None


class ChangedSlice(msgspec.Struct, frozen=True, kw_only=True):
    column: str
    value: str
    rows: int
    changed: int
    share: float


class MetricPair(msgspec.Struct, frozen=True, kw_only=True):
    metric: str
    one: float
    other: float
    difference: float


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay diff` answers."""

    one: str
    other: str
    rows: int
    changed: int
    changes: list[Changed]
    slices: list[ChangedSlice]
    metrics: list[MetricPair]


def diff(
    folder: Path, one: str, other: str, data: Path, *, slices: list[str] | None, rows: int, seed: int = 0
) -> Differences:
    """Asks two versions about the same rows.

    Args:
        data: a file that training could read; its target column, where it has one, gives the metrics of both.
        slices: columns to count changes by; by default, those of the project file, where there is one.
        rows: at most so many changed rows are listed.

    Raises:
        DataError, InputError: the file cannot be read, or does not fit a version's signature.
        VersionNotFound and its like; EvaluationError: the versions answer different questions.
    """
    with opened(folder, create=False) as registry:
        versions = [registry.version(ref) for ref in (one, other)]
        packages = [admitted(folder, registry, version) for version in versions]
        models = [loaded(folder, package) for package in packages]
    signature = models[0].signature
    table, wanted = table_of(folder, data, missing=signature.missing_tokens)
    found = differences(
        models[0].answer(cells_of(table, models[0].signature)),
        models[1].answer(cells_of(table, models[1].signature)),
        models[0].signature,
        models[1].signature,
        slices=slice_values(table, slices if slices is not None else wanted),
        truth=truth_for(table, signature),
        positive=None if (decision := models[0].spec.decision) is None else signature.labels[decision.positive],
        limit=rows,
        seed=seed,
    )
    return _shown(versions[0].ref, versions[1].ref, found)


def _shown(one: str, other: str, found: Diff) -> Differences:
    return Differences(
        one=one,
        other=other,
        rows=found.rows,
        changed=found.changed,
        changes=[
            Changed(
                row=change.row + 1,
                before=change.before,
                after=change.after,
                score_before=change.probability_before,
                score_after=change.probability_after,
            )
            for change in found.changes
        ],
        slices=[
            ChangedSlice(
                column=part.column,
                value=part.value,
                rows=part.rows,
                changed=part.changed,
                share=part.changed / part.rows,
            )
            for part in found.slices
        ],
        metrics=[
            MetricPair(metric=m.metric, one=m.before, other=m.after, difference=m.difference.value)
            for m in found.metrics
        ],
    )
