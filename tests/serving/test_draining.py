"""How long the last requests have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.project import LONGEST_TIMEOUT
from mainstay.serving.draining import LAST_CALL, LONGEST, drain_within, end_within


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(1.0, 25.0), (20.0, 25.0), (30.0, 35.0), (120.0, 125.0), (LONGEST_TIMEOUT, 300.0)]
)
def test_a_drain_lasts_as_long_as_a_request_within_its_bounds(timeout, seconds):
    assert drain_within(timeout) == seconds


@given(st.floats(0.001, LONGEST_TIMEOUT))
def test_no_request_that_was_let_in_is_cut_before_its_time_or_the_bound(timeout):
    assert drain_within(timeout) >= min(timeout + LAST_CALL, LONGEST)
    assert end_within(timeout) > drain_within(timeout)
