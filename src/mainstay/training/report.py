"""`report.html`: what a version is worth, as one page that needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import msgspec

from mainstay.training.compression import Compression
from mainstay.training.drawing import short
from mainstay.training.evaluation import Evaluation, SliceScores
from mainstay.training.gates import GateResult, passed
from mainstay.training.intervals import Estimate
from mainstay.training.metrics import LOWER_IS_BETTER, METRICS, PRIMARY
from mainstay.training.plots import figures, trials_figure

TEMPLATES = Path(__file__).with_name("report_template")
LISTED = 200
"""Rows of a table at most; a wider data set would make the page too large to open."""
SHOWN_COLUMNS = 25
"""Columns in the plot of importance."""
CROWDED = 20
"""With more classes than this, the confusion matrix is told by its largest entries."""

_RANGE = re.compile(r"([-+.\dTe:]*?)\.\.([-+\d][-+.\dTe:]*|)")

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "expected_calibration_error": "Calibration error",
    "mcc": "Matthews correlation",
    "f1_macro": "F1, mean of classes",
    "f1_weighted": "F1, weighted",
    "precision_macro": "Precision, mean of classes",
    "recall_macro": "Recall, mean of classes",
    "rmse": "RMSE",
    "mae": "Mean absolute error",
    "r2": "R²",
    "median_absolute_error": "Median absolute error",
    "mape": "Mean absolute % error",
}
_KEY = {
    "binary": ("roc_auc", "average_precision", "accuracy", "precision", "recall", "log_loss"),
    "multiclass": ("accuracy", "balanced_accuracy", "roc_auc", "f1_macro", "log_loss"),
    "regression": ("rmse", "mae", "r2", "median_absolute_error"),
}
_OF_SLICES = {"binary": ("roc_auc", "recall"), "multiclass": ("accuracy", "log_loss"), "regression": ("rmse", "mae")}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a data check found."""

    level: Literal["error", "warning", "note"]
    code: str = ""
    column: str | None = None
    message: str


class TrialPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One try of the search."""

    number: int
    family: str
    score: float | None = None
    """None where it failed."""
    seconds: float | None = None
    """Since the search started."""
    description: str = ""


class ReportInput(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the report tells."""

    model: str
    evaluation: Evaluation
    gates: list[GateResult] = []
    version: str | None = None
    """Such as "credit:3", where it is known."""
    created: str | None = None
    description: str = ""
    """What the model is, such as "LightGBM, 340 trees"."""
    inputs: int | None = None
    """How many columns it takes."""
    trained_rows: int | None = None
    search_metric: str = ""
    """What the trials were scored by."""
    trials: list[TrialPoint] = []
    findings: list[Finding] = []
    left_out: dict[str, str] = {}
    """Columns that are not inputs, with the reason."""
    parity: dict[str, Any] = {}
    lineage: dict[str, Any] = {}
    notes: list[str] = []
    compression: Compression | None = None
    """Of a version that is a smaller form of another."""
    beside: dict[str, dict[str, Estimate]] = {}
    """Metrics of the parts of a blend on the same rows, by version."""


@dataclass(frozen=True)
class Bar:
    """An estimate on a scale, in percent of its width."""

    value: str
    interval: str
    at: float
    low: float | None
    high: float | None
    reference: float | None
    """Where the baseline (or the whole) lies."""


