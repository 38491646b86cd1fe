"""The calls of a registry about rollouts, as `store` has those about the rest: each is atomic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from mainstay.registry import leads, moving, reports, rollouts
from mainstay.registry.changes import Change
from mainstay.registry.evidence import Evidence
from mainstay.registry.plans import Plan
from mainstay.registry.records import Lead, Rollout, Version
from mainstay.registry.transactions import Transactions


class Rolling:
    """Part of `Registry`."""

    _database: Transactions
    _clock: Callable[[], datetime]

    def start_rollout(
        self,
        candidate: Version,
        plan: Plan,
        *,
        expecting: Version,
        actor: str,
        reason: str = "",
        override: bool = False,
    ) -> Rollout:
        """Starts a rollout from `expecting`, if that takes its model's traffic now, to `candidate`.

        One that runs of the model already is superseded: it ends with the start of this one, as completed where its
        candidate takes the traffic already, else as rolled back, with its candidate gone. A candidate that is served
        beside the other one leaves there.

        Args:
            override: roll it out although it did not pass its gates; takes a reason, and is recorded with it.

        Raises:
            NotDeployed: no version of the model takes the traffic. TakesTraffic: the candidate does.
            NotDeployable: it did not pass its gates.
            DeploymentMoved: another one takes the traffic than expected.
            VersionNotFound; MainstayError: an override without a reason, or a plan that cannot be meant.
        """
        with self._database.write() as connection:
            return moving.start(
                connection,
                candidate,
                plan,
                expecting=expecting,
                actor=actor,
                reason=reason,
                override=override,
                at=self._clock(),
            )

    def rollout(self, model: str) -> Rollout | None:
        """The rollout that runs of a model; None: none, or no such model."""
        with self._database.read() as connection:
            return rollouts.active(connection, model)

    def rollouts(self, model: str | None = None, *, active: bool | None = None, limit: int = 50) -> list[Rollout]:
        """The last `limit` rollouts, newest first; only those that run, or have ended, where `active` says so.

        Raises:
            ModelNotFound.
        """
        with self._database.read() as connection:
            return rollouts.page(connection, model=model, running=active, limit=limit)

    def move_rollout(
        self,
        seen: Rollout,
        change: Change,
        *,
        actor: str,
        why: str,
        evidence: Mapping[str, Any],
        fence: int | None = None,
    ) -> Rollout:
        """Moves a rollout, if it is at the revision that was seen; its event tells why, and the evidence.

        The generation grows where servers are to do something else. Where the change gives the traffic to the other
        version, that is the deployed one from the same transaction on.

        Args:
            evidence: a JSON object that the event holds, beside what the change says.
            fence: of the lead by which a controller moves it; a person needs none.

        Raises:
            RolloutMoved: it is not as it was seen, or has ended. NotLeading: the lead with this fence was lost.
            UnknownRollout; MainstayError: a change that cannot be meant.
        """
        with self._database.write() as connection:
            return moving.move(
                connection,
                seen,
                change,
                actor=actor,
                why=why,
                evidence=evidence,
                fence=fence,
                at=self._clock(),
            )

    def note_rollout(
        self, seen: Rollout, *, held: float, verdict: Mapping[str, Any], fence: int | None = None
    ) -> Rollout:
        """Tells that a controller looks after a rollout: its beat grows by 1. No event tells of it.

        Args:
            held: seconds of the present step that a controller was there to see.
            verdict: the last analysis, a JSON object.

        Raises:
            RolloutMoved, NotLeading, UnknownRollout.
        """
        with self._database.write() as connection:
            return moving.note(connection, seen, held=held, verdict=verdict, fence=fence)

    def approve(self, rollout: Rollout, key_text: str) -> Rollout:
        """Approves of a rollout by the text of an API key, in the name of who has it; twice is once.

        Raises:
            NotAnApprover: no key in force has this text, or its name is not among those of the plan's approvers.
            RolloutMoved: it has ended. UnknownRollout.
        """
        with self._database.write() as connection:
            return moving.approve(connection, rollout, key_text, at=self._clock())

    def beats(self) -> dict[str, int]:
        """The beats of the rollouts that run, by their ids."""
        with self._database.read() as connection:
            return rollouts.beats(connection)

    def report(self, member_id: str, evidence: Evidence) -> None:
        """Keeps what a serving agent saw of a rollout, in place of what it said before. Raises UnknownRollout."""
        with self._database.write() as connection:
            reports.report(connection, member_id, evidence)

    def evidence(self, rollout_id: str) -> Evidence:
        """What all agents together saw of a rollout, those that are gone too."""
        with self._database.read() as connection:
            return reports.total(connection, rollout_id)

    def lead(self) -> Lead | None:
        """Who moves rollouts; None: nobody ever did. One without a holder was given back, and can be taken at once."""
        with self._database.read() as connection:
            return leads.now(connection)

    def take_lead(self, holder: str, *, seen: Lead | None) -> Lead:
        """Gives the lead to `holder`, under a new fence, if it is as it was seen.

        Whoever takes it from somebody has seen it unchanged for long enough, by a monotonic clock of its own.

        Raises:
            NotLeading: it is not as it was seen.
        """
        with self._database.write() as connection:
            return leads.take(connection, holder, seen=seen)

    def keep_lead(self, lead: Lead) -> Lead:
        """Tells that the holder lives: the beat grows by 1. Raises NotLeading: it is not the holder any more."""
        with self._database.write() as connection:
            return leads.keep(connection, lead)

    def leave_lead(self, lead: Lead) -> None:
        """Gives the lead back, where it was not lost, so that the next one need not wait."""
        with self._database.write() as connection:
            leads.leave(connection, lead)
