"""`train`, on whole projects: what is registered, when it is not, and that it can be done again."""

from __future__ import annotations

import html.parser
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loan_projects import changed, project_in, write_loans

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.operations.catalogue import listed, shown
from mainstay.operations.deploying import deploy
from mainstay.operations.home import state_of
from mainstay.operations.loading import load
from mainstay.operations.training import train
from mainstay.operations.waiting import Interrupted
from mainstay.operations.watching import Silent
from mainstay.project import STATE, ProjectError
from mainstay.registry.errors import NotDeployable
from mainstay.registry.locks import TrainingRuns, train_lock
from mainstay.registry.store import Registry
from mainstay.training.splitting import SplitRule
from mainstay.training.table import DataError


def versions(folder: Path) -> list[str]:
    return [version.version for version in listed(folder, None, limit=100).versions]


def test_a_version_says_what_it_is_worth_and_where_it_came_from(project: Path) -> None:
    done = train(project)
    assert (done.version, done.passed, done.format, done.threshold) == ("loans:1", True, "onnx", 0.5)
    assert done.train_rows + done.test_rows == 400
    assert done.metrics["roc_auc"]["low"] < done.metrics["roc_auc"]["value"] < done.metrics["roc_auc"]["high"]
    assert [gate["text"] for gate in done.gates] == ["roc_auc > baseline"]
    assert done.parity["label_disagreements"] == 0
    found = shown(project, "loans:1")
    assert found.content_id == done.content_id
    assert list(found.lineage["data"]["files"]) == ["loans.csv"]
    assert found.lineage["project"] == (project / "mainstay.toml").read_text()
    assert {name for name, _, _ in found.files} >= {
        files.EVALUATION,
        files.CHECKS,
        files.LINEAGE,
        files.ENVIRONMENT,
        files.TRIALS,
        files.REPORT,
        files.PROFILE,
    }


def test_trials_and_replay_give_the_same_version_again(project: Path) -> None:
    one, two = train(project, trials=2), train(project, trials=2)
    again = train(project, replay="loans:1")
    assert one.content_id == two.content_id == again.content_id
    assert not again.warnings
    assert [one.version, two.version, again.version] == ["loans:1", "loans:2", "loans:3"]


def test_a_run_by_budget_is_replayed_too(project: Path) -> None:
    changed(project, search={"trials": None})
    one = train(project, budget=0.5)
    assert train(project, replay=one.version).content_id == one.content_id


def test_a_replay_on_other_data_says_that_it_may_differ(project: Path) -> None:
    train(project)
    write_loans(project / "loans.csv", 500)
    again = train(project, replay="loans")
    assert again.train_rows + again.test_rows == 500
    assert any("data is not that of loans:1" in warning for warning in again.warnings)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"budget": 1.0, "trials": 2}, "give one of them"),
        ({"replay": "loans:1", "trials": 2}, "leave --budget and --trials out"),
        ({"replay": "loans:7"}, "There is no model"),
    ],
)
def test_words_that_do_not_go_together(project: Path, words: dict[str, Any], said: str) -> None:
    with pytest.raises(MainstayError, match=said):
        train(project, **words)


