"""Files of XGBoost and LightGBM answer as their libraries do; CatBoost's are in `tests/heavy`."""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.importing import draft_of_file, format_of
from mainstay.models.package import Draft, PackageCorrupt
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError

TASKS = ("binary", "multiclass", "regression")


def _target(y, task):
    return {"binary": (y > 0).astype(int), "multiclass": y, "regression": y + 0.25}[task]


def _answers(model, x):
    answers = model.answer(model.read.matrix([[None if np.isnan(v) else float(v) for v in row] for row in x]))
    return answers.values if answers.probabilities is None else answers.probabilities


def _native(found):
    return found if found.ndim == 2 else np.stack([1 - found, found], axis=1)


@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize("task", TASKS)
def test_an_xgboost_file_answers_as_xgboost(task, suffix, numbers, tmp_path):
    x, y = numbers
    kind = xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier
    fitted = kind(n_estimators=12, max_depth=3, n_jobs=1).fit(x, _target(y, task))
    path = tmp_path / f"model.{suffix}"
    fitted.save_model(path)
    made = draft_of_file(path, Told(columns=("a", "b", "c", "d")))
    model = Model.load(made.draft.package())
    expected = fitted.predict(x) if task == "regression" else fitted.predict_proba(x)
    np.testing.assert_allclose(_answers(model, x), expected, atol=1e-6)
    assert made.built.parity.boundary.rows > 0
    assert made.built.parity.holds
    assert model.signature.names == ("a", "b", "c", "d")


def test_an_xgboost_estimator_that_stopped_early_answers_with_its_best_trees(numbers, tmp_path):
    x, y = numbers
    y = _target(y, "binary")
    fitted = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=0.9, n_jobs=1)
    draw = np.random.default_rng(1)
    fitted.fit(
        x[:200], y[:200], eval_set=[(x[200:], np.where(draw.random(200) < 0.3, 1 - y[200:], y[200:]))], verbose=False
    )
    fitted.save_model(tmp_path / "m.json")
    assert fitted.best_iteration + 1 < fitted.get_booster().num_boosted_rounds()
    made = draft_of_file(tmp_path / "m.json", Told())
    np.testing.assert_allclose(_answers(Model.load(made.draft.package()), x), fitted.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_a_lightgbm_file_answers_as_lightgbm(task, numbers, tmp_path):
    x, y = numbers
    kind = lightgbm.LGBMRegressor if task == "regression" else lightgbm.LGBMClassifier
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    fitted = kind(n_estimators=12, n_jobs=1, verbose=-1).fit(frame, _target(y, task))
    fitted.booster_.save_model(tmp_path / "model.txt")
    made = draft_of_file(tmp_path / "model.txt", Told())
    model = Model.load(made.draft.package())
    expected = fitted.predict(frame) if task == "regression" else fitted.predict_proba(frame)
    np.testing.assert_allclose(_answers(model, x), expected, atol=1e-12)
    assert model.signature.names == ("a", "b", "c", "d")


def test_a_lightgbm_file_brings_the_categories_of_its_table(numbers, tmp_path):
    x, y = numbers
    colour = pd.Categorical(np.array(["red", "green", "blue"])[(x[:, 1] > 0).astype(int) + (x[:, 2] > 0.5)])
    frame = pd.DataFrame({"a": x[:, 0], "colour": colour, "d": x[:, 3]})
    fitted = lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1, min_data_per_group=5).fit(frame, y > 0)
    fitted.booster_.save_model(tmp_path / "model.txt")
    model = Model.load(draft_of_file(tmp_path / "model.txt", Told(labels=("no", "yes"))).draft.package())
    assert model.signature.inputs[1].categories == tuple(colour.categories)
    assert model.signature.labels == ("no", "yes")
    rows = [
        {"a": None if np.isnan(a) else a, "colour": c, "d": d}
        for a, c, d in zip(frame["a"], frame["colour"].astype(str), frame["d"], strict=True)
    ]
    np.testing.assert_allclose(model.predict_proba(rows), fitted.predict_proba(frame), atol=1e-12)


