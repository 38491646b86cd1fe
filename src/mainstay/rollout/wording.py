"""Counts, shares and evidence in words."""

from __future__ import annotations

import math


def of(count: int, total: int, what: str = "requests") -> str:
    """Such as "12 of 300 requests (4 %)"."""
    return f"{count:,} of {total:,} {what}{f' ({percent(count / total)})' if total else ''}"


def percent(part: float) -> str:
    return f"{100 * part:.3g} %"


def number(value: float) -> str:
    """With two digits that count: 5,400, 23, 1.7, 0.04."""
    if value >= 1e9:
        return "more than 1,000,000,000"
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.2g}"


def milliseconds(seconds: float) -> str:
    return f"{number(1000 * seconds)} ms" if seconds < 1 else f"{number(seconds)} s"


def against(e_value: float, limit: float) -> str:
    return f"evidence against it {number(e_value)} times what chance gives, limit {number(limit)}"


def in_favour(e_value: float, limit: float) -> str:
    return f"evidence for it {number(e_value)} times what chance gives, limit {number(limit)}"


def possible(least: float, most: float, doubt: float, *, any_seen: bool) -> str:
    """How many times as often as the stable version, by the ends of a confidence sequence."""
    if not any_seen:
        return "neither has done so yet, so that nothing is known of how often either may"
    if math.isinf(most) and least <= 1:
        return "how many times as often as stable it may is not known yet"
    ends = f"at least {number(least)} times" if least > 1 else f"at most {number(most)} times"
    return f"{ends} as often as stable, with {percent(1 - doubt)} certainty"
