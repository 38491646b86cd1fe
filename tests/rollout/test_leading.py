"""The lead: one controller at a time, whatever their clocks and whenever they stop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.registry.errors import NotLeading
from mainstay.registry.records import Lead
from mainstay.rollout.leading import BEAT_EVERY, SILENT, Leading


@dataclass
class _Leads:
    """The registry's part, in memory."""

    now: Lead | None = None

    def lead(self) -> Lead | None:
        return self.now

    def take_lead(self, holder: str, *, seen: Lead | None) -> Lead:
        if seen != self.now:
            raise NotLeading(holder, 0, None)
        self.now = Lead(holder=holder, fence=(self.now.fence if self.now else 0) + 1, beat=0)
        return self.now

    def keep_lead(self, lead: Lead) -> Lead:
        if self.now is None or (self.now.holder, self.now.fence) != (lead.holder, lead.fence):
            raise NotLeading(lead.holder, lead.fence, None)
        self.now = replace(self.now, beat=self.now.beat + 1)
        return self.now

    def leave_lead(self, lead: Lead) -> None:
        if self.now is not None and self.now.fence == lead.fence:
            self.now = replace(self.now, holder="")


@dataclass
class _Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def _leading(leads: _Leads, name: str, clock: _Clock, gone=lambda holder: False) -> Leading:
    return Leading(leads, name, clock=clock, gone=gone)


def test_the_first_takes_the_lead_and_the_second_waits():
    leads, clock = _Leads(), _Clock()
    one, two = _leading(leads, "one", clock), _leading(leads, "two", clock)
    assert (one.fence(), two.fence()) == (1, None)
    for _ in range(20):
        clock.now += BEAT_EVERY
        assert (one.fence(), two.fence()) == (1, None)


def test_who_says_nothing_for_long_has_lost_it_and_learns_so():
    leads, clock = _Leads(), _Clock()
    one, two = _leading(leads, "one", clock), _leading(leads, "two", clock)
    assert (one.fence(), two.fence()) == (1, None)
    clock.now += SILENT
    assert two.fence() == 2
    assert one.fence() is None  # its sign of life is refused
    clock.now += SILENT / 2
    assert two.fence() == 2
    assert one.fence() is None


def test_a_lead_that_was_left_or_whose_holder_is_dead_is_free_at_once():
    leads, clock = _Leads(), _Clock()
    one = _leading(leads, "one", clock)
    assert one.fence() == 1
    one.leave()
    assert _leading(leads, "two", clock).fence() == 2
    assert _leading(leads, "three", clock).fence() is None
    assert _leading(leads, "four", clock, gone=lambda holder: holder == "two").fence() == 3


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.floats(0, 2 * SILENT), st.booleans(), st.booleans()), min_size=1, max_size=60
    )
)
def test_no_two_ever_hold_the_same_fence_and_only_the_last_can_write(moves):
    leads, clocks = _Leads(), [_Clock(now=start) for start in (0.0, 1e6, -1e6)]
    all_of_them = [_leading(leads, str(index), clock) for index, clock in enumerate(clocks)]
    held: dict[int, int] = {}
    for index, passes, leaves, registry_changes_nothing in moves:
        clocks[index].now += passes
        fence = all_of_them[index].fence()
        if fence is not None:
            assert held.setdefault(fence, index) == index
            # What it knows to have may be old; what the registry would take from it is not.
            if leads.now is not None and leads.now.holder == str(index):
                assert leads.now.fence == fence
        if leaves and not registry_changes_nothing:
            all_of_them[index].leave()


def test_a_registry_that_is_away_is_not_taken_for_a_lost_lead():
    class _Away(_Leads):
        away = False

        def keep_lead(self, lead: Lead) -> Lead:
            if self.away:
                raise OSError
            return super().keep_lead(lead)

    leads, clock = _Away(), _Clock()
    one = _leading(leads, "one", clock)
    assert one.fence() == 1
    leads.away = True
    clock.now += BEAT_EVERY
    with pytest.raises(OSError):
        one.fence()
    leads.away = False
    assert one.fence() == 1