def render(document: ReportInput) -> bytes:
    """The page, UTF-8: self-contained, without scripts or requests, for light and dark screens and for paper."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    page = environment.get_template("report.html").render(_context(document))
    return page.encode("utf-8", "replace")


def number(value: float | None) -> str:
    """A number with four digits that count, or a dash."""
    if value is None:
        return "–"
    if value == 0 or 1e-3 <= abs(value) <= 1:
        return f"{value:.3f}"
    if abs(value) < 1e-3:
        return f"{value:.1g}"
    return short(value) if abs(value) >= 1000 else f"{value:.4g}"


def _context(document: ReportInput) -> dict[str, Any]:
    evaluation = document.evaluation
    by_time = any(trial.seconds is not None for trial in document.trials)
    return {
        "document": document,
        "evaluation": evaluation,
        "names": NAMES,
        "verdict": _verdict(document.gates),
        "summary": _summary(document),
        "key": [_tile(name, evaluation) for name in _KEY[evaluation.task] if name in evaluation.metrics],
        "table": [
            (NAMES[name], evaluation.metrics.get(name), _baseline(name, evaluation), evaluation.undefined.get(name, ""))
            for name in METRICS[evaluation.task]
        ],
        "beside": [
            (NAMES[name], evaluation.metrics.get(name), [of.get(name) for of in document.beside.values()])
            for name in METRICS[evaluation.task]
            if document.beside
        ],
        "figures": figures(evaluation),
        "confusion": _confusion(evaluation),
        "confusions": _largest_confusions(evaluation),
        "slices": _slices(evaluation),
        "importance": _importance(evaluation),
        "trials": trials_figure(
            [
                (
                    (trial.seconds or 0.0) if by_time else float(trial.number),
                    trial.score,
                    trial.family,
                    f"Trial {trial.number}, {trial.family}: {trial.score:.5g} {trial.description}".strip(),
                )
                for trial in document.trials[:2000]
                if trial.score is not None
            ],
            document.search_metric or PRIMARY[evaluation.task],
            by_time=by_time,
        ),
        "failed_trials": sum(trial.score is None for trial in document.trials),
        "findings": _most(sorted(document.findings, key=lambda one: ("error", "warning", "note").index(one.level))),
        "left_out": _most(document.left_out.items()),
        "parity": _most(flat(document.parity)),
        "lineage": _most(flat(document.lineage)),
        "compression": document.compression,
        "listed": LISTED,
    }


def flat(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested facts as lines: {"data": {"rows": 9}} is ("data · rows", "9")."""
    lines: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = str(key).replace("_", " ")
        if isinstance(value, Mapping):
            lines += [(f"{name} · {inner}", text) for inner, text in flat(value)]
        else:
            lines.append((name, _plain(value)))
    return lines


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [
            "; ".join(f"{k}: {v}" for k, v in flat(one)) if isinstance(one, Mapping) else _plain(one) for one in value
        ]
        return ", ".join(parts) or "–"
    return str(value)


def _most(lines: Iterable[Any]) -> tuple[list[Any], int]:
    """The lines that a table shows, and how many more there are."""
    every = list(lines)
    return every[:LISTED], max(0, len(every) - LISTED)


def _verdict(gates: Sequence[GateResult]) -> tuple[str, str, str]:
    """Look, headline and the sentence below it."""
    judged = [gate for gate in gates if gate.passed is not None]
    failed = [gate for gate in judged if not gate.passed]
    if not judged:
        return "none", "Not judged", "No gate was evaluated, so this version cannot be deployed."
    if passed(gates):
        count = "The gate holds" if len(judged) == 1 else f"All {len(judged)} gates hold"
        return "good", "May be served", f"{count}."
    count = f"{len(failed)} of {len(judged)} gates {'does' if len(failed) == 1 else 'do'} not hold"
    return "bad", "Cannot be deployed", f"{count}. {failed[0].reason}"


def _summary(document: ReportInput) -> str:
    """What the model does and how well, in two sentences."""
    evaluation = document.evaluation
    source = f" from {document.inputs} column{'s' if document.inputs != 1 else ''}" if document.inputs else ""
    says = f"{document.description or 'The model'} answers {evaluation.target!r}{source}."
    metric = PRIMARY[evaluation.task]
    estimate = evaluation.metrics.get(metric)
    if estimate is None:
        return f"{says} It was tried on {evaluation.rows:,} rows that its training never saw."
    base = _baseline(metric, evaluation)
    beside = "" if base is None else f"; the trivial baseline reaches {number(base.value)}"
    return (
        f"{says} On {evaluation.rows:,} rows that its training never saw, its {NAMES[metric]} is "
        f"{number(estimate.value)}{beside}."
    )


def _baseline(metric: str, evaluation: Evaluation) -> Estimate | None:
    return None if evaluation.baseline is None else evaluation.baseline.metrics.get(metric)


