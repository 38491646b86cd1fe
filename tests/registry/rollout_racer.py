"""A process that takes the lead of others' whenever it likes, and moves a rollout with it, until a file stops it.

It goes on writing with a lead that it has lost: what it is told of each write, it notes after the call returned.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import msgspec

from mainstay.registry.changes import Change
from mainstay.registry.errors import NotLeading, RolloutMoved
from mainstay.registry.records import Lead
from mainstay.registry.store import Registry

STATES = ("progressing", "paused")


def main(stop: str, journal: str, location: str, blobs: str) -> None:
    chance = random.Random(journal)
    with Path(journal).open("ab", buffering=0) as noted, Registry.open(location, blobs=blobs) as registry:

        def note(**fact: object) -> None:
            noted.write(msgspec.json.encode(fact) + b"\n")

        lead: Lead | None = None
        while not Path(stop).exists():
            if lead is None or chance.random() < 0.1:
                seen = registry.lead()
                try:
                    lead = registry.take_lead(journal, seen=seen)
                except NotLeading:
                    continue
                now = registry.rollout("credit")
                assert now is not None
                note(taken=lead.fence, revision=now.revision)
            now = registry.rollout("credit")
            assert now is not None
            share = chance.randrange(10_000)
            change = Change(state=chance.choice(STATES), step=0, mode="split", share=share)
            try:
                moved = registry.move_rollout(
                    now, change, actor=journal, why="a race", evidence={"share": share}, fence=lead.fence
                )
            except NotLeading:
                note(refused=lead.fence)
                lead = None if chance.random() < 0.5 else lead
            except RolloutMoved:
                continue
            else:
                note(moved=lead.fence, revision=moved.revision, share=share)


if __name__ == "__main__":
    main(*sys.argv[1:])
