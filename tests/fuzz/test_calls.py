"""What the fuzzer found once of gRPC, and a few hundred changes of right calls, in each run of the suite."""

from __future__ import annotations

from pathlib import Path

import calling_in
import pytest
import tampering
from asking import Failed

FOUND = sorted(path for path in (Path(__file__).parent / "found-grpc").iterdir() if path.name != "README.md")
CHANGES = 20
"""Of each right call."""


@pytest.fixture(scope="module")
def caller():
    made = calling_in.Caller()
    yield made
    made.close()


def test_right_calls_are_answered(caller):
    said = [block for seed in calling_in.seeds(caller) for block in caller.ask(seed)]
    statuses = [block["grpc-status"] for block in said if "grpc-status" in block]
    assert statuses.count("0") >= 24
    assert set(statuses) == {"0", "16"}  # who changes what is served needs a key


def test_changed_calls_are_answered_or_refused_in_words(caller):
    said = set()
    for number, seed in enumerate(calling_in.seeds(caller)):
        for change in range(CHANGES):
            made = tampering.changed(seed, 1000 * number + change)
            if made is not None:
                said |= {block.get("grpc-status") for block in caller.ask(made)}
    assert {"0", "3"} <= said


def test_what_failed_once_does_not_fail_again(caller):
    for path in FOUND:
        caller.ask(path.read_bytes())


@pytest.mark.parametrize("kind", [calling_in.MESSAGE, calling_in.WIRE])
def test_a_fault_would_be_seen(caller, kind, monkeypatch):
    def broken(message, given):
        raise RuntimeError("broken")

    for target in caller.server._app._targets.values():
        monkeypatch.setattr(target.codec, "read", broken)
    seed = next(each for each in calling_in.seeds(caller) if each[0] == kind)
    with pytest.raises(Failed, match="RuntimeError"):
        caller.ask(seed)
    caller.server.faults.clear()
