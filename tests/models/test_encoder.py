"""The encoder's operations are scikit-learn's, exactly, and a row's features do not depend on its neighbours."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from mainstay.models.encoder import (
    Affine,
    Block,
    Clip,
    DateParts,
    Encoder,
    Function,
    Impute,
    Lookup,
    Match,
    MissingFlag,
    OneHot,
    Scale,
    Select,
    compiled,
)
from mainstay.models.signature import Cells
from mainstay.models.text import TextTerms

FLOATS = st.floats(-1e6, 1e6, allow_nan=False)
TEXTS = st.lists(st.text(alphabet="abcé ',.!A1ß\u0130\n", max_size=30), min_size=1, max_size=8)


def cells(numbers, texts=None) -> Cells:
    return Cells(np.asarray(numbers, dtype=np.float64), texts or {})


def encode(numbers, *steps):
    array = np.asarray(numbers, dtype=np.float64)
    return compiled(Encoder((Block(tuple(range(array.shape[1])), steps),)))(cells(array))


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=2, max_size=20))
def test_scaling_is_scikit_learns_to_the_last_bit(rows):
    X = np.array(rows)
    scaler = StandardScaler().fit(X)
    scaled = encode(X, Scale(tuple(scaler.mean_), tuple(scaler.scale_)))
    assert np.array_equal(scaled, scaler.transform(X))
    ranged = MinMaxScaler().fit(X)
    assert np.array_equal(encode(X, Affine(tuple(ranged.scale_), tuple(ranged.min_))), ranged.transform(X))


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 2)), min_size=1, max_size=20))
def test_one_hot_is_scikit_learns_with_unseen_values_all_zero(rows):
    codes = np.array(rows, dtype=float)
    native = OneHotEncoder(categories=[np.arange(4.0), np.arange(2.0)], handle_unknown="ignore", sparse_output=False)
    native.fit([[0, 0]])
    assert np.array_equal(encode(codes, OneHot((4, 2))), native.transform(codes))


@given(TEXTS, st.sampled_from(["word", "char", "char_wb"]), st.sampled_from(["l1", "l2", None]), st.booleans())
def test_text_terms_are_scikit_learns(texts, analyzer, norm, sublinear):
    native = TfidfVectorizer(analyzer=analyzer, norm=norm, sublinear_tf=sublinear, ngram_range=(1, 3))
    try:
        native.fit(texts)
    except ValueError:  # no term at all
        return
    terms = TextTerms(
        column=0,
        vocabulary=tuple(native.get_feature_names_out()),
        idf=tuple(native.idf_),
        analyzer=analyzer,
        ngrams=(1, 3),
        norm=norm,
        sublinear=sublinear,
    )
    found = compiled(Encoder((terms,)))(cells(np.full((len(texts), 1), np.nan), {0: texts}))
    np.testing.assert_allclose(found, native.transform(texts).toarray(), rtol=0, atol=1e-12)


def test_a_missing_text_is_an_empty_one():
    terms = TextTerms(column=0, vocabulary=("a",))
    assert compiled(Encoder((terms,)))(cells([[np.nan]], {0: [None]})).tolist() == [[0.0]]


def test_missing_values_are_imputed_flagged_and_clipped():
    X = [[math.nan, 5.0], [-9.0, math.nan]]
    assert encode(X, Impute((1.0, 2.0))).tolist() == [[1.0, 5.0], [-9.0, 2.0]]
    assert encode(X, MissingFlag()).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    clipped = encode(X, Clip((-1.0, None), (1.0, 4.0)))
    assert clipped[1, 0] == -1.0
    assert clipped[0, 1] == 4.0
    assert math.isnan(clipped[0, 0])


def test_lookup_and_match_know_unseen_and_missing():
    codes = [[0.0], [1.0], [-1.0], [7.0], [math.nan]]
    found = encode(codes, Lookup(((10.0, 20.0),), (-5.0,), (None,)))
    assert found[:4, 0].tolist() == [10.0, 20.0, -5.0, -5.0]
    assert math.isnan(found[4, 0])
    matched = encode([[2.5], [9.0], [math.nan]], Match(((1.0, 2.5),)))
    assert matched[:2, 0].tolist() == [1.0, -1.0]
    assert math.isnan(matched[2, 0])


CODES = st.sampled_from([math.nan, -1.0, 0.0, 1.0, 2.0, 3.0, 1e300, -1e300, math.inf, -math.inf])
TABLES = st.lists(st.tuples(st.lists(st.floats(-9, 9), max_size=3), st.floats(-9, 9), st.floats(-9, 9)), min_size=1)


@given(TABLES, st.data())
def test_each_column_is_looked_up_in_its_own_table(tables, data):
    rows = data.draw(st.lists(st.tuples(*[CODES] * len(tables)), min_size=1, max_size=5))
    values, unseen, missing = zip(*tables, strict=True)
    found = encode(rows, Lookup(tuple(map(tuple, values)), unseen, missing))

    def expected(code, table, otherwise, absent):
        if math.isnan(code):
            return absent
        return table[int(code)] if 0 <= code < len(table) else otherwise

    assert found.tolist() == [[expected(code, *table) for code, table in zip(row, tables, strict=True)] for row in rows]


@given(st.lists(st.datetimes(min_value=pd.Timestamp(1900, 1, 1), max_value=pd.Timestamp(2200, 1, 1)), min_size=1))
def test_date_parts_are_the_calendars(moments):
    stamps = pd.Series(moments).dt.floor("s").astype("datetime64[s]")
    seconds = stamps.astype("int64").to_numpy(dtype=float).reshape(-1, 1)
    found = encode(seconds, DateParts(("year", "month", "day", "weekday", "hour", "minute", "day_of_year", "days")))
    at = stamps.dt
    for column, part in enumerate((at.year, at.month, at.day, at.day_of_week, at.hour, at.minute, at.day_of_year)):
        assert found[:, column].tolist() == part.tolist()
    assert found[:, 7].tolist() == (seconds[:, 0] / 86400).tolist()


def test_a_missing_date_has_missing_parts():
    assert np.isnan(encode([[math.nan]], DateParts(("year", "hour")))).all()


def test_functions_and_selection():
    assert encode([[3.0, 8.0]], Function("square"), Select((1, 0))).tolist() == [[64.0, 9.0]]


ENCODER = Encoder(
    (
        Block((0,), (Impute((3.0,)), Scale((1.0,), (0.3,)))),
        Block((0,), (MissingFlag(),)),
        Block((1,), (OneHot((3,)),)),
        Block((2,), (DateParts(("year", "hour")), Impute((2000.0, 0.0)))),
        TextTerms(column=3, vocabulary=("ab", "ba"), idf=(1.5, 0.1), ngrams=(2, 2), analyzer="char"),
    ),
    steps=(Scale((0.0,) * 9, (3.0,) * 9),),
    dtype="float32",
)
ROWS = st.lists(
    st.tuples(FLOATS | st.just(math.nan), st.integers(-1, 3), st.integers(0, 2**32), st.none() | st.text("ab ")),
    min_size=1,
    max_size=8,
)


@given(ROWS)
def test_no_row_depends_on_its_neighbours(rows):
    numbers = [[number, code, seconds, math.nan] for number, code, seconds, _ in rows]
    texts = [text for *_, text in rows]
    together = compiled(ENCODER)(cells(numbers, {3: texts}))
    alone = [compiled(ENCODER)(cells([numbers[i]], {3: [texts[i]]})) for i in range(len(rows))]
    assert together.dtype == np.float32
    assert together.shape == (len(rows), ENCODER.width)
    assert np.array_equal(together, np.concatenate(alone), equal_nan=True)


@given(st.lists(FLOATS, min_size=1, max_size=5), st.lists(st.text(min_size=1), unique=True, max_size=5))
def test_an_encoder_survives_a_round_trip(numbers, vocabulary):
    encoder = Encoder(
        (
            Block(tuple(range(len(numbers))), (Impute(tuple(numbers)), Clip(tuple(numbers), (None,) * len(numbers)))),
            TextTerms(column=0, vocabulary=tuple(vocabulary), idf=tuple(float(i) for i in range(len(vocabulary)))),
        )
    )
    assert msgspec.json.decode(msgspec.json.encode(encoder), type=Encoder) == encoder


def test_features_have_readable_names():
    names = ENCODER.feature_names(("age", "purpose", "since", "note"), ((), ("car", "tv", "x"), (), ()))
    assert names == (
        "age",
        "age is missing",
        "purpose=car",
        "purpose=tv",
        "purpose=x",
        "since.year",
        "since.hour",
        "note~ab",
        "note~ba",
    )


def test_an_unknown_operation_in_a_package_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"blocks":[{"kind":"block","columns":[0],"steps":[{"step":"eval"}]}]}', type=Encoder)
