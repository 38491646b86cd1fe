"""A query's rows; the password comes from the environment and is seen nowhere."""

from __future__ import annotations

import sqlite3
import traceback

import msgspec
import pytest

from mainstay.project import Data
from mainstay.training.reading import read
from mainstay.training.table import DataError

SECRET = "hunter2-very/secret@:"


@pytest.fixture
def folder(tmp_path):
    with sqlite3.connect(tmp_path / "loans.db") as base:
        base.execute("CREATE TABLE loans (age INTEGER, purpose TEXT, rate REAL)")
        base.executemany("INSERT INTO loans VALUES (?, ?, ?)", [(30, "car", 1.5), (None, "10%:x", 2.0)])
    base.close()
    return tmp_path


def test_a_query_gives_typed_rows(folder):
    got = read(Data(url="sqlite:///loans.db", query="SELECT *, '%:name' AS odd FROM loans"), folder)
    assert got.frame["age"].tolist() == [30, None]
    assert got.frame["purpose"].tolist() == ["car", "10%:x"]
    assert got.frame["odd"].tolist() == ["%:name"] * 2
    assert got.provenance.query is not None


def test_a_variable_stands_for_what_the_environment_holds(folder):
    data = Data(url="sqlite:///${DB_FILE}.db", query="SELECT age FROM loans")
    got = read(data, folder, environment={"DB_FILE": "loans"})
    assert len(got) == 2
    assert got.provenance.url == "sqlite:///${DB_FILE}.db"


def test_the_whole_url_may_come_from_the_environment(folder):
    data = Data(url="${DATABASE_URL}", query="SELECT age FROM loans")
    got = read(data, folder, environment={"DATABASE_URL": f"sqlite:///{folder}/loans.db"})
    assert b"loans.db" not in msgspec.json.encode(got.provenance)


def test_a_missing_variable_is_named(folder):
    with pytest.raises(DataError, match="environment variable DB_PASSWORD, which is not set"):
        read(Data(url="postgresql://u:${DB_PASSWORD}@h/d", query="SELECT 1"), folder, environment={})


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@h/d",
        "postgresql://u:hunter2${X}@h/d",
        "postgresql://u@h/d?password=hunter2",
        "mssql://u@h/d?access_token=hunter2",
        "postgresql://u:hunter2@h:notaport/d",
    ],
)
def test_a_literal_password_is_refused_and_not_repeated(folder, url):
    with pytest.raises(DataError) as caught:
        read(Data(url=url, query="SELECT 1"), folder, environment={"X": "y"})
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("sqlite:///${DB_PASSWORD}", {"DB_PASSWORD": SECRET}),
        ("sqlite:////${DB_PASSWORD}/x.db", {"DB_PASSWORD": SECRET}),
        ("nosuch://u:${DB_PASSWORD}@h/d", {"DB_PASSWORD": SECRET}),
        ("${DB_URL}", {"DB_URL": f"nosuch://u:{SECRET}@h/d"}),
        ("${DB_URL}", {"DB_URL": f"{SECRET} is no url"}),
    ],
)
def test_no_error_tells_what_was_expanded(folder, url, environment):
    with pytest.raises(DataError) as caught:
        read(Data(url=url, query="SELECT 1"), folder, environment=environment)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_database_file_that_is_not_there_is_not_made(folder):
    with pytest.raises(DataError, match="no such database file"):
        read(Data(url="sqlite:///other.db", query="SELECT 1"), folder)
    assert not (folder / "other.db").exists()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT colour FROM loans", "no such column: colour"),
        ("SELECT age FROM loans WHERE age > 99", "no rows"),
        ("DELETE FROM loans", "must be a SELECT"),
        ("SELECT x'00ff' AS blob FROM loans", "'blob' of the query has values of type bytes"),
        ("SELECT age, age FROM loans", "2 columns named 'age'"),
    ],
)
def test_a_query_that_gives_no_table_is_refused(folder, query, said):
    with pytest.raises(DataError, match=said):
        read(Data(url="sqlite:///loans.db", query=query), folder)


def test_a_query_changes_nothing(folder):
    with pytest.raises(DataError):
        read(Data(url="sqlite:///loans.db", query="DELETE FROM loans"), folder)
    assert len(read(Data(url="sqlite:///loans.db", query="SELECT * FROM loans"), folder)) == 2
