"""What changes for whom: two versions' answers for the same rows, held against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mainstay.models.answers import Answers
from mainstay.models.golden import TOLERANCE
from mainstay.models.signature import Floats, Label, Signature, Task
from mainstay.training.intervals import Estimate, paired
from mainstay.training.metrics import EvaluationError, Scored, measure, scored
from mainstay.training.slicing import groups


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose answer differs between the versions."""

    row: int
    """Position among the rows, from 0."""
    before: Label | float
    after: Label | float
    probability_before: float | None = None
    """Of the answer that stands in `after`."""
    probability_after: float | None = None
    truth: Label | float | None = None


class SliceChange(msgspec.Struct, frozen=True, kw_only=True):
    """How much changes for the rows with one value of a column."""

    column: str
    value: str
    rows: int
    changed: int
    shift: float | None
    """Mean absolute change: of the largest change among a row's probabilities, or of the value."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows go from one label to another."""

    before: Label
    after: Label
    rows: int


class MetricChange(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of both versions on the same rows, and their difference with its paired interval."""

    metric: str
    before: float
    after: float
    difference: Estimate
    """After minus before."""


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What changes from one version to another on the given rows."""

    rows: int
    changed: int
    changes: list[Change]
    """The rows whose answer changes, the largest change first; at most as many as were asked for."""
    transitions: list[Transition] = []
    shift: float | None = None
    """Mean absolute change of a row's probabilities (their largest change) or value."""
    largest_shift: float | None = None
    slices: list[SliceChange] = []
    metrics: list[MetricChange] = []
    """Where the truth is known and the rows define the metric for both."""


def diff(
    before: Answers,
    after: Answers,
    signature_before: Signature,
    signature_after: Signature,
    *,
    slices: Mapping[str, Sequence[Any]] | None = None,
    truth: Sequence[Label] | Sequence[float] | None = None,
    positive: Label | None = None,
    limit: int = 1000,
    seed: int = 0,
) -> Diff:
    """Which rows are answered differently by two versions, by how much, and for whom.

    A value counts as changed where it moved by more than 1e-5 · max(1, |before|), the tolerance of every answer.

    Args:
        before: answers of the first version for n rows.
        after: answers of the second version for the same rows.
        signature_before: of the first version.
        signature_after: of the second version; it may know other labels.
        slices: by column, its value for each row.
        truth: the true labels or values of the rows, where they are known.
        positive: the positive label of a binary task; by default the last label.
        limit: how many changed rows are listed.
        seed: of the bootstrap draws for the metrics.

    Raises:
        EvaluationError: the versions answer different questions, or the lengths differ.
    """
    if (signature_before.task == "regression") != (signature_after.task == "regression"):
        raise EvaluationError(
            f"One version is a {signature_before.task} model and the other a {signature_after.task} model: "
            "their answers cannot be compared."
        )
    if len(before) != len(after):
        raise EvaluationError(f"One version gave {len(before)} answers and the other {len(after)}: use the same rows.")
    for name, values in {**(slices or {}), **({} if truth is None else {"truth": truth})}.items():
        if len(values) != len(before):
            raise EvaluationError(f"{name!r} has {len(values)} values for {len(before)} rows: give one for each.")
    labels = _all_labels(signature_before, signature_after, truth)
    one, other = _aligned(before, signature_before, labels), _aligned(after, signature_after, labels)
    changed, shift = _changed(one, other)
    listed = np.flatnonzero(changed)
    if shift is not None:
        listed = listed[np.argsort(-shift[listed], kind="stable")]
    return Diff(
        rows=len(changed),
        changed=int(changed.sum()),
        changes=[_change(int(row), one, other, labels, truth) for row in listed[: max(0, limit)]],
        transitions=_transitions(one, other, labels),
        shift=_mean(shift),
        largest_shift=float(shift.max()) if shift is not None and len(shift) else None,
        slices=_slices(slices or {}, changed, shift),
        metrics=[]
        if truth is None
        else _metrics(_scored(one, truth, labels, positive), _scored(other, truth, labels, positive), seed),
    )


def _all_labels(one: Signature, other: Signature, truth: Sequence[Any] | None) -> list[Label]:
    """The labels of both versions, those of the first one first, then any that only the truth has."""
    if one.task == "regression":
        return []
    return list(dict.fromkeys([*one.labels, *other.labels, *(truth or ())]))


def _aligned(answers: Answers, signature: Signature, labels: list[Label]) -> Answers:
    """Answers over the common labels: the probability of one that a version does not know is 0."""
    if signature.task == "regression":
        if answers.values is None:
            raise EvaluationError("A regression's answers are compared by their values, and one version gave none.")
        return Answers(values=np.asarray(answers.values, dtype=np.float64).reshape(-1))
    if answers.labels is None:
        raise EvaluationError("A classifier's answers are compared by their labels, and one version gave none.")
    place = np.array([labels.index(label) for label in signature.labels], dtype=np.int64)
    probabilities: Floats | None = None
    if answers.probabilities is not None:
        probabilities = np.zeros((len(answers), len(labels)))
        probabilities[:, place] = answers.probabilities
    return Answers(labels=place[answers.labels], probabilities=probabilities)


def _changed(one: Answers, other: Answers) -> tuple[npt.NDArray[np.bool_], Floats | None]:
    """Which rows changed (n,), and how far each moved (n,)."""
    if one.values is not None and other.values is not None:
        moved = np.abs(other.values - one.values)
        return moved > TOLERANCE * np.maximum(1.0, np.abs(one.values)), moved
    changed = np.asarray(one.labels != other.labels)
    if one.probabilities is None or other.probabilities is None:
        return changed, None
    return changed, np.abs(other.probabilities - one.probabilities).max(axis=1, initial=0.0)


def _change(row: int, one: Answers, other: Answers, labels: list[Label], truth: Sequence[Any] | None) -> Change:
    known = None if truth is None else truth[row]
    if one.values is not None and other.values is not None:
        return Change(row=row, before=float(one.values[row]), after=float(other.values[row]), truth=known)
    assert one.labels is not None
    assert other.labels is not None
    to = other.labels[row]
    return Change(
        row=row,
        before=labels[one.labels[row]],
        after=labels[to],
        probability_before=None if one.probabilities is None else float(one.probabilities[row, to]),
        probability_after=None if other.probabilities is None else float(other.probabilities[row, to]),
        truth=known,
    )


def _transitions(one: Answers, other: Answers, labels: list[Label]) -> list[Transition]:
    if one.labels is None or other.labels is None:
        return []
    pairs = Counter(zip(one.labels.tolist(), other.labels.tolist(), strict=True))
    return [
        Transition(before=labels[a], after=labels[b], rows=rows)
        for (a, b), rows in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
        if a != b
    ]


def _slices(
    slices: Mapping[str, Sequence[Any]], changed: npt.NDArray[np.bool_], shift: Floats | None
) -> list[SliceChange]:
    return [
        SliceChange(
            column=column,
            value=group.value,
            rows=len(group.rows),
            changed=int(changed[group.rows].sum()),
            shift=None if shift is None else _mean(shift[group.rows]),
        )
        for column, values in slices.items()
        for group in groups(values)
    ]


def _metrics(a: Scored, b: Scored, seed: int) -> list[MetricChange]:
    first, second = measure(a).values, measure(b).values
    differences = paired(a, b, seed=seed)
    return [
        MetricChange(metric=name, before=first[name], after=second[name], difference=difference)
        for name, difference in differences.items()
    ]


def _scored(answers: Answers, truth: Sequence[Any], labels: list[Label], positive: Label | None) -> Scored:
    if not labels:
        return scored(answers, np.asarray(truth, dtype=np.float64), task="regression")
    task: Task = "binary" if len(labels) == 2 else "multiclass"
    index = {label: place for place, label in enumerate(labels)}
    if positive is not None and positive not in index:
        raise EvaluationError(f"The positive label {positive!r} is not one of the models' labels: {labels}.")
    return scored(
        answers,
        [index[label] for label in truth],
        task=task,
        classes=len(labels),
        positive=index[positive] if positive is not None else 1,
    )


def _mean(shift: Floats | None) -> float | None:
    return None if shift is None or not len(shift) else float(shift.mean())
