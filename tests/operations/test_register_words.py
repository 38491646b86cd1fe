"""What a person says of his own model beside it: nothing that contradicts the model or its rows is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loan_projects import NAMES, loans
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import mainstay
from mainstay.errors import MainstayError
from mainstay.models.signature import Cells
from mainstay.operations.catalogue import shown
from mainstay.operations.seen_rows import LEAST, judged_by

FRAME = pd.DataFrame(loans(600), columns=list(NAMES))
X, y = FRAME.drop(columns="class"), FRAME["class"]
GIVEN: dict[str, Any] = {"name": "credit", "X": X[:400], "X_test": X[400:], "y_test": y[400:]}
NUMBERS = X[["age", "income"]]


def columns() -> Any:
    return make_column_transformer(
        (StandardScaler(), ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["purpose"])
    )


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return make_pipeline(columns(), LogisticRegression()).fit(X[:400], y[:400])


@pytest.mark.parametrize(
    "model",
    [
        TransformedTargetRegressor(
            make_pipeline(make_column_transformer((StandardScaler(), ["age"])), LinearRegression())
        ),
        TransformedTargetRegressor(
            make_pipeline(make_column_transformer((StandardScaler(), ["age", "income"])), RandomForestRegressor(5)),
            func=np.log1p,
            inverse_func=np.expm1,
        ),
        TransformedTargetRegressor(
            GridSearchCV(
                make_pipeline(make_column_transformer((StandardScaler(), ["income"])), GradientBoostingRegressor()),
                {"gradientboostingregressor__n_estimators": [3, 5]},
            )
        ),
        make_pipeline(
            FunctionTransformer(),
            TransformedTargetRegressor(
                make_pipeline(make_column_transformer((StandardScaler(), ["age"])), LinearRegression())
            ),
        ),
    ],
)
def test_a_transformed_target_around_columns_picked_by_name_is_onnx(model: Any, tmp_path: Path) -> None:
    value = NUMBERS["age"] * 3.0 + NUMBERS["income"] / 50
    model.fit(NUMBERS[:400], value[:400])
    version = mainstay.register(
        model, name="value", X=NUMBERS[:400], X_test=NUMBERS[400:], y_test=value[400:], folder=tmp_path
    )
    assert version.format == "onnx"
    found = mainstay.load(version.ref, folder=tmp_path).predict(NUMBERS[400:])
    assert found == pytest.approx(model.predict(NUMBERS[400:]).tolist(), rel=1e-5)


def test_other_wrappers_around_columns_picked_by_name_register(tmp_path: Path) -> None:
    numbers = make_pipeline(make_column_transformer((StandardScaler(), ["age", "income"])), LogisticRegression())
    threshold = FixedThresholdClassifier(numbers, threshold=0.3, pos_label="bad").fit(NUMBERS[:400], y[:400])
    assert mainstay.register(threshold, name="t", X=NUMBERS[:400], folder=tmp_path).format == "onnx"
    assert mainstay.load("t", folder=tmp_path).predict(NUMBERS) == threshold.predict(NUMBERS).tolist()
    calibrated = CalibratedClassifierCV(numbers, cv=2).fit(NUMBERS[:400], y[:400])
    assert mainstay.register(calibrated, name="c", X=NUMBERS[:400], folder=tmp_path).format == "skops"
    assert mainstay.load("c", folder=tmp_path).predict(NUMBERS) == calibrated.predict(NUMBERS).tolist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"columns": ["a", "b", "c", "d"]}, "columns of its own names, 'age'"),
        ({"positive": "zz", "X_test": None, "y_test": None}, "'zz' is none of the labels 'bad', 'good'"),
        ({"X_test": X[400:].assign(purpose=1)}, "column 'purpose' is of type int64 there, and of type str in X"),
        ({"X_test": X[400:].assign(age=None)}, "column 'age' is of type object there"),
        ({"X_test": pd.concat([X[400:], X[["age"]][400:]], axis=1)}, "'age' stands more than once in the test rows"),
        ({"name": None}, "None cannot be the name of a model"),
        ({"gates": "roc_auc > 0.5"}, r"give a list of them, such as gates=\['roc_auc"),
        ({"threshold": "high"}, "'high' is no probability"),
        ({"X_test": X[:400], "y_test": y[:400]}, "400 of the 400 rows of X_test stand in X"),
        ({"X_test": X[390:405], "y_test": y[390:405]}, f"of the {LEAST} that are needed to judge by 5 are left"),
        ({"y_test": y[400:].sample(frac=1, random_state=1)}, "names the same rows in another order"),
        ({"y_test": y[100:300]}, "names other rows"),
    ],
)
def test_a_contradiction_registers_nothing(pipeline: Any, tmp_path: Path, words: dict[str, Any], said: str) -> None:
    with pytest.raises(MainstayError, match=said):
        mainstay.register(pipeline, **{**GIVEN, "folder": tmp_path, **words})
    assert not list(tmp_path.iterdir())


def test_columns_name_the_inputs_of_an_array(tmp_path: Path) -> None:
    model = LogisticRegression().fit(NUMBERS.to_numpy(), y)
    mainstay.register(model, name="m", X=NUMBERS.to_numpy(), columns=["age", "income"], folder=tmp_path)
    loaded = mainstay.load("m", folder=tmp_path)
    assert loaded.signature.names == ("age", "income")
    assert loaded.predict(NUMBERS) == model.predict(NUMBERS.to_numpy()).tolist()
    with pytest.raises(MainstayError, match="X has 2 columns, and columns names 1"):
        mainstay.register(model, name="m", X=NUMBERS.to_numpy(), columns=["age"], folder=tmp_path)
    with pytest.raises(MainstayError, match="X names its columns itself, 'age', 'income'"):
        mainstay.register(model, name="m", X=NUMBERS, columns=["income", "age"], folder=tmp_path)
    mainstay.register(model, name="m", X=NUMBERS, columns=["age", "income"], folder=tmp_path)


def test_rows_that_were_fitted_on_do_not_judge(pipeline: Any, tmp_path: Path) -> None:
    clean = mainstay.register(pipeline, **GIVEN, folder=tmp_path)
    mixed = mainstay.register(pipeline, **{**GIVEN, "X_test": X[300:], "y_test": y[300:]}, folder=tmp_path)
    assert shown(tmp_path, mixed.ref).metrics == shown(tmp_path, clean.ref).metrics
    assert clean.summary.get("notes", []) == []
    assert "100 of the 300 rows of X_test stand in X" in mixed.summary["notes"][0]
    assert shown(tmp_path, mixed.ref).notes == mixed.summary["notes"]


def test_rows_that_repeat_by_their_nature_are_kept() -> None:

    rng = np.random.default_rng(0)
    few = rng.integers(0, 3, (900, 2)).astype(float)
    judged = judged_by(Cells(few[:600], {}), Cells(few[600:], {}))
    assert len(judged.rows) == 300
    assert "chance explains it" in judged.note


def test_an_asked_row_with_a_column_twice_is_refused(pipeline: Any, tmp_path: Path) -> None:
    mainstay.register(pipeline, **GIVEN, folder=tmp_path)
    with pytest.raises(MainstayError, match="'age' stands more than once in these rows"):
        mainstay.load("credit", folder=tmp_path).predict(pd.concat([X, X[["age"]]], axis=1))
    shuffled = y[400:].sample(frac=1, random_state=1)
    with pytest.raises(MainstayError, match="in another order"):
        mainstay.compress("credit:1", quantize=True, X_test=X[400:], y_test=shuffled, folder=tmp_path)
