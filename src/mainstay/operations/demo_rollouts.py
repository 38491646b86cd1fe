"""The end of `mainstay demo`: a broken version is caught by its evidence and rolled back, a sound one let through."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np

from mainstay.errors import CheckFailed
from mainstay.operations.background import Running
from mainstay.operations.home import state_of
from mainstay.operations.making import by_search
from mainstay.operations.planning import Wishes
from mainstay.operations.preparing import Prepared
from mainstay.operations.publishing import Trained, publish
from mainstay.operations.registries import opened
from mainstay.operations.rollouts import Started, deploy_as_planned
from mainstay.operations.standing import RolloutNow, rollout_now
from mainstay.operations.training import command_line, settings_of
from mainstay.operations.watching import Silent, Watcher
from mainstay.project_rollout import RolloutChecks, RolloutTable
from mainstay.registry.locks import train_lock
from mainstay.registry.plans import percent

CHECKS = RolloutTable(checks=RolloutChecks(changed=0.15, least=50))
"""At most 15 % of the rows may be answered otherwise; of these tumours, sound versions differ in 5 % or less."""
CANARY = Wishes(strategy="canary", steps="10,50,100", hold="2s")
CALLERS = 2
PAUSE = 0.002
"""Seconds between two requests of a caller: enough of them for evidence, and time for all else on a small machine."""
LOOK = 0.1
WITHIN = 300.0
"""Seconds after which a rollout that goes nowhere is no demonstration."""


class RolloutWentWrong(CheckFailed):
    """A rollout did not end as it should, or callers noticed it."""


def roll_out(prepared: Prepared, stable: Trained, server: Running, watch: Watcher) -> tuple[str, str]:
    """Rolls out a version that was trained on shuffled labels, then a sound one, while callers ask.

    Returns:
        The broken version and the sound one.

    Raises:
        RolloutWentWrong: the broken one was not rolled back, the sound one was, or a caller got no answer.
    """
    folder = prepared.folder
    sound = "linear" if "forest" in stable.description else "random_forest"
    with opened(folder) as registry, train_lock(state_of(folder)):
        worse, better = (
            publish(
                registry,
                prepared,
                by_search(
                    shuffled(prepared) if broken else prepared,
                    settings_of(
                        msgspec.structs.replace(prepared.project.search, candidates=(family,)), budget=None, trials=1
                    ),
                    watch=Silent(),
                    stop=threading.Event(),
                ),
                command=command_line(),
                watch=Silent(),
                explain=False,
            )
            for broken, family in ((True, "decision_tree"), (False, sound))
        )
    rows = records(prepared)
    gate = "Its gate says yes" if worse.passed else "Its gate says no, and an override puts it through all the same"
    watch.note(f"6. A broken version: {worse.version}, trained on shuffled labels. {gate}:")
    watch.note(f"   as a canary, with 10 % of the traffic, while {CALLERS} callers ask.")
    with calling(server, rows) as asked:
        ended = _rolled_out(folder, worse, server, watch, override=True)
        _expect(ended, "rolled_back", asked)
        watch.note(f"   Rolled back by itself: {ended.why}")
        ours, theirs = ended.counts["candidate"], ended.counts["stable"]
        watch.note(
            f"   It had answered {ours.requests:,} of {ours.requests + theirs.requests:,} requests; none failed."
        )
        watch.note(f"7. A sound version: {better.version}, {better.description}; the same way.")
        ended = _rolled_out(folder, better, server, watch, override=False)
        _expect(ended, "completed", asked)
        watch.note(
            f"   {better.version} answers now. Of {asked.sent:,} requests of the callers, {asked.failed} failed."
        )
    return worse.version, better.version


def shuffled(prepared: Prepared) -> Prepared:
    """The same rows, with the labels of the training rows in another order."""
    y = prepared.target.y.copy()
    train = prepared.train
    y[train] = np.random.default_rng(prepared.project.seed).permutation(y[train])
    return replace(prepared, target=replace(prepared.target, y=y))


def records(prepared: Prepared) -> list[bytes]:
    """The held-out rows, as bodies of requests."""
    frame = prepared.table.frame.iloc[prepared.test].drop(columns=[prepared.project.target])
    return [
        json.dumps({str(name): float(value) for name, value in record.items()}).encode()
        for record in frame.to_dict("records")
    ]


class Asked:
    """What callers sent, and got."""

    def __init__(self) -> None:
        self.sent = self.failed = 0
        self.lock = threading.Lock()

    def count(self, *, well: bool) -> None:
        with self.lock:
            self.sent += 1
            self.failed += not well


@contextmanager
def calling(server: Running, bodies: Sequence[bytes]) -> Iterator[Asked]:
    """Callers that ask a server for as long as the block runs, each over a connection of its own."""
    stop, asked, where = threading.Event(), Asked(), urlsplit(server.url)

    def call(first: int) -> None:
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
        at = first
        while not stop.wait(PAUSE):
            try:
                connection.request("POST", "/predict", bodies[at % len(bodies)], {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                asked.count(well=answer.status == http.client.OK)
            except (OSError, http.client.HTTPException):
                asked.count(well=False)
                connection.close()
            at += CALLERS
        connection.close()

    callers = [threading.Thread(target=call, args=(first,), daemon=True) for first in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield asked
    finally:
        stop.set()
        for caller in callers:
            caller.join()


def _rolled_out(folder: Path, trained: Trained, server: Running, watch: Watcher, *, override: bool) -> RolloutNow:
    """Starts a rollout, tells each of its moves, and waits for its end."""
    reason = "mainstay demo" + (", to show what a rollout does about it" if override else "")
    started = deploy_as_planned(folder, trained.version, CANARY, reason=reason, override=override, said=CHECKS)
    assert isinstance(started, Started)
    until, before = time.monotonic() + WITHIN, ("", 0)
    with opened(folder) as registry:
        while time.monotonic() < until:
            server.check()
            known = registry.rollouts(trained.version.partition(":")[0])
            found = next(each for each in known if each.id == started.rollout)
            if (found.state, found.step) != before:
                share = f", {percent(found.share):g} % of the traffic" if found.mode == "split" else ""
                watch.note(f"   {found.state.replace('_', ' ')}{share}")
                before = found.state, found.step
            if not found.active:
                return rollout_now(found, registry.evidence(found.id))
            time.sleep(LOOK)
    raise RolloutWentWrong(f"The rollout of {trained.version} had not ended within {WITHIN:g} s: see {server.log}.")


def _expect(ended: RolloutNow, state: str, asked: Asked) -> None:
    if ended.state != state:
        raise RolloutWentWrong(f"The rollout of {ended.candidate} should be {state}, and is {ended.state}: {ended.why}")
    if asked.failed:
        raise RolloutWentWrong(
            f"{asked.failed} of {asked.sent} requests failed during the rollout of {ended.candidate}."
        )
