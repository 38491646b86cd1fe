"""Each transcribed transformer gives, bit for bit, what scikit-learn's own gives, for missing and unseen values too."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from examples import examples
from mainstay.models.encoder import compiled
from mainstay.models.formats.frames import cells_of
from mainstay.models.formats.lanes import CannotTranscribe
from mainstay.models.formats.native import as_fitted, native_answers
from mainstay.models.formats.transcribe import Transcribed, transcribe
from mainstay.models.signature import Column, InputError, Signature

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False) | st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e-300])
WORDS = st.sampled_from(["a", "b", "c d", "001", "1", "ä", ""])


@st.composite
def frames(draw: Any, *, missing: bool = False, words: Any = WORDS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table to fit on and one to ask about, which has values that the first has not."""
    rows = draw(st.integers(4, 12))
    number = NUMBERS | st.just(float("nan")) if missing else NUMBERS
    word = words | st.none() if missing else words

    def table(size: int, word: Any) -> pd.DataFrame:
        column = st.lists(number, min_size=size, max_size=size)
        texts = st.lists(word, min_size=size, max_size=size)
        return pd.DataFrame(
            {
                "n": np.array(draw(column)),
                "m": np.array(draw(column)),
                "k": np.array(draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))),
                "s": pd.Series(draw(texts), dtype=object),
                "t": pd.Series(draw(texts), dtype=object),
            }
        )

    return table(rows, word), table(6, word | st.just("unseen before"))


def transcribed(step: Any, train: pd.DataFrame) -> tuple[Pipeline, Transcribed]:
    y = np.arange(len(train)) % 2
    pipeline = make_pipeline(step, DummyClassifier())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns without a value, bins of no width, constant features
        pipeline.fit(train, y)
    return pipeline, transcribe(pipeline, train)


def features(found: Transcribed, frame: pd.DataFrame) -> Any:
    nullable = Signature(inputs=found.signature_inputs, task="regression")
    return compiled(found.encoder)(cells_of(frame, nullable))


def assert_same(step: Any, train: pd.DataFrame, asked: pd.DataFrame) -> Transcribed:
    pipeline, found = transcribed(step, train)
    assert not found.left, found.left
    for frame in (train, asked):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            native = pipeline[:-1].transform(frame)
        native = native.toarray() if hasattr(native, "toarray") else np.asarray(native, dtype=np.float64)
        np.testing.assert_array_equal(features(found, frame), native)
    return found


SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler(),
    MinMaxScaler(feature_range=(-1, 3), clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False, quantile_range=(10, 90)),
    Binarizer(threshold=0.1),
    FunctionTransformer(),
    FunctionTransformer(np.square),
    FunctionTransformer(np.abs),
    VarianceThreshold(),
]


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@given(tables=frames())
@settings(max_examples=examples(25), deadline=None)
def test_a_scaler_is_transcribed_to_the_last_bit(scaler: Any, tables: Any) -> None:
    train, asked = tables
    numbers = ["m", "n", "k"]
    step = make_column_transformer((scaler, numbers))
    if isinstance(scaler, VarianceThreshold) and (train[numbers].nunique() == 1).all():
        return  # it refuses to be fitted
    with np.errstate(all="ignore"):
        found = assert_same(step, train, asked)
    assert set(found.set_aside) >= {"s", "t"}


IMPUTERS = [
    SimpleImputer(),
    SimpleImputer(strategy="median", add_indicator=True),
    SimpleImputer(strategy="most_frequent"),
    SimpleImputer(strategy="constant", fill_value=-7.5),
    MissingIndicator(features="all"),
    MissingIndicator(error_on_new=False),
]


