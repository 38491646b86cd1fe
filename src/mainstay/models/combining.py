"""How the answers of several models become one: exact arithmetic in double precision, and the document that says which.

The answers of the parts stand in one order of labels here (see `uniting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from mainstay.models.answers import Answers
from mainstay.models.signature import Floats, Signature, Task

Method = Literal["mean", "vote", "weights", "stack"]
LEAST = 1e-6
"""A probability below this counts as this much, where its logarithm is taken."""


class Combination(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A method with what was fitted or given for it.

    mean: of the parts' probabilities or values. weights: their sum, each times its weight. vote: the share of the
    parts that name a label. stack: a linear model of the parts' values, or of their log-odds, through the logistic
    function for two labels and through softmax for more.
    """

    method: Method
    weights: tuple[float, ...] = ()
    """One a part, not negative, summing to 1."""
    coefficients: tuple[tuple[float, ...], ...] = ()
    """Of a stack: a row for each sum (one; for more than two labels, one a label), a column for each of `inputs_of`."""
    intercepts: tuple[float, ...] = ()


def inputs_of(task: Task, answers: Sequence[Answers]) -> Floats:
    """What a stack takes of the parts' answers, (n, columns), part by part: the values of regressions; for two labels,
    the log-odds of the second; for more, the logarithm of each probability. Probabilities are at least LEAST here."""
    columns = []
    for each in answers:
        if task == "regression":
            assert each.values is not None
            columns.append(each.values.reshape(-1, 1))
        else:
            assert each.probabilities is not None
            logs = np.log(np.maximum(each.probabilities, LEAST))
            columns.append(logs[:, 1:] - logs[:, :1] if task == "binary" else logs)
    return np.concatenate(columns, axis=1)


def combined(combination: Combination, signature: Signature, answers: Sequence[Answers]) -> Answers:
    """The scores of a blend; labels follow from them as its package decides, but for a vote, whose ties are settled
    here: by the mean probability of the parts that give any, else by the first label."""
    task = signature.judged
    match combination.method:
        case "mean":
            return _scores(task, _sum(task, answers, [1.0] * len(answers)) / len(answers))
        case "weights":
            return _scores(task, _sum(task, answers, combination.weights))
        case "vote":
            return _vote(answers, len(signature.labels))
        case "stack":
            return _stack(combination, task, answers)


def _scores(task: Task, found: Floats) -> Answers:
    return Answers(values=found) if task == "regression" else Answers(probabilities=found)


def _sum(task: Task, answers: Sequence[Answers], weights: Sequence[float]) -> Floats:
    total: Floats | None = None
    for each, weight in zip(answers, weights, strict=True):
        scores = each.values if task == "regression" else each.probabilities
        assert scores is not None
        total = scores * weight if total is None else total + scores * weight
    assert total is not None
    return total


def _vote(answers: Sequence[Answers], classes: int) -> Answers:
    labels = [each.labels for each in answers if each.labels is not None]
    votes = np.zeros((len(labels[0]), classes))
    for each in labels:
        votes += each[:, None] == np.arange(classes)
    most = votes == votes.max(axis=1, keepdims=True)
    likely = np.zeros_like(votes)
    for answer in answers:
        if answer.probabilities is not None:
            likely += answer.probabilities
    chosen = np.argmax(np.where(most, likely, -1.0), axis=1).astype(np.int64)
    return Answers(labels=chosen, probabilities=votes / len(answers))


def _stack(combination: Combination, task: Task, answers: Sequence[Answers]) -> Answers:
    x = inputs_of(task, answers)
    raw = x @ np.array(combination.coefficients).T + np.array(combination.intercepts)
    if task == "regression":
        return Answers(values=raw[:, 0])
    if task == "binary":
        with np.errstate(over="ignore"):
            positive = 1 / (1 + np.exp(-raw))
        return Answers(probabilities=np.concatenate([1 - positive, positive], axis=1))
    exponents = np.exp(raw - raw.max(axis=1, keepdims=True))
    return Answers(probabilities=exponents / exponents.sum(axis=1, keepdims=True))
