"""Metrics: what is measured on rows with a known truth, by task.

Pure functions over arrays. A metric that the rows do not define (a ROC AUC with one class) has a reason in place
of a value; nothing is ever NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.signature import Floats, Task

Indices = npt.NDArray[np.int64]

BINARY = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "expected_calibration_error",
    "mcc",
)
MULTICLASS = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_weighted",
    "precision_macro",
    "recall_macro",
    "roc_auc",
    "log_loss",
)
REGRESSION = ("rmse", "mae", "r2", "median_absolute_error", "mape")
METRICS: dict[Task, tuple[str, ...]] = {"binary": BINARY, "multiclass": MULTICLASS, "regression": REGRESSION}

PRIMARY: dict[Task, str] = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
"""What a model is judged by where nobody says otherwise."""

LOWER_IS_BETTER = frozenset(
    {"log_loss", "brier", "expected_calibration_error", "rmse", "mae", "median_absolute_error", "mape"}
)
PROPORTIONS = frozenset({"accuracy", "precision", "recall"})
"""Shares of rows: each is a count of hits over a count of chances."""

CALIBRATION_BINS = 10

NO_ROWS = "no rows"
NO_PROBABILITIES = "the model gives no probabilities"
NOT_FINITE = "the model's answers are not all finite numbers"


class EvaluationError(MainstayError):
    """Truth and answers that cannot be held against each other."""


@dataclass(frozen=True)
class Scored:
    """Rows with their truth and a model's answers.

    A regression has `truth` (n,) float64 and `values` (n,). A classifier has `truth` (n,) int64 label indices,
    `labels` (n,) int64 and, where the model gives them, `probabilities` (n, classes).
    """

    task: Task
    truth: Floats | Indices
    labels: Indices | None = None
    probabilities: Floats | None = None
    values: Floats | None = None
    classes: int = 0
    positive: int = 1

    def __len__(self) -> int:
        return len(self.truth)

    def rows(self, chosen: npt.NDArray[np.intp]) -> Scored:
        """The rows at these positions."""
        return Scored(
            task=self.task,
            truth=self.truth[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            probabilities=None if self.probabilities is None else self.probabilities[chosen],
            values=None if self.values is None else self.values[chosen],
            classes=self.classes,
            positive=self.positive,
        )

    @property
    def positives(self) -> npt.NDArray[np.bool_]:
        """Which rows are of the positive class (n,)."""
        return np.asarray(self.truth == self.positive)

    @property
    def scores(self) -> Floats:
        """The probability of the positive class (n,)."""
        assert self.probabilities is not None
        return np.asarray(self.probabilities[:, self.positive])


@dataclass(frozen=True)
class Measured:
    """Metrics by name, and for each that is undefined on these rows the reason."""

    values: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)


def scored(answers: Answers, truth: npt.ArrayLike, *, task: Task, classes: int = 0, positive: int = 1) -> Scored:
    """Answers held against the truth.

    Args:
        answers: of n rows; a classifier's labels are taken, or else its most probable ones.
        truth: (n,) values, or label indices for a classifier.
        task: what the model does.
        classes: how many labels the signature has.
        positive: index of the positive label of a binary task.

    Raises:
        EvaluationError: lengths differ, the truth is not finite, or a label index is out of range.
    """
    if task == "regression":
        values = answers.values
        expected = np.asarray(truth, dtype=np.float64)
        if values is None:
            raise EvaluationError("A regression is evaluated by its values, and these answers have none.")
        values = np.asarray(values, dtype=np.float64).reshape(-1)
        _same_length(len(values), len(expected))
        if not np.isfinite(expected).all():
            raise EvaluationError("The true values hold a missing or infinite number: leave those rows out.")
        return Scored(task, expected, values=values)
    indices = np.asarray(truth, dtype=np.int64)
    probabilities = None if answers.probabilities is None else np.asarray(answers.probabilities, dtype=np.float64)
    if answers.labels is not None:
        labels = np.asarray(answers.labels, dtype=np.int64)
    elif probabilities is not None:
        labels = np.argmax(probabilities, axis=1).astype(np.int64)
    else:
        raise EvaluationError("A classifier is evaluated by its labels, and these answers have none.")
    _same_length(len(labels), len(indices))
    if probabilities is not None and probabilities.shape != (len(indices), classes):
        raise EvaluationError(
            f"Probabilities have the shape {probabilities.shape}, expected ({len(indices)}, {classes}): "
            "one a row and label."
        )
    for what, array in (("true", indices), ("predicted", labels)):
        if len(array) and not (array.min() >= 0 and array.max() < classes):
            raise EvaluationError(f"A {what} label is not one of the signature's {classes} labels.")
    return Scored(task, indices, labels=labels, probabilities=probabilities, classes=classes, positive=positive)


def measure(rows: Scored) -> Measured:
    """Every metric of the task on these rows."""
    names = METRICS[rows.task]
    if len(rows) == 0:
        return Measured({}, dict.fromkeys(names, NO_ROWS))
    if rows.task == "regression":
        found = _regression(rows)
    elif rows.task == "binary":
        found = _binary(rows)
    else:
        found = _multiclass(rows)
    return Measured(
        {name: float(found[name]) for name in names if not isinstance(found[name], str)},
        {name: str(found[name]) for name in names if isinstance(found[name], str)},
    )


def better(metric: str, a: float, b: float) -> bool:
    """Whether `a` is strictly better than `b`."""
    return a < b if metric in LOWER_IS_BETTER else a > b


def calibration_bins(scores: Floats) -> Indices:
    """The bin of each probability, of `CALIBRATION_BINS` equal ones between 0 and 1."""
    return np.clip((scores * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)


def row_losses(rows: Scored) -> Floats:
    """Log loss of each row (n,): -log of the true label's probability, held away from 0 as scikit-learn does."""
    shares = _normalised(rows)
    held = np.clip(shares, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    return np.asarray(-np.log(held[np.arange(len(rows)), rows.truth.astype(np.int64)]))


def _binary(rows: Scored) -> dict[str, float | str]:
    truth, answer = rows.positives, np.asarray(rows.labels == rows.positive)
    both = bool(truth.any() and not truth.all())
    one_class = "the rows hold one class only"
    found: dict[str, float | str] = {
        "accuracy": sk.accuracy_score(truth, answer),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, answer) if both else one_class,
        "precision": sk.precision_score(truth, answer) if answer.any() else "no row is answered as positive",
        "recall": sk.recall_score(truth, answer) if truth.any() else "no row is positive",
        "f1": sk.f1_score(truth, answer)
        if truth.any() or answer.any()
        else "no row is positive or answered as positive",
        "mcc": sk.matthews_corrcoef(truth, answer) if both else one_class,
    }
    if reason := _no_scores(rows):
        return {**found, **dict.fromkeys(BINARY[5:10], reason)}
    scores = rows.scores
    return {
        **found,
        "roc_auc": sk.roc_auc_score(truth, scores) if both else one_class,
        "average_precision": sk.average_precision_score(truth, scores) if truth.any() else "no row is positive",
        "log_loss": sk.log_loss(rows.truth, _normalised(rows), labels=np.arange(2)),
        "brier": sk.brier_score_loss(truth, np.clip(scores, 0, 1), pos_label=True, labels=[False, True]),
        "expected_calibration_error": expected_calibration_error(truth, scores),
    }


