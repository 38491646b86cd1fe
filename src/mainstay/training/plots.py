"""The plots of the report, each from a part of the evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mainstay.training.curves import CalibrationBin, Curve, ScoreCounts, ValueGrid
from mainstay.training.drawing import Chart, Point, short
from mainstay.training.evaluation import Evaluation
from mainstay.training.metrics import LOWER_IS_BETTER

UNIT: Point = (0.0, 1.0)
SERIES = 8
"""Looks of lines and dots, s0 to s7 in the style sheet."""


@dataclass(frozen=True)
class Figure:
    """A plot with its heading, what to read in it, and the names of its series (look, name)."""

    title: str
    reading: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()


def figures(evaluation: Evaluation) -> list[Figure]:
    """The plots that the evaluation has the data for."""
    found = []
    if evaluation.curves:
        found += [_roc(evaluation, evaluation.curves), _precision_recall(evaluation, evaluation.curves)]
    if evaluation.scores is not None:
        found.append(_scores(evaluation, evaluation.scores))
    if evaluation.calibration:
        found.append(_calibration(evaluation, evaluation.calibration))
    if evaluation.values is not None:
        found += [_values(evaluation, evaluation.values), _residuals(evaluation.values)]
    return found


def _roc(evaluation: Evaluation, curves: Sequence[Curve]) -> Figure:
    chart = Chart(
        "roc",
        title="ROC curve",
        description="True positive rate against false positive rate. " + _shown(evaluation, "roc_auc", "ROC AUC"),
        x=UNIT,
        y=UNIT,
    )
    chart.axes("false alarms among the negatives", "found among the positives", x_text=_percent, y_text=_percent)
    chart.line([(0, 0), (1, 1)], "chance")
    chart.note(0.62, 0.62, "chance", "start", dx=6, dy=14)
    _lines(chart, [curve.roc for curve in curves])
    if (rates := _operating(evaluation)) is not None:
        found, alarms, _ = rates
        chart.dot(
            alarms, found, "mark", radius=5.5, note=f"At the threshold: {found:.1%} found, {alarms:.1%} false alarms"
        )
        chart.note(alarms, found, f"threshold {short(evaluation.threshold or 0.5)}", "start strong", dx=10, dy=16)
    return Figure(
        "How well it ranks", "The further the line bows to the upper left, the better.", chart.svg(), _legend(curves)
    )


def _precision_recall(evaluation: Evaluation, curves: Sequence[Curve]) -> Figure:
    chart = Chart(
        "pr",
        title="Precision-recall curve",
        description="Precision against recall. " + _shown(evaluation, "average_precision", "Average precision"),
        x=UNIT,
        y=UNIT,
    )
    chart.axes(
        "found among the positives (recall)", "right when it says yes (precision)", x_text=_percent, y_text=_percent
    )
    if len(curves) == 1:
        share = curves[0].share
        chart.line([(0, share), (1, share)], "chance")
        chart.note(0, share, "chance", "start", dx=6, dy=14 if share > 0.15 else -6)
    _lines(chart, [curve.pr for curve in curves], fill=False)
    found, _, right = _operating(evaluation) or (0.0, 0.0, None)
    if right is not None:
        chart.dot(
            found, right, "mark", radius=5.5, note=f"At the threshold: {found:.1%} found, {right:.1%} of alarms right"
        )
        chart.note(found, right, f"threshold {short(evaluation.threshold or 0.5)}", "end strong", dx=-10, dy=18)
    return Figure(
        "What a yes is worth",
        "High on the right: nearly all are found with few false alarms.",
        chart.svg(),
        _legend(curves),
    )


def _scores(evaluation: Evaluation, counts: ScoreCounts) -> Figure:
    bins = len(counts.positive)
    shares = [[n / max(1, sum(side)) for n in side] for side in (counts.positive, counts.negative)]
    top = max(max(side) for side in shares) * 1.08 or 1.0
    positive, negative = _two_labels(evaluation)
    chart = Chart(
        "scores",
        title="Distribution of scores",
        description=f"Shares of the rows by probability of {positive}: this class upwards, the other downwards.",
        x=UNIT,
        y=(-top, top),
    )
    chart.axes(f"probability of {_cut(positive)}", "share of the class", y_text=lambda value: _percent(abs(value)))
    for side, look, sign, total in ((shares[0], "s0", 1, counts.positive), (shares[1], "s1", -1, counts.negative)):
        for index, share in enumerate(side):
            if share:
                low, high = index / bins, (index + 1) / bins
                corners = ((low, 0.0), (high, share)) if sign > 0 else ((low, -share), (high, 0.0))
                chart.box(*corners, f"bar {look}", note=f"{low:.3g} to {high:.3g}: {total[index]} rows")
    chart.line([(0, 0), (1, 0)], "base")
    threshold = 0.5 if evaluation.threshold is None else evaluation.threshold
    chart.line([(threshold, -top), (threshold, top)], "cut")
    right = threshold <= 0.7
    chart.note(
        threshold,
        top,
        f"threshold {short(threshold)}",
        "start strong" if right else "end strong",
        dx=6 if right else -6,
        dy=12,
    )
    return Figure(
        "How sure it is",
        "Two hills far apart are easy to tell; what lies across the line is answered wrongly.",
        chart.svg(),
        (("s0", positive), ("s1", negative)),
    )


def _calibration(evaluation: Evaluation, bins: Sequence[CalibrationBin]) -> Figure:
    positive, _ = _two_labels(evaluation)
    chart = Chart(
        "calibration",
        title="Calibration",
        description="Observed share against stated probability. "
        + _shown(evaluation, "expected_calibration_error", "Expected calibration error"),
        x=UNIT,
        y=UNIT,
    )
    chart.axes(f"stated probability of {_cut(positive)}", "share that came true", x_text=_percent, y_text=_percent)
    chart.line([(0, 0), (1, 1)], "chance")
    chart.note(0.62, 0.62, "perfect", "start", dx=6, dy=14)
    most = max(one.rows for one in bins)
    chart.line([(one.stated, one.observed) for one in bins], "s0 thin")
    for one in bins:
        chart.dot(
            one.stated,
            one.observed,
            "ball s0",
            radius=3 + 8 * math.sqrt(one.rows / most),
            note=f"{one.rows} rows: stated {one.stated:.1%}, came true {one.observed:.1%}",
        )
    return Figure(
        "Whether its probabilities can be believed",
        "On the diagonal, 70 % means 70 %. Larger dots are more rows.",
        chart.svg(),
    )


def _values(evaluation: Evaluation, grid: ValueGrid) -> Figure:
    span = (grid.edges[0], grid.edges[-1])
    chart = Chart(
        "values",
        title="Predicted against true values",
        description="Counts of rows over true and predicted value. " + _shown(evaluation, "r2", "R²"),
        x=span,
        y=span,
    )
    chart.axes(f"true {_cut(evaluation.target)}", "predicted")
    most = max(max(row) for row in grid.counts) or 1
    for i, row in enumerate(grid.counts):
        for j, count in enumerate(row):
            if count:
                chart.box(
                    (grid.edges[i], grid.edges[j]),
                    (grid.edges[i + 1], grid.edges[j + 1]),
                    "cell",
                    # Single rows stay visible beside crowded cells.
                    strength=0.12 + 0.88 * math.log1p(count) / math.log1p(most),
                    note=f"{count} rows: true {short(grid.edges[i])} to {short(grid.edges[i + 1])}, "
                    f"predicted {short(grid.edges[j])} to {short(grid.edges[j + 1])}",
                )
    chart.line([(span[0], span[0]), (span[1], span[1])], "chance")
    outside = f" {grid.outside} rows lie outside." if grid.outside else ""
    return Figure(
        "Predicted against true",
        f"On the diagonal, the prediction is right. Darker is more rows.{outside}",
        chart.svg(),
    )


def _residuals(grid: ValueGrid) -> Figure:
    edges, counts = grid.residual_edges, grid.residual_counts
    chart = Chart(
        "residuals",
        title="Residuals",
        description="Counts of rows by how far the prediction lies above the true value.",
        x=(edges[0], edges[-1]),
        y=(0, max(counts) * 1.05 or 1.0),
    )
    chart.axes("predicted minus true", "rows")
    for index, count in enumerate(counts):
        if count:
            note = f"{short(edges[index])} to {short(edges[index + 1])}: {count} rows"
            chart.box((edges[index], 0), (edges[index + 1], count), "bar s0", note=note)
    chart.line([(0, 0), (0, max(counts) * 1.05 or 1.0)], "cut")
    return Figure(
        "How far it is off",
        "Narrow and centred on 0 is good; to the right of the line it predicts too much.",
        chart.svg(),
    )


def trials_figure(points: Sequence[tuple[float, float, str, str]], metric: str, *, by_time: bool) -> Figure | None:
    """The search as it went: each trial's score over time, and the best so far.

    Args:
        points: (seconds since the start or number of the trial, score, family, note) of each scored trial.
        metric: what was searched for.
        by_time: whether the first of each is in seconds.
    """
    if not points:
        return None
    ordered = sorted(points)
    lower = metric in LOWER_IS_BETTER
    families = list(dict.fromkeys(family for _, _, family, _ in ordered))
    scores = sorted(score for _, score, _, _ in ordered)
    # A failed try may score far off: the plot shows what lies near the best three quarters.
    quarter = scores[len(scores) // 4] if not lower else scores[(3 * len(scores)) // 4]
    best = scores[0] if lower else scores[-1]
    worst = (
        min(scores[-1], quarter + 1.5 * abs(quarter - best))
        if lower
        else max(scores[0], quarter - 1.5 * abs(quarter - best))
    )
    margin = abs(best - worst) * 0.08 or abs(best) * 0.05 or 0.5
    low, high = sorted((best, worst))
    chart = Chart(
        "trials",
        title="Trials of the search",
        description=f"{len(ordered)} trials by {metric}; the best reached {best:.4g}.",
        x=(0 if by_time else ordered[0][0], ordered[-1][0]),
        y=(low - margin, high + margin),
        width=940,
        height=300,
    )
    chart.axes("seconds since the start" if by_time else "trial", f"{metric} on validation folds")
    steps: list[Point] = []
    for at, score, _, _ in ordered:
        reached = score if not steps else (min if lower else max)(steps[-1][1], score)
        if steps:
            steps.append((at, steps[-1][1]))
        steps.append((at, reached))
    chart.line(steps, "best")
    for at, score, family, note in ordered:
        chart.dot(at, score, f"ball s{families.index(family) % SERIES}", radius=4.5, note=note)
    return Figure(
        "The search, as it went",
        f"Each dot is a trial; the line is the best so far ({'lower' if lower else 'higher'} is better).",
        chart.svg(),
        tuple((f"s{index % SERIES}", family) for index, family in enumerate(families)),
    )


def _lines(chart: Chart, lines: Sequence[Sequence[Point]], *, fill: bool = True) -> None:
    if len(lines) == 1 and fill:
        chart.area(lines[0], "s0")
    for index, points in enumerate(lines):
        chart.line(points, f"s{index % SERIES}")


def _operating(evaluation: Evaluation) -> tuple[float, float, float | None] | None:
    """Recall, false positive rate and precision of a binary model's labels."""
    if evaluation.confusion is None or evaluation.positive is None:
        return None
    yes = list(evaluation.labels).index(evaluation.positive)
    tp, fn = evaluation.confusion[yes][yes], evaluation.confusion[yes][1 - yes]
    fp, tn = evaluation.confusion[1 - yes][yes], evaluation.confusion[1 - yes][1 - yes]
    if not (tp + fn and fp + tn):
        return None
    return tp / (tp + fn), fp / (fp + tn), tp / (tp + fp) if tp + fp else None


def _two_labels(evaluation: Evaluation) -> tuple[str, str]:
    others = [label for label in evaluation.labels if label != evaluation.positive]
    return str(evaluation.positive), str(others[0]) if others else "others"


def _legend(curves: Sequence[Curve]) -> tuple[tuple[str, str], ...]:
    return () if len(curves) == 1 else tuple((f"s{index % SERIES}", curve.label) for index, curve in enumerate(curves))


def _shown(evaluation: Evaluation, metric: str, name: str) -> str:
    estimate = evaluation.metrics.get(metric)
    return "" if estimate is None else f"{name} {estimate.value:.3f}."


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _cut(text: str, most: int = 28) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
