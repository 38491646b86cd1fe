"""A password that comes by the environment is in no file and no output."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from loan_projects import QUICK, changed, loans

from mainstay.cli.app import run

SECRET = "hunter2-is-no-secret"


def test_a_password_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    # The password stands in the URL's query, where SQLite takes it, and in the file's name, which errors may tell.
    database = elsewhere / f"{SECRET}.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE loans (age, income, purpose, class)")
        connection.executemany("INSERT INTO loans VALUES (?, ?, ?, ?)", loans(300))
    connection.close()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    url = f"sqlite:///{elsewhere}/" + "${DB_PASSWORD}.db"
    words = ["--target", "class", "--query", "SELECT * FROM loans", "--name", "loans"]
    assert run(["init", url, *words]) == 0
    changed(folder, search=QUICK)
    assert run(["train", "--json"]) == 0
    assert run(["show", "loans:1"]) == 0
    assert run(["deploy", "loans:1"]) == 0
    assert run(["try", url, *words, "--once", "--trials", "1", "--port", "0"]) in (0, 1)
    assert run(["events"]) == 0
    database.unlink()
    assert run(["train"]) == 2  # the error names the database, but not what was filled in
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    assert "${DB_PASSWORD}" in said.err


@pytest.mark.parametrize("command", ["init", "try"])
def test_a_password_in_words_is_refused_before_anything_is_kept(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"postgresql://me:{SECRET}@127.0.0.1/loans"
    assert run([command, url, "--target", "class", "--query", "SELECT 1", "--json"]) == 2
    assert not list(tmp_path.iterdir())
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
