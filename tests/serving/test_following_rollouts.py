"""What an agent does for rollouts, whatever becomes of the registry."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace

import pytest
from subjects import loan

from mainstay.errors import MachineError
from mainstay.registry.errors import UnknownRollout
from mainstay.registry.evidence import Evidence
from mainstay.serving import candidates, metrics
from mainstay.serving.candidates import Candidates
from mainstay.serving.ends import Ends
from mainstay.serving.evidence_slots import CANDIDATE, Counts
from mainstay.serving.leases import Lease
from mainstay.serving.predictions.labelling import Labelling
from mainstay.serving.routing import Candidate, Placed, Route, Table


class Registry:
    """Takes reports, and gives beats that grow; away while it is told to be."""

    def __init__(self) -> None:
        self.beat, self.away, self.told = 0, False, list[Evidence]()
        self.known = {"r1"}

    def beats(self) -> dict[str, int]:
        self._check()
        self.beat += 1
        return dict.fromkeys(self.known, self.beat)

    def report(self, member_id: str, evidence: Evidence) -> None:
        assert member_id == "me"
        self._check()
        if evidence.rollout not in self.known:
            raise UnknownRollout(evidence.rollout)
        self.told.append(evidence)

    def _check(self) -> None:
        if self.away:
            raise MachineError("away")


class Hosts:
    """Of a machine on which the candidate's host died now and then."""

    deaths = 2

    def lost(self, version: str) -> int:
        assert version == "loan:2"
        return self.deaths

    def pids(self) -> dict[str, int]:
        return {}


def table(mode="split", share=1000, model="loan", *, stable="loan:1", candidate="loan:2") -> Table:
    wish = Candidate(rollout="r1", version=candidate, mode=mode, share=share, lease=0)
    placed = {ref: Placed(version=ref, manifest=loan().manifest()) for ref in ("loan:1", "loan:2")}
    route = Route(stable=stable, candidate=wish if mode else None)
    return Table(generation=1, blobs="", routes={model: route}, versions=placed)


@pytest.fixture
def follows(tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "EVERY", 0.0)
    registry, hosts = Registry(), Hosts()
    labelling = Labelling(registry, tmp_path)  # type: ignore[arg-type] # no label comes here
    following = Candidates(registry, tmp_path, hosts, member="me", labelling=labelling)  # type: ignore[arg-type] # what is asked
    return registry, hosts, following


def test_a_registry_that_is_away_ends_no_lease_by_itself_and_is_told_later(follows, tmp_path):
    registry, _, following = follows
    lease = Lease(tmp_path, following.lease("r1"))
    workers = (0, 0)
    following.step(table(), workers)
    following.step(table(), workers)
    assert lease.holds
    told = len(registry.told)
    registry.away = True
    counts = Counts(tmp_path, "r1", 0, 0)
    counts.asked(CANDIDATE)
    counts.failed(CANDIDATE)
    with pytest.raises(MachineError):
        following.step(table(), workers)
    assert lease.holds  # until its time is up: nobody prolongs it
    registry.away = False
    following.step(table(), workers)
    assert [seen.candidate.errors for seen in registry.told[-1].steps] == [1]
    assert len(registry.told) == told + 1
    following.step(table(), workers)
    assert len(registry.told) == told + 1  # nothing is new


def test_only_deaths_since_the_rollout_began_count_and_those_of_workers_that_have_it(follows):
    registry, hosts, following = follows
    following.step(table(), (0, 4))
    assert registry.told[-1].deaths == 0
    hosts.deaths = 3
    following.step(table(), (1, 4))  # a worker's death is none of a candidate's in its host
    assert registry.told[-1].deaths == 1
    time.sleep(0.02)  # that one is long ago now
    following.step(table("rolling", 5000), (1, 4))
    following.step(table("rolling", 5000), (1, 6))  # nor is that of a worker whose turn it is not
    assert registry.told[-1].deaths == 1
    following.step(table("rolling", 5000), (3, 6))
    assert registry.told[-1].deaths == 3


def test_workers_that_die_as_often_as_they_did_before_say_nothing_of_a_candidate(follows, monkeypatch):
    registry, _, following = follows
    clock = iter(range(1000, 2000))
    monkeypatch.setattr(candidates, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    for second in range(120):
        following.step(table("warm" if second < 60 else "rolling", 10_000), (second // 10,))
    assert registry.told[-1].deaths <= 1
    for lost in range(12, 18):
        following.step(table("rolling", 10_000), (lost,))
    assert registry.told[-1].deaths >= 4


def test_after_a_switch_the_version_that_has_the_traffic_is_the_one_on_trial(follows):
    registry, hosts, following = follows
    following.step(table("watch", stable="loan:2", candidate="loan:1"), (0,))
    hosts.deaths += 1
    following.step(table("watch", stable="loan:2", candidate="loan:1"), (0,))
    assert registry.told[-1].deaths == 1


def test_an_end_tells_against_what_ran_unless_somebody_else_brought_it_about():
    ends = Ends()
    for code in (0, -signal.SIGTERM):
        ends.note(code, 1.0)
    ends.note(-signal.SIGKILL, 61.0)
    ends.note(-signal.SIGKILL, 1.0)
    assert ends.telling == 0
    ends.note(-signal.SIGKILL, 1.0)  # the third short life in a row
    assert ends.telling == 1
    ends.note(-signal.SIGKILL, 61.0)
    assert ends.telling == 1
    for code in (-signal.SIGSEGV, -signal.SIGABRT, 1):
        ends.note(code, 1000.0)
    assert ends.telling == 4


def test_the_share_is_a_metric_and_a_rollout_that_ended_is_forgotten(follows, tmp_path, monkeypatch):
    registry, _, following = follows
    label = 'mainstay_rollout_share{model="loan",version="loan:2"}'
    shown = lambda: metrics.summed(tmp_path / metrics.FOLDER)[label][0]  # noqa: E731 - read again and again
    following.lease("r1")
    following.step(table(), ())
    assert shown() == 0.1
    counts = Counts(tmp_path, "r1", 0, 0)
    counts.asked(CANDIDATE)
    counts.failed(CANDIDATE)
    following.step(table(mode=""), ())
    assert shown() == 0.0
    assert registry.told[-1].steps[0].candidate.errors == 1  # what came last is told all the same
    monkeypatch.setattr(candidates, "LINGER", 0.0)
    registry.known = set()
    following.step(table(mode=""), ())
    assert not (tmp_path / "rollouts" / "r1").exists()
