"""Evaluation: what a model is worth on rows that its search never saw, as a document kept in the package."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.models.answers import Answers
from mainstay.models.package import Decision
from mainstay.models.signature import Label, Signature, Task
from mainstay.training import curves as drawn
from mainstay.training.importance import Importance
from mainstay.training.intervals import LEAST, Estimate, estimates
from mainstay.training.metrics import LOWER_IS_BETTER, EvaluationError, Scored, better, measure, scored
from mainstay.training.slicing import FEW, sliced


class SliceScores(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of the rows with one value of a column."""

    column: str
    value: str
    rows: int
    few: bool = False
    """Whether there are so few rows that the metrics say little."""
    merged: int = 0
    """How many rare values stand together here; 0 for one value."""
    metrics: dict[str, Estimate] = {}
    undefined: dict[str, str] = {}


class ClassScores(msgspec.Struct, frozen=True, kw_only=True):
    """How one class of several is answered; a share that is undefined is None."""

    label: Label
    rows: int
    precision: float | None
    recall: float | None


class TargetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the true answers look like: rows by label, or the spread of the values."""

    counts: dict[str, int] = {}
    minimum: float | None = None
    quartiles: tuple[float, float, float] | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """How much better a model is on the rows it was trained on."""

    metric: str
    train: float
    test: float
    flagged: bool
    """Whether the gap is large enough to speak of over-fitting."""
    message: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is worth on held-out rows. A metric that is undefined is absent, with its reason."""

    task: Task
    target: str
    rows: int
    rows_id: str
    """SHA-256 (hex) of the true answers in order: equal where two models were scored on the same rows."""
    labels: tuple[Label, ...] = ()
    positive: Label | None = None
    threshold: float | None = None
    metrics: dict[str, Estimate] = {}
    undefined: dict[str, str] = {}
    """Metrics of the task without a value, with the reason."""
    confusion: list[list[int]] | None = None
    """Rows by true label, then by answered label."""
    classes: list[ClassScores] = []
    curves: list[drawn.Curve] = []
    calibration: list[drawn.CalibrationBin] = []
    scores: drawn.ScoreCounts | None = None
    values: drawn.ValueGrid | None = None
    slices: list[SliceScores] = []
    target_summary: TargetSummary = TargetSummary()
    gap: Gap | None = None
    importance: list[Importance] = []
    baseline: Evaluation | None = None
    """The trivial model on the same rows."""


