"""What the fuzzer found once, and a few thousand changes of right requests, in each run of the suite."""

from __future__ import annotations

from pathlib import Path

import asking
import changing
import pytest

FOUND = sorted(path for path in (Path(__file__).parent / "found").iterdir() if path.name != "README.md")
CHANGES = 40
"""Of each right request."""


@pytest.fixture(scope="module")
def server():
    made = asking.Server()
    yield made
    made.close()


def test_right_requests_are_answered(server):
    said = [server.ask(seed)[0] for seed in asking.seeds(server)]
    assert len(said) > 50
    assert sum(status == 200 for status in said) > 0.9 * len(said)


def test_changed_requests_are_answered_or_refused_in_words(server):
    said = set()
    for number, seed in enumerate(asking.seeds(server)):
        for change in range(CHANGES):
            made = changing.changed(seed, 1000 * number + change)
            if made is not None:
                said.add(server.ask(made)[0])
    assert {200, 400} <= said
    assert max(said) < 500


def test_what_failed_once_does_not_fail_again(server):
    for path in FOUND:
        server.ask(path.read_bytes())


def test_a_fault_would_be_seen(server, monkeypatch):
    def broken(body, headers):
        raise RuntimeError("broken")

    seed = next(asking.seeds(server))
    target = server._app._targets[server.paths[seed[0]]]
    monkeypatch.setattr(target.codec, "read", broken)
    with pytest.raises(asking.Failed, match="RuntimeError"):
        server.ask(seed)
    server.faults.clear()