def _tile(metric: str, evaluation: Evaluation) -> dict[str, Any]:
    estimate, base = evaluation.metrics[metric], _baseline(metric, evaluation)
    reference = None if base is None else base.value
    values = [estimate.value, estimate.low, estimate.high, reference]
    known = [value for value in values if value is not None]
    if metric in LOWER_IS_BETTER:
        low, high = 0.0, max(known) * 1.08 or 1.0
    else:
        low, high = min(0.0, *known), 1.0
    return {
        "name": NAMES[metric],
        "hint": "lower is better" if metric in LOWER_IS_BETTER else "",
        "bar": _bar(estimate, low, high, reference),
        "baseline": None if reference is None else number(reference),
    }


def _bar(estimate: Estimate, low: float, high: float, reference: float | None) -> Bar:
    def place(value: float | None) -> float | None:
        return None if value is None else round(100 * min(1.0, max(0.0, (value - low) / ((high - low) or 1.0))), 2)

    known = estimate.low is not None and estimate.high is not None
    return Bar(
        value=number(estimate.value),
        interval=f"{number(estimate.low)} to {number(estimate.high)}" if known else "",
        at=place(estimate.value) or 0.0,
        low=place(estimate.low),
        high=place(estimate.high),
        reference=place(reference),
    )


def _slices(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A table per column: a line a value, with the chosen metrics on one scale for all columns."""
    chosen = [name for name in _OF_SLICES[evaluation.task] if name in evaluation.metrics] or [
        name for name in ("accuracy", "recall") if name in evaluation.metrics
    ]
    scales = {name: _scale(name, evaluation) for name in chosen}
    columns: dict[str, list[SliceScores]] = {}
    for part in evaluation.slices[: 3 * LISTED]:
        columns.setdefault(part.column, []).append(part)
    return [
        {
            "column": column,
            "metrics": [NAMES[name] for name in chosen],
            "parts": [
                (part, readable(part.value), [_slice_bar(part, name, scales[name], evaluation) for name in chosen])
                for part in parts
            ],
        }
        for column, parts in columns.items()
    ]


def readable(value: str) -> str:
    """A slice's value as a person reads it: the range "26..32" is "26 to 32", "..26" is "below 26"."""
    found = _RANGE.fullmatch(value)
    if found is None or value == "..":
        return value
    low, high = found.groups()
    if not low:
        return f"below {high}"
    return f"{low} to {high}" if high else f"{low} and above"


def _slice_bar(part: SliceScores, metric: str, scale: tuple[float, float], evaluation: Evaluation) -> Bar | str:
    estimate = part.metrics.get(metric)
    if estimate is None:
        return part.undefined.get(metric, "not measured")
    return _bar(estimate, *scale, evaluation.metrics[metric].value)


def _scale(metric: str, evaluation: Evaluation) -> tuple[float, float]:
    found = [
        evaluation.metrics[metric],
        *(part.metrics[metric] for part in evaluation.slices if metric in part.metrics),
    ]
    values = [value for one in found for value in (one.value, one.low, one.high) if value is not None]
    margin = (max(values) - min(values)) * 0.05 or abs(values[0]) * 0.1 or 0.1
    return min(values) - margin, max(values) + margin


def _importance(evaluation: Evaluation) -> list[dict[str, Any]]:
    shown = evaluation.importance[:SHOWN_COLUMNS]
    most = max((one.loss + (one.error or 0.0) for one in shown), default=0.0) or 1.0

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, value / most)), 2)

    return [
        {
            "column": one.column,
            "loss": number(one.loss),
            "width": place(one.loss),
            "low": place(one.loss - one.error) if one.error else None,
            "high": place(one.loss + one.error) if one.error else None,
        }
        for one in shown
    ]


def _confusion(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A line a true label: its count and share for each answer."""
    if evaluation.confusion is None or len(evaluation.labels) > CROWDED:
        return []
    return [
        {
            "label": str(label),
            "rows": sum(row),
            "cells": [
                {"count": count, "share": count / sum(row) if sum(row) else 0.0, "right": i == j}
                for j, count in enumerate(row)
            ],
        }
        for i, (label, row) in enumerate(zip(evaluation.labels, evaluation.confusion, strict=True))
    ]


def _largest_confusions(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    """(true, answered, rows), where there are too many classes for a matrix."""
    if evaluation.confusion is None or len(evaluation.labels) <= CROWDED:
        return []
    labels = [str(label) for label in evaluation.labels]
    wrong = [
        (labels[i], labels[j], count)
        for i, row in enumerate(evaluation.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(wrong, key=lambda one: -one[2])[:15]