def test_a_folder_without_a_project_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="mainstay init"):
        train(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failed_gate_keeps_the_version_from_being_served(project: Path) -> None:
    changed(project, gates=("roc_auc >= 0.5", "recall[purpose=car] >= 1.1", "accuracy >= 0.5"))
    done = train(project)
    assert not done.passed
    assert [gate["passed"] for gate in done.gates] == [True, False, True]
    assert versions(project) == ["loans:1"]
    with pytest.raises(NotDeployable, match="mainstay show loans:1"):
        deploy(project, "loans:1")
    with pytest.raises(MainstayError, match="needs a reason"):
        deploy(project, "loans:1", override=True)
    deploy(project, "loans:1", override=True, reason="asked for by risk")
    with Registry.open(state_of(project)) as registry:
        event = registry.latest_events("loans", limit=1)[0]
        deployment = registry.deployment("loans")
    assert deployment is not None
    assert (deployment.override, deployment.reason) == (True, "asked for by risk")
    assert event.reason == "asked for by risk"


def test_a_champion_is_met_on_rows_that_neither_was_trained_on(project: Path) -> None:
    changed(project, gates=("roc_auc >= champion - 0.05",))
    first = train(project)
    # Without a champion its gate does not apply, and the baseline's does.
    assert [(gate["text"], gate["passed"]) for gate in first.gates] == [
        ("roc_auc >= champion - 0.05", None),
        ("roc_auc > baseline", True),
    ]
    deploy(project, first.version)
    write_loans(project / "loans.csv", 800)
    second = train(project)
    (gate,) = second.gates
    assert gate["passed"] is True
    assert "against loans:1 on" in gate["reason"]
    rows = int(gate["reason"].split(" rows that neither")[0].rsplit(" ", 1)[-1])
    assert 50 <= rows < 800 * 0.2 + 30
    changed(project, gates=("roc_auc >= champion + 0.5",))
    assert not train(project).passed


def test_a_champion_that_cannot_be_met_fails_closed(project: Path) -> None:
    changed(project, gates=("roc_auc >= champion - 0.05",))
    deploy(project, train(project).version)
    data = pd.read_csv(project / "loans.csv").drop(columns="age")
    data.to_csv(project / "loans.csv", index=False)
    changed(project, columns={"income": "number", "purpose": "category"})
    (gate,) = train(project).gates
    assert gate["passed"] is False
    assert "'age'" in gate["reason"]


def test_one_training_at_a_time(project: Path) -> None:
    with train_lock(state_of(project)), pytest.raises(TrainingRuns, match="Another training") as caught:
        train(project)
    assert caught.value.exit_code == 3


class StopsAt(Silent):
    """Presses Ctrl-C when a stage begins."""

    def __init__(self, stage: str) -> None:
        self.at = stage

    def stage(self, text: str) -> None:
        if text.startswith(self.at):
            raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["Reading", "Checking", "Searching", "Evaluating", "Packaging", "Registering"])
def test_an_interrupt_registers_nothing_by_halves(project: Path, stage: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(project, watch=StopsAt(stage))
    assert versions(project) == []
    assert train(project).version == "loans:1"  # and the lock is free


def test_a_search_that_found_nothing_yet_registers_nothing(project: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted, match="nothing is registered") as caught:
        train(project, stop=stop)
    assert caught.value.exit_code == 130
    assert versions(project) == []


class StopsAfter(Silent):
    """Ends the search once a number of trials is reported."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop, self.notes = stop, list[str]()

    def progress(self, share: float | None, text: str) -> None:
        if text.startswith("trial 2"):
            self.stop.set()

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_stopped_search_keeps_the_best_so_far(project: Path) -> None:
    changed(project, search={"trials": 1000})
    stop = threading.Event()
    watch = StopsAfter(stop)
    done = train(project, stop=stop, watch=watch)
    assert done.passed
    assert any("best so far is kept" in note for note in watch.notes)


@pytest.mark.parametrize("threshold", [0.3, "max_f1", "cost(5, 1)"])
def test_a_threshold_is_part_of_the_version(tmp_path: Path, threshold: float | str) -> None:
    folder = project_in(tmp_path / "p", threshold=threshold, search={"candidates": ("linear",), "trials": 1})
    done = train(folder)
    model = load(folder, done.version)
    decision = model.spec.decision
    assert decision is not None
    assert model.signature.labels[decision.positive] == "bad"
    assert decision.threshold == done.threshold
    if isinstance(threshold, float):
        assert decision.threshold == threshold
    elif threshold.startswith("cost"):
        assert decision.threshold < 0.5  # a missed bad loan costs five times a false alarm
    frame = pd.read_csv(folder / "loans.csv").drop(columns="class")
    positive = model.predict_proba(frame)[:, decision.positive] >= decision.threshold
    assert model.predict(frame) == np.where(positive, "bad", "good").tolist()


def test_a_threshold_of_the_other_label(tmp_path: Path) -> None:
    folder = project_in(tmp_path / "p", positive="good", threshold=0.9, search={"candidates": ("linear",), "trials": 1})
    model = load(folder, train(folder).version)
    frame = pd.read_csv(folder / "loans.csv").drop(columns="class")
    good = model.predict_proba(frame)[:, model.signature.labels.index("good")] >= 0.9
    assert model.predict(frame) == np.where(good, "good", "bad").tolist()


@pytest.mark.parametrize(
    "search", [{"imbalance": "class_weight"}, {"imbalance": "resample"}, {"ensemble": "vote"}, {"ensemble": "stack"}]
)
def test_settings_of_the_search(tmp_path: Path, search: dict[str, str]) -> None:
    folder = project_in(tmp_path / "p", search=search)
    done = train(folder)
    assert done.passed
    assert done.format == "onnx"
    assert train(folder, replay=done.version).content_id == done.content_id


class Sources(html.parser.HTMLParser):
    """Everything that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]


