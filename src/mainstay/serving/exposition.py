"""Counters as Prometheus reads them (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mainstay.serving import metrics


def text(sums: Mapping[str, Sequence[float]]) -> str:
    """Numbers by label, as `metrics.summed` gives them, in Prometheus' text format."""
    lines: list[str] = []
    of: dict[str, list[tuple[str, Sequence[float]]]] = {name: [] for name in metrics.HELP}
    for label, numbers in sorted(sums.items()):
        of.setdefault(label.split("{", 1)[0], []).append((label, numbers))
    for name, (kind, meaning) in metrics.HELP.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        for label, numbers in of[name]:
            lines += _histogram(name, label, numbers) if kind == "histogram" else [f"{label} {_number(numbers[0])}"]
    return "\n".join(lines) + "\n"


def _histogram(name: str, label: str, numbers: Sequence[float]) -> list[str]:
    inside = label[len(name) + 1 : -1]
    lines, below = [], 0.0
    for bound, count in zip(metrics.BOUNDS[name], numbers[2:], strict=False):
        below += count
        lines.append(f'{name}_bucket{{{inside},le="{bound:g}"}} {_number(below)}')
    # Read while it is written, a bucket may be ahead of the count.
    whole = _number(max(numbers[1], below))
    lines.append(f'{name}_bucket{{{inside},le="+Inf"}} {whole}')
    return [*lines, f"{name}_sum{{{inside}}} {numbers[0]!r}", f"{name}_count{{{inside}}} {whole}"]


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
