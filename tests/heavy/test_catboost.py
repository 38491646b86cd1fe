"""CatBoost's models answer as CatBoost does, from the object and from the file; in ONNX where they are of numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from libraries import need
from live import serving

from mainstay.models import registering
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.formats.objects import Given
from mainstay.models.importing import draft_of_file
from mainstay.models.packaging import Built
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError

catboost = need("catboost")

TASKS = ("binary", "multiclass", "regression")
QUIET = {"iterations": 12, "depth": 3, "thread_count": 1, "verbose": False, "allow_writing_files": False}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """400 rows of two numbers, one of them missing now and then, a text, and whole numbers that are names."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a": draw.normal(size=400).round(2),
            "b": np.where(draw.random(400) < 0.1, np.nan, draw.normal(size=400)),
            "shop": draw.choice(["north", "south", "a shop: nowhere"], 400),
            "code": draw.integers(0, 5, 400),
        }
    )


def target(table: pd.DataFrame, task: str) -> np.ndarray:
    score = table["a"] + (table["shop"] == "north") + table["code"] / 3 + table["b"].fillna(-1)
    found = {"binary": np.where(score > 0, "yes", "no"), "multiclass": np.digitize(score, [0, 1]), "regression": score}
    return np.asarray(found[task])


def trained(X, task: str, *, y=None, **parameters):
    kind = catboost.CatBoostRegressor if task == "regression" else catboost.CatBoostClassifier
    return kind(**QUIET, **parameters).fit(X, y)


def draft_of(model, X) -> Built:
    return registering.draft_of(model, Given(X=X)).built


def asked(model: Model, X: pd.DataFrame) -> np.ndarray:
    return model.predict_proba(X) if model.signature.labels else np.array(model.predict(X))


def native(model, X) -> np.ndarray:
    return model.predict(X) if isinstance(model, catboost.CatBoostRegressor) else model.predict_proba(X)


@pytest.mark.parametrize(
    "parameters", [{}, {"nan_mode": "Max"}, {"grow_policy": "Lossguide"}, {"grow_policy": "Depthwise"}]
)
@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_numbers_is_onnx_to_the_last_digit(task, parameters, table):
    X = table[["a", "b", "code"]]
    model = trained(X, task, y=target(table, task), **parameters)
    built = draft_of(model, X)
    assert built.format == "onnx"
    assert built.parity.boundary.rows > 32
    served = Model.load(built.draft.package())
    np.testing.assert_allclose(asked(served, X), native(model, X), rtol=0, atol=1e-12)
    if served.signature.labels:
        assert served.predict(X) == np.ravel(model.predict(X)).tolist()


