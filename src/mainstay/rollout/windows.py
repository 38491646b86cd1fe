"""Freeze windows: times in which nothing goes forward.

"Fri 16:00 - Mon 08:00 Europe/Berlin" comes every week; "2026-12-24 .. 2027-01-02 Europe/Berlin" once, its last day
included, or with times: "2026-12-24 12:00 .. 2027-01-02 08:00 UTC". Their times are those of clocks on the wall there.
Where such a clock is put back and shows a time twice, a window begins at the first and ends at the second; where it is
put forward over a time, that time is the moment of the change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from mainstay.errors import did_you_mean
from mainstay.rollout.errors import NoWindow

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FULL = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKLY = re.compile(r"([A-Za-z]+)\s+(\S+)\s*[-–]\s*([A-Za-z]+)\s+(\S+)(?:\s+(\S+))?")
_ONCE = re.compile(r"(\d{4}-\d\d-\d\d)(?:\s+([^\s.]+))?\s*\.\.\s*(\d{4}-\d\d-\d\d)(?:\s+(\d\S*))?(?:\s+(\S+))?")
_TIME = re.compile(r"(\d{1,2}):(\d\d)")
_WEEK = timedelta(days=7)
_YEARS = range(1970, 9000)


class Weekly(NamedTuple):
    """A window of every week."""

    text: str
    day: int
    """On which it begins, 0 for Monday."""
    begins: timedelta
    """Since that day's midnight, on a clock there."""
    lasts: timedelta
    """On a clock there."""
    zone: ZoneInfo

    def open(self, at: datetime) -> bool:
        today = at.astimezone(self.zone).date()
        latest = today - timedelta(days=(today.weekday() - self.day) % 7)
        # One that began a week ago may last until its day comes again.
        for first in (latest, latest - _WEEK):
            begins = datetime.combine(first, time()) + self.begins
            if _first(begins, self.zone) <= at < _last(begins + self.lasts, self.zone):
                return True
        return False


class Once(NamedTuple):
    """A window that comes once."""

    text: str
    begins: datetime
    ends: datetime
    """Both without a zone: as clocks there show it."""
    zone: ZoneInfo

    def open(self, at: datetime) -> bool:
        return _first(self.begins, self.zone) <= at < _last(self.ends, self.zone)


Window = Weekly | Once


def window_of(text: str) -> Window:
    """A window from its text. Raises NoWindow."""
    said = text.strip()
    if found := _WEEKLY.fullmatch(said):
        return _weekly(said, found)
    if found := _ONCE.fullmatch(said):
        return _once(said, found)
    raise NoWindow(said, "it has neither two days of the week with their times nor two dates")


def frozen(windows: Iterable[str], at: datetime) -> str | None:
    """The text of the window that is open at a time; None where none is.

    Args:
        at: with a zone, whichever.

    Raises:
        NoWindow: a text says none.
    """
    assert at.tzinfo is not None, "a time without a zone is no moment"
    return next((window.text for window in map(window_of, windows) if window.open(at)), None)


def _weekly(text: str, found: re.Match[str]) -> Weekly:
    first, last = _day(text, found[1]), _day(text, found[3])
    begins, ends = _time(text, found[2]), _time(text, found[4])
    lasts = timedelta(days=(last - first) % 7) + ends - begins
    if not lasts:
        raise NoWindow(text, "it begins and ends at the same time")
    return Weekly(text, first, begins, lasts if lasts > timedelta() else lasts + _WEEK, _zone(text, found[5]))


def _once(text: str, found: re.Match[str]) -> Once:
    begins = datetime.combine(_date(text, found[1]), time()) + _time(text, found[2] or "00:00")
    # Without a time, the last day is meant as a whole.
    ends = datetime.combine(_date(text, found[3]), time()) + _time(text, found[4] or "24:00")
    if ends <= begins:
        raise NoWindow(text, "it ends before it begins")
    return Once(text, begins, ends, _zone(text, found[5]))


def _day(text: str, said: str) -> int:
    for day, names in enumerate(zip(DAYS, _FULL, strict=True)):
        if said.lower() in (names[0].lower(), names[1]):
            return day
    hint = did_you_mean(said.capitalize(), DAYS).strip() or f"Days are {', '.join(DAYS)}"
    raise NoWindow(text, f"{said!r} is no day of the week. {hint}".rstrip("."))


def _time(text: str, said: str) -> timedelta:
    found = _TIME.fullmatch(said)
    hours, minutes = (int(found[1]), int(found[2])) if found else (99, 99)
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise NoWindow(text, f"{said!r} is no time of day, which goes from 00:00 to 24:00")
    return timedelta(hours=hours, minutes=minutes)


def _date(text: str, said: str) -> date:
    try:
        found = date.fromisoformat(said)
    except ValueError:
        raise NoWindow(text, f"there is no day {said}") from None
    if found.year not in _YEARS:
        raise NoWindow(text, f"{said} is not from {_YEARS[0]} to {_YEARS[-1]}")
    return found


def _zone(text: str, said: str | None) -> ZoneInfo:
    if said is None:
        raise NoWindow(text, "it does not say in which time zone")
    try:
        return ZoneInfo(said)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown; a path; a folder of zones
        hint = did_you_mean(said, available_timezones())
        raise NoWindow(text, f"{said!r} is no time zone.{hint}".rstrip(".")) from None


def _first(shown: datetime, zone: ZoneInfo) -> datetime:
    """The first moment (UTC) at which a clock there shows a time, or one beyond it."""
    return _moment(shown, zone, fold=0)


def _last(shown: datetime, zone: ZoneInfo) -> datetime:
    """The last moment (UTC) at which a clock there comes to a time, or beyond it."""
    return _moment(shown, zone, fold=1)


def _moment(shown: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    earlier, later = (shown.replace(tzinfo=zone, fold=which).astimezone(UTC) for which in (0, 1))
    if earlier <= later:  # equal where the time comes once
        return later if fold else earlier
    # The clock never shows it (PEP 495: the two are turned round): the change is between them.
    low, high = later, earlier
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).replace(tzinfo=None) < shown:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