@pytest.mark.parametrize("imputer", IMPUTERS, ids=str)
@given(tables=frames(missing=True))
@settings(max_examples=examples(25), deadline=None)
def test_an_imputer_is_transcribed_with_the_columns_that_it_drops(imputer: Any, tables: Any) -> None:
    train, asked = tables
    step = make_column_transformer((make_pipeline(imputer, StandardScaler()), ["n", "m"]), ("passthrough", ["k"]))
    if isinstance(imputer, MissingIndicator) and imputer.features != "all" and not train[["n", "m"]].isna().any().any():
        return  # no feature is left to scale
    if isinstance(imputer, SimpleImputer) and imputer.strategy != "constant" and train[["n", "m"]].isna().all().all():
        return
    asked = asked.where(asked.notna() | train.isna().any() | isinstance(imputer, SimpleImputer), 0.0)
    pipeline, found = transcribed(step, train)
    signature = Signature(inputs=found.signature_inputs, task="regression")
    takes = {column.name: column.nullable for column in signature.inputs}
    for name in asked.columns:
        if not takes.get(name, True):
            asked[name] = asked[name].fillna(0.0)
    with as_fitted():
        native = pipeline[:-1].transform(asked)
    np.testing.assert_array_equal(features(found, asked), native)


def test_a_column_without_a_value_is_no_cause_to_warn_at_each_answer() -> None:
    train = pd.DataFrame({"n": [1.0, 2.0, np.nan, 4.0], "m": np.full(4, np.nan)})
    pipeline = make_pipeline(SimpleImputer(), DummyClassifier())
    with pytest.warns(UserWarning, match="Skipping features"):
        pipeline.fit(train, [0, 1, 0, 1])
    inputs = tuple(Column(name=name, type="number", nullable=True) for name in "nm")
    signature = Signature(inputs=inputs, task="binary", labels=(0, 1))
    assert len(native_answers(pipeline, train, signature)) == 4


ENCODERS = [
    OneHotEncoder(handle_unknown="ignore"),
    OneHotEncoder(handle_unknown="ignore", drop="first"),
    OneHotEncoder(handle_unknown="ignore", drop="if_binary", sparse_output=False),
    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2),
    OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2, drop="first"),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-9),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-2),
    TargetEncoder(cv=2, shuffle=False),
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
@given(tables=frames(missing=True))
@settings(max_examples=examples(25), deadline=None)
def test_an_encoder_is_transcribed_for_missing_and_unseen_categories(encoder: Any, tables: Any) -> None:
    train, asked = tables
    step = make_column_transformer((encoder, ["s", "k", "t"]), ("passthrough", ["k"]))
    for name in ("s", "t"):
        if not train[name].isna().any():
            asked[name] = asked[name].fillna("unseen before")
    assert_same(step, train, asked)


@given(tables=frames())
@settings(max_examples=examples(25), deadline=None)
def test_an_encoder_that_refuses_the_unseen_makes_a_closed_category(tables: Any) -> None:
    train, _ = tables
    found = assert_same(make_column_transformer((OneHotEncoder(), ["s", "k"])), train, train)
    assert all(column.type == "category" and column.closed for column in found.signature_inputs)
    with pytest.raises(InputError, match=r"'unseen before', expected one of"):
        features(found, train.assign(s="unseen before"))
    with pytest.raises(InputError, match="got 77, expected one of"):
        features(found, train.assign(k=77))


def test_numbers_that_an_encoder_would_refuse_are_not_transcribed() -> None:
    train = pd.DataFrame({"n": [0.5, 1.5, 0.5, 2.5], "s": list("abab")})
    with pytest.raises(CannotTranscribe, match="refuses numbers that it has not seen"):
        transcribed(make_column_transformer((OneHotEncoder(), ["n"]), ("drop", ["s"])), train)


@given(tables=frames(missing=True))
@settings(max_examples=examples(25), deadline=None)
def test_missing_texts_are_filled_before_they_are_encoded(tables: Any) -> None:
    train, asked = tables
    fill = SimpleImputer(strategy="constant", fill_value="none", missing_values=np.nan)
    train[["s", "t"]] = train[["s", "t"]].fillna(np.nan)
    asked[["s", "t"]] = asked[["s", "t"]].fillna(np.nan)
    step = make_column_transformer((make_pipeline(fill, OneHotEncoder(handle_unknown="ignore")), ["s", "t"]))
    found = assert_same(step, train, asked)
    assert all(column.nullable for column in found.signature_inputs)


