"""Many processes on one registry, killed at random; every fact that was acknowledged is held against it at the end."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mainstay.registry.store import Registry

HERE = Path(__file__).parent
WORKERS = int(os.environ.get("MAINSTAY_TEST_WORKERS", "8"))
KILLS = int(os.environ.get("MAINSTAY_TEST_KILLS", "40"))
"""The long form is 32 workers and 1,000 kills."""
ENOUGH = 100


def storm(folder: Path, location: str, *, blobs: Path | None = None) -> None:
    """Lets processes use the registry at a location, and kills them at random; then holds it to what they were told.

    Args:
        folder: for their journals, and the file that stops them.
        blobs: where `location` is a URL.
    """
    chance, place = random.Random(7), [location, *([str(blobs)] if blobs is not None else [])]

    def start(seed: int) -> subprocess.Popen[bytes]:
        arguments = [str(folder / "stop"), str(folder / f"journal-{seed}"), str(seed), *place]
        return subprocess.Popen([sys.executable, "registry_worker.py", *arguments], cwd=HERE, stderr=subprocess.PIPE)

    def acknowledged() -> list[dict[str, Any]]:
        # Up to the last whole line: others are writing.
        whole = (path.read_bytes().rpartition(b"\n")[0] for path in folder.glob("journal-*"))
        return [msgspec.json.decode(line) for lines in whole for line in lines.splitlines()]

    def enough(facts: list[dict[str, Any]]) -> bool:
        return len(facts) >= ENOUGH and len({fact["kind"] for fact in facts}) == 3

    living, killed = {seed: start(seed) for seed in range(WORKERS)}, 0
    try:
        while killed < KILLS or not enough(acknowledged()):
            time.sleep(chance.uniform(0.05, 0.2))
            for worker in living.values():
                if worker.poll() is not None:
                    pytest.fail(worker.communicate()[1].decode())
            if killed < KILLS:
                seed = chance.choice(sorted(living))
                living[seed].kill()
                assert living[seed].communicate()[1] == b""
                living[seed] = start(seed)
                killed += 1
        (folder / "stop").touch()
        said = [worker.communicate(timeout=60)[1].decode() for worker in living.values()]
        assert said == [""] * WORKERS
        assert {worker.returncode for worker in living.values()} == {0}
    finally:
        for worker in living.values():
            worker.kill()
            worker.wait()
            assert worker.stderr is not None
            worker.stderr.close()
    with Registry.open(location, blobs=blobs) as registry:
        expect_every_fact(registry, acknowledged())


def expect_every_fact(registry: Registry, facts: list[dict[str, Any]]) -> None:
    """The registry is sound in itself, and holds whatever was acknowledged."""
    versions = registry.versions("credit", limit=1_000_000)
    events = registry.events(limit=1_000_000)
    assert [v.number for v in versions] == list(range(len(versions), 0, -1))
    ids = {v.number: v.id for v in versions}
    told: dict[str, list] = {}
    for event in events:
        told.setdefault(event.kind, []).append(event)
    happened = {(event.kind, event.actor, event.version) for event in events}
    for fact in facts:
        assert (fact["kind"], fact["actor"], fact["version"]) in happened
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
