"""Whether an answer was right, once the outcome is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models.package import EVALUATION, Package
from mainstay.models.signature import Signature
from mainstay.serving.predictions.joining import Wrong
from mainstay.serving.predictions.messages import Value


class NotALabel(MainstayError):
    """An outcome that the model could not have meant."""


class CannotJudge(CheckFailed):
    """The model's answers cannot be told right from wrong."""


class _Estimate(msgspec.Struct, frozen=True):
    value: float


class _Evaluated(msgspec.Struct, frozen=True):
    metrics: dict[str, _Estimate] = {}


Judge = Callable[[Value], Wrong]
"""Of an outcome, how answers are judged by it. Raises NotALabel."""


def judge(stable: Package, candidate: Package) -> Judge:
    """How the answers of two versions are judged.

    A label is right or wrong. A number is wrong where it is further off than the stable version's mean absolute
    error on the rows that its training held out.

    Raises:
        CannotJudge: a general model; or numbers, and the stable version was not evaluated.
    """
    signatures = stable.signature, candidate.signature
    task = signatures[0].task
    if task == "general":
        raise CannotJudge("A general model's outputs cannot be told right from wrong by a label.")
    if task == "regression":
        return _numbers(_typical_error(stable))
    return lambda value: _label(value, signatures)


def _numbers(error: float) -> Judge:
    def judge_by(value: Value) -> Wrong:
        if isinstance(value, bool | str) or not math.isfinite(value):
            raise NotALabel(f"{value!r} is no outcome of a model that answers with numbers: send a number.")
        truth = float(value)
        return lambda arm, said: not abs(said - truth) <= error  # also of what is not a number

    return judge_by


def _label(value: Value, signatures: tuple[Signature, Signature]) -> Wrong:
    indices = [
        next((at for at, label in enumerate(each.labels) if label == value and type(label) is type(value)), None)
        for each in signatures
    ]
    if indices == [None, None]:
        known = ", ".join(repr(label) for label in signatures[0].labels[:20])
        raise NotALabel(f"{value!r} is no label of this model. Known: {known}.")
    return lambda arm, said: said != indices[arm]


def _typical_error(package: Package) -> float:
    found = package.document(EVALUATION, _Evaluated).metrics.get("mae") if EVALUATION in package else None
    if found is None:
        raise CannotJudge(
            "The stable version was registered without an evaluation, so that nothing says which error is usual for it."
        )
    return found.value
