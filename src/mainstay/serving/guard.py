"""Holds the requests of one worker to the keys that there are, whichever port they come to."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from mainstay.registry.records import KeyVerb
from mainstay.serving.access import (
    FILE,
    NOBODY,
    Caller,
    Grant,
    Grants,
    allows,
    expired,
    good_until,
    key_in,
    known,
    no_key,
    not_allowed,
    read_grants,
    withheld,
    wrong_key,
)
from mainstay.serving.logs import Log, place_of
from mainstay.serving.protocols.codec import AGAIN, MANAGE, PREDICT, Given, Need, Problem
from mainstay.serving.rates import Rates

LOOK_EVERY = 0.05
"""Seconds between two looks at the keys."""
REMEMBERED = 1024
"""Headers of callers who were found right, and models of a key, that are not worked out again."""

_WITHHELD = (-1, -1)
"""In place of the mark of the agent's file, when that was taken away."""


class _Found:
    """A caller's header, once its key was found right."""

    __slots__ = ("allowed", "caller", "grant", "until")

    def __init__(self, grant: Grant, until: float) -> None:
        self.grant, self.until, self.caller = grant, until, grant.caller
        self.allowed: set[tuple[KeyVerb, str | None]] = set()


class Guard:
    """Asked before every request; knows what the agent of the machine wrote last."""

    def __init__(self, run: Path, *, log: Log, clock: Callable[[], float] = time.time) -> None:
        """Until it has looked once, it lets nobody in."""
        self._run, self._log, self._clock = run, log, clock
        self._mark: tuple[int, int] | None = None
        self._rates: Rates | None = None
        self._learn(NOBODY)

    @property
    def knows(self) -> bool:
        """Whether it has looked at what the agent wrote."""
        return self._mark is not None

    def require(self, headers: Given, verb: KeyVerb, model: str | None = None) -> Caller | None:
        """Who asks, if he may do it; None: anybody, as no key is needed.

        Args:
            headers: of the request (or the metadata of a call), names in lower case.
            model: whose; None stands for every model, `access.SERVER` for what tells of none.

        Raises:
            Problem: 401, he shows no key or a wrong one; 403, his key is for something else; 429, he asks too often.
        """
        if self.open and verb != MANAGE:
            return None
        found = self._recognised(headers, verb, model)
        if (verb, model) not in found.allowed:
            self._allow(found, Need(verb, model))
        if found.grant.rate is not None:
            self._take(found.grant, found.grant.rate)
        return found.caller

    def recognise(self, headers: Given) -> None:
        """Refuses whoever would be refused whatever he asked for, before anything of his is taken in.

        Raises:
            Problem: 401, he shows no key or a wrong one.
        """
        if not self.open:
            self._recognised(headers, PREDICT, None)

    def _recognised(self, headers: Given, verb: KeyVerb, model: str | None) -> _Found:
        authorization = headers.get("authorization")
        found = self._bearers.get(authorization)
        if found is None:
            found = self._find(authorization, headers.get("x-api-key"), Need(verb, model))
        if self._clock() >= found.until:
            raise expired(found.grant)
        return found

    def look(self) -> None:
        """Learns what the agent wrote, if that is news."""
        try:
            state = os.stat(self._run / FILE)  # noqa: PTH116 - no Path: asked for all the time
        except FileNotFoundError:
            if self._mark not in (None, _WITHHELD):  # somebody is to be shut out, and there was no room to say who
                self._learn(NOBODY)
                self._mark = _WITHHELD
            return
        now = state.st_ino, state.st_mtime_ns
        if now != self._mark:
            self._learn(read_grants(self._run))
            self._mark = now

    async def keep_up(self) -> None:
        """Looks for ever; a fault is told and survived, with the keys as they were."""
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - what answers must go on answering
                self._log("fault", f"Following the keys failed with {place_of(error)}.", level="error")
                await asyncio.sleep(1.0)
            await asyncio.sleep(LOOK_EVERY)

    def _learn(self, grants: Grants) -> None:
        self.open = not grants.closed
        """Whether whoever has no key may predict and read."""
        self._grants = grants
        self._bearers: dict[str | None, _Found] = {}
        self._shown: dict[str | None, _Found] = {}
        if self._rates is None and any(grant.rate is not None for grant in grants.grants.values()):
            self._rates = Rates(self._run)

    def _find(self, authorization: str | None, x_api_key: str | None, need: Need) -> _Found:
        """The key that a caller shows, and may show again without its being worked out.

        Raises:
            Problem: he shows none, or a wrong one.
        """
        if self._mark == _WITHHELD:
            raise withheld()
        text = key_in(authorization, x_api_key)
        if text is None:
            raise no_key(need, self._grants)
        found = self._shown.get(text)
        if found is None:
            right = known(self._grants, text)
            if right is None:
                raise wrong_key()
            found = _Found(right[0], good_until(*right))
            _remember(self._shown, text, found)
        if key_in(authorization, None) == text:
            _remember(self._bearers, authorization, found)
        return found

    def _allow(self, found: _Found, need: Need) -> None:
        if not allows(found.grant, need):
            raise not_allowed(found.grant, need)
        if len(found.allowed) >= REMEMBERED:
            found.allowed.clear()
        found.allowed.add((need.verb, need.model))

    def _take(self, grant: Grant, rate: float) -> None:
        if self._rates is None:  # its file could not be made yet
            raise Problem(503, "Rates cannot be counted now: the disk may be full.", headers=[AGAIN])
        wait = self._rates.take(grant.slot, rate, grant.burst, now=time.monotonic())
        if wait:
            raise Problem(
                429,
                f"The API key {grant.name!r} is for {rate:g} requests a second: ask again in {wait:.3g} seconds.",
                headers=[("retry-after", str(math.ceil(wait)))],
            )


def _remember(where: dict[str | None, _Found], header: str | None, found: _Found) -> None:
    if len(where) >= REMEMBERED:
        where.clear()
    where[header] = found
