"""Answers by a candidate or by the stable version, as a trial has it.

Whatever happens to the candidate, its callers have an answer of the stable version: where the candidate fails, refuses
or takes its time, that one answers in its place, and the candidate is charged with it all the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter

from mainstay.models.answers import Answers
from mainstay.serving.evidence_slots import CANDIDATE, STABLE
from mainstay.serving.patience import Caller, CallerGone, is_done
from mainstay.serving.plane import LONGEST_WAIT, Plane, Target
from mainstay.serving.protocols.codec import Given, Reply
from mainstay.serving.seen import Seen
from mainstay.serving.splitting import key_of_header, place_of_key
from mainstay.serving.trials import Trial
from mainstay.serving.walks import Request, Walk


@dataclass(frozen=True)
class Split:
    """Answers the requests of one path by one of two versions."""

    plane: Plane
    trial: Trial
    stable: Target
    candidate: Target
    late: set[asyncio.Future[Answers]]
    """Candidates that are still computing while their callers have had the other's answers."""

    async def answer(
        self, body: bytes, given: Given, *, timeout: float | None = None, caller: Caller | None = None
    ) -> Reply:
        """As `Plane.answer`."""
        trial, tracer = self.trial, self.plane.tracer
        if not trial.open:
            return await self.plane.answer(self.stable, body, given, timeout=timeout, caller=caller)
        chosen = not trial.is_sticky and trial.draw()
        if not (chosen or trial.is_sticky or trial.is_shadow):
            return await self._by_stable_alone(body, given, timeout, caller)
        request = Request(body, given, timeout, caller, None if tracer is None else tracer.begin(given))
        ours = Walk(self.plane, self.stable, request)
        if trial.is_sticky:
            chosen, counted = await self._chosen(ours), request.key is not None
        elif trial.is_shadow:
            return await self._by_stable(ours, counted=chosen)
        else:
            counted = True
        if chosen:
            theirs = Walk(self.plane, self.candidate, request)
            reply = await self._by_candidate(theirs, ours, counted=counted)
            if reply is not None:
                return self._traced(theirs, reply)
        # A request that the candidate was to answer is its own, whoever answers it.
        return await self._by_stable(ours, counted=counted and not chosen)

    async def _chosen(self, ours: Walk) -> bool:
        """Whether a caller's key gives him the candidate. Who has no key stays where he was, and says nothing of either
        version."""
        trial, key = self.trial, None
        if trial.key_of_field is None:
            key = key_of_header(ours.request.given.get(trial.wish.header or ""))
        else:
            try:
                key = trial.key_of_field((await ours.read()).cells)
            except Exception:  # noqa: BLE001 - the stable version will meet it again, and answer it
                key = None
        if key is None:
            return False
        ours.request.key = place_of_key(trial.wish.rollout, key)
        return trial.has(ours.request.key)

    async def _by_stable_alone(self, body: bytes, given: Given, timeout: float | None, caller: Caller | None) -> Reply:
        """As `_by_stable`, where nothing is read yet and nobody asks for a copy: most requests, and the same steps in
        half the time."""
        trial, seen, begun = self.trial, Seen(), perf_counter()
        try:
            return await self.plane.answer(self.stable, body, given, timeout=timeout, caller=caller, seen=seen)
        finally:
            if seen.error is None and seen.identity is not None:
                trial.took(perf_counter() - begun)
            trial.count(STABLE, seen)

    async def _by_stable(self, walk: Walk, *, counted: bool) -> Reply:
        trial, request = self.trial, walk.request
        try:
            await walk.read()
            walk.ask_now()
            if walk.answers is None:
                await walk.ask_later(request.caller)
            reply = await walk.write()
        except asyncio.CancelledError:
            if counted:
                trial.count(STABLE, walk)
            raise
        except Exception as error:  # noqa: BLE001 - every error has an answer
            walk.error = error
            reply = self.plane.refuse(self.stable, error, rows=walk.rows, seconds=request.seconds)
        else:
            seconds = request.seconds
            self.stable.counted.answered(200, rows=walk.rows, seconds=seconds)
            trial.took(seconds)
        if counted:
            copied = not trial.is_shadow or trial.copies.start(lambda: self._shadow(walk))
            if copied:
                trial.count(STABLE, walk)
            else:
                trial.counts.dropped()
        return self._traced(walk, reply)

    async def _by_candidate(self, walk: Walk, ours: Walk, *, counted: bool) -> Reply | None:
        """The candidate's answer; None: it has none, or is late."""
        trial, request = self.trial, walk.request
        waiting: asyncio.Future[Answers] | None = None
        reply: Reply | None = None
        try:
            await walk.read()
            walk.ask_now()
            if walk.answers is None:
                deadline = walk.deadline()
                left = deadline - asyncio.get_running_loop().time()
                waiting = walk.asking(deadline)
                if not await is_done(waiting, min(trial.patience, left / 2), request.caller):
                    return None
                walk.take(waiting.result())
            walk.check()
            reply = await walk.write()
        except CallerGone as error:
            reply = self.plane.refuse(self.candidate, error, rows=walk.rows, seconds=request.seconds)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stable version answers
            walk.error = error
        finally:
            if waiting is not None and not waiting.done():
                self._leave(walk, waiting, counted=counted)
            elif counted:
                trial.count(CANDIDATE, walk)
        if reply is not None and reply.status == 200:
            seconds = request.seconds
            self.candidate.counted.answered(200, rows=walk.rows, seconds=seconds)
            trial.took(seconds)
            if counted and trial.wish.mode != "watch" and trial.compares(request.key):
                trial.copies.start(lambda: self._compare(walk, ours))
        return reply

    def _leave(self, walk: Walk, waiting: asyncio.Future[Answers], *, counted: bool) -> None:
        """Nobody waits for the candidate's answer any more; what comes of it is counted all the same, when it comes."""
        walk.trace = None
        tally = self.trial.tally(walk.key)
        new = counted and tally.asked(CANDIDATE)

        def end(waiting: asyncio.Future[Answers]) -> None:
            self.late.discard(waiting)
            if not waiting.cancelled():
                try:
                    walk.take(waiting.result())
                    walk.check()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the candidate's
                    walk.error = error
            if counted:
                self.trial.conclude(CANDIDATE, walk, tally, new=new)
            self.trial.took(walk.request.seconds)

        self.late.add(waiting)
        waiting.add_done_callback(end)

    async def _shadow(self, ours: Walk) -> None:
        """Asks the candidate what the stable version was asked, whose answer is on its way."""
        walk = Walk(self.plane, self.candidate, ours.request, ours.asked if self.trial.same else None)
        walk.trace, walk.identity = None, ours.identity
        try:
            await walk.read()
            walk.ask_now()
            if walk.answers is None:
                await walk.ask_later(None)
            walk.check()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the candidate's
            walk.error = error
        self.trial.count(CANDIDATE, walk)
        if ours.answers is not None and walk.answers is not None and walk.error is None:
            self.trial.compare(ours.answers, walk.answers)

    async def _compare(self, theirs: Walk, ours: Walk) -> None:
        """Asks the stable version for the first row that the candidate has answered; where it has no answer there is
        nothing to compare."""
        ours.trace = None
        place = self.trial.stable.place
        try:
            asked = theirs.asked if self.trial.same else await ours.read()
            if asked is None or theirs.answers is None or not len(asked.cells):
                return
            row = asked.cells.rows(slice(0, 1))
            answers = place.now(row, 1)
            if answers is None:
                answers = await place.later(row, asyncio.get_running_loop().time() + LONGEST_WAIT)
        except Exception:  # noqa: BLE001 - its callers are told what is wrong with the stable version
            return
        self.trial.compare(answers, theirs.answers)

    def _traced(self, walk: Walk, reply: Reply) -> Reply:
        """Ends the trace of a request that has its answer."""
        if walk.trace is not None and self.plane.tracer is not None:
            of, protocol = walk.target.loaded, walk.target.dialect.name
            self.plane.tracer.end(
                walk.trace, model=of.model, version=of.version, protocol=protocol, status=reply.status, rows=walk.rows
            )
        return reply
