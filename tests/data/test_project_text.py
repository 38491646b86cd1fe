"""The project file that `init` writes: nothing hidden, and read back as it was meant."""

from __future__ import annotations

import re
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.project import Cleaning, Data, Place, Project, ProjectError, Search, Serve, Split, Webhook, parse
from mainstay.project_rollout import STRATEGIES, RolloutChecks, RolloutTable
from mainstay.training.project_file import MEANINGS, render

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
KINDS = st.sampled_from(["number", "boolean", "category", "datetime", "text"])
PLAIN = Project(name="m", target="y", data=Data(path="t.csv"), task="binary", columns={"a": "number"})


@st.composite
def projects(draw: st.DrawFn) -> Project:
    names = draw(st.lists(TEXTS, min_size=2, max_size=8, unique=True))
    cut = draw(st.integers(2, len(names)))
    return Project(
        name=draw(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True)),
        target=names[0],
        data=draw(
            st.one_of(
                st.builds(
                    Data, path=TEXTS, separator=st.none() | TEXTS, quote=st.none() | TEXTS, missing=st.tuples(TEXTS)
                ),
                st.builds(Data, url=TEXTS, query=TEXTS.filter(bool), header=st.booleans()),
            )
        ),
        task=draw(st.sampled_from(["binary", "multiclass", "regression"])),
        positive=draw(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS),
        seed=draw(st.integers(0, 2**40)),
        threshold=draw(st.floats(0, 1) | st.sampled_from(["max_f1", "cost(5, 1)"])),
        gates=draw(st.tuples(TEXTS) | st.just(())),
        columns={name: draw(KINDS) for name in names[1:cut]},
        left_out={name: draw(TEXTS) for name in names[cut:]},
        cleaning=draw(st.builds(Cleaning, clip=st.none() | st.just((0.001, 0.999)), drop_duplicates=st.booleans())),
        split=draw(st.builds(Split, by=TEXTS.filter(bool), kind=st.sampled_from(["stratified", "time", "group"]))),
        search=draw(st.builds(Search, budget=st.floats(1e-3, 1e9), trials=st.none() | st.integers(1, 99))),
        serve=draw(st.builds(Serve, port=st.integers(1, 65535))),
        rollout=draw(
            st.builds(
                RolloutTable,
                strategy=st.none() | st.sampled_from(STRATEGIES),
                share=st.none() | st.sampled_from([0.01, 5.0, 50.0]),
                freeze=st.tuples(TEXTS) | st.just(()),
                checks=st.builds(RolloutChecks, changed=st.none() | st.floats(0, 1), least=st.integers(1, 10**9)),
            )
        ),
    )


@given(projects(), st.lists(st.text(max_size=20), max_size=3))
def test_a_project_survives_its_file(project, notes):
    assert parse(render(project, notes)) == project


@pytest.mark.parametrize(
    "name", ['"', "'", "a.b", "ß 漢 🚲", "a\nb", "", "#", "[x]", "\\", "\x7f", "\x00", "= 1", "\u2028"]
)
def test_odd_column_names_are_kept(name):
    project = msgspec.structs.replace(PLAIN, columns={name: "number"}, left_out={f"{name}2": name})
    assert parse(render(project)) == project


def test_the_place_of_the_registry_is_kept():
    place = Place(url="postgresql+psycopg://${DB_USER}:${DB_PASSWORD}@host/db", blobs="s3://bucket/models")
    project = msgspec.structs.replace(PLAIN, registry=place)
    assert parse(render(project)) == project
    with pytest.raises(ProjectError, match="needs blobs too"):
        parse(render(msgspec.structs.replace(PLAIN, registry=Place(url=place.url))))


def test_webhooks_are_kept():
    hook = Webhook(url="https://example.com/hook", secret="${HOOK_SECRET}", events=("deployed",))
    inside = Webhook(url="http://10.0.0.1/", secret="${OTHER}", allow_private=True)
    project = msgspec.structs.replace(PLAIN, webhooks=(hook, inside))
    assert parse(render(project)) == project


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"secret": "hunter2"}, "must be the name of an environment variable"),
        ({"events": ("deploied",)}, "Did you mean 'deployed'"),
    ],
)
def test_a_webhook_that_cannot_be_meant_is_refused(changes, said):
    hook = msgspec.structs.replace(Webhook(url="https://example.com/hook", secret="${HOOK_SECRET}"), **changes)
    with pytest.raises(ProjectError, match=said) as refused:
        parse(render(msgspec.structs.replace(PLAIN, webhooks=(hook,))))
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ProjectError, match="two"):
        fine = Webhook(url="https://example.com/hook", secret="${HOOK_SECRET}")
        parse(render(msgspec.structs.replace(PLAIN, webhooks=(fine, fine))))


def test_every_key_is_there_with_its_meaning():
    text = render(PLAIN)
    tables = {"": Project, "data": Data, "cleaning": Cleaning, "split": Split, "search": Search, "serve": Serve}
    tables |= {"registry": Place, "rollout": RolloutTable, "rollout.checks": RolloutChecks}
    sections = re.split(r"^\[([\w.]+)\]$", "\n" + text, flags=re.MULTILINE)
    bodies = {"": sections[0], **dict(zip(sections[1::2], sections[2::2], strict=True))}
    for table, kind in tables.items():
        elsewhere = {"": {*tables, "columns", "left_out", "webhooks"}, "rollout": {"checks"}}.get(table, set())
        fields = set(kind.__struct_fields__) - elsewhere
        assert set(MEANINGS[table]) == fields
        for field in fields:
            assert re.search(rf"^#.+\n(# )?{field} = ", bodies[table], re.MULTILINE), field
    assert set(bodies) == {*tables, "columns", "left_out"}


def test_what_is_not_set_can_be_uncommented():
    text = render(PLAIN)
    for key in ("positive", "train", "separator", "quote", "clip", "trials", "metric", "by"):
        changed = re.sub(rf"^# ({key} = )", r"\1", text, flags=re.MULTILINE)
        assert changed != text
        assert parse(changed) != PLAIN


def test_a_default_that_is_told_is_the_default():
    text = render(PLAIN)
    for told, key in re.findall(r"Default: (\S+?)[.,;]?(?: .*)?\n(\w+) = ", text):
        if told not in ("none", "all", "as", "detected", "column_1"):
            written = tomllib.loads("x = " + text.split(f"\n{key} = ")[1].split("\n")[0])
            assert written == tomllib.loads(f"x = {told}")


def test_notes_stand_on_top_as_comments():
    text = render(PLAIN, ["The rows follow 'x'.", "odd\nnote\x00"])
    assert "#  - The rows follow 'x'.\n#  - odd note\n" in text
    assert parse(text) == PLAIN
