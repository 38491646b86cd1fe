"""What a blend of models learns of its parts: weights, or a model of their answers.

Fitted on rows that no part was trained on; on others it would learn which part has learnt its rows by heart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.linear_model import LinearRegression, LogisticRegression

from mainstay.errors import CheckFailed
from mainstay.models.answers import Answers
from mainstay.models.combining import Combination, inputs_of
from mainstay.models.signature import Floats, Signature

LEAST_ROWS = 50
"""Fewer rows teach nothing of several models."""
LEAST_OF_CLASS = 5
_PLACES = 6


class TooFewRows(CheckFailed):
    """There are not enough rows that no part was trained on."""


def fitted(method: str, answers: list[Answers], y: npt.NDArray[np.generic], signature: Signature) -> Combination:
    """The weights, or the stack, of parts that answered rows as they did.

    Args:
        method: "weights" or "stack".
        answers: of each part, for n rows that none was trained on, in one order of labels.
        y: (n,) true values, or indices of the true labels.
        signature: of the blend.

    Raises:
        TooFewRows: n is less than LEAST_ROWS, or a class has less than LEAST_OF_CLASS of them.
    """
    if len(y) < LEAST_ROWS:
        raise TooFewRows(
            f"{len(y)} rows that no part was trained on are there to fit the {method} on, and {LEAST_ROWS} are needed: "
            "bring more with --evaluate, or use --method mean."
        )
    if signature.labels:
        counts = np.bincount(y.astype(np.int64), minlength=len(signature.labels))
        if (least := int(counts.argmin())) >= 0 and counts[least] < LEAST_OF_CLASS:
            raise TooFewRows(
                f"Of the {len(y)} rows to fit the {method} on, {counts[least]} are {signature.labels[least]!r}, and "
                f"{LEAST_OF_CLASS} are needed: bring more with --evaluate, or use --method mean."
            )
    if method == "weights":
        return Combination(method="weights", weights=_weights(answers, y))
    return _stack(answers, y, signature)


def _weights(answers: list[Answers], y: npt.NDArray[np.generic]) -> tuple[float, ...]:
    """Weights that are not negative and sum to 1, with the least log loss or squared error: a convex problem."""
    parts = len(answers)
    if answers[0].values is not None:
        scores = np.stack([each.values for each in answers if each.values is not None], axis=1)
        truth = y.astype(np.float64)
        scale = float(np.mean((scores.mean(axis=1) - truth) ** 2)) or 1.0

        def loss(w: Floats) -> tuple[float, Floats]:
            rest = scores @ w - truth
            return float(np.mean(rest**2)) / scale, 2 * scores.T @ rest / len(truth) / scale

    else:
        rows = np.arange(len(y))
        shares = np.stack(
            [each.probabilities[rows, y.astype(np.int64)] for each in answers if each.probabilities is not None], axis=1
        )

        def loss(w: Floats) -> tuple[float, Floats]:
            mixed = np.maximum(shares @ w, 1e-15)
            return float(-np.mean(np.log(mixed))), -np.mean(shares / mixed[:, None], axis=0)

    found = minimize(
        loss,
        np.full(parts, 1 / parts),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * parts,
        constraints={"type": "eq", "fun": lambda w: np.sum(w) - 1, "jac": np.ones_like},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    weights = np.round(np.clip(found.x, 0.0, 1.0) / np.clip(found.x, 0.0, 1.0).sum(), _PLACES)
    weights[np.argmax(weights)] += 1 - weights.sum()
    return tuple(float(weight) for weight in weights)


def _stack(answers: list[Answers], y: npt.NDArray[np.generic], signature: Signature) -> Combination:
    """A logistic regression of the parts' log-odds; of their values, a linear one whose coefficients are not
    negative (Breiman, Stacked Regressions, 1996)."""
    x = inputs_of(signature.judged, answers)
    if signature.task == "regression":
        linear = LinearRegression(positive=True).fit(x, y.astype(np.float64))
        rows = np.atleast_2d(linear.coef_)
        intercepts = np.atleast_1d(linear.intercept_)
    else:
        logistic = LogisticRegression(max_iter=2000).fit(x, y.astype(np.int64))
        rows, intercepts = logistic.coef_, logistic.intercept_
    return Combination(
        method="stack",
        coefficients=tuple(tuple(float(value) for value in row) for row in rows),
        intercepts=tuple(float(value) for value in intercepts),
    )