def test_the_report_needs_nothing_but_itself(tmp_path: Path) -> None:
    folder = project_in(tmp_path / "p", rows=900, slices=("purpose",))
    done = train(folder)
    page = Path(done.report).read_text(encoding="utf-8")
    assert Path(done.report) == state_of(folder) / "reports" / "loans-1.html"
    sources = Sources()
    sources.feed(page)
    assert [source for source in sources.found if not source.startswith(("#", "data:"))] == []
    assert "@import" not in page
    assert "holiday" in page  # its slices
    with Registry.open(state_of(folder)) as registry:
        assert registry.package(registry.version("loans:1")).read(files.REPORT).decode() == page


def test_a_report_that_cannot_be_written_costs_no_version(project: Path) -> None:
    (project / STATE).mkdir()
    (project / STATE / "reports").write_text("in the way")
    done = train(project)
    assert (done.version, done.report) == ("loans:1", "")


def test_rows_in_order_of_time_are_split_by_time(tmp_path: Path) -> None:
    folder = project_in(tmp_path / "p")
    data = pd.read_csv(folder / "loans.csv")
    data["day"] = pd.date_range("2024-01-01", periods=len(data), freq="h").astype(str)
    data.to_csv(folder / "loans.csv", index=False)
    columns = {"age": "number", "income": "number", "purpose": "category", "day": "datetime"}
    changed(folder, columns=columns, split={"kind": "time", "by": "day"})
    done = train(folder)
    assert abs(done.test_rows - 80) <= 1
    rule = shown(folder, done.version).lineage["split"]
    assert rule["kind"] == "time"


def test_groups_stay_together(tmp_path: Path) -> None:
    from mainstay.operations.preparing import prepare

    folder = project_in(tmp_path / "p")
    data = pd.read_csv(folder / "loans.csv")
    data["branch"] = [f"b{row % 40}" for row in range(len(data))]
    data.to_csv(folder / "loans.csv", index=False)
    changed(folder, left_out={"branch": "groups rows"}, split={"kind": "group", "by": "branch"})
    done = train(folder)
    test = prepare(folder, watch=Silent()).division.test
    assert test.sum() == done.test_rows > 0
    assert set(data["branch"][test]).isdisjoint(data["branch"][~test])


def test_a_label_to_find_that_is_not_there(project: Path) -> None:
    changed(project, positive="baad")
    with pytest.raises(MainstayError, match="positive = 'baad'"):
        train(project)


def test_data_that_is_gone(project: Path) -> None:
    (project / "loans.csv").rename(project / "loan.csv")
    with pytest.raises(DataError, match=r"Did you mean 'loan\.csv'"):
        train(project)


def test_the_split_rule_of_a_version_can_be_read_again(two_versions: Path) -> None:
    import msgspec

    split = shown(two_versions, "loans:1").lineage["split"]
    rule = msgspec.convert(split, SplitRule)
    assert msgspec.json.decode(msgspec.json.encode(rule)) == split
