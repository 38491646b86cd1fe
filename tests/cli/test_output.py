"""What commands print: one JSON object for programs, lines for pipes, sentences for people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loan_projects import changed, project_in, write_loans

from mainstay.operations.deploying import deploy
from mainstay.operations.training import train

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """loans:1 is deployed, loans:2 passed, loans:3 failed a gate."""
    folder = project_in(tmp_path_factory.mktemp("cli") / "project", search={"candidates": ("linear",), "trials": 1})
    train(folder)
    deploy(folder, "loans:1")
    changed(folder, search={"candidates": ("decision_tree",)})
    train(folder)
    changed(folder, gates=("accuracy >= 1.1",))
    train(folder)
    write_loans(folder / "new.csv", 50, seed=3)
    return folder


@pytest.fixture
def inside(versions: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(versions)
    return versions


READS = [
    ("list",),
    ("list", "loans", "--limit", "1"),
    ("show", "loans:1"),
    ("compare", "loans:1", "loans:2"),
    ("events", "loans"),
    ("diff", "loans:1", "loans:2", "new.csv", "--slices", "purpose, age"),
    ("alias", "loans:2", "favourite", "--reason", "a test"),
]


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_one_json_object_for_programs(inside: Path, run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run(*words, "--json")
    assert (code, err) == (0, "")
    assert isinstance(json.loads(out), dict)
    assert out.count("\n") == 1


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_plain_lines_for_a_pipe(inside: Path, run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run(*words)
    assert code == 0
    assert err == "" or err.startswith("Older: ")  # how to page on is no line of the table
    assert "loans:" in out
    assert "\x1b" not in out
    assert not any(character in out for character in "│┃━─")


def test_a_list_in_a_pipe_has_tabs_between_its_cells(inside: Path, run: Run) -> None:
    _, out, _ = run("list")
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0][:3] == ["version", "state", "aliases"]
    assert [row[:2] for row in rows[1:]] == [
        ["loans:3", "failed a gate"],
        ["loans:2", "passed"],
        ["loans:1", "deployed"],
    ]
    assert {len(row) for row in rows} == {7}


def test_a_list_on_a_terminal_is_a_table(inside: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    _, out, _ = run("list")
    assert "\t" not in out
    assert "─" in out


ERRORS = [
    (("show", "loans:9"), 2, "its latest is loans:2"),
    (("show",), 2, "VERSION"),
    (("train", "--budgt", "3"), 2, "--budget"),
    (("train", "--trials", "0"), 2, "--trials"),
    (("train", "--trials", "1", "--budget", "2"), 2, "give one of them"),
    (("deploy", "loans:3"), 1, "mainstay show loans:3"),
    (("deploy", "loans:3", "--override"), 2, "needs a reason"),
    (("serve", "--port", "99999"), 2, "65535"),
    (("nonsense",), 2, "nonsense"),
]


@pytest.mark.parametrize(
    ("words", "code", "said"), ERRORS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_an_error_is_a_sentence_and_an_exit_code(
    inside: Path, run: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    found, out, err = run(*words)
    assert (found, out) == (code, "")
    said = said.replace("loans:2", "loans:3")
    assert said.lower() in err.lower()
    assert "Error:" in err
    assert "Traceback" not in err
    found, out, _ = run(*words, "--json")
    assert found == code
    told = json.loads(out)
    assert told["exit_code"] == code
    assert out.count("\n") == 1


def test_train_tells_programs_all_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(project_in(tmp_path / "p"))
    code, out, err = run("train", "--json", "--trials", "1")
    done = json.loads(out)
    assert (code, err) == (0, "")
    assert {"version", "metrics", "gates", "parity", "report"} <= set(done)
    assert Path(done["report"]).is_file()
    changed(tmp_path / "p", gates=("accuracy >= 1.1",))
    code, out, err = run("train", "--json", "--trials", "1")
    assert code == 1
    assert json.loads(out)["passed"] is False


def test_train_tells_people_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    write_loans(tmp_path / "loans.csv")
    code, out, err = run("init", "loans.csv", "--target", "class")
    assert code == 0
    assert "Next: mainstay train" in out
    changed(tmp_path, search={"candidates": ("linear",), "folds": 2})
    code, out, err = run("train", "--trials", "1")
    assert code == 0
    assert "roc_auc > baseline" in out
    assert "Next: mainstay deploy loans:1" in out
    assert len(err.splitlines()) < 12  # a line a stage
    assert "Evaluating" in err


def test_a_reader_that_goes_away_gets_no_traceback(versions: Path) -> None:
    for words in ("list", "show loans:1", "show loans:1 --json", "--help"):
        done = subprocess.run(
            f"{sys.executable} -m mainstay {words} | true",
            shell=True,
            cwd=versions,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert "Traceback" not in done.stderr, words
        assert "Exception ignored" not in done.stderr, words


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("show", "loans:1")], ids=" ".join)
def test_output_onto_a_full_disk(versions: Path, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mainstay", *words],
            cwd=versions,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert "No space left on device: make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_terminal_that_knows_no_dashes(versions: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", "list", "--json"],
        cwd=versions,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "MAINSTAY_ACTOR": "José"},
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)


def test_a_default_install_says_which_extra_is_needed(inside: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    for name in [name for name in sys.modules if name.startswith("mainstay.operations")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mainstay.training.reading", None)

    class Absent:
        """As where pandas is not installed."""

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "mainstay.training.reading":
                raise ModuleNotFoundError("No module named 'pandas'", name="pandas")

    monkeypatch.delitem(sys.modules, "mainstay.training.reading")
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    code, out, _ = run("train", "--json")
    assert code == 2
    assert "pip install 'mainstay[train]'" in json.loads(out)["error"]
