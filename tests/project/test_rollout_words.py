"""[rollout] and the words of `mainstay deploy`: what can be meant becomes a plan, all else is refused by its name."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.operations.planning import BadPlan, Wishes, plan_of
from mainstay.project import ProjectError, parse
from mainstay.project_rollout import STRATEGIES, RolloutChecks, RolloutTable
from mainstay.registry.plans import WHOLE, Checks, Plan, Sticky, Strategy
from mainstay.settings import NoLength, seconds_of

SMALLEST = """
name = "credit"
target = "class"
task = "binary"
[data]
path = "credit.csv"
[columns]
age = "number"
customer_id = "category"
"""
COLUMNS = ("age", "customer_id")


def test_strategies_are_those_of_the_registry():
    assert get_args(Strategy) == STRATEGIES


def test_without_a_word_a_version_takes_the_traffic_at_once():
    assert plan_of(RolloutTable(), Wishes(), COLUMNS) is None
    assert plan_of(RolloutTable(strategy="canary"), Wishes(strategy="recreate"), COLUMNS) is None


def test_who_must_approve_and_closed_windows_make_a_rollout_of_the_simplest_way():
    for said in (RolloutTable(require_approval=("alice",)), RolloutTable(freeze=("Fri 16:00 - Mon 08:00 UTC",))):
        plan = plan_of(said, Wishes(), COLUMNS)
        assert plan is not None
        assert (plan.strategy, plan.approvers, plan.freeze) == ("recreate", said.require_approval, said.freeze)


def test_what_is_typed_comes_before_what_the_project_says():
    said = RolloutTable(strategy="blue-green", steps=(10, 100), hold="1h", sticky="field:customer_id")
    typed = Wishes(strategy="canary", steps="0.01, 5%,100", hold="90s", sticky="header:X-User", at_end="ask")
    assert plan_of(said, typed, COLUMNS) == Plan(
        strategy="canary",
        steps=(1, 500, WHOLE),
        hold=90.0,
        warm=600.0,
        patience=86_400.0,
        sticky=Sticky(header="x-user"),
        at_end="ask",
    )
    plan = plan_of(said, Wishes(strategy="canary"), COLUMNS)
    assert plan is not None
    assert (plan.steps, plan.hold, plan.sticky) == ((1000, WHOLE), 3600.0, Sticky(field="customer_id"))


def test_defaults_of_the_file_are_those_of_the_plan():
    plan = plan_of(RolloutTable(strategy="canary"), Wishes(), COLUMNS)
    assert plan == Plan(strategy="canary", steps=(100, 500, 2500, 5000, WHOLE))
    assert plan.checks == Checks()


def test_a_strategy_keeps_only_what_belongs_to_it():
    said = RolloutTable(sticky="header:x-user")
    for strategy, steps, at_end in (("rolling", WHOLE, "promote"), ("shadow", WHOLE, "promote"), ("ab", 5000, "ask")):
        plan = plan_of(said, Wishes(strategy=strategy), COLUMNS)
        assert plan is not None
        assert (plan.steps, plan.at_end) == ((steps,), at_end)
        assert (plan.sticky is not None) == (strategy == "ab")


@pytest.mark.parametrize(
    ("typed", "refused"),
    [
        ({"strategy": "canarry"}, "'canarry' is no strategy. Did you mean 'canary'?"),
        ({"strategy": "zzz"}, "Known: recreate, rolling, blue-green"),
        ({"strategy": "canary", "steps": "5,1,100"}, "1 comes after 5"),
        ({"strategy": "canary", "steps": "5,5,100"}, "larger than the one before"),
        ({"strategy": "canary", "steps": "5,101"}, "101 is no share"),
        ({"strategy": "canary", "steps": "0,100"}, "0 is no share"),
        ({"strategy": "canary", "steps": "1,5"}, "write 1,5,100"),
        ({"strategy": "canary", "steps": "1.005,100"}, "finer than shares"),
        ({"strategy": "canary", "steps": "nan,100"}, "nan is no share"),
        ({"strategy": "canary", "steps": "a,100"}, "no list of shares"),
        ({"strategy": "canary", "hold": "10 minutes"}, "write a number and its unit"),
        ({"strategy": "canary", "hold": "1d"}, "longer than hold"),
        ({"strategy": "canary", "sticky": "user"}, "says neither"),
        ({"strategy": "canary", "sticky": "header:x user"}, "no name of a header"),
        ({"strategy": "canary", "sticky": "field:customer"}, "no input column. Did you mean 'customer_id'?"),
        ({"strategy": "canary", "sticky": "field:zip"}, "'zip' is no input column; there are age, customer_id."),
        ({"strategy": "canary", "share": 5.0}, "--share belongs to shadow and ab"),
        (
            {"steps": "5,100"},
            "--steps belongs to canary, and this rollout is recreate: leave it out, or add",
        ),
        ({"strategy": "blue-green", "at_end": "ask"}, "--at-end belongs to"),
        ({"strategy": "ab", "share": 100.0}, "leaves nothing for the other"),
        ({"strategy": "ab", "at_end": "wait"}, "neither"),
    ],
)
def test_what_cannot_be_meant_is_refused(typed, refused):
    with pytest.raises(BadPlan) as error:
        plan_of(RolloutTable(), Wishes(**typed), COLUMNS)
    assert refused in str(error.value)


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("strategy = 'canray'", "Did you mean 'canary'?"),
        ("steps = [1, 5]", "write 1,5,100"),
        ("hold = '10'", "no length of time"),
        ("hold = 10", "rollout.hold: expected str"),
        ("sticky = 'field:ago'", "'ago' is no input column. Did you mean 'age'?"),
        ("patience = '5m'", "longer than hold"),
        ("at_end = 'wait'", "rollout.at_end"),
        ("require_approval = ['']", "name of an API key"),
        ("freze = []", "unknown key 'freze' in [rollout]. Did you mean 'freeze'?"),
        ("[rollout.checks]\nleest = 5", "unknown key 'leest' in [rollout.checks]. Did you mean 'least'?"),
        ("[rollout.checks]\nleast = 0", "without evidence, no step passes"),
        ("[rollout.checks]\nfalse_alarms = 0.0", "must be more than 0"),
        ("[rollout.checks]\nslowdown = 0.5", "must be from 1"),
        ("[rollout.checks]\nslack = '5'", "no length of time"),
        ("[rollout.checks]\nshift = 1.5", "a share from 0 to 1"),
    ],
)
def test_a_project_that_cannot_be_meant_is_refused(said, refused):
    with pytest.raises(ProjectError) as error:
        parse(f"{SMALLEST}[rollout]\n{said}\n")
    assert refused in str(error.value)


def test_the_whole_table_is_taken():
    project = parse(f"{SMALLEST}[rollout]\nstrategy = 'canary'\nsticky = 'field:age'\n[rollout.checks]\nchanged = 0.1")
    assert project.rollout == RolloutTable(strategy="canary", sticky="field:age", checks=RolloutChecks(changed=0.1))


@given(st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]), st.integers(0, 10_000))
def test_a_length_of_time_is_a_number_and_its_unit(unit, count):
    assert seconds_of(f"{count}{unit[0]}") == pytest.approx(count * unit[1])


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "1 h", "1e3s", "10mm", "١m"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(NoLength, match="write a number and its unit"):
        seconds_of(text)
