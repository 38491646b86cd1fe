"""What two versions said of the same row: the bin of a score, and whether they differ. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from mainstay.models.answers import Answers
from mainstay.models.golden import largest_difference
from mainstay.models.package import Decision
from mainstay.models.signature import Signature
from mainstay.models.tensors import Array
from mainstay.registry.evidence import SCORES

CLOSE = 1e-6
"""|a - b| / max(1, |b|) of two numbers that are taken for the same."""

Score = Callable[[Answers], int | None]
"""The bin, from 0 to `SCORES` - 1, of the first row's answer; None: it has none."""


def scoring(signature: Signature, decision: Decision | None, edges: Sequence[float]) -> Score:
    """How answers are put into bins, those of both versions into the same.

    Args:
        signature: of the stable version.
        decision: of the stable version.
        edges: for numbers, between the bins; at most `SCORES` - 1; none: they are not put into bins.

    A binary answer is the probability of the positive label, one of several labels that of the label that was chosen;
    without probabilities, the label's index. Answers of a general model are put into none.
    """
    if signature.task == "general":
        return lambda answers: None
    if signature.task == "regression":
        return lambda answers: _number(answers, edges)
    binary = signature.task == "binary"
    positive = (1 if decision is None else decision.positive) if binary else None
    return lambda answers: _class(answers, positive)


def _number(answers: Answers, edges: Sequence[float]) -> int | None:
    if not edges or answers.values is None or not len(answers.values):
        return None
    value = float(answers.values[0])
    return None if math.isnan(value) else bisect_right(edges, value)


def _class(answers: Answers, positive: int | None) -> int | None:
    labels, shares = answers.labels, answers.probabilities
    if labels is None or not len(labels):
        return None
    label = int(labels[0])
    if shares is None:
        return min(label, SCORES - 1)
    share = float(shares[0, label if positive is None else positive])
    return None if math.isnan(share) else min(max(int(share * SCORES), 0), SCORES - 1)


def fits(answers: Answers, rows: int, signature: Signature) -> bool:
    """Whether there is an answer for each row, of the kind that the signature says."""
    if signature.task == "general":
        outputs = answers.outputs or {}
        return all(output.name in outputs and len(outputs[output.name]) == rows for output in signature.outputs)
    if signature.task == "regression":
        return answers.values is not None and answers.values.shape == (rows,)
    labels, shares = answers.labels, answers.probabilities
    if labels is None or labels.shape != (rows,):
        return False
    if any(not 0 <= label < len(signature.labels) for label in labels.tolist()):
        return False
    return shares is None or shares.shape == (rows, len(signature.labels))


def changed(ours: Answers, theirs: Answers, stable: Signature, candidate: Signature) -> bool:
    """Whether the candidate says something else of the first row: another label, or a number that differs by more than
    `CLOSE` of its size.

    Args:
        ours: the stable version's answers; at least one row.
        theirs: the candidate's.
        stable: the signature that `ours` are of.
        candidate: that of `theirs`.
    """
    if ours.labels is not None and theirs.labels is not None:
        return stable.labels[int(ours.labels[0])] != candidate.labels[int(theirs.labels[0])]
    if ours.values is not None and theirs.values is not None:
        return largest_difference(theirs.values[:1], ours.values[:1]) > CLOSE
    if ours.outputs is None or theirs.outputs is None or ours.outputs.keys() != theirs.outputs.keys():
        return True
    return any(_differ(array[:1], theirs.outputs[name][:1]) for name, array in ours.outputs.items())


def _differ(ours: Array, theirs: Array) -> bool:
    if object in (ours.dtype, theirs.dtype):
        return ours.shape != theirs.shape or ours.tolist() != theirs.tolist()
    return largest_difference(theirs, ours) > CLOSE
