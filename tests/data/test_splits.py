"""Rows are held out by their content: the promises of a split rule."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from mainstay.errors import CheckFailed
from mainstay.project import Data, Project, Search, Split
from mainstay.training.inference import infer, proposed
from mainstay.training.reading import read
from mainstay.training.splitting import Division, SplitRule, halved, held_out, row_keys, split
from mainstay.training.table import DataError, Provenance, Table, from_columns
from mainstay.training.values import prepared, target_of

ORIGIN = Provenance(files={}, rows=0, columns=0, format="test")


def table(**columns: object) -> Table:
    return from_columns(columns, ORIGIN, missing=("", "?"))


def project(task: str = "binary", **rest: object) -> Project:
    rest = {"columns": {"a": "category", "b": "number"}, **rest}
    return Project(name="m", target="y", data=Data(path="t.csv"), task=task, **rest)


def divided(data: Table, wanted: Project) -> Division:
    return split(data, target_of(data, wanted), wanted)


@st.composite
def classified(draw: st.DrawFn) -> tuple[Table, Project]:
    """Few to many different rows, so that there are none, some or many duplicates and contradictions."""
    rows, seed = draw(st.integers(20, 150)), draw(st.integers(0, 50))
    kinds, classes = draw(st.sampled_from([3, 10, 1000])), draw(st.integers(2, 4))
    random = np.random.default_rng(seed)
    a = [f"k{v}" for v in random.integers(0, kinds, rows)]
    b = [str(v) for v in random.integers(0, kinds, rows)]
    if draw(st.booleans()):
        y = [str(v % classes) for v in range(rows)]
        return table(a=a, b=b, y=y), project("multiclass" if classes > 2 else "binary", seed=seed)
    return table(a=a, b=b, y=[repr(float(v)) for v in random.normal(size=rows)]), project("regression", seed=seed)


@given(classified())
def test_equal_rows_never_straddle_a_split_or_a_fold(case):
    data, wanted = case
    got = divided(data, wanted)
    row = [f"{a}|{b}" for a, b in zip(data.frame["a"], data.frame["b"], strict=True)]
    assert not {r for r, t in zip(row, got.test, strict=True) if t} & {
        r for r, t in zip(row, got.test, strict=True) if not t
    }
    left = np.array(row)[~got.test]
    for train, valid in got.folds:
        assert not set(left[train]) & set(left[valid])
        assert len(train) + len(valid) == len(left)


@given(classified())
def test_a_rule_finds_its_own_rows_again_after_a_round_trip(case):
    data, wanted = case
    got = divided(data, wanted)
    rule = msgspec.json.decode(msgspec.json.encode(got.rule), type=SplitRule)
    assert (held_out(rule, data) == got.test).all()


@given(classified())
def test_half_of_what_a_rule_holds_out_can_be_chosen_by(case):
    data, wanted = case
    held = divided(data, wanted).test
    half = msgspec.json.decode(msgspec.json.encode(halved(divided(data, wanted).rule, data)), type=SplitRule)
    left = held_out(half, data)
    assert not (left & ~held).any()
    keys = row_keys(data, half.columns, half.seed)
    assert not set(keys[left].tolist()) & set(keys[held & ~left].tolist())


def test_both_halves_are_about_as_large():
    random = np.random.default_rng(0)
    a, b = [f"k{v}" for v in random.integers(0, 9000, 8000)], [str(v) for v in random.integers(0, 9000, 8000)]
    data = table(a=a, b=b, y=[str(v % 2) for v in range(8000)])
    rule = divided(data, project()).rule
    held, left = held_out(rule, data), held_out(halved(rule, data), data)
    assert 0.4 < left.sum() / held.sum() < 0.6


def test_by_time_the_later_half_is_left():
    data = table(a=["k"] * 100, b=[str(v) for v in range(100)], y=["0", "1"] * 50, at=[str(v // 2) for v in range(100)])
    rule = divided(data, project(split=Split(kind="time", by="at"))).rule
    held, left = held_out(rule, data), held_out(halved(rule, data), data)
    assert np.flatnonzero(left).tolist() == list(range(100 - int(held.sum()) // 2, 100))
    one = table(a=["k"] * 40, b=[str(v) for v in range(40)], y=["0", "1"] * 20, at=["1"] * 10 + ["2"] * 20 + ["3"] * 10)
    last = divided(one, project(split=Split(kind="time", by="at"))).rule
    with pytest.raises(CheckFailed, match="newer rows"):
        halved(last, one)


@given(classified(), st.integers(0, 5))
def test_the_order_of_the_rows_does_not_matter(case, seed):
    data, wanted = case
    order = np.random.default_rng(seed).permutation(len(data))
    assert (divided(data.rows(order), wanted).test == divided(data, wanted).test[order]).all()


@given(classified(), st.integers(1, 100), st.integers(0, 5))
def test_what_a_rule_holds_out_of_a_grown_table_was_never_trained_on(case, more, seed):
    data, wanted = case
    got = divided(data, wanted)
    random = np.random.default_rng(seed)
    positions = np.concatenate([np.arange(len(data)), random.integers(0, len(data), more)])
    grown = data.rows(positions).frame.copy()
    fresh = random.random(len(grown)) < 0.3
    fresh[: len(data)] = False
    grown.loc[fresh, "a"] = [f"new{v}" for v in range(int(fresh.sum()))]
    later = Table(grown, ORIGIN, data.missing)
    trained = {tuple(r) for r in data.frame.to_numpy()[~got.test]}
    held = held_out(got.rule, later)
    assert not trained & {tuple(r) for r in grown.to_numpy()[held]}
    # An old row moves into training only where a cut-off has moved down.
    assert (held[: len(data)] == got.test).all()


@settings(max_examples=examples(30))
@given(st.integers(300, 600), st.integers(0, 20), st.sampled_from([0.1, 0.2, 0.4]))
def test_share_and_proportions_are_kept(rows, seed, share):
    y = ["rare" if v % 7 == 0 else "common" for v in range(rows)]
    data = table(a=["x"] * rows, b=[str(v) for v in range(rows)], y=y)
    got = divided(data, project(seed=seed, split=Split(test=share)))
    target = target_of(data, project()).y
    for label in (0, 1):
        assert abs(got.test[target == label].sum() - share * (target == label).sum()) <= 0.5
        for _, valid in got.folds:
            here = (target[~got.test][valid] == label).sum()
            assert abs(here - (target[~got.test] == label).sum() / 5) <= 1.5


def test_the_seed_decides_the_rows():
    data = table(a=["x"] * 100, b=[str(v) for v in range(100)], y=list("01") * 50)
    tests = [divided(data, project(seed=seed)).test for seed in (0, 0, 1)]
    assert (tests[0] == tests[1]).all()
    assert (tests[0] != tests[2]).any()


def test_a_key_does_not_depend_on_the_file_format_or_the_order_of_columns():
    text = table(a=["1", "2", ""], b=["x", "true", "2020-01-01"])
    typed = table(b=["x", True, "2020-01-01"], a=np.array([1.0, 2.0, np.nan]))
    assert (row_keys(text, ("a", "b"), 3) == row_keys(typed, ("b", "a"), 3)).all()


def test_values_do_not_slip_from_one_column_to_another():
    data = table(a=["x", "y"], b=["y", "x"])
    first, second = row_keys(data, ("a", "b"), 0)
    assert first != second


def test_a_rare_class_is_learned_in_every_fold():
    y = ["a"] * 60 + ["b"] * 2
    data = table(a=[str(v) for v in range(62)], b=["1"] * 62, y=y)
    got = divided(data, project())
    target = target_of(data, project()).y[~got.test]
    assert (target == 1).sum() == 2
    assert all((target[train] == 1).any() for train, _ in got.folds)


def test_rows_that_are_all_the_same_cannot_be_held_out():
    with pytest.raises(CheckFailed, match="the same in every input"):
        divided(table(a=["x"] * 30, b=["1"] * 30, y=list("01") * 15), project())


def test_time_holds_out_the_latest_and_folds_look_back_only():
    days = [f"2020-01-{1 + v // 4:02d}" for v in range(100)]
    order = np.random.default_rng(0).permutation(100)
    data = table(a=days, b=[str(v) for v in range(100)], y=[str(v % 3 == 0) for v in range(100)]).rows(order)
    wanted = project(split=Split(kind="time", by="a"), columns={"a": "datetime", "b": "number"})
    got = divided(data, wanted)
    when = data.frame["a"].to_numpy()
    assert got.test.sum() == 20
    assert when[~got.test].max() < when[got.test].min()
    for train, valid in got.folds:
        assert when[~got.test][train].max() < when[~got.test][valid].min()
    assert len(got.folds) == 5
    assert (held_out(got.rule, data) == got.test).all()
    late = table(a=["2021-01-01", "2019-01-01"], b=["1", "1"], y=["True", "True"])
    assert held_out(got.rule, late).tolist() == [True, False]


def test_a_number_may_be_the_time():
    data = table(a=[str(v) for v in range(50)], b=["1", "2"] * 25, y=list("01") * 25)
    got = divided(data, project(split=Split(kind="time", by="a"), columns={"b": "number"}))
    assert got.test.tolist() == [False] * 40 + [True] * 10


def test_a_time_that_is_missing_or_no_time_is_refused():
    wanted = project(split=Split(kind="time", by="a"))
    with pytest.raises(DataError, match="1 rows have no 'a'"):
        divided(table(a=["", *map(str, range(39))], b=["1"] * 40, y=list("01") * 20), wanted)
    with pytest.raises(DataError, match="neither date-times nor numbers"):
        divided(table(a=["x"] * 40, b=["1"] * 40, y=list("01") * 20), wanted)


@given(st.integers(3, 40), st.integers(0, 20))
def test_groups_stay_together(groups, seed):
    who = [f"p{v}" for v in np.random.default_rng(seed).integers(0, groups, 200)]
    data = table(a=who, b=[str(v) for v in range(200)], y=list("01") * 100)
    wanted = project(seed=seed, split=Split(kind="group", by="a"), columns={"b": "number"})
    got = divided(data, wanted)
    names = np.array(who)
    assert got.test.any()
    assert not set(names[got.test]) & set(names[~got.test])
    for train, valid in got.folds:
        assert not set(names[~got.test][train]) & set(names[~got.test][valid])
    assert (held_out(got.rule, data) == got.test).all()


def test_folds_are_as_many_as_asked():
    data = table(a=[str(v) for v in range(100)], b=["1"] * 100, y=list("01") * 50)
    assert len(divided(data, project(search=Search(folds=3))).folds) == 3


@pytest.mark.data
def test_duplicate_messages_never_straddle(shared_data):
    path = shared_data("sms_spam.tsv")
    data = Data(path=path.name, header=False, columns=("label", "text"))
    messages = read(data, path.parent)
    wanted = proposed(infer(messages, "label"), name="sms", data=data)
    rows = prepared(messages, wanted)
    got = split(rows, target_of(rows, wanted), wanted)
    texts = rows.frame["text"].to_numpy()
    assert len(rows) == 5574
    assert not set(texts[got.test]) & set(texts[~got.test])
    assert abs(got.test.mean() - 0.2) < 0.001
