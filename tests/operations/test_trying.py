"""`try`: a baseline answers at once, better versions take its place, and a project that is there is gone on with."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from loan_projects import changed, processes_of_ours, project_in, write_loans

from mainstay.models import package as files
from mainstay.operations.background import ServerEnded
from mainstay.operations.catalogue import happened, listed, shown
from mainstay.operations.initialising import source_of
from mainstay.operations.publishing import Trained
from mainstay.operations.trying import OtherProject, try_out
from mainstay.operations.watching import Silent
from mainstay.serving.ports import PortTaken


class Asks(Silent):
    """Asks the server each time it is told that a version answers."""

    def __init__(self) -> None:
        self.notes, self.answers = list[str](), list[tuple[str, Any]]()
        self.url = ""

    def note(self, text: str) -> None:
        self.notes.append(text)
        if text.startswith("Serving at"):
            self.url = text.split()[2]
        if text.endswith("answers now."):
            body = json.dumps({"age": 30, "income": 2000, "purpose": "car"}).encode()
            with urllib.request.urlopen(f"{self.url}/predict", body, timeout=30) as answer:
                found = json.loads(answer.read())
            self.answers.append((text.split(maxsplit=1)[0], found["model"]))


def tried(folder: Path, watch: Silent | None = None, **words: Any) -> Trained:
    given: dict[str, Any] = {
        "target": "class",
        "name": None,
        "positive": None,
        "budget": None,
        "trials": 2,
        "host": None,
        "port": 0,
        "once": True,
        "watch": watch or Silent(),
    }
    return try_out(folder, source_of(str(folder / "loans.csv")), **{**given, **words})


def test_better_versions_take_the_place_of_the_baseline_live(tmp_path: Path) -> None:
    folder, watch = project_in(tmp_path / "p"), Asks()
    done = tried(folder, watch)
    assert done.passed
    assert len(watch.answers) >= 2  # the baseline, then a better one
    assert all(said in json.dumps(served) for said, served in watch.answers)
    story = happened(folder, "loans", limit=100).events
    assert any("a baseline, to begin with" in event.reason for event in story)
    served = [version.version for version in listed(folder, "loans", limit=9).versions if version.deployed]
    assert served == [done.version]
    assert files.TRIALS in {name for name, _, _ in shown(folder, done.version).files}
    # Again in the same folder: what is deployed goes on answering, and a baseline does not take its place.
    changed(folder, gates=("roc_auc >= 1.1",))
    again = Asks()
    assert not tried(folder, again).passed
    assert again.url
    assert not again.answers
    assert all(f"{done.version} goes on answering" in note for note in again.notes if "did not pass" in note)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"target": "purpose"}, "with target 'class', not 'purpose'"),
        ({"name": "other"}, "with name 'loans', not 'other'"),
        ({"positive": "good"}, "with positive 'bad', not 'good'"),
    ],
)
def test_another_project_is_not_gone_on_with(project: Path, words: dict[str, Any], said: str) -> None:
    with pytest.raises(OtherProject, match=said):
        tried(project, **words)


def test_other_data_is_not_gone_on_with(project: Path) -> None:
    write_loans(project / "other.csv")
    with pytest.raises(OtherProject, match=r"'loans\.csv', not 'other\.csv'"):
        try_out(
            project,
            source_of(str(project / "other.csv")),
            target="class",
            name=None,
            positive=None,
            budget=None,
            trials=1,
            host=None,
            port=0,
            once=True,
            watch=Silent(),
        )


def test_a_project_with_its_own_function_has_no_search_to_try(project: Path) -> None:
    changed(project, train="mine:fit")
    with pytest.raises(OtherProject, match="mainstay train"):
        tried(project)


def test_a_port_in_use_is_told_before_anything_is_trained(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortTaken):
        tried(project, port=taken.getsockname()[1])
    assert not (project / ".mainstay").exists()


def test_a_server_that_dies_is_told_of(project: Path) -> None:
    before = processes_of_ours()

    class Kills(Silent):
        def note(self, text: str) -> None:
            if text.endswith("answers now."):
                (server,) = [child for child in psutil.Process().children() if "serve" in child.cmdline()]
                server.kill()
                while server.status() != psutil.STATUS_ZOMBIE:  # dead, and this process has not looked yet
                    time.sleep(0.01)

    with pytest.raises(ServerEnded, match="exit code -9"):
        tried(project, Kills())
    assert not processes_of_ours(since=before)


def test_a_search_that_is_stopped_leaves_what_answers(project: Path) -> None:
    stop = threading.Event()

    class StopsAtOnce(Silent):
        def note(self, text: str) -> None:
            if text.endswith("answers now."):
                stop.set()

    done = tried(project, StopsAtOnce(), trials=1000, stop=stop)
    assert done.description == "baseline"
    assert [version.version for version in listed(project, None, limit=9).versions] == [done.version]
