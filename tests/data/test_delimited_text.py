"""Separator and quoting are found, and cells come back exactly as they were written."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.training.delimited import decode, header_names, parse
from mainstay.training.table import DataError

WORDS = st.text(alphabet=st.sampled_from("abcZ019 .-äß漢"), min_size=0, max_size=8)


def written(rows: list[list[str]], **dialect: object) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, **dialect).writerows(rows)
    return out.getvalue()


@st.composite
def tables(draw: st.DrawFn, cells: st.SearchStrategy[str]) -> list[list[str]]:
    width = draw(st.integers(1, 5))
    row = st.lists(cells, min_size=width, max_size=width)
    return draw(st.lists(row, min_size=1, max_size=8))


@given(
    tables(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=10)),
    st.sampled_from(",\t;|"),
    st.sampled_from("\"'"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_table_written_by_a_named_dialect_reads_back_the_same(rows, separator, quote, quoting, end):
    if quoting == csv.QUOTE_MINIMAL:
        end = "\r\n"  # Python 3.11 writes a lone \r or \n unquoted where it is not in the line's end
    text = written(rows, delimiter=separator, quotechar=quote, quoting=quoting, lineterminator=end)
    assert parse(text, "t.csv", separator=separator, quote=quote).rows == rows


@given(
    st.data(),
    st.sampled_from(",\t;|"),
    st.sampled_from("\"'"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_the_dialect_is_found_where_fields_hold_the_separator_quotes_and_line_ends(
    data, separator, quote, quoting, end
):
    special = st.sampled_from([separator, quote, "\n", f"{quote}{quote}", f"a{separator} b"])
    body = data.draw(tables(st.one_of(WORDS, special).map(lambda text: f"x{text}y")))
    names = [f"c{i}" for i in range(len(body[0]))]
    text = written([names, *body], delimiter=separator, quotechar=quote, quoting=quoting, lineterminator=end)
    assert parse(text, "t.csv").rows == [names, *body]


def test_stray_quotes_in_free_text_are_text():
    text = 'ham\tHe said "hi" to me\nspam\t"Free entry\nham\tit\'s 5" long, or "six"\n'
    read = parse(text, "sms.tsv")
    assert read.dialect.quote == ""
    assert read.rows[1] == ["spam", '"Free entry']


def test_a_genuine_quote_beats_a_separator_that_stands_inside_it():
    read = parse('id,note\n1,"a;b;c"\n2,"d;e;f"\n', "t.csv")
    assert read.rows[1] == ["1", "a;b;c"]


def test_a_decimal_comma_is_no_separator():
    assert parse("x;y\n1,5;2,5\n3,5;4\n", "t.csv").rows[1] == ["1,5", "2,5"]


def test_a_ragged_row_is_refused_with_its_line_and_both_widths():
    with pytest.raises(DataError, match=r"t\.csv, line 4: 2 fields, but the first row has 3"):
        parse('a,b,c\n1,"two\nlines",3\n4,5\n', "t.csv")


def test_a_ragged_row_is_not_hidden_by_taking_the_file_for_one_column():
    with pytest.raises(DataError, match="line 3: 4 fields, but the first row has 3"):
        parse("a,b,c\n1,2,3\n1,2,3,4\n", "t.csv")


def test_blank_lines_are_skipped():
    assert parse("\n\na,b\n\n1,2\n\n", "t.csv").rows == [["a", "b"], ["1", "2"]]


@pytest.mark.parametrize("text", ["", "\n\n", "\r\n"])
def test_an_empty_text_is_refused(text):
    with pytest.raises(DataError, match="is empty"):
        parse(text, "t.csv")


def test_a_field_beyond_the_limit_is_refused_with_its_line():
    with pytest.raises(DataError, match="line 2: a field has more than 131,072"):
        parse("a,b\n1," + "x" * 140_000 + "\n", "t.csv")


def test_a_wrong_encoding_names_line_byte_and_key():
    with pytest.raises(
        DataError, match=r"line 2 has the byte 0xe9 \(byte 7 of the file\).*encoding under \[data\].*cp1252"
    ):
        decode("name\nRené\n".encode("latin-1")[:0] + b"name\nRe\xe9\n", "utf-8", "t.csv")


def test_a_utf16_file_is_recognised_by_its_mark():
    with pytest.raises(DataError, match='such as "utf-16"'):
        decode("a,b".encode("utf-16"), "utf-8", "t.csv")


def test_an_unknown_encoding_is_refused():
    with pytest.raises(DataError, match="no encoding 'utf-9'"):
        decode(b"a", "utf-9", "t.csv")


def test_a_byte_order_mark_is_no_part_of_the_first_name():
    assert decode(b"\xef\xbb\xbfa,b", "utf-8", "t.csv") == "a,b"


def test_a_repeated_name_is_refused_and_a_missing_one_is_given():
    with pytest.raises(DataError, match="2 columns named 'a'"):
        header_names(["a", "b", "a"], "t.csv")
    assert header_names(["", "column_1", ""], "t.csv") == (
        ["column_1_", "column_1", "column_3"],
        ["column_1_", "column_3"],
    )
