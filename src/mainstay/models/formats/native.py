"""What a native estimator says: the truth that every package is held against."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.package import Decision
from mainstay.models.runtime import decided
from mainstay.models.signature import Floats, Signature


def native_answers(
    estimator: Any, features_float64: Any, signature: Signature, decision: Decision | None = None
) -> Answers:
    """The native model's answers.

    Args:
        estimator: a fitted estimator in the manner of scikit-learn, whose classes are the signature's labels or their
            indices.
        features_float64: what it takes: features in double precision of shape (n, width), or, for a whole pipeline,
            its own table.
        signature: whose labels the answers speak of.
        decision: a threshold that replaces the estimator's own choice of a label.

    Raises:
        MainstayError: the estimator's classes are not the signature's labels.
    """
    with as_fitted():
        if signature.task == "regression":
            values = np.asarray(estimator.predict(features_float64), dtype=np.float64)
            if values.size != len(features_float64):
                raise MainstayError(f"The model gives {values.shape} values for {len(features_float64)} rows, not one.")
            return Answers(values=values.reshape(-1))
        positions = _positions(estimator, signature)
        predicted = np.asarray(estimator.predict(features_float64)).reshape(-1)
        labels = np.array([positions[value] for value in predicted.tolist()], dtype=np.int64)
        probabilities = _probabilities(estimator, features_float64)
    return decided(Answers(labels=labels, probabilities=probabilities), decision)


@contextlib.contextmanager
def as_fitted() -> Iterator[None]:
    """Without the warnings of a fitted estimator about what is known: names that features have or have not, categories
    that it did not see, columns without a value that it leaves out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        warnings.filterwarnings("ignore", message="X has feature names, but")
        warnings.filterwarnings("ignore", message="Found unknown categories")
        warnings.filterwarnings("ignore", message="Skipping features without any observed values")
        yield


def gives_probabilities(estimator: Any) -> bool:
    """Whether the estimator has probabilities to give (a support vector machine may not)."""
    return hasattr(estimator, "predict_proba")


def _probabilities(estimator: Any, features: Any) -> Floats | None:
    if not gives_probabilities(estimator):
        return None
    found: npt.NDArray[np.float64] = np.asarray(estimator.predict_proba(features), dtype=np.float64)
    return found


def _positions(estimator: Any, signature: Signature) -> dict[Any, int]:
    """The index of each class of the estimator in the signature's labels."""
    classes, labels = np.asarray(estimator.classes_).tolist(), list(signature.labels)
    if classes != labels and classes != list(range(len(labels))):
        raise MainstayError(
            f"The model's classes are {classes}, but the signature's labels are {labels}: they must be the same, "
            "in the same order."
        )
    return {value: index for index, value in enumerate(classes)}
