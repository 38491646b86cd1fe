"""`train = "module:function"`: the user's own function in place of the search."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pandas as pd
import pytest
from loan_projects import changed, project_in

from mainstay.errors import MainstayError
from mainstay.models.formats.skops import UntrustedTypes
from mainstay.operations.loading import load
from mainstay.operations.training import train
from mainstay.training.own_function import OwnFunctionError

PIPELINE = """
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    def fit(X, y, context):
        assert context.budget == BUDGET and context.labels == ("bad", "good")
        columns = make_column_transformer(
            (StandardScaler(), ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["purpose"])
        )
        return make_pipeline(columns, LogisticRegression()).fit(X, y)
"""
FOREIGN = """
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Rule(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            bad = 1 / (1 + np.exp((X["age"].to_numpy(dtype=float) - 35) / 8))
            return np.column_stack([bad, 1 - bad])

        def predict(self, X):
            return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def fit(X, y, context):
        return Rule().fit(X, y)
"""


def with_function(folder: Path, code: str, *, name: str = "my_module", **values: object) -> Path:
    project_in(folder, train=f"{name}:fit", search={"trials": None})
    text = textwrap.dedent(code)
    for key, value in values.items():
        text = text.replace(key, repr(value))
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def test_an_own_function_makes_a_version_like_any_other(tmp_path: Path) -> None:
    folder = with_function(tmp_path / "p", PIPELINE, BUDGET=7.5)
    done = train(folder, budget=7.5)
    assert (done.passed, done.format, done.description) == (True, "onnx", "Pipeline of my_module:fit")
    assert done.parity["label_disagreements"] == 0
    # The label to find is the project's, so recall is of the bad loans.
    frame = pd.read_csv(folder / "loans.csv")
    assert set(load(folder, "loans:1").predict(frame.drop(columns="class"))) == {"bad", "good"}
    with pytest.raises(MainstayError, match="--trials belongs to a search"):
        train(folder, trials=3)
    with pytest.raises(MainstayError, match="no recorded trials"):
        train(folder, replay="loans:1")


def test_its_metrics_are_of_the_label_that_the_project_finds(tmp_path: Path) -> None:
    folder = with_function(tmp_path / "p", PIPELINE, BUDGET=60.0)
    bad = train(folder).metrics["recall"]["value"]
    changed(folder, positive="good")
    assert train(folder).metrics["recall"]["value"] != bad


def test_its_threshold_is_the_projects(tmp_path: Path) -> None:
    folder = with_function(tmp_path / "p", PIPELINE, BUDGET=60.0)
    changed(folder, threshold=0.3)
    train(folder)
    model = load(folder, "loans:1")
    frame = pd.read_csv(folder / "loans.csv").drop(columns="class")
    expected = ["bad" if p >= 0.3 else "good" for p in model.predict_proba(frame)[:, 0]]
    assert model.predict(frame) == expected
    changed(folder, threshold="max_f1")
    with pytest.raises(MainstayError, match="write a number"):
        train(folder)


def test_what_cannot_become_onnx_needs_an_operators_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_function(tmp_path / "p", FOREIGN, name="my_rules")
    with pytest.raises(UntrustedTypes, match=r"my_rules\.Rule") as caught:
        train(folder)
    assert caught.value.exit_code in (1, 2)
    (folder / "trust.txt").write_text("my_rules.Rule  # read by me\n")
    done = train(folder)
    assert (done.format, done.passed) == ("skops", True)
    assert done.reason
    assert any("my_rules.Rule" in warning for warning in done.warnings)
    monkeypatch.syspath_prepend(str(folder))
    frame = pd.read_csv(folder / "loans.csv").drop(columns="class")
    assert load(folder, done.version).predict(frame[:2]) == ["bad" if age < 35 else "good" for age in frame["age"][:2]]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def fit(X, y, context):\n    return X['agee']", r"my_module\.py, line 2\) with KeyError"),
        ("def fit(X, y, context):\n    raise SystemExit(3)", "with SystemExit: 3"),
        ("def fit(X, y, context):\n    return None", "returned NoneType, which has no predict"),
        ("def fit(X, y, context): return (", r"my_module\.py, line 1\) with SyntaxError"),
        ("import nothing_of_that_name", "with ModuleNotFoundError"),
        ("def fitt(X, y, context): ...", "Did you mean 'fitt'"),
        (
            (
                "from sklearn.dummy import DummyClassifier\n"
                "def fit(X, y, context): return DummyClassifier().fit(X, ['x', 'z'] * (len(X) // 2))"
            ),
            "a model of the classes",
        ),
    ],
)
def test_a_function_that_fails_is_told_in_a_sentence(tmp_path: Path, code: str, said: str) -> None:
    folder = with_function(tmp_path / "p", code)
    with pytest.raises(OwnFunctionError, match=said):
        train(folder)


def test_an_interrupt_in_the_function_ends_the_training(tmp_path: Path) -> None:
    folder = with_function(tmp_path / "p", "def fit(X, y, context):\n    raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        train(folder)
