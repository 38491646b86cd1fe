from __future__ import annotations

import numpy as np
import pytest

from mainstay.models.encoder import compiled
from mainstay.models.signature import Cells, Column, Signature
from mainstay.models.text import TextTerms
from mainstay.project import Cleaning
from mainstay.training.features import FeatureError, Recipe, encode, fit_encoder, fit_features
from mainstay.training.text_features import MATRIX_BYTES, PLANS, TextPlan, fit_terms, width_for
from training.problems import messages, mixed

EVERY = [Recipe("linear"), Recipe("tree"), Recipe("tree", native=True)]


def names_of(encoder, signature):
    return encoder.feature_names(signature.names, [column.categories for column in signature.inputs])


def test_linear_features_are_complete_scaled_and_one_hot():
    tiny = mixed()
    encoder = fit_encoder(tiny.cells, tiny.signature, Cleaning(), "linear")
    X = compiled(encoder)(tiny.cells)
    names = names_of(encoder, tiny.signature)
    assert np.isfinite(X).all()
    assert X.shape[1] == encoder.width == len(names)
    numbers = X[:, [names.index("a"), names.index("b"), names.index("day.days")]]
    assert numbers.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert numbers.std(axis=0) == pytest.approx(1)
    hot = X[:, [names.index(f"color={color}") for color in ("blue", "green", "red")]]
    assert set(hot.sum(axis=1)) == {0.0, 1.0}
    assert X[:, names.index("color is missing")].tolist() == np.isnan(tiny.cells.numbers[:, 2]).astype(float).tolist()
    assert "b is missing" in names
    assert "a is missing" not in names


def test_an_unseen_category_is_all_zero_for_linear_models_and_missing_for_native_trees():
    tiny = mixed()
    unseen = Cells(tiny.cells.numbers[:1].copy(), {})
    unseen.numbers[0, 2] = -1.0
    encoder = fit_encoder(tiny.cells, tiny.signature, Cleaning(), "linear")
    at = [i for i, name in enumerate(names_of(encoder, tiny.signature)) if name.startswith("color")]
    assert compiled(encoder)(unseen)[0, at].tolist() == [0.0] * 4
    features = fit_features(tiny.cells, tiny.signature, Cleaning(), Recipe("tree", native=True))
    assert np.isnan(encode(features, unseen)[0, features.categorical[0]])


def test_native_trees_keep_gaps_and_get_codes_with_missing_as_a_category():
    tiny = mixed()
    features = fit_features(tiny.cells, tiny.signature, Cleaning(), Recipe("tree", native=True))
    X = encode(features, tiny.cells)
    assert np.array_equal(np.isnan(X[:, 1]), np.isnan(tiny.cells.numbers[:, 1]))
    (at,) = features.categorical
    codes = tiny.cells.numbers[:, 2]
    assert np.array_equal(X[:, at], np.where(np.isnan(codes), 3.0, codes))


def test_other_trees_get_no_gaps_and_small_categories_one_hot():
    tiny = mixed()
    features = fit_features(tiny.cells, tiny.signature, Cleaning(), Recipe("tree"))
    assert np.isfinite(encode(features, tiny.cells)).all()
    assert features.categorical == ()
    assert "color=red" in names_of(features.encoder, tiny.signature)


@pytest.mark.parametrize("native", [False, True])
def test_large_categories_are_ranked_by_how_often_they_occur(native):
    codes = np.concatenate([np.repeat(np.arange(300.0), 2), [7.0] * 10, [np.nan]])
    column = Column(name="city", type="category", categories=tuple(f"c{i}" for i in range(301)), nullable=True)
    signature = Signature(inputs=(column,), task="regression")
    features = fit_features(Cells(codes[:, None], {}), signature, Cleaning(), Recipe("tree", native=native))
    assert features.categorical == ()
    found = encode(features, Cells(np.array([[7.0], [3.0], [300.0], [-1.0], [np.nan]]), {}))[:, 0]
    assert found[0] == 300  # of 300 seen, the most frequent
    assert 0 < found[1] < 300
    assert found[2:].tolist() == [0.0, 0.0, -1.0]


def test_what_fills_a_gap_comes_from_the_rows_given_and_no_others():
    tiny = mixed()
    half = tiny.cells.rows(slice(0, 60))
    a, b = (fit_encoder(cells, tiny.signature, Cleaning(), "tree") for cells in (half, tiny.cells))
    gap = Cells(np.array([[0.0, np.nan, 0.0, 0.0, 0.0]]), {})
    assert compiled(a)(gap)[0, 1] == np.nanmedian(half.numbers[:, 1])
    assert compiled(b)(gap)[0, 1] == np.nanmedian(tiny.cells.numbers[:, 1])
    assert compiled(a)(gap)[0, 1] != compiled(b)(gap)[0, 1]


@pytest.mark.parametrize(("how", "expected"), [("median", 2.0), ("mean", 3.0), ("zero", 0.0)])
def test_a_gap_is_filled_as_the_project_says(how, expected):
    cells = Cells(np.array([[1.0], [2.0], [6.0], [np.nan]]), {})
    signature = Signature(inputs=(Column(name="x", type="number", nullable=True),), task="regression")
    encoder = fit_encoder(cells, signature, Cleaning(impute=how), "tree")
    assert compiled(encoder)(cells)[3, 0] == expected


