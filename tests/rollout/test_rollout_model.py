"""Rollouts, whatever happens to them in whatever order, against a small model that is written otherwise.

The clock is a number; the registry, the servers and the persons are the test's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rollout_values import ALICE, CANDIDATE, OTHER, STABLE, after, rollout, said, seen

from mainstay.registry.evidence import Probe
from mainstay.registry.plans import WHOLE, Plan
from mainstay.rollout import persons
from mainstay.rollout.decide import World, decide, noted
from mainstay.rollout.errors import IllegalMove, NotToBePromoted

HOLD, WARM, PATIENCE, MOST = 30.0, 40.0, 90.0, 10.0


@dataclass
class Model:
    """What a rollout should be, as a line of stations: its part of the way, and how long it has stood there."""

    stations: list[tuple[str, int]]
    """Mode and share while it goes through its steps."""
    watched: bool
    asks: bool
    at: str = "trial"
    """trial, hall, line, halt, switch, watch, done, back, over."""
    station: int = 0
    seconds: float = 0.0
    misses: int = 0
    halted: str = ""

    def share(self) -> tuple[str, int]:
        where = self.halted if self.at == "halt" else self.at
        if where in ("trial", "hall"):
            return "probe", 0
        if where == "line":
            return self.stations[self.station]
        if where in ("switch", "watch"):
            return ("warm" if self.watched else "off"), WHOLE
        return "off", WHOLE if where == "done" else 0

    def go(self, at: str, seconds: float = 0.0) -> None:
        self.at, self.seconds, self.misses = at, seconds, 0

    def halt(self) -> None:
        self.halted = self.at
        self.go("halt", self.seconds)


NAMES = {
    "validating": "trial",
    "waiting": "hall",
    "progressing": "line",
    "paused": "halt",
    "promoting": "switch",
    "watching": "watch",
    "completed": "done",
    "rolling_back": "back",
    "rolled_back": "over",
}
RESULTS = st.sampled_from(["pending", "running", "successful", "error", "inconclusive"])
RARELY = st.sampled_from([False] * 11 + [True])
"""What ends a rollout: else none would come far."""


@st.composite
def plans(draw):
    strategy = draw(st.sampled_from(["recreate", "rolling", "blue-green", "canary", "shadow", "ab"]))
    steps: tuple[int, ...] = (WHOLE,)
    if strategy == "canary":
        steps = (*sorted(draw(st.sets(st.integers(1, WHOLE - 1), max_size=3))), WHOLE)
    elif strategy in ("shadow", "ab"):
        steps = (draw(st.integers(1, WHOLE - 1)),)
    asks = "ask" if strategy in ("canary", "shadow", "ab") and draw(st.booleans()) else "promote"
    approvers = draw(st.sampled_from([(), ("alice",)]))
    return Plan(
        strategy=strategy, steps=steps, hold=HOLD, warm=WARM, patience=PATIENCE, approvers=approvers, at_end=asks
    )


class Rollouts(RuleBasedStateMachine):
    @initialize(plan=plans(), workers=st.integers(1, 3), servers=st.integers(0, 2))
    def begin(self, plan, workers, servers):
        self.rollout = rollout(plan)
        self.workers, self.servers, self.tried = workers, servers, 0
        self.follows, self.window, self.problem, self.deaths, self.error = True, None, False, 0, False
        self.takes, self.by_hand, self.result, self.clock, self.looked = STABLE, False, "pending", 0.0, 0.0
        lines = {
            "recreate": [],
            "rolling": [("rolling", k * WHOLE // workers) for k in range(1, workers + 1)],
            "blue-green": [("warm", 0)],
            "shadow": [("shadow", plan.steps[0])],
        }
        stations = lines.get(plan.strategy, [("split", step) for step in plan.steps])
        self.model = Model(stations, plan.strategy == "blue-green", plan.at_end == "ask")
        self.most = 0

    # What happens around it.

    @rule(seconds=st.sampled_from([1.0, 9.0, 30.0, 3600.0, -500.0, math.nan]))
    def time_passes(self, seconds):
        self.clock += seconds
        if math.isnan(self.clock):
            self.clock, self.looked = 0.0, math.nan

    @rule(result=RESULTS)
    def is_measured(self, result):
        self.result = result

    @rule(on=st.booleans())
    def servers_follow(self, on):
        self.follows = on

    @rule(count=st.integers(0, 2))
    def servers_come_and_go(self, count):
        self.servers = count

    @rule()
    def a_server_tries_it(self):
        self.tried += 1

    @rule(window=st.sampled_from([None, "Fri 16:00 - Mon 08:00 UTC"]))
    def a_window(self, window):
        self.window = window

    @rule()
    def alice_approves(self):
        if self.rollout.active:
            self.rollout = replace(self.rollout, approvals=(ALICE,))

    @rule(what=st.sampled_from(["problem", "death", "death", "death", "error", "failed"]), really=RARELY)
    def goes_wrong(self, what, really):
        self.problem |= really and what == "problem"
        self.deaths += what == "death" and (really or self.deaths < 2)
        self.error = really and what == "error"
        if really and what == "failed":
            self.result = "failed"

    @precondition(lambda self: not self.by_hand and self.rollout.active)
    @rule(now=st.sampled_from([OTHER, None]), really=RARELY)
    def somebody_deploys(self, now, really):
        if really:
            self.takes, self.by_hand = now, True

    @rule(looks=st.integers(1, 12))
    def goes_well_for_a_while(self, looks):
        self.follows, self.servers, self.window, self.result = True, max(self.servers, 1), None, "successful"
        self.error, self.tried = False, max(self.tried, self.servers)
        self.alice_approves()
        for _ in range(looks):
            self.clock += 9.0
            self.the_controller_looks()

    # Who looks after it.

    def world(self) -> World:
        probes = tuple(Probe(rows=8, workers=self.workers) for _ in range(self.tried)) + (
            (Probe(problem="it hangs"),) if self.problem else ()
        )
        return World(
            elapsed=self.clock - self.looked,
            frozen=self.window,
            acknowledged=self.acknowledged,
            servers=self.servers,
            stable_is=self.takes,
            evidence=seen(probes=probes, deaths=self.deaths),
            errors={"http://a": "it is damaged"} if self.error else {},
        )

    @property
    def acknowledged(self) -> bool:
        return self.follows and self.servers > 0

    def make(self, decision) -> None:
        """As the registry would: the move, and the traffic with it."""
        self.rollout = after(self.rollout, decision)
        if decision.change.traffic is not None:
            assert not self.by_hand
            self.takes = CANDIDATE if decision.change.traffic == "candidate" else STABLE
        assert decision.why

    @rule()
    def the_controller_looks(self):
        world, analysis = self.world(), said(self.result)
        decision = decide(self.rollout, world, analysis)
        if decision is None:
            note = noted(self.rollout, world, analysis)
            if self.rollout.active:
                self.rollout = replace(self.rollout, held=note.held, verdict=note.verdict)
        else:
            self.make(decision)
        self._model_looks(self.clock - self.looked)
        self.looked = self.clock

    def _model_looks(self, passed: float) -> None:
        model = self.model
        if model.at in ("done", "over"):
            return
        if model.at == "back":
            if self.acknowledged or not self.servers:
                model.go("over")
            return
        if self.by_hand or self.problem or self.error or self.deaths >= 3 or self.result == "failed":
            model.go("back")
            return
        counted = min(passed, MOST) if passed > 0 else 0.0
        if model.at == "trial" or (model.at in ("line", "watch") and self.acknowledged):
            model.seconds += counted
        self._model_goes(model)

    def _model_goes(self, model: Model) -> None:
        model.misses = model.misses + 1 if self.result == "error" else 0
        valid = self.tried >= self.servers > 0 and self.acknowledged
        lost = self.result == "inconclusive" or model.misses >= 5
        late = self.result != "successful" and model.seconds >= PATIENCE
        first = "line" if model.stations else "switch"
        match model.at:
            case "trial" if valid:
                model.go(first if self.open_road else "hall")
            case "trial" if lost or model.seconds >= PATIENCE:
                model.halt()
            case "hall" if valid and self.open_road:
                model.go(first)
            case "switch" if self.acknowledged:
                model.go("watch" if model.watched else "done")
            case "line" | "watch" if lost or (late and not (model.at == "line" and model.watched)):
                model.halt()
            case "line" | "watch" if self.acknowledged and self.open_road:
                self._model_steps(model)

    @property
    def open_road(self) -> bool:
        return self.window is None and (not self.rollout.plan.approvers or bool(self.rollout.approvals))

    def _model_steps(self, model: Model) -> None:
        proven = self.result == "successful" and model.seconds >= (WARM if model.at == "watch" else HOLD)
        if model.at == "watch":
            if proven:
                model.go("done")
        elif model.watched:
            model.go("switch")
        elif proven and model.station + 1 < len(model.stations):
            model.station += 1
            model.go("line")
        elif proven and model.asks:
            model.halt()
        elif proven:
            model.go("switch")

    # What persons ask.

    @rule(what=st.sampled_from(["pause", "resume", "resume", "promote"]))
    def a_person_asks(self, what):
        model, self.looked = self.model, self.clock
        may = {
            "pause": model.at in ("trial", "hall", "line", "watch"),
            "resume": model.at == "halt",
            "promote": not self.by_hand and self._may_be_promoted(),
        }
        try:
            if what == "promote":
                self.make(persons.promote(self.rollout, self.world(), "a person"))
            else:
                self.make(getattr(persons, what)(self.rollout, "a person"))
        except (IllegalMove, NotToBePromoted):
            assert not may[what]
            return
        assert may[what]
        if what == "pause":
            model.halt()
        elif what == "resume":
            least = WARM if model.halted == "watch" else HOLD
            model.go("trial" if model.halted == "hall" else model.halted, min(model.seconds, least))
        else:
            model.go("done" if "watch" in (model.at, model.halted if model.at == "halt" else "") else "switch")

    def _may_be_promoted(self) -> bool:
        model = self.model
        where = model.halted if model.at == "halt" else model.at
        if where not in ("trial", "hall", "line", "watch") or self.error or not self.open_road:
            return False
        if where in ("trial", "hall"):
            return self.tried >= self.servers > 0 and not model.watched
        return where == "watch" or not model.watched or self.acknowledged

    @rule(really=RARELY)
    def a_person_brings_it_back(self, really):
        if not really:
            return
        try:
            decision = persons.roll_back(self.rollout, "a person")
        except IllegalMove:
            assert self.model.at in ("done", "back", "over")
            return
        if not self.by_hand:
            self.make(decision)
            self.model.go("back")

    # What always holds.

    @invariant()
    def it_is_as_the_model_has_it(self):
        assert NAMES[self.rollout.state] == self.model.at
        assert (self.rollout.mode, self.rollout.share) == self.model.share()
        if self.rollout.state in ("validating", "progressing", "watching", "paused"):
            assert abs(self.rollout.held - self.model.seconds) < 1e-6

    @invariant()
    def shares_only_grow_until_it_goes_back(self):
        if self.rollout.state in ("rolling_back", "rolled_back"):
            assert self.rollout.share == 0
            return
        # The share of copies that a shadow gets is none of the traffic's.
        assert self.rollout.share >= self.most
        self.most = self.rollout.share

    @invariant()
    def the_traffic_is_where_the_state_says(self):
        if self.by_hand:
            assert self.takes in (OTHER, None)
        elif self.rollout.state in ("promoting", "watching", "completed"):
            assert self.takes == CANDIDATE
        elif self.rollout.state in ("rolling_back", "rolled_back"):
            assert self.takes == STABLE

    @invariant()
    def nothing_has_traffic_without_the_approval(self):
        if self.rollout.plan.approvers and not self.rollout.approvals:
            assert self.rollout.share == 0 and self.rollout.mode in ("probe", "off")


Rollouts.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRollouts = Rollouts.TestCase
