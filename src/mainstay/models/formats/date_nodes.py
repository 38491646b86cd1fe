"""Calendar parts of seconds since 1970-01-01 UTC, as ONNX nodes.

Whole numbers in doubles, so every floor and division below is exact. The proleptic Gregorian calendar, with
years that begin in March: https://howardhinnant.github.io/date_algorithms.html
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mainstay.models.encoder import DatePart
from mainstay.models.formats.graph import Graph


def date_parts(graph: Graph, x: str, width: int, parts: Sequence[DatePart]) -> str:
    """Adds the nodes that turn seconds (n, width) into parts (n, width * parts), part by part within each column."""
    calendar = _Calendar(graph, x)
    each = [graph.add("Unsqueeze", calendar.part(part), graph.constant([2], np.int64)) for part in parts]
    stacked = each[0] if len(each) == 1 else graph.add("Concat", *each, axis=2)
    return graph.add("Reshape", stacked, graph.constant([-1, width * len(parts)], np.int64))


class _Calendar:
    """Works out each part from the ones before it; nodes that no wanted part needs are left out of the model."""

    def __init__(self, graph: Graph, x: str) -> None:
        self._graph = graph
        self._seconds = x
        whole = graph.add("Floor", x)
        self._days = self._floored(whole, 86400.0)
        self._of_day = self._minus(whole, self._times(self._days, 86400.0))

    def part(self, part: DatePart) -> str:
        """The tensor (n, width) of one part; NaN where the seconds are NaN."""
        if part == "days":
            return self._divided(self._seconds, 86400.0)
        if part == "weekday":  # 1970-01-01 was a Thursday, and Monday is 0
            return self._modulo(self._plus(self._days, 3.0), 7.0)
        if part == "hour":
            return self._floored(self._of_day, 3600.0)
        if part == "minute":
            return self._floored(self._modulo(self._of_day, 3600.0), 60.0)
        year, month, day = self._civil()
        if part == "day_of_year":
            return self._plus(self._minus(self._days, self._first_of(year)), 1.0)
        return {"year": year, "month": month, "day": day}[part]

    def _civil(self) -> tuple[str, str, str]:
        shifted = self._plus(self._days, 719468.0)  # days since 0000-03-01
        era = self._floored(shifted, 146097.0)
        of_era = self._minus(shifted, self._times(era, 146097.0))
        leap = self._minus(self._floored(of_era, 36524.0), self._floored(of_era, 1460.0))
        leap = self._minus(leap, self._floored(of_era, 146096.0))
        year_of_era = self._floored(self._add(of_era, leap), 365.0)
        year = self._add(year_of_era, self._times(era, 400.0))
        gone = self._add(self._times(year_of_era, 365.0), self._floored(year_of_era, 4.0))
        of_year = self._minus(of_era, self._minus(gone, self._floored(year_of_era, 100.0)))
        shifted_month = self._floored(self._plus(self._times(of_year, 5.0), 2.0), 153.0)
        before = self._floored(self._plus(self._times(shifted_month, 153.0), 2.0), 5.0)
        day = self._plus(self._minus(of_year, before), 1.0)
        graph = self._graph
        next_year = graph.cast(graph.add("GreaterOrEqual", shifted_month, graph.constant(10.0)), "float64")
        month = self._minus(self._plus(shifted_month, 3.0), self._times(next_year, 12.0))
        return self._add(year, next_year), month, day

    def _first_of(self, year: str) -> str:
        """Days from 1970-01-01 to the first of January of a year."""
        march = self._plus(year, -1.0)  # the year that began last March
        days = self._add(self._times(march, 365.0), self._floored(march, 4.0))
        days = self._add(self._minus(days, self._floored(march, 100.0)), self._floored(march, 400.0))
        return self._plus(days, 306.0 - 719468.0)

    def _floored(self, a: str, b: float) -> str:
        return self._graph.add("Floor", self._divided(a, b))

    def _modulo(self, a: str, b: float) -> str:
        return self._minus(a, self._times(self._floored(a, b), b))

    def _divided(self, a: str, b: float) -> str:
        return self._graph.add("Div", a, self._graph.constant(b))

    def _times(self, a: str, b: float) -> str:
        return self._graph.add("Mul", a, self._graph.constant(b))

    def _plus(self, a: str, b: float) -> str:
        return self._graph.add("Add", a, self._graph.constant(b))

    def _add(self, a: str, b: str) -> str:
        return self._graph.add("Add", a, b)

    def _minus(self, a: str, b: str) -> str:
        return self._graph.add("Sub", a, b)
