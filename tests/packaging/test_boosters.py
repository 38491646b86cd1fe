"""Native boosters of LightGBM and XGBoost, which know no names of classes, are registered as they are."""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import make_pipeline

from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.formats.objects import CannotRegister, Given
from mainstay.models.importing import draft_of_file
from mainstay.models.packaging import Built
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a b": draw.normal(size=300).round(2),
            "c": np.where(draw.random(300) < 0.1, np.nan, draw.normal(size=300)),
            "colour": pd.Categorical(draw.choice(["red", "green", "blue"], 300)),
        }
    )


def target(table: pd.DataFrame, classes: int) -> np.ndarray:
    score = table["a b"] + table["c"].fillna(1) + (table["colour"] == "red")
    return score.to_numpy() if not classes else np.digitize(score, [0.5, 1.5][: classes - 1])


def light(table: pd.DataFrame, classes: int, **parameters) -> lightgbm.Booster:
    objective = {0: "regression", 2: "binary", 3: "multiclass"}[classes]
    more = {"num_class": 3} if classes == 3 else {}
    settings = {"verbose": -1, "num_threads": 1, "objective": objective, "min_data_in_leaf": 5, **more, **parameters}
    return lightgbm.train(settings, lightgbm.Dataset(table, target(table, classes)), 6)


def extreme(table: pd.DataFrame, classes: int, **parameters) -> xgboost.Booster:
    objective = {0: "reg:squarederror", 2: "binary:logistic", 3: "multi:softprob"}[classes]
    more = {"num_class": 3} if classes == 3 else {}
    data = xgboost.DMatrix(table, target(table, classes), enable_categorical=True)
    return xgboost.train({"nthread": 1, "objective": objective, "max_depth": 3, **more, **parameters}, data, 6)


def own(booster, table: pd.DataFrame) -> np.ndarray:
    if isinstance(booster, lightgbm.Booster):
        return np.asarray(booster.predict(table))
    return booster.predict(xgboost.DMatrix(table, enable_categorical=True))


def built(booster, X, **given) -> Built:
    return draft_of(booster, Given(X=X, **given)).built


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("train", [light, extreme])
def test_a_booster_is_onnx_and_answers_as_itself(train, classes, table):
    booster = train(table, classes)
    found = built(booster, table)
    assert found.format == "onnx"
    model, expected = Model.load(found.draft.package()), own(booster, table)
    assert model.signature.labels == tuple(range(classes))
    assert model.signature.inputs[2].categories == ("blue", "green", "red")
    assert "profile.json" in found.draft.attestations
    if not classes:
        np.testing.assert_allclose(model.predict(table), expected, rtol=1e-6)
        return
    probabilities = expected if classes == 3 else np.stack([1 - expected, expected], axis=1)
    np.testing.assert_allclose(model.predict_proba(table), probabilities, atol=1e-6)


def test_labels_name_the_classes_and_have_to_be_as_many(table):
    found = built(light(table, 3), table, labels=("low", "middle", "high"))
    assert set(Model.load(found.draft.package()).predict(table)) == {"low", "middle", "high"}
    with pytest.raises(CannotRegister, match="2 labels are given, and the model has 3 classes"):
        built(light(table, 3), table, labels=("low", "high"))
    with pytest.raises(CannotRegister, match="no classes"):
        built(extreme(table, 0), table, labels=("low", "high"))


def test_what_onnx_cannot_hold_is_kept_as_the_own_file(table):
    numbers = table[["a b", "c"]].fillna(0.0)
    for booster, form in (
        (light(numbers.assign(colour=table["colour"]), 2, linear_tree=True), "lightgbm"),
        (light(numbers.assign(colour=table["colour"]), 3, boosting="rf", bagging_freq=1, bagging_fraction=0.5), "onnx"),
        (light(numbers.assign(colour=table["colour"]), 2, boosting="dart"), "onnx"),
    ):
        whole = numbers.assign(colour=table["colour"])
        found = built(booster, whole)
        assert found.format == form
        probabilities = Model.load(found.draft.package()).predict_proba(whole)
        expected = own(booster, whole)
        np.testing.assert_allclose(probabilities[:, -1], expected if expected.ndim == 1 else expected[:, -1], atol=1e-6)
    data = xgboost.DMatrix(numbers, (table["colour"] == "red").to_numpy())
    booster = xgboost.train({"booster": "gblinear", "objective": "binary:logistic", "nthread": 1}, data, 5)
    found = built(booster, numbers, labels=("other", "red"))
    assert (found.format, found.untrusted) == ("xgboost", ())
    model = Model.load(found.draft.package())
    np.testing.assert_array_equal(model.predict_proba(numbers)[:, 1], own(booster, numbers).astype(np.float64))


