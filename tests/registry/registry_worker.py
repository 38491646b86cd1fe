"""A process that uses a registry with all its might, and tells what was acknowledged, until it is killed
or told to stop by a file.

Each line of the journal is written after its call returned, so whatever it says must be true for ever.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgspec

from mainstay.registry.errors import AliasMoved, AliasNotFound, DeploymentMoved, ModelNotFound
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.testing.drafts import draft

MODEL = "credit"


def main(stop: str, journal: str, seed: str, location: str, blobs: str | None = None) -> None:
    chance = random.Random(f"{seed}-{os.getpid()}")
    me = f"worker-{seed}-{os.getpid()}"
    with (
        Path(journal).open("ab", buffering=0) as acknowledged,
        Registry.open(location, blobs=blobs) as registry,
    ):

        def acknowledge(**fact: object) -> None:
            acknowledged.write(msgspec.json.encode({**fact, "actor": me}) + b"\n")

        turn = 0
        while not Path(stop).exists():
            turn += 1
            wish = chance.random()
            if wish < 0.4:
                graph = f"{me}-{turn}"
                added = registry.add(MODEL, draft(graph), passed=True, actor=me, summary={"turn": turn})
                acknowledge(kind="registered", version=added.number, id=added.id)
            elif wish < 0.7:
                flip(registry, me, acknowledge)
            elif wish < 0.8:
                redeploy(registry, me, acknowledge)
            else:
                look(registry)


def flip(registry: Registry, me: str, acknowledge) -> None:
    """Moves the alias to the latest version from wherever it is seen; whoever was faster wins."""
    try:
        latest = registry.version(MODEL)
    except ModelNotFound:
        return
    try:
        now: Version | None = registry.version(f"{MODEL}@live")
    except AliasNotFound:
        now = None
    try:
        registry.point(MODEL, "live", latest, expecting=now, actor=me)
    except AliasMoved:
        return
    if now is None or now.id != latest.id:
        acknowledge(kind="alias_moved", version=latest.number, before=now.number if now else None)


def redeploy(registry: Registry, me: str, acknowledge) -> None:
    try:
        latest = registry.version(MODEL)
    except ModelNotFound:
        return
    now = registry.deployment(MODEL)
    try:
        deployed = registry.deploy(latest, expecting=now.version if now else None, actor=me)
    except DeploymentMoved:
        return
    if now is None or now.version.id != latest.id:
        acknowledge(kind="deployed", version=latest.number, generation=deployed.generation)


def look(registry: Registry) -> None:
    """Nobody ever sees half a version."""
    for version in registry.versions(MODEL, limit=3) if MODEL in registry.models() else []:
        package = registry.package(version)
        assert {name: package.read(name) for name in package.manifest.files}