def evaluate(
    answers: Answers,
    y: npt.ArrayLike,
    signature: Signature,
    *,
    slices: Mapping[str, Sequence[Any]] | None = None,
    keep: Mapping[str, Collection[str]] | None = None,
    decision: Decision | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measures answers against the truth, with bootstrap intervals, in all and by slice.

    Args:
        answers: of n rows.
        y: (n,) true values, or indices of the true labels in the signature.
        signature: of the model.
        slices: by column, its value for each of the n rows (see `slicing.groups`).
        keep: by column, slice values that gates name (`gates.named`), which are never merged with others.
        decision: how labels follow from probabilities, for a binary model; else the last label is the positive one.
        seed: of the bootstrap draws.

    Raises:
        EvaluationError: answers, truth and slices do not have the same number of rows, or do not fit the signature.
    """
    positive = 1 if decision is None else decision.positive
    rows = scored(answers, y, task=signature.judged, classes=len(signature.labels), positive=positive)
    measured = measure(rows)
    columns = slices or {}
    for name, values in columns.items():
        if len(values) != len(rows):
            raise EvaluationError(
                f"Slice column {name!r} has {len(values)} values for {len(rows)} rows: give one for each."
            )
    parts = [
        _slice(rows.rows(group.rows), column, group.value, group.merged, seed)
        for column, group in sliced(columns, keep or {})
    ]
    binary = signature.task == "binary"
    found = Evaluation(
        task=signature.judged,
        target=signature.target,
        rows=len(rows),
        rows_id=_rows_id(rows, signature),
        labels=signature.labels,
        positive=signature.labels[positive] if binary else None,
        threshold=decision.threshold if decision is not None and binary else None,
        metrics=estimates(rows, measured, seed=seed),
        undefined=measured.undefined,
        slices=parts,
        target_summary=_summary(rows, signature),
    )
    return _with_plots(found, rows, signature)


def overfitting(metric: str, *, train: float, test: Estimate) -> Gap:
    """Whether a model is so much better on its training rows that it has learnt them by heart.

    Flagged where the training score lies beyond the test score's interval on the better side and the gap is more
    than 0.1 for shares, or a quarter of the test score for losses and errors.
    """
    beyond = test.high if metric not in LOWER_IS_BETTER else test.low
    gap = abs(train - test.value)
    limit = 0.25 * abs(test.value) if metric in LOWER_IS_BETTER else 0.1
    flagged = better(metric, train, test.value) and gap > limit and (beyond is None or better(metric, train, beyond))
    message = f"{metric} is {train:.4g} on the training rows and {test.value:.4g} on the held-out rows" + (
        ": the model is over-fitted; try fewer or smaller trees, more regularisation, or more rows." if flagged else "."
    )
    return Gap(metric=metric, train=train, test=test.value, flagged=flagged, message=message)


def _rows_id(rows: Scored, signature: Signature) -> str:
    """By the labels themselves, not their places: two versions may know different labels."""
    if rows.task == "regression":
        return hashlib.sha256(np.ascontiguousarray(rows.truth).tobytes()).hexdigest()
    spelled = [repr(label).encode() for label in signature.labels]
    return hashlib.sha256(b"\n".join(spelled[index] for index in rows.truth.astype(np.int64).tolist())).hexdigest()


def _slice(rows: Scored, column: str, value: str, merged: int, seed: int) -> SliceScores:
    measured = measure(rows)
    return SliceScores(
        column=column,
        value=value,
        rows=len(rows),
        few=len(rows) < FEW,
        merged=merged,
        metrics=estimates(rows, measured, seed=seed, most=LEAST),
        undefined=measured.undefined,
    )


def _with_plots(found: Evaluation, rows: Scored, signature: Signature) -> Evaluation:
    if not len(rows):
        return found
    if rows.task == "regression":
        assert rows.values is not None
        finite = bool(np.isfinite(rows.values).all())
        return msgspec.structs.replace(found, values=drawn.value_grid(rows) if finite else None)
    matrix = drawn.confusion(rows)
    found = msgspec.structs.replace(found, confusion=matrix, classes=_classes(np.array(matrix), signature))
    if rows.probabilities is None or not np.isfinite(rows.probabilities).all():
        return found
    found = msgspec.structs.replace(found, curves=drawn.curves(rows, [str(label) for label in signature.labels]))
    if rows.task == "multiclass":
        return found
    return msgspec.structs.replace(found, calibration=drawn.calibration(rows), scores=drawn.score_counts(rows))


def _classes(matrix: npt.NDArray[np.int64], signature: Signature) -> list[ClassScores]:
    def share(hits: int, chances: int) -> float | None:
        return hits / chances if chances else None

    hits, said, true = np.diagonal(matrix).tolist(), matrix.sum(axis=0).tolist(), matrix.sum(axis=1).tolist()
    return [
        ClassScores(label=label, rows=true[i], precision=share(hits[i], said[i]), recall=share(hits[i], true[i]))
        for i, label in enumerate(signature.labels)
    ]


def _summary(rows: Scored, signature: Signature) -> TargetSummary:
    if rows.task != "regression":
        counts = np.bincount(rows.truth.astype(np.int64), minlength=len(signature.labels)).tolist()
        return TargetSummary(counts={str(label): counts[i] for i, label in enumerate(signature.labels)})
    if not len(rows):
        return TargetSummary()
    low, first, middle, third, high = (float(v) for v in np.quantile(rows.truth, [0, 0.25, 0.5, 0.75, 1]))
    return TargetSummary(
        minimum=low,
        quartiles=(first, middle, third),
        maximum=high,
        mean=float(np.mean(rows.truth)),
        deviation=float(np.std(rows.truth)),
    )
