"""A model that somebody trained himself becomes a package that answers as it does, or says why it cannot."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from custom_parts import Doubled, LocalHour
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models import registering
from mainstay.models.formats.objects import CannotRegister, Given
from mainstay.models.formats.skops import UntrustedTypes
from mainstay.models.package import Draft, Package, PackageCorrupt
from mainstay.models.packaging import Built
from mainstay.models.parity import Parity
from mainstay.models.profile import Profile
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError, SignatureError


def people(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": 2**60 + np.arange(rows),
            "age": rng.integers(18, 90, rows),
            "income": rng.normal(30_000, 9_000, rows).round(2),
            "score": np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows)),
            "postcode": rng.choice(["001", "01", "1000", "80331"], rows),
            "grade": pd.Series(rng.choice(["x", "y", None], rows), dtype=object),
            "owner": rng.random(rows) < 0.5,
        }
    )


def wanted(frame: pd.DataFrame) -> Any:
    return np.where((frame["age"] > 50) ^ (frame["postcode"] == "001"), "yes", "no")


def pipeline_of(estimator: Any, *, unknown: str = "ignore") -> Pipeline:
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return make_pipeline(
        make_column_transformer(
            (numbers, ["age", "income", "score"]),
            (OneHotEncoder(handle_unknown=unknown), ["postcode", "grade"]),
            ("passthrough", ["owner"]),
        ),
        estimator,
    )


def fitted(model: Any, X: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def draft_of(model: Any, X: Any, **given: Any) -> Built:
    return registering.draft_of(model, Given(X=X, **given)).built


def served(built: Built) -> Model:
    """The package as a server has it: from bytes, golden predictions replayed."""
    model = Model.load(built.draft.package(), trusted=built.untrusted)
    model.check_golden()
    return model


ESTIMATORS = [
    LogisticRegression(max_iter=1000),
    RandomForestClassifier(10, random_state=0),
    HistGradientBoostingClassifier(max_iter=10),
    LGBMClassifier(n_estimators=10, verbose=-1),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_a_pipeline_of_mixed_columns_is_served_as_onnx_to_the_last_label(estimator: Any) -> None:
    train, test = people(), people(200, seed=1)
    pipeline = fitted(pipeline_of(estimator), train, wanted(train))
    built = draft_of(pipeline, train, X_test=test, y_test=wanted(test), target="buys")
    assert (built.format, built.reason) == ("onnx", "")
    assert built.parity.holds
    assert min(built.parity.missing.rows, built.parity.unseen.rows, built.parity.single.rows) > 0
    model = served(built)
    assert model.signature.labels == ("no", "yes")
    assert (model.signature.target, model.signature.set_aside) == ("buys", ("id",))
    records = test.drop(columns="id").astype(object).where(lambda f: f.notna(), None).to_dict("records")
    assert model.predict(records) == pipeline.predict(test).tolist()
    np.testing.assert_allclose(model.predict_proba(test), pipeline.predict_proba(test), atol=1e-6)


def test_xgboost_and_regressions_are_packaged_too() -> None:
    train = people()
    boosted = fitted(pipeline_of(XGBClassifier(n_estimators=10)), train, (wanted(train) == "yes").astype(int))
    built = draft_of(boosted, train)
    assert (built.format, served(built).signature.labels) == ("onnx", (0, 1))
    value = train["age"] * 3.5 + train["income"] / 100
    linear = fitted(pipeline_of(LinearRegression()), train, value)
    model = served(draft_of(linear, train))
    assert (model.signature.task, model.signature.labels) == ("regression", ())
    np.testing.assert_allclose(model.predict(train), linear.predict(train), rtol=1e-9)


def test_a_scaler_before_a_forest_is_exact_on_every_threshold() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(50, 17, size=(400, 3)).round(1)
    y = X[:, 0] * 2 + np.abs(X[:, 1])
    model = make_pipeline(StandardScaler(), RandomForestRegressor(10, random_state=0)).fit(X, y)
    built = draft_of(model, X)
    assert built.format == "onnx"
    assert built.parity.boundary.rows > 10_000
    assert built.parity.boundary.largest_difference == 0.0
    scaler, forest = model[0], model[-1]
    cells = [
        scaler.mean_[tree.feature[node]] + scaler.scale_[tree.feature[node]] * tree.threshold[node]
        for tree in (member.tree_ for member in forest.estimators_)
        for node in np.flatnonzero(tree.feature >= 0)
    ]
    asked = X[rng.integers(0, len(X), 3000)]
    for row, cell in enumerate(rng.choice(cells, 3000)):
        asked[row, row % 3] = cell
    np.testing.assert_array_equal(
        served(built).predict([dict(zip(("x0", "x1", "x2"), r, strict=True)) for r in asked.tolist()]),
        model.predict(asked),
    )


CATEGORY_MODELS = [
    HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype", min_samples_leaf=5),
    LGBMClassifier(n_estimators=10, verbose=-1, min_child_samples=5, min_data_per_group=5),
    XGBClassifier(n_estimators=10, enable_categorical=True),
]


@pytest.mark.parametrize("estimator", CATEGORY_MODELS, ids=lambda e: type(e).__name__)
def test_pandas_categories_are_counted_as_the_library_counts_them(estimator: Any) -> None:
    train = people().drop(columns="id")
    train["postcode"] = pd.Categorical(train["postcode"], categories=["80331", "never", "1000", "001", "01"])
    train["grade"] = train["grade"].astype("category")
    train["level"] = pd.Categorical(train["age"] // 20)
    y = (wanted(train) == "yes").astype(int)
    model = fitted(estimator, train, y)
    built = draft_of(model, train)
    assert built.format == "onnx", built.reason
    records = train.astype(object).where(train.notna(), None).to_dict("records")
    loaded = served(built)
    assert loaded.predict(records) == model.predict(train).tolist()
    asked = {**records[0], "postcode": "nowhere"}
    if isinstance(estimator, XGBClassifier):
        with pytest.raises(InputError, match="'nowhere', expected one of"):
            loaded.predict([asked])
    else:
        natively = train[:1].assign(postcode=pd.Categorical(["nowhere"]))
        np.testing.assert_allclose(loaded.predict_proba([asked]), model.predict_proba(natively), atol=1e-6)


WORDS = ["free", "win", "hello", "meeting", "cash", "café", "tomorrow", "you"]


def messages(rows: int = 120) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(3)
    texts = [" ".join([*rng.choice(WORDS, 5), f"private{row}"]) for row in range(rows)]
    return texts, ["spam" if "win" in text else "ham" for text in texts]


def test_a_text_pipeline_is_served_as_onnx_and_its_package_holds_no_message() -> None:
    texts, y = messages()
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), LogisticRegression()).fit(texts, y)
    built = draft_of(model, texts)
    assert built.format == "onnx"
    loaded = served(built)
    assert loaded.predict([{"text": text} for text in texts]) == model.predict(texts).tolist()
    everything = b"".join([*built.draft.content.values(), *built.draft.attestations.values()])
    assert b"private" not in everything
    assert not any(text.encode() in everything for text in texts)


def test_steps_that_have_no_transcription_go_through_a_converter() -> None:
    X = people()[["age", "income"]]
    y = wanted(people())
    reduced = make_pipeline(StandardScaler(), PCA(2), LogisticRegression()).fit(X, y)
    built = draft_of(reduced, X)
    assert (built.format, built.reason) == ("onnx", "")
    assert served(built).predict(X) == reduced.predict(X).tolist()
    texts, labels = messages()
    topics = make_pipeline(TfidfVectorizer(), TruncatedSVD(5, random_state=0), LogisticRegression()).fit(texts, labels)
    assert served(draft_of(topics, pd.Series(texts, name="body"))).signature.names == ("body",)


def test_a_part_that_has_no_transcription_is_converted_with_its_raw_columns() -> None:
    train = people()
    part = make_column_transformer((PCA(1), ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["postcode"]))
    model = make_pipeline(part, LogisticRegression(max_iter=1000)).fit(train, wanted(train))
    built = draft_of(model, train, X_test=people(50, seed=2))
    assert (built.format, files.ENCODER in built.draft.content) == ("onnx", False)
    loaded = served(built)
    assert loaded.signature.set_aside == ("id", "score", "grade", "owner")
    record = {"age": 40, "income": 1e4, "postcode": "001"}
    natively = model.predict(train[:1].assign(**record)).tolist()
    assert loaded.predict([record]) == natively == loaded.predict([{**record, "id": 7, "grade": None}])


def test_a_transformer_of_ones_own_is_kept_with_skops_and_needs_trust() -> None:
    train = people()
    train["since"] = pd.date_range("2024-02-28 23:59:59.123456", periods=len(train), freq="7h", tz="Europe/Berlin")
    train["kind"] = pd.Categorical(train["postcode"])
    part = make_column_transformer(
        (Doubled(), ["age"]),
        (SimpleImputer(), ["score"]),
        (OneHotEncoder(), ["postcode", "grade", "owner", "kind"]),
        (LocalHour(), ["since"]),
    )
    model = make_pipeline(part, LogisticRegression(max_iter=1000)).fit(train, wanted(train))
    with pytest.raises(UntrustedTypes, match=r"custom_parts\.Doubled") as refused:
        draft_of(model, train)
    assert "Doubled has no exact steps" in str(refused.value)
    built = draft_of(model, train, trusted=refused.value.types)
    assert built.format == "skops"
    assert "Doubled has no exact steps in the encoder" in built.reason
    package = built.draft.package()
    assert package.spec.reason == built.reason
    with pytest.raises(UntrustedTypes):
        Model.load(package)
    loaded = served(built)
    types = {column.name: column.type for column in loaded.signature.inputs}
    assert types == {
        "age": "number",
        "score": "number",
        "postcode": "text",
        "grade": "text",
        "owner": "boolean",
        "since": "datetime",
        "kind": "category",
    }
    assert loaded.predict(train) == model.predict(train).tolist()
    with pytest.raises(InputError, match="refuses these rows"):
        loaded.predict(train[:2].assign(grade=["x", "unheard of"]))


def test_an_estimator_that_cannot_be_written_is_kept_behind_the_encoder() -> None:
    train = people()
    model = fitted(pipeline_of(KNeighborsClassifier(3)), train, wanted(train))
    built = draft_of(model, train, trusted=_all_types(model, train))
    assert built.format == "skops"
    assert files.ENCODER in built.draft.content
    assert "nearest neighbours" in built.reason
    assert served(built).predict(train) == model.predict(train).tolist()


def _all_types(model: Any, train: Any) -> tuple[str, ...]:
    try:
        draft_of(model, train)
    except UntrustedTypes as error:
        return error.types
    return ()


def test_trees_behind_another_librarys_arithmetic_are_not_converted() -> None:
    X = people()[["age", "income"]]
    model = make_pipeline(PCA(2), RandomForestClassifier(5, random_state=0)).fit(X, wanted(people()))
    with pytest.raises(UntrustedTypes, match="thresholds"):
        draft_of(model, X)


def test_the_best_estimator_of_a_search_is_taken() -> None:
    train = people()
    search = GridSearchCV(pipeline_of(LogisticRegression(max_iter=1000)), {"logisticregression__C": [0.1, 1.0]}, cv=2)
    fitted(search, train, wanted(train))
    assert served(draft_of(search, train)).predict(train) == search.predict(train).tolist()


def test_a_changed_byte_is_found() -> None:
    X = people()[["age", "income"]]
    built = draft_of(fitted(RandomForestClassifier(3), X, wanted(people())), X)
    manifest = built.draft.manifest()
    for name in manifest.content:
        changed = dict(built.draft.content)
        changed[name] = changed[name][:-1] + bytes([changed[name][-1] ^ 1])
        by_hash = {manifest.content[file].sha256: data for file, data in changed.items()}
        with pytest.raises(PackageCorrupt, match="was changed"):
            Model.load(Package(manifest, by_hash.__getitem__)).package.read(files.GOLDEN)


def test_golden_rows_are_nobodys_and_the_same_model_makes_the_same_package() -> None:
    train = people()
    model = fitted(pipeline_of(RandomForestClassifier(5, random_state=0)), train, wanted(train))
    built, again = draft_of(model, train), draft_of(model, train)
    assert built.draft.manifest() == again.draft.manifest()
    rows = built.draft.package().golden.rows
    assert len(rows) == 32
    names = list(rows[0])
    real = {tuple(None if pd.isna(v) else v for v in row) for row in train[names].itertuples(index=False, name=None)}
    assert not real & {tuple(row.values()) for row in rows}
    assert any(value is None for row in rows for value in row.values())


def test_documents_of_a_package_come_back_as_they_were() -> None:
    train = people()
    built = draft_of(fitted(pipeline_of(LogisticRegression(max_iter=1000)), train, wanted(train)), train)
    package: Package = Draft(built.draft.content, built.draft.attestations).package()
    assert package.document(files.PARITY, Parity) == built.parity
    profile = package.document(files.PROFILE, Profile)
    assert (profile.rows, len(profile.columns)) == (len(train), 6)
    grade = next(column for column in profile.columns if column.name == "grade")
    assert sum(grade.categories) + grade.missing + grade.unseen == len(train)
    assert sum(profile.predictions.labels) == len(train)
    assert b"NaN" not in msgspec.json.encode(built.parity)


WRONG_TABLES = [
    (pd.DataFrame([[1.0, 2.0], [2.0, 1.0]], columns=["a", "a"]), "'a' stands more than once in X"),
    (pd.DataFrame([[1.0, 2.0], [2.0, 1.0]]), "must be texts, and 0 is not"),
    (pd.DataFrame({"a": pd.Series([1, "x"], dtype=object)}), "holds int and str"),
    (pd.DataFrame({"a": pd.to_timedelta([1, 2])}), "which a signature cannot hold"),
    (pd.DataFrame({"a": pd.Categorical([1.5, 2.5])}), "neither all texts nor all integers"),
    (pd.DataFrame({"a": []}), "no rows"),
]


@pytest.mark.parametrize(("X", "why"), WRONG_TABLES)
def test_a_table_that_a_signature_cannot_hold_is_refused_by_its_column(X: Any, why: str) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(SignatureError, match=why):
        draft_of(model, X)


def test_values_that_a_signature_would_lose_are_refused_by_their_column() -> None:
    class Counts(LinearRegression):
        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

    model = Counts().fit([[0.0], [1.0]], [0.0, 1.0])
    big = pd.DataFrame({"n": [2**53 + 1, 2]})
    with pytest.raises(InputError, match=r"'n'.*at most 2\^53"):
        draft_of(model, big)
    nanoseconds = pd.DataFrame(
        {"at": pd.to_datetime(["2024-01-01T00:00:00.123456789", "2024-01-02"], format="ISO8601")}
    )
    with pytest.raises(SignatureError, match=r"'at'.*round date-times to microseconds"):
        draft_of(model, nanoseconds)


def test_what_is_no_fitted_model_or_does_not_fit_its_rows_is_refused() -> None:
    X = people()[["age", "income"]]
    y = wanted(people())
    model = LogisticRegression(max_iter=1000).fit(X, y)
    with pytest.raises(CannotRegister, match="is not fitted: call its fit first"):
        draft_of(LogisticRegression(), X)
    with pytest.raises(CannotRegister, match="neither a classifier nor a regressor"):
        draft_of(KMeans(2, n_init=1).fit(X), X)
    with pytest.raises(CannotRegister, match="has no predict"):
        draft_of(object(), X)
    with pytest.raises(CannotRegister, match="holds 'maybe', which the model does not know"):
        draft_of(model, X, X_test=X[:2], y_test=["yes", "maybe"])
    with pytest.raises(CannotRegister, match="y_test has 1 values, but there are 2"):
        draft_of(model, X, X_test=X[:2], y_test=["yes"])
    with pytest.raises(SignatureError, match="no column 'income'"):
        draft_of(model, X, X_test=X[["age"]])


class InThisScript(TransformerMixin, BaseEstimator):
    """Pretends to be defined in a notebook."""

    __module__ = "__main__"

    def fit(self, X: Any, y: Any = None) -> Any:
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X


def test_what_no_server_could_import_is_refused_at_registering(monkeypatch: pytest.MonkeyPatch) -> None:
    X = people()[["age", "income"]]
    by_lambda = make_pipeline(FunctionTransformer(lambda x: x * 2), LogisticRegression(max_iter=500))
    by_lambda.fit(X, wanted(people()))
    with pytest.raises(MainstayError, match=r"lambda.*name in a module"):
        draft_of(by_lambda, X)
    monkeypatch.setattr(sys.modules["__main__"], "InThisScript", InThisScript, raising=False)
    by_class = make_pipeline(InThisScript(), LogisticRegression(max_iter=500)).fit(X, wanted(people()))
    with pytest.raises(MainstayError, match="'InThisScript', defined in a notebook or script"):
        draft_of(by_class, X)


def test_a_scaled_forest_on_single_precision_is_exact_on_its_thresholds() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(50, 17, size=(300, 3)).astype(np.float32)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)).fit(X, X[:, 0] > 50)
    built = draft_of(model, X)
    assert (built.format, built.parity.boundary.label_disagreements) == ("onnx", 0)
    assert built.parity.boundary.rows > 1000


def test_a_regressor_of_lightgbm_on_an_array_keeps_its_own_names() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3)).astype(np.float32)
    model = fitted(LGBMRegressor(n_estimators=5, verbose=-1), X, X[:, 0] * 2)
    loaded = served(draft_of(model, X))
    assert loaded.signature.names == ("x0", "x1", "x2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = model.predict(X)
    np.testing.assert_allclose(loaded.answer(loaded.read.matrix(X.tolist())).values, expected, rtol=1e-9)


@pytest.mark.parametrize(
    "model", [RandomForestClassifier(5, random_state=0), HistGradientBoostingClassifier(max_iter=5)]
)
def test_trees_fitted_on_an_array_of_integers_are_exact_between_integers_too(model):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 100, (300, 4))
    y = (X[:, 0] + X[:, 1] > 100).astype(int)
    assert draft_of(model.fit(X, y), X).format == "onnx"


def test_a_table_without_a_column_that_the_model_was_fitted_on_is_refused():
    frame = pd.DataFrame(np.random.default_rng(0).random((50, 3)), columns=["a", "b", "c"])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, frame["a"] > 0.5)
    with pytest.raises(CannotRegister, match="X has no column 'c'"):
        draft_of(model, frame[["a", "b"]])
    with pytest.raises(CannotRegister, match="X has 2 columns, and LogisticRegression was fitted on 3"):
        draft_of(LogisticRegression().fit(frame.to_numpy(), frame["a"] > 0.5), frame[["a", "b"]].to_numpy())
