"""What a person asks of the registry: list, show, compare, events, alias, diff, deploy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from loan_projects import NAMES, loans, write_loans

from mainstay.errors import MachineError, MainstayError
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.package import Draft
from mainstay.operations.catalogue import compared, happened, listed, point, shown
from mainstay.operations.deploying import deploy
from mainstay.operations.diffing import diff
from mainstay.operations.exporting import export
from mainstay.operations.history import history
from mainstay.operations.home import state_of
from mainstay.operations.importing import import_file
from mainstay.operations.loading import load
from mainstay.registry.errors import AliasNotFound, ModelNotFound, NoRegistry, VersionNotFound
from mainstay.registry.store import Registry


def test_a_list_says_which_version_is_served(two_versions: Path) -> None:
    newest, first = listed(two_versions, "loans", limit=10).versions
    assert (first.version, first.deployed, first.aliases) == ("loans:1", True, ["champion"])
    assert (newest.version, newest.deployed, newest.passed) == ("loans:2", False, True)
    assert first.metric.startswith("roc_auc 0.")
    assert (first.description, newest.description) == ("linear", "decision_tree")
    assert [version.version for version in listed(two_versions, None, limit=1).versions] == ["loans:2"]


def test_a_version_is_shown_by_number_alias_and_name(two_versions: Path) -> None:
    assert shown(two_versions, "loans@champion") == shown(two_versions, "loans:1")
    newest = shown(two_versions, "loans")
    assert newest.version == "loans:2"
    assert newest.facts["state"] == "passed its gates"
    assert ("purpose", "category", "refused") in newest.inputs


@pytest.mark.parametrize(
    ("ref", "error", "said"),
    [
        ("loans:9", VersionNotFound, "its latest is loans:2"),
        ("loan:1", ModelNotFound, "Did you mean 'loans'"),
        ("loans@favourite", AliasNotFound, "mainstay show loans"),
        ("loans:champion", MainstayError, "loans@champion"),
        ("Loans", MainstayError, "a-z"),
    ],
)
def test_a_version_that_is_not_there(two_versions: Path, ref: str, error: type[MainstayError], said: str) -> None:
    with pytest.raises(error, match=said):
        shown(two_versions, ref)


def test_a_name_that_is_none_is_told_and_not_an_empty_list(two_versions: Path) -> None:
    with pytest.raises(ModelNotFound, match="Did you mean 'loans'"):
        happened(two_versions, "loan", limit=1)
    with pytest.raises(AliasNotFound, match="loans has no alias 'nope'"):
        history(two_versions, "loans", alias="nope")
    assert history(two_versions, "loans", alias="champion").moves
    point(two_versions, "loans:1", "once", reason="for a moment")
    with Registry.open(state_of(two_versions)) as registry:
        registry.point("loans", "once", None, expecting=registry.version("loans:1"), actor="ada")
    assert len(history(two_versions, "loans", alias="once").moves) == 2  # it was there


def test_a_version_that_no_rows_judged_failed_nothing(two_versions: Path) -> None:
    with Registry.open(state_of(two_versions)) as registry:
        package = registry.package(registry.version("loans:1"))
        content = {name: package.read(name) for name in package.manifest.content}
        registry.add("other", Draft(content), passed=False, actor="ada", summary={"description": "linear", "gates": []})
        gates = [{"text": "roc_auc >= 0.9", "passed": False, "reason": "0.8"}]
        registry.add("worse", Draft(content), passed=False, actor="ada", summary={"gates": gates})
    assert [(each.passed, each.evaluated) for each in listed(two_versions, "other", limit=1).versions] == [
        (False, False)
    ]
    assert shown(two_versions, "other").facts["state"] == "not evaluated"
    assert [each.evaluated for each in listed(two_versions, "worse", limit=1).versions] == [True]
    assert shown(two_versions, "worse").facts["state"] == "failed a gate"


@pytest.mark.parametrize("kind", ["onnx", "native"])
def test_an_export_names_what_it_was_told_to_write_and_no_file_of_its_own(
    two_versions: Path, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(MainstayError, match=f"There is no folder {tmp_path / 'nowhere'} to write out in"):
        export(two_versions, "loans:1", kind=kind, output=tmp_path / "nowhere" / "out")
    with pytest.raises(MachineError, match=r"^/proc/out (cannot be used|may not be written)"):
        export(two_versions, "loans:1", kind=kind, output=Path("/proc/out"))


def test_the_folder_that_one_is_in_has_a_name(
    two_versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "own")
    with pytest.raises(CannotImport, match=r"^own is none of the formats"):
        import_file(two_versions, Path(), name="x")
    (tmp_path / "own" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "own" / "deep")
    with pytest.raises(CannotImport, match=r"^own is none of the formats"):
        import_file(two_versions, Path(".."), name="x")


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    for ask in (lambda: listed(tmp_path, None, limit=1), lambda: shown(tmp_path, "a:1"), lambda: load(tmp_path, "a")):
        with pytest.raises(NoRegistry, match="mainstay train"):
            ask()
    assert not list(tmp_path.iterdir())


def test_a_comparison_tells_what_differs(two_versions: Path) -> None:
    found = compared(two_versions, "loans:1", "loans:2")
    by_name = {pair.metric: pair for pair in found.metrics}
    pair = by_name["roc_auc"]
    assert pair.one is not None
    assert pair.other is not None
    assert pair.difference == pair.other - pair.one
    assert ("model", "linear", "decision_tree") in found.facts
    assert not found.notes  # the same rows


def test_an_alias_moves_and_is_remembered(two_versions: Path) -> None:
    assert point(two_versions, "loans:1", "favourite", reason="asked for").before is None
    assert point(two_versions, "loans:2", "favourite", reason="better").before == "loans:1"
    assert shown(two_versions, "loans@favourite").version == "loans:2"
    events = happened(two_versions, "loans", limit=2).events
    assert [event.reason for event in events] == ["asked for", "better"]
    with pytest.raises(MainstayError, match="deploy"):
        point(two_versions, "loans:2", "champion", reason="by hand")


def test_events_tell_the_story_in_order(two_versions: Path) -> None:
    events = happened(two_versions, None, limit=50).events
    kinds = [(event.kind, event.version) for event in events]
    registered = [number for number, (kind, _) in enumerate(kinds) if "regist" in kind]
    assert len(registered) == 2
    assert events[registered[0]].version == "loans:1"
    assert any(event.reason == "the first" for event in events)
    assert all("@" in event.actor for event in events)


def test_a_deploy_without_a_server(two_versions: Path) -> None:
    done = deploy(two_versions, "loans:2")
    assert (done.before, done.version, done.servers, done.urls) == ("loans:1", "loans:2", 0, [])
    with Registry.open(state_of(two_versions)) as registry:
        deployment = registry.deployment("loans")
    assert deployment is not None
    assert deployment.version.ref == "loans:2"


def test_a_diff_shows_whose_answers_change(two_versions: Path) -> None:
    data = write_loans(two_versions / "new.csv", 300, seed=9)
    found = diff(two_versions, "loans:1", "loans:2", data, slices=None, rows=5)
    frame = pd.read_csv(data)
    one, other = (load(two_versions, ref).predict(frame[list(NAMES[:-1])]) for ref in ("loans:1", "loans:2"))
    changed = [row for row, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    assert (found.rows, found.changed) == (300, len(changed))
    assert len(found.changes) == 5
    for change in found.changes:
        assert change.row - 1 in changed
        assert (change.before, change.after) == (one[change.row - 1], other[change.row - 1])
    by_value = {part.value: part for part in found.slices if part.column == "purpose"}  # the project's slices
    assert sum(part.rows for part in by_value.values()) == 300
    assert by_value["car"].changed == sum(frame["purpose"][row] == "car" for row in changed)
    accuracy = next(pair for pair in found.metrics if pair.metric == "accuracy")
    assert accuracy.one == pytest.approx((frame["class"] == one).mean())


def test_a_diff_without_the_truth_and_by_other_slices(two_versions: Path) -> None:
    data = two_versions / "new.csv"
    frame = pd.DataFrame(loans(200, seed=5), columns=list(NAMES)).drop(columns="class")
    frame.to_csv(data, index=False)
    found = diff(two_versions, "loans:1", "loans:2", data, slices=["age"], rows=0)
    assert found.metrics == []
    assert found.changes == []
    assert {part.column for part in found.slices} == {"age"}
    assert sum(part.rows for part in found.slices) == 200
    with pytest.raises(MainstayError, match="Did you mean 'purpose'"):
        diff(two_versions, "loans:1", "loans:2", data, slices=["purpse"], rows=0)


def test_a_diff_of_data_that_does_not_fit(two_versions: Path) -> None:
    data = two_versions / "new.csv"
    pd.DataFrame({"age": [30], "income": [10]}).to_csv(data, index=False)
    with pytest.raises(MainstayError, match="purpose"):
        diff(two_versions, "loans:1", "loans:2", data, slices=[], rows=0)
