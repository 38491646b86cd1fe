"""PMML that is written answers as the version does, in two evaluators of others, at thresholds and missing values."""

from __future__ import annotations

import itertools

import evaluators
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.objects import Given
from mainstay.models.formats.pmml.writing import pmml_of
from mainstay.models.importing import draft_of_file
from mainstay.models.package import Decision
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model

MODELS = {
    "linear": (LinearRegression(), "value"),
    "poisson": (PoissonRegressor(), "value"),
    "logistic": (LogisticRegression(), "two"),
    "softmax": (LogisticRegression(), "three"),
    "tree": (DecisionTreeClassifier(max_depth=4, random_state=0), "three"),
    "forest": (RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0), "two"),
    "forest of values": (RandomForestRegressor(n_estimators=5, max_depth=4, random_state=0), "value"),
    "gradient boosting": (GradientBoostingClassifier(n_estimators=5, random_state=0), "two"),
    "hist": (HistGradientBoostingClassifier(max_iter=5), "three"),
    "hist of values": (HistGradientBoostingRegressor(max_iter=5), "value"),
    "lightgbm": (lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1), "two"),
    "xgboost": (xgboost.XGBClassifier(n_estimators=5, n_jobs=1), "numbers"),
}


@pytest.fixture(scope="session")
def frame(numbers):
    x, _ = numbers
    colour = np.where(x[:, 2] > 0.5, "deep blue", np.where(x[:, 2] < -0.5, "red & <green>", "grey"))
    return pd.DataFrame({"age": x[:, 0], "size": x[:, 1], "colour": colour})


def _target(numbers, kind):
    y = numbers[1]
    return {
        "value": y + 0.5,
        "two": np.where(y > 0, "yes", "no"),
        "numbers": (y > 0).astype(int),
        "three": np.array(["a", "b", "c"])[y],
    }[kind]


def _package(name, frame, numbers, decision=None):
    estimator, kind = MODELS[name]
    steps = [(OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour"])]
    simple = (SimpleImputer(), StandardScaler()) if not hasattr(estimator, "n_estimators") else (SimpleImputer(),)
    rest = "passthrough" if "hist" in name or name in ("lightgbm", "xgboost") else make_pipeline(*simple)
    steps.append((rest, ["age", "size"]))
    pipeline = make_pipeline(make_column_transformer(*steps), estimator).fit(frame, _target(numbers, kind))
    return draft_of(pipeline, Given(X=frame, target="answer", decision=decision)).draft.package()


@pytest.mark.parametrize("name", MODELS)
def test_two_evaluators_say_what_the_version_says(name, frame, numbers, tmp_path):
    evaluators.needs_java()
    package = _package(name, frame, numbers)
    path = tmp_path / "model.pmml"
    path.write_bytes(pmml_of(package))
    model = Model.load(package)
    ages = [None, *frame["age"].dropna().tolist()[:4], *_golden(package, "age")]
    sizes = [*frame["size"].tolist()[:3], *_golden(package, "size")]
    rows = [
        {"age": a, "size": s, "colour": c}
        for a, s, c in itertools.product(ages[:24], sizes[:8], ["deep blue", "red & <green>"])
    ]
    answers = model.answer(model.read.rows(rows))
    tolerance = 1e-6 if name == "xgboost" else 1e-9
    for evaluate in (evaluators.jpmml, evaluators.pmml4s):
        for row, place, said in zip(rows, range(len(rows)), evaluate(path, rows), strict=True):
            if answers.probabilities is None:
                told = said.get("answer", said.get("predicted_answer"))
                assert evaluators.close(answers.values[place], told, tolerance), (evaluate.__name__, row, said)
            else:
                for label, share in zip(model.signature.labels, answers.probabilities[place], strict=True):
                    told = said[f"probability({label})"]
                    assert evaluators.close(share, told, tolerance), (evaluate.__name__, row, share, said)


def _golden(package, name):
    """The golden rows' values lie on thresholds, and one unit in the last place beside them."""
    return [row[name] for row in package.golden.rows if row[name] is not None]


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_is_read_back_as_the_same_answers(name, frame, numbers, tmp_path):
    package = _package(name, frame, numbers)
    (tmp_path / "model.pmml").write_bytes(pmml_of(package))
    back = Model.load(draft_of_file(tmp_path / "model.pmml", Told()).draft.package())
    rows = [row for row in package.golden.rows if row["colour"] in set(frame["colour"])]
    assert len(rows) > 10
    one, other = (m.answer(m.read.rows(rows)) for m in (Model.load(package), back))
    for a, b in ((one.values, other.values), (one.probabilities, other.probabilities)):
        if a is not None:
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_threshold_is_written_as_a_decision(frame, numbers, tmp_path):
    evaluators.needs_java()
    package = _package("logistic", frame, numbers, decision=Decision(positive=1, threshold=0.8))
    path = tmp_path / "model.pmml"
    path.write_bytes(pmml_of(package))
    rows = [{k: None if pd.isna(v) else v for k, v in row.items()} for row in frame.to_dict("records")][:100]
    told = [said["decision"] for said in evaluators.jpmml(path, rows)]
    assert told == Model.load(package).predict(rows)
    made = draft_of_file(path, Told())
    assert "Further outputs of the file are not answered: decision." in made.notes


def test_what_is_not_written_is_refused_by_name(frame, numbers):
    X = frame[["size"]]
    package = draft_of(GaussianNB().fit(X, _target(numbers, "two")), Given(X=X)).draft.package()
    with pytest.raises(CannotExport, match="linear, tree, forest and boosted"):
        pmml_of(package)