def expected_calibration_error(truth: npt.NDArray[np.bool_], scores: Floats) -> float:
    """Mean distance between the stated probability and the share that came true, over equal bins of probability.

    Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".

    Args:
        truth: (n,) whether the row is positive.
        scores: (n,) its stated probability.
    """
    bins = calibration_bins(scores)
    gaps = np.bincount(bins, weights=scores - truth, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(scores))


def _multiclass(rows: Scored) -> dict[str, float | str]:
    truth, answer = rows.truth, rows.labels
    present = np.unique(truth)
    found: dict[str, float | str] = {
        "accuracy": sk.accuracy_score(truth, answer),
        # Balanced accuracy is the mean recall over the classes that have rows.
        "balanced_accuracy": sk.recall_score(truth, answer, labels=present, average="macro", zero_division=0.0),
        "f1_macro": sk.f1_score(truth, answer, average="macro", zero_division=0.0),
        "f1_weighted": sk.f1_score(truth, answer, average="weighted", zero_division=0.0),
        "precision_macro": sk.precision_score(truth, answer, average="macro", zero_division=0.0),
        "recall_macro": sk.recall_score(truth, answer, average="macro", zero_division=0.0),
    }
    if len(present) < 2:
        found["balanced_accuracy"] = "the rows hold one class only"
    if reason := _no_scores(rows):
        return {**found, "roc_auc": reason, "log_loss": reason}
    assert rows.probabilities is not None
    if len(present) < 2:
        found["roc_auc"] = "the rows hold one class only"
    else:
        # One against the rest, the mean over the classes that have rows.
        found["roc_auc"] = float(
            np.mean([sk.roc_auc_score(truth == label, rows.probabilities[:, label]) for label in present])
        )
    found["log_loss"] = sk.log_loss(truth, _normalised(rows), labels=np.arange(rows.classes))
    return found


def _regression(rows: Scored) -> dict[str, float | str]:
    truth, values = rows.truth, rows.values
    assert values is not None
    if not np.isfinite(values).all():
        return dict.fromkeys(REGRESSION, NOT_FINITE)
    varies = len(truth) > 1 and float(np.ptp(truth)) > 0
    return {
        "rmse": sk.root_mean_squared_error(truth, values),
        "mae": sk.mean_absolute_error(truth, values),
        "r2": sk.r2_score(truth, values) if varies else "the true values are all the same",
        "median_absolute_error": sk.median_absolute_error(truth, values),
        "mape": sk.mean_absolute_percentage_error(truth, values) if np.all(truth != 0) else "a true value is 0",
    }


def _no_scores(rows: Scored) -> str | None:
    if rows.probabilities is None:
        return NO_PROBABILITIES
    return None if np.isfinite(rows.probabilities).all() else NOT_FINITE


def _normalised(rows: Scored) -> Floats:
    """Probabilities that add up to 1 in double precision; a model that works in single precision is a little off."""
    assert rows.probabilities is not None
    held = np.clip(rows.probabilities, 0.0, 1.0)
    total = held.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(held, total, out=np.full_like(held, 1 / rows.classes), where=total > 0))


def _same_length(answers: int, truth: int) -> None:
    if answers != truth:
        raise EvaluationError(f"There are {answers} answers for {truth} rows: give one for each.")
