"""Gates: conditions on an evaluation that must hold before a version may be served.

    roc_auc >= 0.75
    recall[sex=female] >= 0.6
    roc_auc.low >= 0.7
    roc_auc >= champion - 0.01
    log_loss <= baseline * 0.9

All are evaluated. What cannot be measured does not hold.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.signature import Task
from mainstay.training.evaluation import Evaluation, SliceScores
from mainstay.training.gate_grammar import Expression, Parsed, Refusal, read
from mainstay.training.intervals import Estimate
from mainstay.training.metrics import LOWER_IS_BETTER, METRICS, PRIMARY

ENOUGH = 50
"""Fewer rows than this cannot decide between a champion and its challenger."""

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_KNOWN = tuple(dict.fromkeys(name for names in METRICS.values() for name in names))


class GateError(MainstayError):
    """A gate that cannot be understood."""


@dataclass(frozen=True)
class Gate:
    """One condition: a metric (of a slice, or a bound of its interval) against a limit."""

    text: str
    metric: str
    bound: Literal["value", "low", "high"]
    slice: tuple[str, str] | None
    """Column and value."""
    holds: str
    """">=", "<=", ">" or "<"."""
    limit: Expression
    default: bool = False
    """Whether nobody wrote it: it stands in where no gate is against the baseline."""

    @property
    def against(self) -> frozenset[str]:
        """What the limit refers to: "champion", "baseline", both or nothing."""
        return self.limit.names


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate said."""

    text: str
    passed: bool | None
    """None: the gate does not apply, since there is no champion yet."""
    value: float | None = None
    limit: float | None = None
    reason: str
    """One sentence."""


@dataclass(frozen=True)
class Champion:
    """The deployed version and its challenger, scored on the same rows, which neither was trained on."""

    ref: str
    """Such as "credit:3"."""
    champion: Evaluation | None = None
    challenger: Evaluation | None = None
    trouble: str | None = None
    """Why the two could not be scored, where they could not."""


def parse(text: str, task: Task | None = None) -> Gate:
    """The gate that a text describes.

    Args:
        text: such as "recall[sex=female] >= 0.6"; a value with "]" or spaces at its ends stands in double quotes.
        task: where it is known, a metric of another task is refused.

    Raises:
        GateError: not a gate, or an unknown metric, with the nearest valid one.
    """
    try:
        parsed = read(text)
    except Refusal as refusal:
        raise GateError(
            f"The gate {text!r} cannot be understood: {refusal}. Write METRIC[column=value] >= LIMIT, such as "
            '"roc_auc >= 0.75", "recall[sex=female] >= 0.6" or "roc_auc >= champion - 0.01".'
        ) from None
    return _checked(text, parsed, task)


def decide(
    gates: Sequence[Gate], evaluation: Evaluation, champion: Champion | None = None, baseline: Evaluation | None = None
) -> list[GateResult]:
    """What every gate says, in order. Where none speaks of the baseline, beating it is a gate that is added,
    if nobody gave a gate or a gate against the champion does not apply.

    Args:
        gates: the project's.
        evaluation: of the new version, on its held-out rows.
        champion: of the deployed version and of the new one, on rows that neither was trained on; None where nothing
            is deployed yet.
        baseline: the trivial model on the same rows as `evaluation`; by default `evaluation.baseline`.
    """
    baseline = evaluation.baseline if baseline is None else baseline
    against = [gate.against for gate in gates]
    waived = champion is None and any("champion" in names for names in against)
    stands_in = (not gates or waived) and not any(names == {"baseline"} for names in against)
    every = [*gates, default_gate(evaluation)] if stands_in else list(gates)
    return [_result(gate, evaluation, champion, baseline) for gate in every]


def passed(results: Sequence[GateResult]) -> bool:
    """Whether a version may be served: no gate said no, and at least one said yes."""
    return all(result.passed is not False for result in results) and any(result.passed for result in results)


def default_gate(evaluation: Evaluation) -> Gate:
    """The gate that stands where nobody wrote one: better than the trivial baseline."""
    metric = PRIMARY[evaluation.task]
    if metric not in evaluation.metrics and evaluation.task != "regression" and "accuracy" in evaluation.metrics:
        # A model that gives no probabilities is judged by its labels.
        no_scores = "probabilities" in evaluation.undefined.get(metric, "")
        metric = "balanced_accuracy" if no_scores else metric
    text = f"{metric} {'<' if metric in LOWER_IS_BETTER else '>'} baseline"
    gate = parse(text, evaluation.task)
    return Gate(text=text, metric=metric, bound="value", slice=None, holds=gate.holds, limit=gate.limit, default=True)


def named(gates: Sequence[Gate]) -> dict[str, set[str]]:
    """The slice values that gates speak of, by column: what `evaluate` takes as `keep`, and needs as `slices`."""
    found: dict[str, set[str]] = {}
    for gate in gates:
        if gate.slice is not None:
            found.setdefault(gate.slice[0], set()).add(gate.slice[1])
    return found


