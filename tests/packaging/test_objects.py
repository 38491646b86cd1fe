"""What people hold in their hands is registered by the module that knows its kind."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import onnx
import pandas as pd
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression, LogisticRegression
from xgboost import XGBClassifier

import mainstay
from mainstay.models.formats.arrays import inputs_of
from mainstay.models.formats.objects import CannotRegister, Given, format_of_object
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model

X = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def test_an_onnx_model_is_taken_as_it_is():
    fitted = LogisticRegression().fit(X, Y)
    graph = to_onnx(fitted, X[:1], options={"zipmap": False})
    built = draft_of(graph, Given(X=X, columns=("a", "b", "c"), target="y")).built
    model = Model.load(built.draft.package())
    assert model.signature.names == ("a", "b", "c")
    assert model.signature.target == "y"
    table = dict(zip("abc", X.T.tolist(), strict=True))
    np.testing.assert_allclose(model.predict_proba(table), fitted.predict_proba(X), atol=1e-6)


def test_rows_that_an_onnx_model_does_not_take_are_refused():
    graph = to_onnx(LinearRegression().fit(X, Y), X[:1])
    with pytest.raises(mainstay.MainstayError, match="column 'x2' is missing"):
        draft_of(graph, Given(X=[{"x0": 1.0, "x1": 2.0}]))


def test_a_file_is_registered_and_judged_on_test_rows(tmp_path):
    fitted = LogisticRegression().fit(X, Y)
    onnx.save(to_onnx(fitted, X[:1], options={"zipmap": False}), tmp_path / "model.onnx")
    rows = [dict(zip(("x0", "x1", "x2"), map(float, row), strict=True)) for row in X]
    version = mainstay.register(
        tmp_path / "model.onnx", name="file", X_test=rows, y_test=Y, gates=["roc_auc >= 0.9"], folder=tmp_path
    )
    assert version.passed
    assert mainstay.load("file:1", folder=tmp_path).predict(rows[:5]) == fitted.predict(X[:5]).tolist()


@pytest.mark.parametrize("thing", [object(), 3, {"a": 1}, type])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(CannotRegister, match="no model that can be registered"):
        format_of_object(thing)


def test_a_models_own_classes_are_renamed_only_where_they_are_numbers_of_names():
    fitted = LogisticRegression().fit(X, Y)
    named = Model.load(draft_of(fitted, Given(X=X, labels=("no", "yes"))).built.draft.package())
    assert named.signature.labels == ("no", "yes")
    assert named.predict(X[:9]) == [("no", "yes")[label] for label in fitted.predict(X[:9]).tolist()]
    for wrong in (("no", "yes", "both"), ("no", "no"), (1, 0)):
        with pytest.raises(CannotRegister, match=r"own classes are 0, 1: .* or name all 2 of them, as texts"):
            draft_of(fitted, Given(X=X, labels=wrong))
    texts = LogisticRegression().fit(X, np.where(Y, "good", "bad"))
    with pytest.raises(CannotRegister, match=r"own classes are 'bad', 'good': leave labels out, or give the same\."):
        draft_of(texts, Given(X=X, labels=("no", "yes")))


def test_what_xgboost_calls_0_and_1_is_named():
    fitted = XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1).fit(X, Y)
    built = draft_of(fitted, Given(X=X, y_test=np.where(Y, "yes", "no"), labels=("no", "yes"))).built
    assert built.format == "onnx"
    model = Model.load(built.draft.package())
    assert model.predict(X[:9]) == [("no", "yes")[label] for label in fitted.predict(X[:9]).tolist()]
    np.testing.assert_allclose(model.predict_proba(X[:9]), fitted.predict_proba(X[:9]), atol=1e-6)


def test_an_onnx_model_is_refused_in_the_words_of_python():
    graph = to_onnx(LogisticRegression().fit(X, Y), X[:1], options={"zipmap": False})
    with pytest.raises(CannotRegister, match=r"logits=True") as refused:
        draft_of(graph, Given(logits=True))
    assert "--" not in str(refused.value)


def test_what_is_not_given_is_asked_for():
    fitted = LogisticRegression().fit(X, Y)
    with pytest.raises(CannotRegister, match="X is missing"):
        draft_of(fitted, Given())


def test_rows_tell_columns_from_tensors():
    assert [c.name for c in inputs_of(X, ["x"]).columns] == ["x0", "x1", "x2"]
    images = inputs_of(np.zeros((4, 8, 8), dtype=np.uint8), ["image"])
    assert images.tensors[0].told() == "uint8 (8, 8)"
    open_ = inputs_of(np.zeros((4, 7), dtype=np.int64), ["ids"], {"ids": (None,)})
    assert open_.tensors[0].shape == ("ids 1",)
    two = inputs_of([np.zeros((4, 2)), np.ones((4, 1), dtype=bool)], ["a", "b"])
    assert [tensor.dtype for tensor in two.tensors] == ["float64", "bool"]


@pytest.mark.parametrize(
    ("rows", "names", "shapes", "said"),
    [
        ([np.zeros((4, 2, 2))], ["a", "b"], None, "takes 2 inputs"),
        ({"a": np.zeros((4, 2, 2)), "c": np.zeros(4)}, ["a", "b"], None, "name each"),
        ({"a": np.zeros((4, 2, 2)), "b": np.zeros(3)}, ["a", "b"], None, "same number"),
        (np.zeros((0, 2, 2)), ["a"], None, "at least one"),
        (np.zeros((4, 2, 2)), ["a"], {"a": (2, 3)}, "takes rows of shape"),
        (np.full((4, 2, 2), np.nan), ["a"], None, "not finite"),
        (np.array([[[1j]]]), ["a"], None, "complex128"),
        (np.array([[["a", 1]]], dtype=object), ["a"], None, "holds numbers"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, names, shapes, said):
    with pytest.raises(CannotRegister, match=said):
        inputs_of(rows, names, shapes)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.nan, "nan"),
        (None, "None"),
        (np.inf, "inf"),
        ("12", "'12'"),
        ("n/a", "'n/a'"),
        (pd.NA, "<NA>"),
        (pd.Timestamp("2024-01-01"), "Timestamp"),
        (10**400, "10000"),
        (1j, "1j"),
    ],
)
def test_true_values_of_a_regression_are_finite_numbers(value, told):
    model = LinearRegression().fit(X, X[:, 0])
    with pytest.raises(CannotRegister, match=f"y_test holds {told}.* in row 1"):
        draft_of(model, Given(X=X, X_test=X[:2], y_test=[1, value]))


def test_true_values_may_be_of_any_kind_of_number():
    model = LinearRegression().fit(X, X[:, 0])
    for truth in ([1, 2.5], np.float32([1, 2]), pd.Series([1, 2], dtype="Int64"), [Decimal("1.5"), Fraction(1, 3)]):
        assert draft_of(model, Given(X=X, X_test=X[:2], y_test=truth)).built.format == "onnx"


def test_true_answers_to_a_models_file_are_held_against_its_classes(tmp_path):
    onnx.save(to_onnx(LogisticRegression().fit(X, Y), X[:1], options={"zipmap": False}), tmp_path / "classes.onnx")
    onnx.save(to_onnx(LinearRegression().fit(X, X[:, 0]), X[:1]), tmp_path / "value.onnx")
    rows = [dict(zip(("x0", "x1", "x2"), map(float, row), strict=True)) for row in X[:2]]
    given = {"name": "file", "X_test": rows, "folder": tmp_path}
    with pytest.raises(CannotRegister, match="y_test holds 2, which the model does not know"):
        mainstay.register(tmp_path / "classes.onnx", y_test=[0, 2], **given)
    with pytest.raises(CannotRegister, match="y_test holds nan in row 0"):
        mainstay.register(tmp_path / "value.onnx", y_test=[np.nan, 2], **given)
