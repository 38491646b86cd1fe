"""A step of a rollout in one worker: which requests are the candidate's, and what is counted of both versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mainstay.models.answers import Answers
from mainstay.registry.plans import WHOLE
from mainstay.serving.caller_slots import COMPARED, CallerCounts, Keys
from mainstay.serving.comparing import Score, changed, scoring
from mainstay.serving.copying import Copies
from mainstay.serving.evidence_slots import STABLE, Counts
from mainstay.serving.host_client import HostGone, HostSilent
from mainstay.serving.leases import Lease
from mainstay.serving.models import Loaded
from mainstay.serving.patience import CallerGone
from mainstay.serving.predictions.keeping import Kept
from mainstay.serving.protocols.open_inference.inference import NamesAnother
from mainstay.serving.routing import Candidate
from mainstay.serving.seen import Seen
from mainstay.serving.splitting import Urn, in_share, key_of_field
from mainstay.serving.walks import is_refusal

SHADOWS = 8
"""Copies for a shadow that a worker has under way at a time; more are dropped."""
REST = 49.0
"""A row is asked of both versions in a fiftieth of the time at most."""
SOONEST = 0.25
"""Seconds before which nobody gives a candidate up that has not answered: what it does then is counted all the same,"""
USUAL = 5.0
"""and how many times as long as usual it may take."""
MEMORY = 0.1
"""Weight of the last request in what is usual."""


class Trial:
    """One step of a rollout in this worker."""

    def __init__(
        self, wish: Candidate, stable: Loaded, candidate: Loaded, *, run: Path, worker: int, edges: Sequence[float] = ()
    ) -> None:
        """Begins to count, or goes on with what was counted in this step.

        Args:
            wish: what the routing table says.
            stable: answers where the candidate does not.
            candidate: is judged.
            run: folder of the run.
            worker: the number of this one.
            edges: between the bins of a number's score.

        Raises:
            OSError: there is no room for the counters.
            ValueError: the field that decides who has the candidate is no input column of the stable version.
        """
        self.wish, self.stable, self.candidate = wish, stable, candidate
        self.same = stable.signature == candidate.signature
        """Whether what was read for one can be asked of the other."""
        self.counts = Counts(run, wish.rollout, wish.step, worker)
        self.score: Score = scoring(stable.signature, stable.decision, edges)
        self.copies = Copies(most=SHADOWS) if wish.mode == "shadow" else Copies(most=1, rest=REST)
        # After the switch of a blue-green rollout there is no way back but a decision, so no lease ends it.
        self._lease = None if wish.mode == "watch" else Lease(run, wish.lease)
        self.share = wish.share if wish.mode in ("split", "shadow") else WHOLE
        self.draw = Urn(self.share).draw
        """Whether the next request is the candidate's, where no key decides that; of a shadow, whether it is copied."""
        self.is_shadow = wish.mode == "shadow"
        self.is_sticky = sticky = wish.mode == "split" and (wish.header or wish.field) is not None
        compares = wish.mode in ("split", "shadow") and stable.signature.task != "general"
        self._kept = Kept(run, wish.rollout, worker) if compares else None
        # Where everybody has the candidate there are no lots to be drawn together, and each request counts.
        self._keys = Keys(run, wish.rollout, wish.step) if sticky and self.share < WHOLE else None
        self.key_of_field = key_of_field(stable.signature, wish.field) if sticky and wish.field is not None else None
        self._usual = 0.0

    @property
    def open(self) -> bool:
        """Whether the candidate may have traffic."""
        return self._lease is None or self._lease.holds

    def has(self, place: int) -> bool:
        """Whether a caller has the candidate, by the place of his key (see `splitting.place_of_key`)."""
        return in_share(place, self.share)

    def tally(self, caller: int | None) -> Counts | CallerCounts:
        """Counts a request, of a caller by the place of his key, or of anybody."""
        if caller is None or self._keys is None:
            return self.counts
        return CallerCounts(self.counts, self._keys, caller)

    def compares(self, caller: int | None) -> bool:
        """Whether an answer is to be compared with the other version's: of a caller who has a key, his first one."""
        return caller is None or self._keys is None or self._keys.meets(caller, COMPARED)

    @property
    def patience(self) -> float:
        """Seconds that a caller waits for the candidate before he has the other's answer."""
        return max(SOONEST, USUAL * self._usual)

    def took(self, seconds: float) -> None:
        """A request took so long, from its coming on."""
        self._usual += (seconds - self._usual) * (MEMORY if self._usual else 1.0)

    def count(self, arm: int, seen: Seen) -> None:
        """Counts what came of a request, on the side of the version that it was meant for."""
        if not _nobodys(seen.error):
            tally = self.tally(seen.key)
            self.conclude(arm, seen, tally, new=tally.asked(arm))

    def conclude(self, arm: int, seen: Seen, tally: Counts | CallerCounts, *, new: bool) -> None:
        """Counts the outcome of a request that was counted as asked; `new`: it is evidence of its own."""
        error, answers = seen.error, seen.answers
        if _nobodys(error):
            return
        if error is not None and not isinstance(error, CallerGone):
            (tally.refused if is_refusal(error) else tally.failed)(arm)
            return
        # Of a time that is many callers', each would be bet on as if it were another; nor is it that of their rows.
        seconds = seen.computing if answers is None or answers.alone else None
        if seconds is not None:
            tally.took(arm, seconds * self.wish.slowdown + self.wish.slack if arm == STABLE else seconds)
        if error is None and answers is not None and new:
            score = self.score(answers)
            if score is not None:
                tally.scored(arm, score)
            if self._kept is not None and seen.identity is not None:  # the caller was told it, and may tell the outcome
                self._kept.add(seen.identity, arm, self.wish.step, answers)

    def compare(self, ours: Answers, theirs: Answers) -> None:
        """Counts a row that both were asked, the first of each."""
        if len(ours) and len(theirs):
            differ = changed(ours, theirs, self.stable.signature, self.candidate.signature)
            self.counts.compared(changed=differ)


def _nobodys(error: Exception | None) -> bool:
    """Whether a request tells nothing of the version that it was meant for: who names one has chosen for himself; and
    what fails because the host process died is one death, however many were on their way to it, and is counted as such
    by who keeps the process."""
    return isinstance(error, NamesAnother) or (isinstance(error, HostGone) and not isinstance(error, HostSilent))