@pytest.mark.parametrize("encode", ["ordinal", "onehot-dense", "onehot"])
@given(tables=frames())
@settings(max_examples=examples(15), deadline=None)
def test_bins_are_counted_as_scikit_learn_counts_them(encode: str, tables: Any) -> None:
    train, asked = tables
    binner = KBinsDiscretizer(n_bins=3, encode=encode, strategy="uniform")
    assert_same(make_column_transformer((binner, ["n", "m"])), train, asked)


def test_nested_parts_weights_and_positions_are_walked_in_order() -> None:
    rng = np.random.default_rng(0)
    train = pd.DataFrame(rng.normal(size=(30, 4)), columns=list("abcd")).assign(s=rng.choice(["x", "y", "z"], 30))
    numbers = FeatureUnion(
        [("std", StandardScaler()), ("max", make_pipeline(MaxAbsScaler(), MinMaxScaler())), ("gone", "drop")],
        transformer_weights={"max": 0.3},
    )
    inner = ColumnTransformer([("one", RobustScaler(), [-1, 0]), ("rest", "passthrough", slice(1, 3))])
    step = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", make_pipeline(numbers, inner), ["d", "a"]),
                ("hot", make_pipeline(OneHotEncoder(drop="first"), StandardScaler(with_mean=False)), ["s"]),
                ("flags", "passthrough", [False, True, False, False, False]),
            ],
            remainder=StandardScaler(),
            transformer_weights={"hot": 2.0},
        ),
        make_union(StandardScaler(), VarianceThreshold(0.01)),
        SelectKBest(k=5),
    )
    assert_same(step, train, train.sample(frac=0.5, random_state=1))


def test_int_bool_and_nullable_columns_are_taken_as_the_numbers_that_they_are() -> None:
    train = pd.DataFrame(
        {
            "i": np.arange(8, dtype=np.int8),
            "b": [True, False] * 4,
            "I": pd.array([1, 2, None, 4] * 2, dtype="Int64"),
            "f": np.linspace(0, 1, 8, dtype=np.float32),
        }
    )
    step = make_column_transformer(
        (StandardScaler(), ["i"]), ("passthrough", ["b"]), (SimpleImputer(), ["I"]), ("passthrough", ["f"])
    )
    assert_same(step, train, train)


TEXTS = ["Free WIN now!!", "see you at café  tomorrow", "win a a cash", "", "the meeting is at the café", "c x 1 22"]
VECTORIZERS = [
    TfidfVectorizer(),
    TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode"),
    TfidfVectorizer(stop_words="english", ngram_range=(1, 2), norm="l1"),
    TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), smooth_idf=False),
    TfidfVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False, use_idf=False, norm=None),
    TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", min_df=2, binary=True),
    make_pipeline(CountVectorizer(strip_accents="ascii"), TfidfTransformer(sublinear_tf=True)),
    make_pipeline(CountVectorizer(), MaxAbsScaler()),
    make_pipeline(TfidfVectorizer(), SelectKBest(k=4), StandardScaler(with_mean=False)),
]


