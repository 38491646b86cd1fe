"""A registry on PostgreSQL whose server is gone for 20 s in the middle of a rollout, or hangs, while others are killed.

`make chaos` runs it.
"""

from __future__ import annotations

import time

import pytest
from besieged import CONTROLLER, besieged
from live import until
from load import loaded
from rolled import ENDS_WITHIN, begun, ended
from siege_report import GONE, HOLD, SECONDS, SEED
from test_stable_under_siege import stable

from backends import postgres_of_its_own
from mainstay.registry.plans import WHOLE, Checks, Plan

pytestmark = [
    pytest.mark.skipif(not SECONDS, reason="make chaos runs it"),
    pytest.mark.timeout(600),
]
PLAN = Plan(strategy="canary", steps=(2500, 5000, WHOLE), hold=HOLD, checks=Checks(least=50, slack=0.5))


@pytest.mark.parametrize(
    "how, killed",
    [("away", "nobody"), ("hung", "controller"), ("away", "supervisor")],
)
def test_a_database_that_is_gone_costs_no_answer_and_the_rollout_goes_on(how, killed, tmp_path, report):
    with (
        postgres_of_its_own() as server,
        besieged(tmp_path, ("one", stable()), database=server) as running,
        loaded(running.port, seed=SEED) as load,
    ):
        rollout = begun(running, stable(1), PLAN)
        until(lambda: load.answered[rollout.candidate.ref] > 50, ENDS_WITHIN)
        with running.registry() as registry:
            before = registry.lead()
        assert before is not None and before.holder
        with getattr(server, how)():
            begins, asked = time.monotonic(), load.count
            if killed == "controller":
                running.kill(CONTROLLER)
            elif killed == "supervisor":
                running.kill_supervisor()
            while time.monotonic() < begins + GONE:
                running.keep()
                time.sleep(0.2)
            assert load.count > asked + 100, "who serves goes on with what he has"
        running.ready()
        led_by = before.fence + (killed != "nobody")
        with running.registry() as registry:
            until(lambda: (lead := registry.lead()) and lead.holder and lead.fence >= led_by, ENDS_WITHIN)
        running.kill(CONTROLLER)
        running.kill_supervisor()
        running.ready()
        over = ended(running, rollout)
        asked = load.by(over.candidate.ref)
        until(lambda: load.by(over.candidate.ref) > asked + 100)
        with running.registry() as registry:
            fences = [event.evidence.get("fence") for event in registry.events(limit=1000) if "rollout" in event.kind]
    report.on(load, f"PostgreSQL {how} for {GONE:.0f} s, and killed: {killed}: {over.why[:60]}")
    assert over.state == "completed", over
    held = [fence for fence in fences if fence is not None]
    assert held == sorted(held), "who lost the lead wrote nothing"
