"""`init`: what a person may say of his data, and what is written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from loan_projects import NAMES, loans, write_loans

from mainstay.errors import MainstayError
from mainstay.operations.initialising import ProjectExists, initialise, source_of
from mainstay.project import FILE, load
from mainstay.training.table import DataError


def test_a_project_says_what_was_inferred(tmp_path: Path) -> None:
    done = initialise(tmp_path, source_of(str(write_loans(tmp_path / "my loans.csv"))), target="class")
    project = load(tmp_path)
    assert done.name == project.name == "my-loans"
    assert (done.task, done.rows, done.positive) == ("binary", 400, "bad")
    assert project.columns == {"age": "number", "income": "number", "purpose": "category"} == done.columns
    assert project.data.path == "my loans.csv"  # seen from the project, so that the folder can be moved


def test_data_outside_the_project_is_named_in_full(tmp_path: Path) -> None:
    data, folder = write_loans(tmp_path / "loans.csv"), tmp_path / "project"
    folder.mkdir()
    initialise(folder, source_of(str(data)), target="class", name="risk", positive="good")
    project = load(folder)
    assert (project.data.path, project.name, project.positive) == (str(data), "risk", "good")


def test_a_project_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    source = source_of(str(write_loans(tmp_path / "loans.csv")))
    initialise(tmp_path, source, target="class")
    written = (tmp_path / FILE).read_text()
    with pytest.raises(ProjectExists, match="--force"):
        initialise(tmp_path, source, target="purpose")
    assert (tmp_path / FILE).read_text() == written
    initialise(tmp_path, source, target="purpose", force=True)
    assert load(tmp_path).target == "purpose"


def test_a_file_without_a_header_has_its_columns_named(tmp_path: Path) -> None:
    lines = [";".join(map(str, row)) for row in loans(200)]
    (tmp_path / "bare.txt").write_text("\n".join(lines), encoding="cp1252")
    source = source_of(
        str(tmp_path / "bare.txt"),
        header=False,
        columns=" age,income ,purpose,class",
        separator="semicolon",
        encoding="cp1252",
        kind="csv",
    )
    assert initialise(tmp_path, source, target="class").rows == 200
    data = load(tmp_path).data
    assert (data.header, data.columns, data.separator, data.encoding) == (False, NAMES, ";", "cp1252")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"header": False}, "--no-header needs --columns"),
        ({"columns": "a,b"}, "give --no-header too"),
        ({"kind": "cvs"}, "Did you mean 'csv'"),
        ({"query": "SELECT 1"}, "--query belongs to a database URL"),
    ],
)
def test_words_that_do_not_go_together(words: dict[str, object], said: str) -> None:
    with pytest.raises(MainstayError, match=said):
        source_of("loans.csv", **words)  # type: ignore[arg-type]


def test_a_folder_of_files_is_one_table(tmp_path: Path) -> None:
    months = tmp_path / "months"
    months.mkdir()
    for seed in range(3):
        write_loans(months / f"{seed}.csv", 100, seed=seed)
    done = initialise(tmp_path, source_of(str(months)), target="class")
    assert (done.rows, done.name, load(tmp_path).data.path) == (300, "months", "months")


def test_a_database_is_read_by_a_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "secret-name.db") as database:
        database.execute("CREATE TABLE loans (age, income, purpose, class)")
        database.executemany("INSERT INTO loans VALUES (?, ?, ?, ?)", loans(150))
    database.close()
    monkeypatch.setenv("LOANS_DB", "secret-name.db")
    source = source_of("sqlite:///${LOANS_DB}", query="SELECT * FROM loans")
    assert initialise(tmp_path, source, target="class", name="loans").rows == 150
    assert "secret-name" not in (tmp_path / FILE).read_text()
    monkeypatch.setenv("WHOLE", "sqlite:///secret-name.db")
    whole = source_of("${WHOLE}", query="SELECT * FROM loans")
    assert initialise(tmp_path, whole, target="class", force=True).rows == 150
    with pytest.raises(MainstayError, match="needs --query"):
        source_of("${WHOLE}")


def test_a_password_on_the_command_line_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="environment variable") as caught:
        source_of("postgresql://me:hunter2@localhost/loans", query="SELECT 1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "positive", "said"),
    [
        ("clas", None, "Did you mean 'class'"),
        ("class", "goood", "Did you mean 'good'"),
        ("income", "good", "two values"),
        ("purpose", "car", "two values"),
    ],
)
def test_a_wrong_word_writes_nothing(tmp_path: Path, target: str, positive: str | None, said: str) -> None:
    source = source_of(str(write_loans(tmp_path / "loans.csv")))
    with pytest.raises(MainstayError, match=said):
        initialise(tmp_path, source, target=target, positive=positive)
    assert [path.name for path in tmp_path.iterdir()] == ["loans.csv"]


def test_a_name_that_no_model_can_have(tmp_path: Path) -> None:
    with pytest.raises(MainstayError, match="must be of a-z"):
        initialise(tmp_path, source_of(str(write_loans(tmp_path / "l.csv"))), target="class", name="My Loans")
    assert not (tmp_path / FILE).exists()
