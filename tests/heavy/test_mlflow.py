"""MLflow's own folders come in, and ours are loaded and asked by the real `mlflow` package."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pandas as pd
import pytest
from libraries import need
from lightgbm import LGBMClassifier
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

from mainstay.models.formats.foreign.onnx_file import of_bytes
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.formats.mlflow_export import mlflow_of
from mainstay.models.formats.objects import Given
from mainstay.models.formats.skops import UntrustedTypes
from mainstay.models.importing import draft_of_file
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
mlflow = need("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore")

DRAW = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": DRAW.integers(18, 80, 240),
        "income": DRAW.normal(30, 9, 240).round(2),
        "colour": DRAW.choice(["red", "blue", "green"], 240),
        "owner": DRAW.random(240) < 0.5,
    }
)
NUMBERS = TABLE[["age", "income"]].astype(float)
TWO = np.where(TABLE["income"] > 30, "yes", "no")
THREE = np.where(TABLE["income"] > 36, "high", np.where(TABLE["income"] > 25, "middle", "low"))
CODES = {"two": (TWO == "yes").astype(int), "three": np.unique(THREE, return_inverse=True)[1]}
NO_PACKAGES = {"pip_requirements": ["numpy"]}


def _pipeline(estimator):
    steps = make_column_transformer(
        (StandardScaler(), ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["colour", "owner"])
    )
    return make_pipeline(steps, estimator)


def _flavour(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return __import__(f"mlflow.{name}", fromlist=[name])


def _model(path, **told):
    draft = draft_of_file(path, Told(**told)).draft
    return Model.load(draft.package(), trusted=told.get("trusted", ()))


# In


@pytest.mark.parametrize("y", [TWO, THREE, TABLE["income"].to_numpy() * 2], ids=["binary", "multiclass", "regression"])
def test_a_pipeline_of_scikit_learn(y, tmp_path):
    estimator = LinearRegression() if y.dtype.kind == "f" else LogisticRegression()
    fitted = _pipeline(estimator).fit(TABLE, y)
    _flavour("sklearn").save_model(
        fitted,
        tmp_path / "m",
        signature=mlflow.models.infer_signature(TABLE, y),
        input_example=TABLE.head(8),
        skops_trusted_types=["numpy.dtype"],
        **NO_PACKAGES,
    )
    model = _model(tmp_path / "m")
    assert model.spec.format == "onnx"
    assert "profile.json" not in model.package
    if y.dtype.kind == "f":
        np.testing.assert_allclose(model.predict(TABLE), fitted.predict(TABLE), rtol=1e-9)
    else:
        np.testing.assert_allclose(model.predict_proba(TABLE), fitted.predict_proba(TABLE), atol=1e-9)
        assert model.predict(TABLE) == fitted.predict(TABLE).tolist()


def test_a_pickle_is_refused_and_not_run(tmp_path):
    mark = tmp_path / "ran"

    class Evil(LogisticRegression):
        def __reduce__(self):
            return (mark.write_text, ("ran",))

    _flavour("sklearn").save_model(
        Evil().fit(NUMBERS, TWO), tmp_path / "m", serialization_format="cloudpickle", **NO_PACKAGES
    )
    mark.unlink(missing_ok=True)
    with pytest.raises(CannotImport, match="runs code"):
        _model(tmp_path / "m")
    assert not mark.exists()


@pytest.mark.parametrize("classes", ["two", "three"])
@pytest.mark.parametrize("booster", [False, True])
def test_xgboost(classes, booster, tmp_path):
    fitted = XGBClassifier(n_estimators=5).fit(NUMBERS, CODES[classes])
    _flavour("xgboost").save_model(fitted.get_booster() if booster else fitted, tmp_path / "m", **NO_PACKAGES)
    model = _model(tmp_path / "m")
    np.testing.assert_allclose(model.predict_proba(NUMBERS), fitted.predict_proba(NUMBERS), atol=1e-6)


def test_a_regression_of_xgboost(tmp_path):
    fitted = XGBRegressor(n_estimators=5).fit(NUMBERS, TABLE["income"])
    _flavour("xgboost").save_model(fitted, tmp_path / "m", **NO_PACKAGES)
    np.testing.assert_allclose(_model(tmp_path / "m").predict(NUMBERS), fitted.predict(NUMBERS), rtol=1e-5)


@pytest.mark.parametrize("booster", [False, True])
def test_lightgbm(booster, tmp_path):
    fitted = LGBMClassifier(n_estimators=5, verbose=-1).fit(NUMBERS, CODES["three"])
    _flavour("lightgbm").save_model(fitted.booster_ if booster else fitted, tmp_path / "m", **NO_PACKAGES)
    trusted = ("collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "numpy.dtype")
    if not booster:  # the folder's own list of trusted types is nobody's trust
        with pytest.raises(UntrustedTypes, match=r"lightgbm\.sklearn\.LGBMClassifier"):
            _model(tmp_path / "m")
    model = _model(tmp_path / "m", trusted=trusted)
    np.testing.assert_allclose(model.predict_proba(NUMBERS), fitted.predict_proba(NUMBERS), atol=1e-12)


def test_catboost(tmp_path):
    catboost = need("catboost")
    fitted = catboost.CatBoostClassifier(iterations=5, verbose=0).fit(NUMBERS, CODES["two"])
    _flavour("catboost").save_model(fitted, tmp_path / "m", **NO_PACKAGES)
    np.testing.assert_allclose(_model(tmp_path / "m").predict_proba(NUMBERS), fitted.predict_proba(NUMBERS), atol=1e-5)


ENDS = {
    "binary": ((1, "sigmoid"), ("no", "yes")),
    "multiclass": ((3, "softmax"), ("low", "middle", "high")),
    "regression": ((1, None), ()),
}


@pytest.mark.parametrize("task", ENDS)
@pytest.mark.parametrize("flavour", ["keras", "keras, exported", "tensorflow", "tensorflow, a module"])
def test_keras(flavour, task, tmp_path):
    layers, tf = need("keras").layers, need("tensorflow")
    values = ((NUMBERS - NUMBERS.mean()) / NUMBERS.std()).to_numpy().astype(np.float32)
    (width, end), labels = ENDS[task]
    fitted = need("keras").Sequential([layers.Input((2,)), layers.Dense(8, "relu"), layers.Dense(width, end)])
    asked = fitted(values).numpy()
    signature = mlflow.models.infer_signature(values, asked)
    name, _, how = flavour.partition(", ")
    kept = {"save_exported_model": True} if how == "exported" else {}
    if how == "a module":
        module = tf.Module()
        module.net = fitted
        module.__call__ = tf.function(fitted.call, input_signature=[tf.TensorSpec((None, 2), tf.float32, "values")])
        fitted = module
    _flavour(name).save_model(fitted, str(tmp_path / "m"), signature=signature, **kept, **NO_PACKAGES)
    model = _model(tmp_path / "m", labels=labels)
    assert model.spec.format == "onnx"
    assert model.signature.names == ("x0", "x1")
    if task == "regression":
        np.testing.assert_allclose(model.predict(values), asked[:, 0], atol=1e-5)
    else:
        found = model.predict_proba(values)
        np.testing.assert_allclose(found[:, -width:], asked, atol=1e-5)
        assert model.signature.labels == labels


def test_a_folder_of_keras_with_a_link_out_of_it_is_refused(tmp_path):
    layers = need("keras").layers
    fitted = need("keras").Sequential([layers.Input((2,)), layers.Dense(1)])
    _flavour("keras").save_model(fitted, str(tmp_path / "m"), **NO_PACKAGES)
    kept = tmp_path / "m" / "data" / "model.keras"
    kept.rename(tmp_path / "elsewhere.keras")
    kept.symlink_to(tmp_path / "elsewhere.keras")
    with pytest.raises(CannotImport, match="is a link"):
        _model(tmp_path / "m")


def test_onnx_takes_its_names_from_the_signature(tmp_path):
    values = NUMBERS.to_numpy().astype(np.float32)
    fitted = LogisticRegression().fit(values, CODES["two"])
    graph = to_onnx(fitted, values[:1], options={"zipmap": False})
    signature = mlflow.models.infer_signature(NUMBERS, CODES["two"])
    _flavour("onnx").save_model(graph, tmp_path / "m", signature=signature, **NO_PACKAGES)
    model = _model(tmp_path / "m")
    assert model.signature.names == ("age", "income")
    np.testing.assert_allclose(model.predict_proba(NUMBERS), fitted.predict_proba(values), atol=1e-5)


def test_a_signature_that_contradicts_the_file_is_refused(tmp_path):
    fitted = XGBClassifier(n_estimators=2).fit(NUMBERS, CODES["two"])
    signature = mlflow.models.infer_signature(NUMBERS.rename(columns={"age": "years"}), CODES["two"])
    _flavour("xgboost").save_model(fitted, tmp_path / "m", signature=signature, **NO_PACKAGES)
    with pytest.raises(CannotImport, match=r"'years'.*takes 'age'"):
        _model(tmp_path / "m")


def test_a_function_and_a_torch_module_are_refused(tmp_path):
    class Same(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    mlflow.pyfunc.save_model(tmp_path / "f", python_model=Same(), **NO_PACKAGES)
    with pytest.raises(CannotImport, match="Python function"):
        _model(tmp_path / "f")
    torch = need("torch")
    _flavour("pytorch").save_model(torch.nn.Linear(2, 1), tmp_path / "t", serialization_format="pickle", **NO_PACKAGES)
    with pytest.raises(CannotImport, match="PyTorch"):
        _model(tmp_path / "t")


# Out


def _written(package, folder):
    folder.mkdir()
    for name, data in mlflow_of(package).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return mlflow.pyfunc.load_model(str(folder))


@pytest.mark.parametrize("y", [TWO, THREE], ids=["binary", "multiclass"])
@pytest.mark.parametrize("estimator", [LogisticRegression(), LGBMClassifier(n_estimators=5, verbose=-1)])
def test_mlflow_predicts_what_the_version_answers(y, estimator, tmp_path):
    package = draft_of(_pipeline(estimator).fit(TABLE, y), Given(X=TABLE)).built.draft.package()
    ours, theirs = Model.load(package), _written(package, tmp_path / "m")
    found = theirs.predict(TABLE)
    assert found["prediction"].tolist() == ours.predict(TABLE)
    shares = ours.predict_proba(TABLE)
    for index, label in enumerate(ours.signature.labels):
        np.testing.assert_allclose(found[f"probability_{label}"], shares[:, index], atol=1e-9)
    one = theirs.predict(TABLE.iloc[[5]])
    assert one["prediction"].tolist() == ours.predict(TABLE.iloc[[5]])


def test_mlflow_predicts_a_regression_of_one_column(tmp_path):
    frame = NUMBERS[["income"]]
    package = draft_of(LinearRegression().fit(frame, TABLE["age"]), Given(X=frame)).built.draft.package()
    found = _written(package, tmp_path / "m").predict(frame)
    np.testing.assert_allclose(found["prediction"], Model.load(package).predict(frame), rtol=1e-9)


def test_mlflow_predicts_tensors(tmp_path):
    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2, 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", kinds[:1], kinds[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    package = of_bytes(model.SerializeToString(), Told(general=True), "g").draft.package()
    rows = DRAW.random((3, 2, 2)).astype(np.float32)
    found = _written(package, tmp_path / "m").predict({"x": rows})
    np.testing.assert_array_equal(found["y"], 2 * rows)


def test_dates_missing_values_and_pandas_own_types(tmp_path):
    days = pd.Series(pd.date_range("2024-01-01", periods=240, tz="UTC"))
    frame = TABLE.assign(day=days, score=NUMBERS["income"].where(DRAW.random(240) > 0.2))
    steps = make_column_transformer(
        (SimpleImputer(), ["score"]), (OneHotEncoder(handle_unknown="ignore"), ["colour"]), ("passthrough", ["owner"])
    )
    fitted = make_pipeline(steps, LogisticRegression()).fit(frame, TWO)
    package = draft_of(fitted, Given(X=frame)).built.draft.package()
    theirs = _written(package, tmp_path / "m")
    ours = Model.load(package).predict_proba(frame)
    for table in (frame, frame.astype({"colour": object}), frame.convert_dtypes()):
        np.testing.assert_allclose(theirs.predict(table)["probability_yes"], ours[:, 1], atol=1e-9)


def test_what_mlflow_was_given_comes_back(tmp_path):
    fitted = LogisticRegression().fit(NUMBERS, TWO)
    package = draft_of(fitted, Given(X=NUMBERS)).built.draft.package()
    _written(package, tmp_path / "m")
    back = _model(tmp_path / "m")
    assert back.signature.labels == ("no", "yes")
    np.testing.assert_allclose(back.predict_proba(NUMBERS), fitted.predict_proba(NUMBERS), atol=1e-9)