def test_what_onnx_cannot_hold_is_kept_as_the_librarys_own_file(numbers, tmp_path):
    x, y = np.nan_to_num(numbers[0]), numbers[1]
    data = xgboost.DMatrix(x, y > 0, feature_names=["a", "b", "c", "d"])
    names = ["a", "b", "c", "d"]
    table = lightgbm.Dataset(x, (y > 0).astype(float), feature_name=names, params={"verbose": -1})
    quiet = {"verbose": -1, "num_threads": 1}

    def centred(raw, data):
        return raw - data.get_label(), np.ones_like(raw)

    trained = {
        "linear trees.txt": lightgbm.train({**quiet, "objective": "binary", "linear_tree": True}, table, 5),
        "a function of one's own.txt": lightgbm.train({**quiet, "objective": centred}, table, 5),
        "linear.ubj": xgboost.train({"booster": "gblinear", "objective": "binary:logistic", "nthread": 1}, data, 5),
        "hinge.ubj": xgboost.train({"objective": "binary:hinge", "nthread": 1}, data, 5),
        "rank.ubj": xgboost.train({"objective": "rank:pairwise", "nthread": 1}, data, 5),
        "softmax.ubj": xgboost.train({"objective": "multi:softmax", "num_class": 3}, xgboost.DMatrix(x, y), 5),
    }
    for name, booster in trained.items():
        path = tmp_path / name
        booster.save_model(path)
        made = draft_of_file(path, Told(columns=tuple(names)))
        assert made.built.format == ("lightgbm" if path.suffix == ".txt" else "xgboost"), name
        assert made.built.reason, name
        assert not made.built.untrusted
        answers = (model := Model.load(made.draft.package())).answer(model.read.matrix(x.tolist()))
        own = x if path.suffix == ".txt" else xgboost.DMatrix(x, feature_names=booster.feature_names)
        expected = booster.predict(own)
        if name == "softmax.ubj":
            np.testing.assert_array_equal(answers.labels, expected.astype(int))
        elif answers.probabilities is not None:
            np.testing.assert_array_equal(answers.probabilities[:, 1], expected.astype(np.float64))
        else:
            np.testing.assert_array_equal(answers.values, expected.astype(np.float64))


def test_an_own_file_of_another_width_or_with_a_changed_byte_is_not_loaded(numbers, tmp_path):
    x, y = np.nan_to_num(numbers[0]), (numbers[1] > 0).astype(float)
    params = {"verbose": -1, "num_threads": 1, "linear_tree": True}
    for name, width in (("four", 4), ("three", 3)):
        lightgbm.train(params, lightgbm.Dataset(x[:, :width], y), 2).save_model(tmp_path / f"{name}.txt")
    four, three = (draft_of_file(tmp_path / f"{name}.txt", Told()).draft for name in ("four", "three"))
    mixed = Draft({**four.content, "model.txt": three.content["model.txt"]}, four.attestations)
    with pytest.raises(PackageCorrupt, match="takes 3 features, and its package gives it 4"):
        Model.load(mixed.package())
    cut = Draft({**four.content, "model.txt": b"tree\nversion=v4\n"}, four.attestations)
    with pytest.raises(PackageCorrupt, match="no model that LightGBM reads"):
        Model.load(cut.package())


def test_an_xgboost_file_brings_the_categories_of_its_table(numbers, tmp_path):
    x, y = numbers
    colour = pd.Categorical(np.array(["red", "green", "blue"])[(x[:, 1] > 0).astype(int) + (x[:, 2] > 0.5)])
    frame = pd.DataFrame({"a": x[:, 0], "colour": colour, "d": x[:, 3]})
    fitted = xgboost.XGBClassifier(n_estimators=8, n_jobs=1, enable_categorical=True).fit(frame, y > 0)
    fitted.save_model(tmp_path / "model.ubj")
    made = draft_of_file(tmp_path / "model.ubj", Told(labels=("no", "yes")))
    assert made.built.format == "onnx"
    model = Model.load(made.draft.package())
    assert set(model.signature.inputs[1].categories) == {"red", "green", "blue"}
    rows = [
        {"a": None if np.isnan(a) else a, "colour": c, "d": d}
        for a, c, d in zip(frame["a"], frame["colour"].astype(str), frame["d"], strict=True)
    ]
    np.testing.assert_allclose(model.predict_proba(rows), fitted.predict_proba(frame), atol=1e-6)
    with pytest.raises(InputError, match="'green'"):
        model.predict([{"a": 1.0, "colour": "greene", "d": 1.0}])


def test_what_runs_code_when_loaded_is_refused(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(CannotImport, match="runs code"):
        format_of(tmp_path / "model.pkl")


def test_a_broken_file_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "m.json").write_text('{"learner": {"nothing": 1}}')
    (tmp_path / "m.txt").write_text("tree\nversion=v4\nnum_tree_per_iteration=1\n")
    (tmp_path / "m.bin").write_bytes(b"what is this")
    with pytest.raises(CannotImport, match="XGBoost reads"):
        draft_of_file(tmp_path / "m.json", Told())
    with pytest.raises(CannotImport, match="LightGBM reads"):
        draft_of_file(tmp_path / "m.txt", Told())
    with pytest.raises(CannotImport, match="none of the formats"):
        draft_of_file(tmp_path / "m.bin", Told())


def test_names_that_do_not_fit_are_refused(numbers, tmp_path):
    x, y = numbers
    lightgbm.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1).fit(x, y).booster_.save_model(tmp_path / "m.txt")
    with pytest.raises(CannotImport, match="4 inputs, and 2 names"):
        draft_of_file(tmp_path / "m.txt", Told(columns=("a", "b")))
    with pytest.raises(CannotImport, match="stands for two"):
        draft_of_file(tmp_path / "m.txt", Told(columns=("a", "b", "a", "c")))