def test_a_booster_that_names_the_class_alone_gives_labels(table):
    booster = extreme(table, 3, objective="multi:softmax")
    found = built(booster, table, labels=("low", "middle", "high"))
    assert found.format == "xgboost"
    model = Model.load(found.draft.package())
    positions = own(booster, table).astype(int)
    assert model.predict(table) == np.array(["low", "middle", "high"])[positions].tolist()
    with pytest.raises(TypeError, match="no probabilities"):
        model.predict_proba(table)


def test_an_objective_of_ones_own_gives_its_raw_value(table):
    def centred(raw, data):
        return raw - data.get_label(), np.ones_like(raw)

    numbers = table[["a b", "c"]]
    data = lightgbm.Dataset(numbers, target(table, 0))
    booster = lightgbm.train({"verbose": -1, "num_threads": 1, "objective": centred}, data, 4)
    found = built(booster, numbers)
    assert found.format == "lightgbm"
    np.testing.assert_array_equal(Model.load(found.draft.package()).predict(numbers), own(booster, numbers))


@pytest.mark.parametrize("train", [light, extreme])
def test_columns_in_another_order_are_refused(train, table):
    with pytest.raises(CannotRegister, match=r"Column 1 of X is .c., and the model was trained on .a.b. there"):
        built(train(table, 2), table[["c", "a b", "colour"]])
    with pytest.raises(CannotRegister, match="X has 2 columns, and the model was trained on 3"):
        built(train(table, 2), table[["a b", "c"]])


def test_a_booster_of_an_array_and_a_threshold(table):
    X = table[["a b", "c"]].to_numpy()
    data = xgboost.DMatrix(X, (target(table, 2)))
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 5)
    model = Model.load(built(booster, X, columns=()).draft.package())
    assert model.signature.names == ("x0", "x1")
    np.testing.assert_allclose(
        model.predict_proba(pd.DataFrame(X, columns=["x0", "x1"]))[:, 1], booster.predict(xgboost.DMatrix(X)), atol=1e-6
    )
    with pytest.raises(InputError, match="'x1'"):
        model.predict([{"x0": 1.0, "x1": "much"}])


SPACED = ["an age", "b_b", "a kind"]


def _spaced() -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(0)
    X = pd.DataFrame(draw.random((200, 3)), columns=SPACED)
    return X, (X["an age"] + X["a kind"] / 3 > 0.7).to_numpy()


@pytest.mark.parametrize(
    "around",
    [
        lambda estimator: estimator,
        make_pipeline,
        lambda estimator: VotingClassifier([("one", estimator)], voting="soft"),
        lambda estimator: CalibratedClassifierCV(estimator, cv=2),
    ],
    ids=["alone", "pipeline", "vote", "calibrated"],
)
def test_a_lightgbm_estimator_keeps_the_columns_own_names_and_their_places(around) -> None:
    """LightGBM writes `an age` as `an_age`, and takes any columns by their places, whatever they are called."""
    X, y = _spaced()
    fitted = around(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, num_threads=1)).fit(X, y)
    model = Model.load(draft_of(fitted, Given(X=X)).built.draft.package())
    assert model.signature.names == tuple(SPACED)
    np.testing.assert_allclose(model.predict_proba(X), fitted.predict_proba(X), atol=1e-9)
    with pytest.raises(CannotRegister, match="Column 1 of X is 'a kind', and the model was trained on 'an_age' there"):
        draft_of(fitted, Given(X=X[["a kind", "b_b", "an age"]]))


def test_a_lightgbm_file_takes_the_names_that_it_wrote_without_their_spaces(tmp_path) -> None:
    X, y = _spaced()
    fitted = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, num_threads=1).fit(X, y)
    fitted.booster_.save_model(tmp_path / "m.txt")
    model = Model.load(draft_of_file(tmp_path / "m.txt", Told(columns=tuple(SPACED))).draft.package())
    assert model.signature.names == tuple(SPACED)
    with pytest.raises(CannotImport, match="leave --columns out"):
        draft_of_file(tmp_path / "m.txt", Told(columns=("a kind", "b_b", "an age")))
