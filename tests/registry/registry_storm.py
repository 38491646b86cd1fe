"""Many processes on one registry, killed at random; every fact that was acknowledged is held against it at the end."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec
import registry_worker

from mainstay.registry.records import Event
from mainstay.registry.store import Registry

HERE = Path(__file__).parent
WORKERS = int(os.environ.get("MAINSTAY_TEST_WORKERS", "32"))
KILLS = int(os.environ.get("MAINSTAY_TEST_KILLS", "20"))
"""`make storm` is the long form, with 1,000."""
ENOUGH = 100
"""Acknowledged facts, of each kind some."""


def storm(folder: Path, location: str, *, blobs: Path | None = None) -> None:
    """Lets processes use the registry at a location, and kills them at random; then holds it to what they were told.

    Args:
        folder: for their journals, and the file that stops them.
        blobs: where `location` is a URL.
    """
    place = [location, *([str(blobs)] if blobs is not None else [])]
    # In a process of its own, for what multiprocessing leaves running beside it.
    raged = subprocess.run(
        [sys.executable, "registry_storm.py", str(folder), *place],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert raged.returncode == 0, raged.stderr
    facts = journals(folder)
    with Registry.open(location, blobs=blobs) as registry:
        expect_every_fact(registry, facts)
    print(raged.stdout.strip(), "Acknowledged:", dict(Counter(fact["kind"] for fact in facts)))


def journals(folder: Path) -> list[dict[str, Any]]:
    """What was acknowledged until now: up to each last whole line, since others are writing."""
    whole = (path.read_bytes().rpartition(b"\n")[0] for path in folder.glob("journal-*"))
    return [msgspec.json.decode(line) for lines in whole for line in lines.splitlines()]


def rage(folder: Path, place: list[str]) -> None:
    """Starts the processes, kills one after the other and starts it again, and lets the last ones end.

    Each is forked from a process that has everything imported, so that it works, and is killed at work, at once.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["registry_worker", "psycopg", "sqlalchemy.dialects.postgresql.psycopg"])
    begun, chance, killed = time.monotonic(), random.Random(7), 0

    def start(seed: int) -> BaseProcess:
        worker = processes.Process(
            target=registry_worker.main, args=(str(folder / "stop"), str(folder / f"journal-{seed}"), str(seed), *place)
        )
        worker.start()
        return worker

    def enough() -> bool:
        facts = journals(folder)
        return len(facts) >= ENOUGH and len({fact["kind"] for fact in facts}) == 3

    living = {seed: start(seed) for seed in range(WORKERS)}
    try:
        while killed < KILLS or not enough():
            time.sleep(chance.uniform(0.05, 0.2))
            # Whoever ended by itself met an error, and has said which.
            assert [worker.exitcode for worker in living.values()] == [None] * WORKERS
            if killed < KILLS:
                seed = chance.choice(sorted(living))
                living[seed].kill()
                living[seed].join()
                assert living[seed].exitcode == -signal.SIGKILL
                living[seed] = start(seed)
                killed += 1
        (folder / "stop").touch()
        for worker in living.values():
            worker.join(60)
        assert [worker.exitcode for worker in living.values()] == [0] * WORKERS
    finally:
        for worker in living.values():
            worker.kill()
    print(f"{WORKERS} processes, {killed} killed, {time.monotonic() - begun:.0f} s.")


def expect_every_fact(registry: Registry, facts: list[dict[str, Any]]) -> None:
    """The registry is sound in itself, and holds whatever was acknowledged."""
    versions = registry.versions("credit", limit=1_000_000)
    events = registry.events(limit=1_000_000)
    assert [v.number for v in versions] == list(range(len(versions), 0, -1))
    ids = {v.number: v.id for v in versions}
    told: dict[str, list] = {}
    for event in events:
        told.setdefault(event.kind, []).append(event)
    # Each acknowledged operation happened once, as it was told. Of what else happened, the process was killed first.
    assert Counter(map(deed_of_fact, facts)) <= Counter(map(deed_of_event, events))
    for fact in facts:
        if fact["kind"] == "registered":
            assert ids[fact["version"]] == fact["id"]
    assert sorted(e.version for e in told["registered"]) == sorted(ids)
    # Each move begins where the one before it ended: no update was lost.
    moves = told["alias_moved"]
    assert [e.evidence["from"] for e in moves] == [None, *(e.version for e in moves[:-1])]
    assert registry.version("credit@live").number == moves[-1].version
    deployed = told["deployed"]
    assert [e.evidence["from"] for e in deployed] == [None, *(e.version for e in deployed[:-1])]
    assert [e.evidence["generation"] for e in deployed] == list(range(1, len(deployed) + 1))
    assert registry.generation() == len(deployed)
    for version in versions:
        package = registry.package(version)
        for name in package.manifest.files:
            package.read(name)


def deed_of_fact(fact: dict[str, Any]) -> tuple[Any, ...]:
    """What a worker was told: a move with where it began, a deployment with its generation."""
    return fact["kind"], fact["actor"], fact["version"], fact.get("before"), fact.get("generation")


def deed_of_event(event: Event) -> tuple[Any, ...]:
    """The same, as the registry has it."""
    before = event.evidence["from"] if event.kind == "alias_moved" else None
    generation = event.evidence["generation"] if event.kind == "deployed" else None
    return event.kind, event.actor, event.version, before, generation


if __name__ == "__main__":
    rage(Path(sys.argv[1]), sys.argv[2:])