def test_refuse_says_which_column_has_gaps():
    tiny = mixed()
    with pytest.raises(FeatureError, match=r"Column 'b' has no number in 18 training rows"):
        fit_encoder(tiny.cells, tiny.signature, Cleaning(impute="refuse"), "linear")


@pytest.mark.parametrize("recipe", EVERY, ids=str)
def test_numbers_are_held_between_the_quantiles_of_the_training_rows(recipe):
    x = np.arange(101.0)
    signature = Signature(inputs=(Column(name="x", type="number"),), task="regression")
    features = fit_features(Cells(x[:, None], {}), signature, Cleaning(clip=(0.1, 0.9)), recipe)
    ends = encode(features, Cells(np.array([[-1e9], [10.0], [90.0], [1e9]]), {}))[:, 0]
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]


@pytest.mark.parametrize("recipe", EVERY, ids=str)
def test_a_rare_category_counts_as_unseen(recipe):
    codes = np.array([0.0] * 5 + [1.0] * 5 + [2.0])
    column = Column(name="color", type="category", categories=("a", "b", "c"))
    signature = Signature(inputs=(column,), task="regression")
    features = fit_features(Cells(codes[:, None], {}), signature, Cleaning(rare=2), recipe)
    rare, unseen = encode(features, Cells(np.array([[2.0], [-1.0]]), {}))
    assert np.array_equal(rare, unseen, equal_nan=True)


def test_only_parts_of_a_date_that_vary_are_kept():
    hours = np.arange(48.0) * 3600  # two days in January 1970
    signature = Signature(inputs=(Column(name="at", type="datetime"),), task="regression")
    encoder = fit_encoder(Cells(hours[:, None], {}), signature, Cleaning(), "tree")
    assert names_of(encoder, signature) == ("at.days", "at.day", "at.day_of_year", "at.weekday", "at.hour")
    linear = fit_encoder(Cells(hours[:, None], {}), signature, Cleaning(), "linear")
    assert {f"at.hour={hour}" for hour in range(24)} < set(names_of(linear, signature))


@pytest.mark.parametrize("recipe", EVERY, ids=str)
def test_a_constant_or_empty_column_does_no_harm(recipe):
    cells = Cells(np.column_stack([np.full(20, 0.1), np.full(20, np.nan), np.arange(20.0)]), {})
    inputs = tuple(Column(name=name, type="number", nullable=True) for name in "abc")
    features = fit_features(cells, Signature(inputs=inputs, task="regression"), Cleaning(), recipe)
    X = encode(features, cells)
    assert np.abs(np.nan_to_num(X)).max() < 100
    if not recipe.native:
        assert np.isfinite(X).all()


def test_terms_are_bounded_by_rows_kind_and_memory():
    assert width_for(rows=100, columns=1, kind="tree") < width_for(rows=100, columns=1, kind="linear")
    for rows in (10, 10_000, 1_000_000, 100_000_000):
        for columns in (1, 3):
            width = width_for(rows=rows, columns=columns, kind="linear")
            assert width == 20 or rows * columns * width * 8 <= MATRIX_BYTES


def test_terms_that_tell_the_classes_apart_are_kept_first():
    tiny = messages()
    terms = fit_terms(tiny.cells.texts[0], 0, TextPlan.named("words"), width=6, y=tiny.y)
    assert isinstance(terms, TextTerms)
    assert set(terms.vocabulary) == {"meeting", "lunch", "thanks", "winner", "prize", "free"}
    by_count = fit_terms(tiny.cells.texts[0], 0, TextPlan.named("words"), width=6)
    assert len(by_count.vocabulary) == 6
    assert set(by_count.vocabulary) != set(terms.vocabulary)


@pytest.mark.parametrize("plan", PLANS)
def test_weights_are_those_of_scikit_learn(plan):
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["Free prize now", "see you at home", "free home", "now or never, see?"]
    found = fit_terms(texts, 0, TextPlan.named(plan), width=10_000)
    tokens = {"token_pattern": r"\w+|[^\w\s]"} if plan == "words" else {}
    theirs = TfidfVectorizer(analyzer=found.analyzer, ngram_range=found.ngrams, sublinear_tf=True, **tokens)
    expected = theirs.fit_transform(texts).toarray()
    assert found.vocabulary == tuple(theirs.get_feature_names_out())
    assert found.compiled()(texts) == pytest.approx(expected, abs=1e-12)


def test_texts_without_a_word_are_an_error_that_says_so():
    signature = Signature(inputs=(Column(name="text", type="text", nullable=True),), task="regression")
    with pytest.raises(FeatureError, match="every text is empty"):
        fit_encoder(Cells(np.full((3, 1), np.nan), {0: ["", None, " "]}), signature, Cleaning(), "linear")


def test_two_thousand_columns_are_encoded():
    draw = np.random.default_rng(0)
    cells = Cells(draw.normal(size=(40, 2000)), {})
    inputs = tuple(Column(name=f"c{i}", type="number") for i in range(2000))
    encoder = fit_encoder(cells, Signature(inputs=inputs, task="regression"), Cleaning(), "linear")
    assert compiled(encoder)(cells).shape == (40, 2000)
