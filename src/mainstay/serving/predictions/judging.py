"""Whether an answer was right, once the outcome is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models.package import EVALUATION, Package
from mainstay.models.signature import Label, Signature
from mainstay.serving.predictions.joining import Wrong
from mainstay.serving.predictions.messages import Value
from mainstay.serving.replies import label_key


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
        truth = _number(value)
        if truth is None:
            raise NotALabel(f"{value!r} is no outcome of a model that answers with numbers: send a number.")
        return lambda arm, said: not abs(said - truth) <= error  # also of what is not a number

    return judge_by


def _number(value: Value) -> float | None:
    """A finite number, or one that a text spells; None: there is none."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _label(value: Value, signatures: tuple[Signature, Signature]) -> Wrong:
    indices = [next((at for at, label in enumerate(each.labels) if _means(value, label)), None) for each in signatures]
    if indices == [None, None]:
        known = ", ".join(repr(label) for label in signatures[0].labels[:20])
        raise NotALabel(f"{value!r} is no label of this model. Known: {known}.")
    return lambda arm, said: said != indices[arm]


def _means(value: Value, label: Label) -> bool:
    """Whether an outcome is a label: the same value, or its name in answers, as a CSV file has it."""
    if isinstance(value, str):
        return value == label_key(label)
    return value == label and isinstance(value, bool) == isinstance(label, bool)


def _typical_error(package: Package) -> float:
    found = package.document(EVALUATION, _Evaluated).metrics.get("mae") if EVALUATION in package else None
    if found is None:
        raise CannotJudge(
            "The stable version was registered without an evaluation, so that nothing says which error is usual for it."
        )
    return found.value
