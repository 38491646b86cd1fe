"""Counters as Prometheus reads them, in its own text format and in OpenMetrics'.

https://prometheus.io/docs/instrumenting/exposition_formats/
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md (version 1.0.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mainstay.serving import metrics
from mainstay.serving.preferences import parameter, preferred

_OPEN_KIND, _OPEN_VERSION = "application/openmetrics-text", "1.0.0"


class Form(NamedTuple):
    """A format."""

    content_type: str
    open: bool


PLAIN = Form("text/plain; version=0.0.4; charset=utf-8", open=False)
OPEN = Form(f"{_OPEN_KIND}; version={_OPEN_VERSION}; charset=utf-8", open=True)


def form(accept: str | None) -> Form:
    """The format that a caller prefers: OpenMetrics where he names it before plain text, else plain text."""
    for part in preferred(accept or ""):
        kind = part.partition(";")[0].strip().lower()
        if kind == _OPEN_KIND and parameter(part, "version") in (None, _OPEN_VERSION):
            return OPEN
        if kind in ("text/plain", "text/*", "*/*"):
            break
    return PLAIN


def text(sums: Mapping[str, Sequence[float]], form: Form = PLAIN) -> str:
    """Numbers by label, as `metrics.summed` gives them."""
    lines: list[str] = []
    of: dict[str, list[tuple[str, Sequence[float]]]] = {name: [] for name in metrics.HELP}
    for label, numbers in sorted(sums.items()):
        of.setdefault(label.split("{", 1)[0], []).append((label, numbers))
    for name, (kind, meaning) in metrics.HELP.items():
        family, called = _family(name, kind) if form.open else (name, kind)
        lines += [f"# HELP {family} {meaning}", f"# TYPE {family} {called}"]
        for label, numbers in of[name]:
            lines += _histogram(name, label, numbers, form) if kind == "histogram" else [_line(label, numbers[0])]
    return "\n".join([*lines, "# EOF\n" if form.open else ""])


def _family(name: str, kind: str) -> tuple[str, str]:
    """How OpenMetrics calls a metric and its kind: there the ends of names belong to the samples."""
    if name.endswith("_info"):
        return name.removesuffix("_info"), "info"
    return name.removesuffix("_total"), kind


def _histogram(name: str, label: str, numbers: Sequence[float], form: Form) -> list[str]:
    inside = label[len(name) + 1 : -1]
    lines, below = [], 0.0
    for bound, count in zip(metrics.BOUNDS[name], numbers[2:], strict=False):
        below += count
        until = repr(bound) if form.open else f"{bound:g}"  # OpenMetrics asks for 1.0 where the other has 1
        lines.append(_line(f'{name}_bucket{{{inside},le="{until}"}}', below))
    # Read while it is written, a bucket may be ahead of the count.
    whole = max(numbers[1], below)
    lines.append(_line(f'{name}_bucket{{{inside},le="+Inf"}}', whole))
    return [*lines, f"{name}_sum{{{inside}}} {numbers[0]!r}", _line(f"{name}_count{{{inside}}}", whole)]


def _line(label: str, value: float) -> str:
    return f"{label} {int(value) if value.is_integer() else repr(value)}"
