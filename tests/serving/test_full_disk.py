"""A disk that gets full while a server runs ends nothing that answers, and what it kept from being written is later."""

from __future__ import annotations

import asyncio
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from subjects import loan
from test_access import bearer, grant, new_id, new_text

from mainstay.registry.key_text import hashed, id_of
from mainstay.registry.local import LocalCopies
from mainstay.registry.store import Registry
from mainstay.serving import evidence_slots, metrics, rates, routing, trying
from mainstay.serving.access import FILE, Grants, write_grants
from mainstay.serving.agent import Agent, Backing
from mainstay.serving.follower import Follower
from mainstay.serving.guard import Guard
from mainstay.serving.launch import Allowed
from mainstay.serving.protocols.codec import PREDICT, Problem
from mainstay.serving.routing import Candidate, Placed, Route, Table, write_table
from mainstay.serving.telling_keys import KeysTold
from mainstay.serving.trying import Trials


class Said(list):
    def __call__(self, kind, message, **facts):
        self.append((kind, message))


def blocks(path: Path) -> int:
    """Bytes that a file really has on the disk."""
    return path.stat().st_blocks * 512


def test_no_counter_waits_for_room_on_the_disk(tmp_path):
    """A page of a mapped file that has no room is a signal, and the end of its process."""
    metrics.Slots(tmp_path / "0.slots")
    rates.Rates(tmp_path)
    assert blocks(tmp_path / "0.slots") >= metrics.SLOT * metrics.SLOTS
    assert blocks(tmp_path / rates.FILE) >= 8 * rates.SLOTS


@contextmanager
def agent_of_loan(folder, run, said):
    """The agent of a server that has loan:1 to serve, and does what it is told to, step by step."""
    with Registry.open(folder / "state") as registry:
        version = registry.add("loan", loan(), passed=True, actor="test", summary={})
        registry.deploy(version, expecting=None, actor="test")
        nothing = Allowed(environments=folder)
        backing = Backing(registry=registry, allowed=lambda: nothing)
        with closing(Agent(backing, run, folder / "cache", url="", human=False, timeout=9, log=said)) as agent:
            yield agent


def test_a_table_and_its_acknowledgement_are_written_as_soon_as_they_can_be(tmp_path):
    said, run = Said(), tmp_path / "run"
    run.mkdir()
    with agent_of_loan(tmp_path, run, said) as agent:
        (run / routing.TABLE).mkdir()  # as little to be written as on a full disk
        agent.step()
        agent.step()
        assert [kind for kind, _ in said] == ["registry_away"]
        (run / routing.TABLE).rmdir()
        agent.step()

    async def follow() -> None:
        follower = Follower(run, worker=0, log=said)
        (run / routing.ACKS).write_bytes(b"")
        await follower.catch_up()
        await follower.catch_up()
        assert list(follower.serving) == ["loan"]
        assert [kind for kind, _ in said][-2:] == ["loaded", "unheard"]
        (run / routing.ACKS).unlink()
        await follower.catch_up()

    asyncio.run(follow())
    assert [each.serving for each in routing.acknowledgements(run)] == [{"loan": "loan:1"}]


def test_a_trial_that_there_was_no_room_for_begins_as_soon_as_there_is_some(tmp_path, monkeypatch):
    said, run, at = Said(), tmp_path / "state" / "run" / "1", [0.0]
    monkeypatch.setattr(trying, "time", SimpleNamespace(monotonic=lambda: at[0]))
    run.mkdir(parents=True)
    with Registry.open(tmp_path / "state") as registry:
        placed = {}
        for shift in (0.0, 1.0):
            version = registry.add("loan", loan(shift=shift), passed=True, actor="test", summary={})
            placed[version.ref] = Placed(version=version.ref, manifest=registry.package(version).manifest)
        blobs = str(LocalCopies(registry.blobs, tmp_path / "cache").folder.root)
    wish = Candidate(rollout="r1", version="loan:2", mode="split", share=1000, lease=0)
    route = Route(stable="loan:1", candidate=wish)
    write_table(run, Table(generation=1, blobs=blobs, routes={"loan": route}, versions=placed))

    async def follow() -> None:
        follower = Follower(run, worker=0, log=said)
        await follower.catch_up()
        trials = Trials(follower, said)
        (run / evidence_slots.FOLDER).touch()  # as little room for a folder as on a full disk
        assert trials.now() == []
        for pause in (1.0, 2.0, 4.0, 8.0):
            at[0] += pause - 0.1
            assert not trials.due
            at[0] += 0.1
            assert trials.due
            assert trials.now() == []
        (run / evidence_slots.FOLDER).unlink()
        at[0] += 60.0
        assert trials.due
        (trial,) = trials.now()
        assert trial.share == 1000
        assert not trials.due

    asyncio.run(follow())
    assert [message for kind, message in said if kind == "refused"] == [
        "loan:2 gets no requests: what it does could not be counted (Not a directory)."
    ]


def test_a_key_whose_rate_cannot_be_counted_is_told_to_come_again(tmp_path):
    text = new_text(new_id())
    limited = grant(text, rate=1.0, burst=1)
    write_grants(tmp_path, Grants(closed=True, grants={limited.id: limited}))
    (tmp_path / rates.FILE).mkdir()
    guard = Guard(tmp_path, log=Said())
    with pytest.raises(IsADirectoryError):
        guard.look()
    with pytest.raises(Problem) as refused:
        guard.require(bearer(text), PREDICT, "loan")
    assert refused.value.status == 503
    (tmp_path / rates.FILE).rmdir()
    guard.look()
    assert guard.require(bearer(text), PREDICT, "loan") is not None


def test_a_key_that_shuts_somebody_out_does_so_at_once_on_a_full_disk(small_disk, tmp_path):
    run = small_disk / "run"
    run.mkdir()
    guard = Guard(run, log=Said())

    def said(headers) -> int:
        guard.look()
        try:
            guard.require(headers, PREDICT, "loan")
        except Problem as problem:
            return problem.status
        return 200

    def fill() -> None:
        with (small_disk / "filler").open("ab", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass

    with Registry.open(tmp_path / "state") as registry:

        def key(name: str):
            text = new_text(new_id())
            registry.keys.create(id_of(text) or "", name, sha256=hashed(text), actor="test")
            return bearer(text)

        keys = KeysTold(registry.keys, run)
        keys.tell()
        assert said({}) == 200
        fill()
        mine = key("first")
        keys.tell()  # there is room for it, which was held
        assert (said({}), said(mine)) == (401, 200)
        fill()
        theirs = key("second")
        with pytest.raises(OSError, match="No space"):
            keys.tell()
        assert (said({}), said(mine), said(theirs)) == (401, 200, 401)  # nobody is shut out: it can wait
        registry.keys.revoke("first", actor="test", reason="lost")
        with pytest.raises(OSError, match="No space"):
            keys.tell()
        assert (said({}), said(mine), said(theirs)) == (503, 503, 503)
        assert guard.knows
        (small_disk / "filler").unlink()
        keys.tell()
        assert (said({}), said(mine), said(theirs)) == (401, 401, 200)


def test_keys_that_cannot_be_written_keep_nothing_else_waiting(tmp_path):
    said, run = Said(), tmp_path / "run"
    run.mkdir()
    (run / FILE).mkdir()
    with agent_of_loan(tmp_path, run, said) as agent:
        agent.step()
        assert routing.read_table(run).routes.keys() == {"loan"}
    assert [kind for kind, _ in said] == ["routed", "registry_away"]
