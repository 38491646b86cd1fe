"""A small chart: two linear axes and a few marks, as SVG whose colours follow the page (light, dark, print).

Drawn here rather than by a plotting library: such a one bakes colours and fonts in, reads `$` in a label as
mathematics, keeps global state, and builds a font cache in the user's home.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

from markupsafe import Markup

Point = tuple[float, float]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values from `low` to `high`, roughly as many as asked for; steps are 1, 2 or 5 times a power of ten."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda size: abs(math.log(size / raw)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def short(value: float) -> str:
    """A number as an axis shows it: 0.25, 1,500, 2.5M."""
    size = abs(value)
    if size >= 1e15 or (0 < size < 1e-4):
        return f"{value:.1e}"
    for scale, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if size >= scale:
            return f"{value / scale:.4g}{suffix}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}"


class Chart:
    """A chart of `width` by `height` units, over x and y ranges. Marks are drawn in the order of the calls.

    The look of a mark is a class of the page's style sheet; text is escaped.
    """

    def __init__(
        self,
        key: str,
        *,
        title: str,
        description: str,
        x: Point,
        y: Point,
        width: float = 460,
        height: float = 340,
    ) -> None:
        """`key` is unique on the page; title and description are what a screen reader says."""
        self.key, self.title, self.description = key, title, description
        self.width, self.height = width, height
        self._x, self._y = _widened(x), _widened(y)
        self._left, self._right, self._top, self._bottom = 70.0, width - 24.0, 14.0, height - 46.0
        self._marks: list[str] = []

    def at(self, x: float, y: float) -> Point:
        """The place of a value, in units of the drawing, at most at its edge."""
        across = min(1.0, max(0.0, (x - self._x[0]) / (self._x[1] - self._x[0])))
        up = min(1.0, max(0.0, (y - self._y[0]) / (self._y[1] - self._y[0])))
        return self._left + across * (self._right - self._left), self._bottom - up * (self._bottom - self._top)

    def axes(
        self,
        x_label: str,
        y_label: str,
        *,
        x_text: Callable[[float], str] = short,
        y_text: Callable[[float], str] = short,
    ) -> None:
        """Grid lines, numbers and the names of both axes."""
        for value in ticks(*self._y):
            _, at = self.at(self._x[0], value)
            self._marks.append(f'<path class="grid" d="M{self._left:.1f} {at:.1f}H{self._right:.1f}"/>')
            self._text(self._left - 8, at + 4, y_text(value), "tick end")
        for value in ticks(*self._x):
            at, _ = self.at(value, self._y[0])
            self._marks.append(f'<path class="grid" d="M{at:.1f} {self._top:.1f}V{self._bottom:.1f}"/>')
            self._text(at, self._bottom + 17, x_text(value), "tick middle")
        middle = (self._top + self._bottom) / 2
        self._text((self._left + self._right) / 2, self.height - 8, x_label, "axis middle")
        self._marks.append(
            f'<text class="axis middle" transform="translate(13 {middle:.1f}) rotate(-90)">{escape(y_label)}</text>'
        )

    def line(self, points: Sequence[Point], look: str) -> None:
        """A line through the points."""
        self._marks.append(f'<path class="line {look}" d="{self._path(points)}"/>')

    def area(self, points: Sequence[Point], look: str, *, floor: float = 0.0) -> None:
        """The area between the points and a floor."""
        closed = [(points[0][0], floor), *points, (points[-1][0], floor)]
        self._marks.append(f'<path class="area {look}" d="{self._path(closed)}Z"/>')

    def box(self, low: Point, high: Point, look: str, *, strength: float = 1.0, note: str = "") -> None:
        """A filled rectangle between two corners; `note` is shown where a pointer rests on it."""
        (left, bottom), (right, top) = self.at(*low), self.at(*high)
        inner = f"<title>{escape(note)}</title>" if note else ""
        shade = "" if strength == 1.0 else f' fill-opacity="{strength:.2f}"'
        self._marks.append(
            f'<rect class="{look}" x="{left:.1f}" y="{min(top, bottom):.1f}" width="{right - left:.1f}" '
            f'height="{abs(bottom - top):.1f}"{shade}>{inner}</rect>'
        )

    def dot(self, x: float, y: float, look: str, *, radius: float = 4.0, note: str = "") -> None:
        """A dot; `note` is shown where a pointer rests on it."""
        across, down = self.at(x, y)
        inner = f"<title>{escape(note)}</title>" if note else ""
        self._marks.append(
            f'<circle class="{look}" cx="{across:.1f}" cy="{down:.1f}" r="{radius:.1f}">{inner}</circle>'
        )

    def note(self, x: float, y: float, text: str, look: str = "start", *, dx: float = 0.0, dy: float = 0.0) -> None:
        """A few words beside a place."""
        across, down = self.at(x, y)
        self._text(across + dx, down + dy, text, f"note {look}")

    def svg(self) -> Markup:
        """The drawing, to stand inside an HTML page."""
        return Markup(  # noqa: S704 - every text in it was escaped where it was drawn
            f'<svg class="chart" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-labelledby="{escape(self.key)}-t {escape(self.key)}-d">'
            f'<title id="{escape(self.key)}-t">{escape(self.title)}</title>'
            f'<desc id="{escape(self.key)}-d">{escape(self.description)}</desc>{"".join(self._marks)}</svg>'
        )

    def _path(self, points: Iterable[Point]) -> str:
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (self.at(*point) for point in points))

    def _text(self, x: float, y: float, text: str, look: str) -> None:
        self._marks.append(f'<text class="{look}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')


def _widened(span: Point) -> Point:
    low, high = span
    if high > low:
        return span
    margin = abs(low) / 2 or 0.5
    return low - margin, high + margin