def test_losses_answer_as_catboosts_estimators_do(table):
    X = table[["a", "b", "code"]]
    counts = np.exp(target(table, "regression") / 3).astype(int)
    for loss, y in (("Poisson", counts), ("MAE", counts), ("Tweedie:variance_power=1.5", counts)):
        model = catboost.CatBoostRegressor(**QUIET, loss_function=loss).fit(X, y)
        built = draft_of(model, X)
        assert built.format == "onnx", loss
        np.testing.assert_allclose(asked(Model.load(built.draft.package()), X), model.predict(X), rtol=1e-12)
    model = catboost.CatBoostClassifier(**QUIET, loss_function="MultiClassOneVsAll").fit(X, target(table, "multiclass"))
    served = Model.load(draft_of(model, X).draft.package())
    np.testing.assert_allclose(asked(served, X), model.predict_proba(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("typed", [str, "category"])
@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_categories_is_kept_as_its_own_file(task, typed, table):
    X = table.assign(shop=table["shop"].astype(typed))
    model = trained(X, task, y=target(table, task), cat_features=["shop", "code"])
    built = draft_of(model, X)
    assert (built.format, built.untrusted) == ("catboost", ())
    assert "hashes" in built.reason
    served = Model.load(built.draft.package())
    np.testing.assert_array_equal(asked(served, X), native(model, X))
    assert [column.type for column in served.signature.inputs] == ["number", "number", "category", "category"]
    row = {"a": 0.5, "b": None, "shop": "never there", "code": 77}
    unseen = pd.DataFrame([row]).astype({"b": float})
    np.testing.assert_array_equal(asked(served, [row]), native(model, unseen))
    with pytest.raises(InputError, match="'shop'"):
        served.predict([{**row, "shop": None}])


@pytest.mark.parametrize("form", ["cbm", "onnx"])
@pytest.mark.parametrize("task", TASKS)
def test_a_file_of_numbers_answers_as_catboost(task, form, table, tmp_path):
    X = table[["a", "code"]].to_numpy()
    y = np.unique(target(table, task), return_inverse=True)[1] if task != "regression" else target(table, task)
    model = trained(X, task, y=y)
    path = tmp_path / f"model.{form}"
    model.save_model(str(path), format=form)
    made = draft_of_file(path, Told(columns=("a", "code")))
    assert made.built.format == "onnx"
    served = Model.load(made.draft.package())
    found = asked(served, pd.DataFrame(X, columns=["a", "code"]))
    np.testing.assert_allclose(found, native(model, X), atol=1e-5 if form == "onnx" else 1e-12)


def test_a_file_takes_missing_numbers_as_its_model_was_trained_to(table, tmp_path):
    for mode in ("Min", "Max"):
        model = trained(table[["a", "b"]], "binary", y=target(table, "binary"), nan_mode=mode)
        model.save_model(str(tmp_path / "model.cbm"))
        served = Model.load(draft_of_file(tmp_path / "model.cbm", Told()).draft.package())
        assert (served.signature.names, served.signature.labels) == (("a", "b"), ("no", "yes"))
        assert all(abs(column.maximum or 0) < 100 for column in served.signature.inputs)
        np.testing.assert_allclose(asked(served, table[["a", "b"]]), model.predict_proba(table[["a", "b"]]), atol=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_a_file_of_categories_is_kept_as_it_is_and_takes_any_text(task, table, tmp_path):
    X = table.assign(code=table["code"].astype(str))
    model = trained(X, task, y=target(table, task), cat_features=["shop", "code"])
    model.save_model(str(tmp_path / "model.cbm"))
    with pytest.raises(CannotImport, match="names its inputs itself, 'a', 'b', 'shop', 'code'"):
        draft_of_file(tmp_path / "model.cbm", Told(columns=("first", "second", "where", "what")))
    made = draft_of_file(tmp_path / "model.cbm", Told(columns=("a", "b", "shop", "code"), target="wanted"))
    assert made.built.format == "catboost"
    served = Model.load(made.draft.package())
    assert served.signature.target == "wanted"
    np.testing.assert_array_equal(asked(served, X), native(model, X))


def test_a_file_without_names_takes_those_that_are_told(table, tmp_path):
    X = table[["a", "b"]]
    model = trained(X.to_numpy(), "regression", y=target(table, "regression"))
    model.save_model(str(tmp_path / "model.cbm"))
    made = draft_of_file(tmp_path / "model.cbm", Told(columns=("first", "second")))
    renamed = X.set_axis(["first", "second"], axis=1)
    served = Model.load(made.draft.package())
    np.testing.assert_allclose(asked(served, renamed), native(model, X), rtol=0, atol=1e-12)


def test_texts_are_kept_too_and_embeddings_are_refused(table, tmp_path):
    words = table["shop"] + " " + table["code"].astype(str)
    X = pd.DataFrame({"a": table["a"], "said": words})
    model = catboost.CatBoostClassifier(**QUIET, text_features=["said"]).fit(X, target(table, "binary"))
    model.save_model(str(tmp_path / "model.cbm"))
    for built in (draft_of(model, X), draft_of_file(tmp_path / "model.cbm", Told()).built):
        assert built.format == "catboost"
        np.testing.assert_array_equal(asked(Model.load(built.draft.package()), X), model.predict_proba(X))
    vectors = pd.DataFrame({"a": table["a"], "v": [[float(v), 1.0] for v in table["a"]]})
    model = catboost.CatBoostClassifier(**QUIET, embedding_features=["v"]).fit(vectors, target(table, "binary"))
    model.save_model(str(tmp_path / "model.cbm"))
    with pytest.raises(CannotImport, match="embeddings"):
        draft_of_file(tmp_path / "model.cbm", Told())


def test_a_broken_file_is_refused_in_one_sentence(table, tmp_path):
    model = trained(table[["a", "b"]], "binary", y=target(table, "binary"))
    model.save_model(str(tmp_path / "model.cbm"))
    whole = (tmp_path / "model.cbm").read_bytes()
    for cut in (b"CBM1", whole[: len(whole) // 2], whole[:40] + b"\xff" * 64 + whole[104:]):
        (tmp_path / "model.cbm").write_bytes(cut)
        with pytest.raises(CannotImport, match="CatBoost reads"):
            draft_of_file(tmp_path / "model.cbm", Told())


def test_a_served_file_answers_over_http_as_catboost(table, tmp_path):
    model = trained(table, "binary", y=target(table, "binary"), cat_features=["shop", "code"])
    built = draft_of(model, table)
    rows = [
        {key: None if value != value else value for key, value in row.items()}  # noqa: PLR0124 - a missing number
        for row in table.head(40).to_dict("records")
    ]
    with serving(tmp_path, ("shops", built.draft)) as server, server.client() as client:
        assert server.settled("shops") == {}
        said = client.post("/predict", json={"inputs": rows}).json()
        refused = client.post("/predict", json={**rows[0], "code": 1.5})
    found = [[row["no"], row["yes"]] for row in said["probabilities"]]
    np.testing.assert_array_equal(found, model.predict_proba(table.head(40)))
    assert said["prediction"] == model.predict(table.head(40)).tolist()
    assert (refused.status_code, "'code'" in refused.json()["error"]) == (400, True)


def test_a_plain_catboost_is_registered_as_its_estimators_are(table):
    X = table[["a", "b", "code"]]
    model = catboost.CatBoost({**QUIET, "loss_function": "MultiClass"}).fit(X, target(table, "multiclass"))
    served = Model.load(draft_of(model, X).draft.package())
    assert served.signature.labels == (0, 1, 2)
    np.testing.assert_allclose(served.predict_proba(X), model.predict(X, prediction_type="Probability"), atol=1e-12)
    with_shops = catboost.CatBoost({**QUIET, "loss_function": "RMSE", "cat_features": ["shop", "code"]})
    built = draft_of(with_shops.fit(table, target(table, "regression")), table)
    assert built.format == "catboost"
    np.testing.assert_array_equal(Model.load(built.draft.package()).predict(table), with_shops.predict(table))
