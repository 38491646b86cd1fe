"""What a blend learns of its parts."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.models.answers import Answers
from mainstay.models.combining import combined
from mainstay.models.signature import Column, Signature
from mainstay.training.weighing import TooFewRows, fitted

DRAW = np.random.default_rng(0)
INPUTS = (Column(name="x", type="number"),)
NUMBER = Signature(inputs=INPUTS, task="regression")
TWO = Signature(inputs=INPUTS, task="binary", labels=("bad", "good"))
THREE = Signature(inputs=INPUTS, task="multiclass", labels=("a", "b", "c"))


def values(truth, *noises):
    return [Answers(values=truth + DRAW.normal(0, noise, len(truth))) for noise in noises]


def shares(truth, classes, *sharpness):
    """Probabilities that are the truer the sharper."""
    found = []
    for sharp in sharpness:
        raw = DRAW.normal(0, 1, (len(truth), classes)) + sharp * (truth[:, None] == np.arange(classes))
        raw = np.exp(raw)
        found.append(Answers(probabilities=raw / raw.sum(axis=1, keepdims=True)))
    return found


def loss(answers, truth):
    if answers.values is not None:
        return float(np.mean((answers.values - truth) ** 2))
    return float(-np.mean(np.log(answers.probabilities[np.arange(len(truth)), truth])))


def test_weights_of_numbers_are_those_of_least_squares():
    truth = DRAW.normal(10, 5, 4000)
    weights = fitted("weights", values(truth, 1.0, 2.0), truth, NUMBER).weights
    # Of independent errors, the best weights are as one over the variance: 4 to 1.
    assert weights == pytest.approx((0.8, 0.2), abs=0.03)
    assert sum(weights) == pytest.approx(1.0, abs=1e-12)


def test_a_useless_part_gets_nothing():
    truth = DRAW.integers(0, 2, 1000)
    good, useless = shares(truth, 2, 3.0)[0], Answers(probabilities=np.tile([0.99, 0.01], (1000, 1)))
    assert fitted("weights", [good, useless], truth, TWO).weights[1] < 0.02


@pytest.mark.parametrize(("signature", "classes"), [(TWO, 2), (THREE, 3), (NUMBER, 0)])
@pytest.mark.parametrize("method", ["weights", "stack"])
def test_what_is_fitted_is_no_worse_than_the_best_part_on_other_rows(signature, classes, method):
    truth = DRAW.integers(0, classes, 3000) if classes else DRAW.normal(0, 2, 3000)
    parts = shares(truth, classes, 2.0, 1.5) if classes else values(truth, 0.5, 0.7)
    first, rest = slice(0, 1500), slice(1500, None)
    found = fitted(method, [part.rows(first) for part in parts], truth[first], signature)
    judged = [part.rows(rest) for part in parts]
    blend = combined(found, signature, judged)
    assert loss(blend, truth[rest]) < min(loss(part, truth[rest]) for part in judged)
    if classes:
        np.testing.assert_allclose(blend.probabilities.sum(axis=1), 1.0, atol=1e-12)


def test_too_few_rows_teach_nothing():
    truth = np.array([0, 1] * 24)
    with pytest.raises(TooFewRows, match=r"48 rows .* and 50 are needed"):
        fitted("stack", shares(truth, 2, 1.0, 1.0), truth, TWO)
    rare = np.array([0] * 97 + [1] * 3)
    with pytest.raises(TooFewRows, match="3 are 'good', and 5 are needed"):
        fitted("weights", shares(rare, 2, 1.0, 1.0), rare, TWO)
