"""What came of the callers of a sticky rollout, each counted once, with the worst that he met.

A caller's requests were drawn for a version all together, so that they are one piece of evidence. He is a hit as soon
as any of them fails, and as slow as the slowest of them: whoever is served well once is looked at all the same for as
long as the step lasts.
"""

from __future__ import annotations

from pathlib import Path

from mainstay.serving.evidence_slots import FOLDER, Counts, bin_of
from mainstay.serving.mapped import mapped

KEYS = 1 << 21
"""Places for the keys of a step: of 100,000, one in forty finds another's in its place, and is not counted."""
ASKED, FAILED, REFUSED, COMPARED = 1, 2, 4, 8
"""What a caller met, as bits of his slot."""
_SLOWEST, _SLOWEST_AT = 0xFF00, 8
_OWNER_AT = 16


class Keys:
    """The keys of a step, by all workers of a server: whose a slot is, what he met, and his slowest time.

    A slot is one number, so that workers do not tear it; two that write a caller's slot in the same moment may count
    him twice.
    """

    __slots__ = ("_slots",)

    def __init__(self, run: Path, rollout: str, step: int) -> None:
        """Raises OSError: there is no room for it."""
        folder = run / FOLDER / rollout
        folder.mkdir(parents=True, exist_ok=True)
        self._slots = memoryview(mapped(folder / f"{step}.keys", 4 * KEYS)).cast("I")

    def meets(self, place: int, what: int) -> bool:
        """Whether the key at a place (see `splitting.place_of_key`) meets something for the first time; never that of a
        key whose slot is another's, whichever version it has."""
        slot, at = self._slot(place)
        if slot is None or slot & what:
            return False
        self._slots[at] = slot | what
        return True

    def slower(self, place: int, time: int) -> tuple[bool, int | None]:
        """Whether a time, by its bin, is the slowest of a key until now; and the bin of the one that was."""
        slot, at = self._slot(place)
        if slot is None:
            return False, None
        before = (slot & _SLOWEST) >> _SLOWEST_AT  # from 1
        if before > time:
            return False, None
        self._slots[at] = slot & ~_SLOWEST | (time + 1) << _SLOWEST_AT
        return True, before - 1 if before else None

    def _slot(self, place: int) -> tuple[int | None, int]:
        """The slot of a key as it would be with its owner's mark, and where it is; None: it is another's."""
        at = place % KEYS  # the low bits; the share is decided by the high ones
        owner, slot = (place // KEYS) % 0xFFFF + 1, self._slots[at]
        if slot and slot >> _OWNER_AT != owner:
            return None, at
        return slot | owner << _OWNER_AT, at


class CallerCounts:
    """Counts one request of a caller, in the place of `Counts`."""

    __slots__ = ("_counts", "_keys", "_place")

    def __init__(self, counts: Counts, keys: Keys, place: int) -> None:
        self._counts, self._keys, self._place = counts, keys, place

    def asked(self, arm: int) -> bool:
        """Counts the caller. Whether it is new evidence: his first request is."""
        return self._keys.meets(self._place, ASKED) and self._counts.asked(arm)

    def took(self, arm: int, seconds: float) -> None:
        """Counts the time in the place of one that was shorter."""
        time = bin_of(seconds)
        slowest, before = self._keys.slower(self._place, time)
        if slowest and before != time:
            self._counts.took_bin(arm, time)
            if before is not None:
                self._counts.took_bin(arm, before, -1)

    def scored(self, arm: int, score: int) -> None:
        """Counts what was answered."""
        self._counts.scored(arm, score)

    def failed(self, arm: int) -> None:
        """Counts that the caller met a failure."""
        if self._keys.meets(self._place, FAILED):
            self._counts.failed(arm)

    def refused(self, arm: int) -> None:
        """Counts that the caller met a refusal."""
        if self._keys.meets(self._place, REFUSED):
            self._counts.refused(arm)
