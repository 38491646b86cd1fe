"""Versions change under load: every request is answered, rightly, and the memory of the one before comes back.

`make swap` runs the same with 500,000 requests and 200 changes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
from callers import calling
from live import serving, until
from subjects import SECONDS, good, loan

from mainstay.models.formats.onnx import OnnxRunner
from mainstay.registry.store import Registry

REQUESTS = int(os.environ.get("MAINSTAY_TEST_REQUESTS", "2000"))
CHANGES = max(4, REQUESTS // 2500)
SETTLED, ROOM = 20, 24 << 20
"""Changes after which memory has its size; bytes that it may grow by from there on: 200 versions would take more."""


def test_memory_returns_when_a_version_is_swapped_two_hundred_times():
    """In a process of its own, so that what is measured is of the swaps alone."""
    script = Path(__file__).with_name("swapped.py")
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    sizes = [int(line) for line in said.split()]
    assert len(sizes) == 200
    assert max(sizes[SETTLED:]) <= max(sizes[:SETTLED]) + ROOM


def test_a_loaded_model_does_not_keep_its_file_in_memory():
    package = loan().package()
    graph = bytes(bytearray(package.read("model.onnx")))
    before = sys.getrefcount(graph)
    runner = OnnxRunner(graph, package.signature)
    assert sys.getrefcount(graph) == before
    del runner


def test_no_request_fails_while_versions_change(tmp_path):
    right = {f"loan:{number}": good(1200.5, 1, True, SECONDS, number - 1.0) for number in (1, 2)}
    with serving(tmp_path, ("loan", loan()), options=("--workers", "2")) as server:
        server.add("loan", loan(shift=1.0), deploy=False)
        sizes: list[int] = []
        with Registry.open(tmp_path / ".mainstay") as registry, calling(server.port, right) as callers:
            until(lambda: callers.count)
            changes = 0
            while changes < CHANGES or callers.count < REQUESTS:
                before, now = registry.version(f"loan:{1 + changes % 2}"), registry.version(f"loan:{2 - changes % 2}")
                registry.deploy(now, expecting=before, actor="test")
                assert server.settled("loan") == {}
                changes += 1
                asked = callers.count
                until(lambda asked=asked: callers.count > asked + REQUESTS // CHANGES // 2)
                sizes.append(sum(worker.memory_info().rss for worker in server.workers()))
        assert [worker for worker in server.workers() if worker.status() == psutil.STATUS_ZOMBIE] == []
    print(f"\n{callers.count:,} requests, {changes} changes of version, {len(callers.failed)} failures.")
    print(f"{dict(callers.answered)}; memory of two workers: {sizes[0] >> 20} MB first, {sizes[-1] >> 20} MB last")
    assert callers.failed == []
    assert callers.refused == 0
    assert min(callers.answered[version] for version in right) > 0
    assert max(sizes[SETTLED:], default=0) <= max(sizes[:SETTLED]) + ROOM