@pytest.mark.parametrize("vectorizer", VECTORIZERS, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside numbers"])
def test_a_vectorizer_is_transcribed(vectorizer: Any, beside: bool) -> None:
    train = pd.DataFrame({"n": np.arange(6.0), "text": TEXTS})
    asked = pd.DataFrame({"n": [0.5, 7.0], "text": ["Win the WIN café free cafe", "nothing known hereabouts zzz"]})
    parts = [("text", vectorizer, "text")]
    if beside:
        parts = [("n", StandardScaler(), ["n"]), *parts, ("m", "passthrough", ["n"])]
    step = ColumnTransformer(parts, sparse_threshold=0)
    pipeline, found = transcribed(step, train)
    for frame in (train, asked):
        native = np.asarray(pipeline[:-1].transform(frame))
        # The length of a vector is summed in another order: a few units in the last place.
        np.testing.assert_allclose(features(found, frame), native, rtol=1e-15, atol=0)


REFUSED = [
    (make_column_transformer((FunctionTransformer(np.sin), ["n"])), "calls sin"),
    (make_column_transformer((TfidfVectorizer(tokenizer=str.split, token_pattern=None), "s")), "tokenizer of its own"),
    (make_column_transformer((TfidfVectorizer(token_pattern="[a-z]+"), "s")), "expression of its own"),
    (make_column_transformer((SimpleImputer(missing_values=-1), ["n"])), "takes -1 as the missing value"),
    (make_column_transformer((OneHotEncoder(), ["s"]), ("passthrough", ["t"])), None),
]


@pytest.mark.parametrize(("step", "why"), REFUSED)
def test_what_has_no_exact_step_is_refused_with_its_reason(step: Any, why: str | None) -> None:
    train = pd.DataFrame({"n": [1.0, 2.0, 3.0], "s": ["aa", "bb", "aa"], "t": ["x", "y", "x"]})
    with pytest.raises(CannotTranscribe, match=why or "'t', which holds texts or categories"):
        transcribed(step, train)


def test_two_kinds_of_missing_text_that_an_encoder_tells_apart_are_refused() -> None:
    train = pd.DataFrame({"s": pd.Series(["a", None, np.nan, "b"], dtype=object)})
    with pytest.raises(CannotTranscribe, match="two kinds of missing values"):
        transcribed(make_column_transformer((OneHotEncoder(), ["s"])), train)


def test_big_integers_that_the_pipeline_leaves_out_are_set_aside() -> None:
    train = pd.DataFrame({"id": 2**60 + np.arange(4), "n": np.arange(4.0)})
    _, found = transcribed(make_column_transformer((StandardScaler(), ["n"])), train)
    assert (found.set_aside, [column.name for column in found.signature_inputs]) == (("id",), ["n"])
    with pytest.raises(CannotTranscribe, match="beyond 2\\^53"):
        transcribed(make_column_transformer((StandardScaler(), ["id", "n"])), train)


SINGLE = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    MinMaxScaler(feature_range=(-1, 3)),
    MaxAbsScaler(),
    RobustScaler(),
    make_pipeline(SimpleImputer(), StandardScaler(), MinMaxScaler()),
]


@pytest.mark.parametrize("scaler", SINGLE, ids=lambda s: type(s).__name__)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=examples(15), deadline=None)
def test_an_array_in_single_precision_is_scaled_in_single_precision(scaler: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(100, 30, size=(50, 3)).astype(np.float32)
    pipeline = make_pipeline(scaler, DummyClassifier()).fit(X, np.arange(50) % 2)
    found = transcribe(pipeline, X)
    asked = rng.normal(100, 30, size=(20, 3))
    names = [column.name for column in found.signature_inputs]
    native = pipeline[:-1].transform(asked.astype(np.float32))
    np.testing.assert_array_equal(features(found, pd.DataFrame(asked, columns=names)), native)


def test_a_sparse_matrix_is_scaled_by_the_inverse_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"n": rng.normal(size=200) * 1e3, "s": rng.choice(list("abcdefghijklmnop"), 200)})
    step = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["s"]), ("passthrough", ["n"])), StandardScaler(with_mean=False)
    )
    assert step[0].fit_transform(train).nnz < train.size * 4
    assert_same(step, train, train)


def test_a_column_without_any_value_cannot_be_scaled_in_a_document() -> None:
    train = pd.DataFrame({"n": [1.0, 2.0, 3.0, 4.0], "gone": [np.nan] * 4})
    with pytest.raises(CannotTranscribe, match="not a finite number"):
        transcribed(make_column_transformer((StandardScaler(), ["n", "gone"])), train)
