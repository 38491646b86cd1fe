"""Freeze windows: when they are open, on which clock, and what is said of those that are none."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mainstay.rollout.errors import NoWindow
from mainstay.rollout.windows import DAYS, frozen, window_of

BERLIN = ZoneInfo("Europe/Berlin")
WEEKEND = "Fri 16:00 - Mon 08:00 Europe/Berlin"
YULE = "2026-12-24 .. 2027-01-02 Europe/Berlin"


def berlin(text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


@pytest.mark.parametrize(
    "window, first, last",
    [
        (WEEKEND, "2026-05-08 16:00", "2026-05-11 07:59:59"),
        ("Mon 08:00 - Fri 16:00 Europe/Berlin", "2026-05-04 08:00", "2026-05-08 15:59:59"),
        ("Tue 22:00 - Tue 06:00 Europe/Berlin", "2026-05-05 22:00", "2026-05-12 05:59:59"),
        ("tue 06:00 – Tuesday 22:00 Europe/Berlin", "2026-05-05 06:00", "2026-05-05 21:59:59"),
        ("Sat 00:00 - Sun 24:00 Europe/Berlin", "2026-05-09 00:00", "2026-05-10 23:59:59"),
        (YULE, "2026-12-24 00:00", "2027-01-02 23:59:59"),
        ("2026-12-24 12:00 .. 2026-12-24 13:30 Europe/Berlin", "2026-12-24 12:00", "2026-12-24 13:29:59"),
        # Clocks go from 02:00 to 03:00 on 2026-03-29, and from 03:00 to 02:00 on 2026-10-25.
        ("Sun 02:30 - Sun 05:00 Europe/Berlin", "2026-03-29 03:00", "2026-03-29 04:59:59"),
        ("Sat 12:00 - Sun 02:30 Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:59:59"),
        ("Sun 02:30 - Sun 05:00 Europe/Berlin", "2026-10-25 02:30", "2026-10-25 04:59:59"),
        (WEEKEND, "2026-03-27 16:00", "2026-03-30 07:59:59"),
        (WEEKEND, "2026-10-23 16:00", "2026-10-26 07:59:59"),
    ],
)
def test_a_window_is_open_from_its_first_second_to_its_last(window, first, last):
    begins, ends = berlin(first).astimezone(UTC), berlin(last).astimezone(UTC)
    second = timedelta(seconds=1)
    assert [frozen([window], at) for at in (begins - second, begins, ends, ends + second)] == [
        None,
        window,
        window,
        None,
    ]


def test_an_hour_that_comes_twice_counts_until_its_second_end():
    window = "Sat 12:00 - Sun 02:30 Europe/Berlin"
    assert frozen([window], berlin("2026-10-25 02:29:59", fold=1)) == window
    assert frozen([window], berlin("2026-10-25 02:45")) == window
    assert frozen([window], berlin("2026-10-25 02:30", fold=1).astimezone(UTC)) is None


def test_the_first_window_that_is_open_is_told():
    at = berlin("2026-12-26 12:00")
    assert frozen([], at) is None
    assert frozen([YULE, f"  {WEEKEND} "], at) == YULE
    assert frozen([f"  {WEEKEND} ", YULE], at) == WEEKEND
    assert frozen([WEEKEND, YULE], berlin("2026-12-28 12:00")) == YULE


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "neither two days of the week"),
        ("at weekends", "neither two days of the week"),
        ("Fri 16:00 - Mon 08:00", "does not say in which time zone"),
        ("2026-12-24 .. 2027-01-02", "does not say in which time zone"),
        ("Fry 16:00 - Mon 08:00 UTC", "Did you mean 'Fri'"),
        ("Fri 25:00 - Mon 08:00 UTC", "'25:00' is no time of day"),
        ("Fri 24:01 - Mon 08:00 UTC", "'24:01' is no time of day"),
        ("Fri 16:60 - Mon 08:00 UTC", "'16:60' is no time of day"),
        ("Fri 4pm - Mon 08:00 UTC", "'4pm' is no time of day"),
        ("Fri 16:00 - Fri 16:00 UTC", "begins and ends at the same time"),
        ("Fri 16:00 - Mon 08:00 Europe/Berlim", "Did you mean 'Europe/Berlin'"),
        ("Fri 16:00 - Mon 08:00 Europe", "'Europe' is no time zone"),
        ("Fri 16:00 - Mon 08:00 ../../etc/passwd", "is no time zone"),
        ("2026-02-30 .. 2026-03-02 UTC", "there is no day 2026-02-30"),
        ("2026-12-24 .. 2026-12-23 UTC", "ends before it begins"),
        ("2026-12-24 12:00 .. 2026-12-24 12:00 UTC", "ends before it begins"),
        ("9999-12-24 .. 9999-12-31 UTC", "9999-12-24 is not from 1970"),
    ],
)
def test_what_is_no_window_is_told_with_its_fault(text, words):
    with pytest.raises(NoWindow) as told:
        window_of(text)
    assert words in str(told.value)
    assert repr(text) in str(told.value)


ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
MOMENTS = st.integers(0, 700 * 86_400).map(lambda later: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=later))
TIMES = st.tuples(st.integers(0, 6), st.integers(0, 24 * 60 - 1))
"""Day of the week, minute of the day."""


@given(MOMENTS, ZONES, TIMES, TIMES)
@example(datetime(2026, 3, 29, 1, tzinfo=UTC), "Europe/Berlin", (6, 150), (6, 300))
def test_a_weekly_window_is_open_when_the_clock_on_the_wall_is_within(at, zone, first, last):
    assume(first != last)
    told = [f"{DAYS[day]} {minute // 60:02}:{minute % 60:02}" for day, minute in (first, last)]
    here = at.astimezone(ZoneInfo(zone))
    # Of a time that comes twice, see above.
    assume(here.replace(fold=0).utcoffset() == here.replace(fold=1).utcoffset())
    minute = here.weekday() * 1440 + here.hour * 60 + here.minute
    start, end = (day * 1440 + of_day for day, of_day in (first, last))
    within = start <= minute < end if start < end else minute >= start or minute < end
    assert (frozen([f"{told[0]} - {told[1]} {zone}"], at) is not None) == within


@given(st.text(alphabet="0123456789:-. FriMonUTC/\n", max_size=40))
def test_any_text_is_a_window_or_told_to_be_none(text):
    with suppress(NoWindow):
        window_of(text).open(datetime(2026, 5, 4, tzinfo=UTC))
