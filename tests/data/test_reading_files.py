"""Every kind of file gives its cells exactly, plain or gzipped, alone or in a folder."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mainstay.project import Data
from mainstay.training.reading import read
from mainstay.training.table import DataError, Table, from_frame


def table(folder: Path, name: str, content: str | bytes, **data: object) -> Table:
    content = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return read(Data(path=name, **data), folder)


def cells(table: Table, name: str) -> list[object]:
    return table.frame[name].tolist()


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.CSV.gz"])
def test_text_stays_text(tmp_path, name):
    read = table(tmp_path, name, "id\tv\r\n001\tNA\r\n1e400\t\r\n")
    assert cells(read, "id") == ["001", "1e400"]
    assert cells(read, "v") == ["NA", ""]
    assert read.factor("v").missing.all()
    assert read.tokens_seen() == {"NA": 1, "": 1}


def test_provenance_says_where_the_rows_came_from(tmp_path):
    import hashlib

    read = table(tmp_path, "t.csv", "a;b\n1;2\n")
    origin = read.provenance
    assert origin.files == {"t.csv": hashlib.sha256(b"a;b\n1;2\n").hexdigest()}
    assert (origin.rows, origin.columns, origin.separator) == (1, 2, ";")


def test_without_a_header_the_columns_are_named(tmp_path):
    read = table(tmp_path, "t.tsv", "ham\thello\nspam\twin\n", header=False, columns=("label", "text"))
    assert cells(read, "label") == ["ham", "spam"]
    assert table(tmp_path, "u.tsv", "ham\thello\n", header=False).names == ("column_1", "column_2")
    with pytest.raises(DataError, match=r"has 2 columns, but \[data\] columns names 3"):
        table(tmp_path, "v.tsv", "ham\thello\n", header=False, columns=("a", "b", "c"))
    with pytest.raises(DataError, match="header = false"):
        table(tmp_path, "w.tsv", "ham\thello\n", columns=("a", "b"))


def test_a_nameless_column_is_named_and_said(tmp_path):
    read = table(tmp_path, "t.csv", ",a\n0,1\n1,2\n")
    assert read.names == ("column_1", "a")
    assert read.nameless == ("column_1",)
    assert "column_1" in read.notes[0]


def test_a_header_that_looks_like_data_is_said(tmp_path):
    assert "--no-header" in table(tmp_path, "t.csv", "1,2,3\n4,5,6\n").notes[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.jsonl", b"\n", "is empty"),
        ("t.parquet", b"PAR1nonsense", "not a readable Parquet file"),
        ("t.dat", b"a,b\n1,2\n", "does not say what it is"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "line 2: a row must be an object"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ("t.jsonl", b'{"a": {"b": 1}}\n', "line 1: 'a' holds an object"),
        ("t.jsonl", b'{"a": NaN}\n', "line 1 is not JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path, name, content, said):
    with pytest.raises(DataError, match=said):
        table(tmp_path, name, content)


def test_an_absent_file_is_refused_with_the_nearest_name(tmp_path):
    (tmp_path / "credit.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"Did you mean 'credit\.csv'"):
        read(Data(path="credti.csv"), tmp_path)


def test_a_cut_gzip_file_is_refused(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 1000)[:-20])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read(Data(path="t.csv.gz"), tmp_path)


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson.gz"])
def test_json_lines_keep_their_types(tmp_path, name):
    rows = [{"a": 1, "b": True}, {"a": 2**60 + 1, "c": "x"}, {"a": 1.5, "b": None}]
    read = table(tmp_path, name, "\n".join(map(json.dumps, rows)))
    assert cells(read, "a") == [1, 2**60 + 1, 1.5]
    assert cells(read, "b") == [True, None, None]
    assert cells(read, "c") == [None, "x", None]


def test_one_and_true_are_two_values(tmp_path):
    read = table(tmp_path, "t.jsonl", '{"a": 1}\n{"a": true}\n{"a": 1.0}\n{"a": "1"}\n')
    assert len(read.factor("a").values) == 4


@pytest.mark.parametrize("gz", [False, True])
def test_parquet_keeps_its_types(tmp_path, gz):
    columns = {
        "i": pa.array([1, 2**60 + 1, None]),
        "full": pa.array([1, 2, 3]),
        "f": pa.array([1.5, None, 2.0]),
        "b": pa.array([True, None, False]),
        "s": pa.array(["001", None, "x"]).dictionary_encode(),
        "t": pa.array([datetime(2020, 1, 2, 3, 4, tzinfo=UTC), None, None], pa.timestamp("ns", "UTC")),
        "d": pa.array([date(2020, 1, 2)] * 3),
        "m": pa.array([Decimal("1.50"), None, Decimal("2.00")]),
        "n": pa.nulls(3),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    name = "t.parquet"
    if gz:
        name = "t.parquet.gz"
        (tmp_path / name).write_bytes(gzip.compress((tmp_path / "t.parquet").read_bytes()))
    got = read(Data(path=name), tmp_path)
    assert cells(got, "i") == [1, 2**60 + 1, None]
    assert got.frame["full"].dtype == "int64"
    assert cells(got, "b") == [True, None, False]
    assert cells(got, "s") == ["001", None, "x"]
    assert cells(got, "t") == [datetime(2020, 1, 2, 3, 4, tzinfo=UTC), None, None]
    assert cells(got, "m") == ["1.50", None, "2.00"]
    assert list(got.factor("f").codes) == [0, -1, 1]
    assert got.factor("n").missing.all()


def test_a_nested_parquet_column_is_refused(tmp_path):
    pq.write_table(pa.table({"a": pa.array([[1], [2]])}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="column 'a' is of type list"):
        read(Data(path="t.parquet"), tmp_path)


def test_a_folder_is_its_files_by_name(tmp_path):
    folder = tmp_path / "days"
    folder.mkdir()
    (folder / "b.csv").write_text("y,x\n3,c\n")
    (folder / "a.csv").write_text("x,y\na,1\nb,2\n")
    (folder / "c.csv.gz").write_bytes(gzip.compress(b"x,y\nd,4\n"))
    (folder / "readme.md").write_text("not data")
    got = read(Data(path="days"), tmp_path)
    assert cells(got, "x") == ["a", "b", "c", "d"]
    assert cells(got, "y") == ["1", "2", "3", "4"]
    assert list(got.provenance.files) == ["a.csv", "b.csv", "c.csv.gz"]


def test_a_folder_whose_files_differ_is_refused_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(DataError, match=r"b\.csv has no column 'y', which a\.csv has"):
        read(Data(path="."), tmp_path)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no data file"):
        read(Data(path="."), tmp_path)


def test_a_wrong_separator_or_quote_is_refused(tmp_path):
    with pytest.raises(DataError, match="separator = ',,' must be one character"):
        table(tmp_path, "t.csv", "a,b\n1,2\n", separator=",,")


def test_a_frame_keeps_its_values_and_loses_pandas_own_types():
    import pandas as pd

    frame = pd.DataFrame({"i": pd.array([1, None], dtype="Int64"), "s": ["a", None], "c": pd.Categorical(["x", "y"])})
    got = from_frame(frame)
    assert cells(got, "i") == [1, None]
    assert cells(got, "s") == ["a", None]
    assert cells(got, "c") == ["x", "y"]
    with pytest.raises(DataError, match="which is no text"):
        from_frame(pd.DataFrame({0: [1]}))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("credit.csv", (1000, 21)),
        ("adult.csv.gz", (48842, 15)),
        ("bike_sharing.csv", (17379, 17)),
        ("fraud.csv", (1722, 32)),
        ("electricity.csv.gz", (45312, 9)),
    ],
)
def test_real_files_are_read_whole(shared_data, name, shape):
    path = shared_data(name)
    assert read(Data(path=path.name), path.parent).frame.shape == shape


@pytest.mark.data
def test_all_messages_with_stray_quotes_are_kept(shared_data):
    path = shared_data("sms_spam.tsv")
    got = read(Data(path=path.name, header=False, columns=("label", "text")), path.parent)
    assert len(got) == 5574
    assert cells(got, "label").count("spam") == 747
    assert (
        sum(len(f"{a}\t{b}\n".encode()) for a, b in zip(cells(got, "label"), cells(got, "text"), strict=True))
        == 477_907
    )