def _checked(text: str, parsed: Parsed, task: Task | None) -> Gate:
    known = _KNOWN if task is None else METRICS[task]
    if parsed.metric not in known:
        what = "is not a metric" if parsed.metric not in _KNOWN else f"is not a metric of a {task} task"
        raise GateError(
            f"The gate {text!r}: {parsed.metric!r} {what}."
            + did_you_mean(parsed.metric, known)
            + f" Known: {', '.join(known)}."
        )
    return Gate(
        text=" ".join(text.split()),
        metric=parsed.metric,
        bound=parsed.bound,
        slice=parsed.slice,
        holds=parsed.holds,
        limit=parsed.limit,
    )


def _result(gate: Gate, evaluation: Evaluation, champion: Champion | None, baseline: Evaluation | None) -> GateResult:
    if "champion" in gate.against:
        if champion is None:
            return GateResult(
                text=gate.text, passed=None, reason="Not applicable: there is no champion to compare with yet."
            )
        if reason := _unfair(champion):
            return GateResult(text=gate.text, passed=False, reason=reason)
        assert champion.challenger is not None
        # A limit that speaks of the champion is held against the challenger's own score on the champion's rows.
        evaluation, baseline = champion.challenger, champion.challenger.baseline
    if "baseline" in gate.against and baseline is not None and baseline.rows_id != evaluation.rows_id:
        return GateResult(
            text=gate.text, passed=False, reason="The baseline was scored on other rows, so the two cannot be compared."
        )
    try:
        value = _measured(gate, gate.bound, evaluation, "the model")
    except _Missing as missing:
        return GateResult(text=gate.text, passed=False, reason=str(missing))
    try:
        limit = _limit(gate, champion, baseline)
    except _Missing as missing:
        return GateResult(text=gate.text, passed=False, value=value, reason=str(missing))
    holds = _HOLDS[gate.holds](value, limit)
    required = f"as required ({gate.holds} {limit:.4g})" if holds else f"but must be {gate.holds} {limit:.4g}"
    reason = f"{_subject(gate)} is {value:.4g}, {required}"
    if "champion" in gate.against and champion is not None:
        reason += f", against {champion.ref} on {evaluation.rows} rows that neither was trained on"
    if gate.default:
        reason += "; this is the default gate: better than the trivial baseline"
    return GateResult(text=gate.text, passed=holds, value=value, limit=limit, reason=f"{reason}.")


class _Missing(Exception):
    """A number that a gate needs is not there."""


def _limit(gate: Gate, champion: Champion | None, baseline: Evaluation | None) -> float:
    known: dict[str, float] = {}
    if "champion" in gate.against:
        assert champion is not None
        assert champion.champion is not None
        known["champion"] = _measured(gate, "value", champion.champion, f"the champion {champion.ref}")
    if "baseline" in gate.against:
        if baseline is None:
            raise _Missing("There is no baseline's score to compare with.")
        known["baseline"] = _measured(gate, "value", baseline, "the baseline")
    try:
        limit = gate.limit.value(known)
    except ZeroDivisionError:
        raise _Missing(f"The limit of {gate.text!r} divides by 0.") from None
    if not math.isfinite(limit):
        raise _Missing(f"The limit of {gate.text!r} is not a finite number.")
    return limit


def _measured(gate: Gate, bound: str, evaluation: Evaluation, whose: str) -> float:
    metrics, undefined = evaluation.metrics, evaluation.undefined
    if gate.slice is not None:
        part = _slice(gate.slice, evaluation, whose)
        metrics, undefined = part.metrics, part.undefined
    estimate: Estimate | None = metrics.get(gate.metric)
    if estimate is None:
        reason = undefined.get(gate.metric, "it was not measured")
        raise _Missing(f"{_subject(gate)} of {whose} is undefined: {reason}.")
    found = getattr(estimate, bound)
    if found is None:
        raise _Missing(f"{_subject(gate)} of {whose} has no interval: too few rows define it.")
    return float(found)


def _slice(wanted: tuple[str, str], evaluation: Evaluation, whose: str) -> SliceScores:
    column, value = wanted
    of_column = {part.value: part for part in evaluation.slices if part.column == column}
    if value in of_column:
        return of_column[value]
    if not of_column:
        columns = {part.column for part in evaluation.slices}
        hint = did_you_mean(column, columns)
        raise _Missing(f"The evaluation of {whose} has no slices of the column {column!r}.{hint}")
    raise _Missing(
        f"No row that {whose} was scored on has {column} = {value!r}."
        + (did_you_mean(value, of_column) or f" Its slices: {', '.join(of_column)}.")
    )


def _unfair(champion: Champion) -> str | None:
    """Why the two evaluations cannot be compared, if they cannot."""
    one, other = champion.champion, champion.challenger
    if one is None or other is None:
        return champion.trouble or f"{champion.ref} was not scored beside this version."
    if other.rows < ENOUGH:
        return (
            f"Only {other.rows} rows were seen neither by {champion.ref} nor by this version in training; "
            f"{ENOUGH} are needed to compare them: add newer data."
        )
    if one.rows_id != other.rows_id or one.rows != other.rows:
        return f"{champion.ref} and this version were not scored on the same rows, so they cannot be compared."
    return None


def _subject(gate: Gate) -> str:
    bound = "" if gate.bound == "value" else f".{gate.bound}"
    part = "" if gate.slice is None else f"[{gate.slice[0]}={gate.slice[1]}]"
    return f"{gate.metric}{bound}{part}"
