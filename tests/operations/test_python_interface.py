"""`mainstay.register`, `mainstay.load` and `mainstay.serve`: for a model that somebody trained himself."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from loan_projects import NAMES, loans, processes_of_ours
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mainstay
from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.formats.objects import Given
from mainstay.models.formats.skops import UntrustedTypes
from mainstay.models.refusing import InputError
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.operations.catalogue import shown
from mainstay.operations.deploying import deploy
from mainstay.operations.home import state_of
from mainstay.registry.errors import NotDeployable
from mainstay.registry.store import Registry

FRAME = pd.DataFrame(loans(600), columns=list(NAMES))
X, y = FRAME.drop(columns="class"), FRAME["class"]
GIVEN: dict[str, Any] = {"X": X[:400], "X_test": X[400:], "y_test": y[400:]}


@pytest.fixture(scope="module")
def pipeline() -> Any:
    columns = make_column_transformer(
        (StandardScaler(), ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["purpose"])
    )
    return make_pipeline(columns, RandomForestClassifier(20, random_state=0)).fit(X[:400], y[:400])


def test_an_own_model_answers_as_it_did(pipeline: Any, tmp_path: Path) -> None:
    version = mainstay.register(pipeline, name="credit", **GIVEN, folder=tmp_path)
    assert (version.ref, version.passed, version.format) == ("credit:1", True, "onnx")
    model = mainstay.load("credit:1", folder=tmp_path)
    assert model.predict(X[400:]) == pipeline.predict(X[400:]).tolist()
    assert np.abs(model.predict_proba(X[400:]) - pipeline.predict_proba(X[400:])).max() <= 1e-5
    found = shown(tmp_path, "credit:1")
    assert [gate["text"] for gate in found.gates] == ["roc_auc > baseline"]
    assert found.facts["target"] == "class"  # the name of y_test
    assert found.lineage["command"] == "mainstay.register"
    assert (state_of(tmp_path) / "reports" / "credit-1.html").read_bytes().startswith(b"<!doctype html>")
    assert deploy(tmp_path, "credit:1").version == "credit:1"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "given as NoneType: give a DataFrame"),
        (3, "given as int: "),
        ("age", "given as str: "),
        ([[31, 2000.0, "car"]], "given as a list of list: "),
        ([{"age": 31}, None], "given as a list of NoneType: "),
        ({"age": 31, "income": 2000.0, "purpose": "car"}, "Column 'age' is one value"),
    ],
)
def test_what_are_no_rows_is_told_in_a_sentence(pipeline: Any, rows: Any, said: str) -> None:
    model = Model.load(draft_of(pipeline, Given(X=X[:400])).built.draft.package())
    with pytest.raises(InputError, match=said):
        model.predict(rows)


@pytest.mark.parametrize("ref", [3, None, ["credit:1"]])
def test_what_is_no_text_names_no_version(ref: Any, two_versions: Path) -> None:
    with pytest.raises(MainstayError, match=r"does not name a version: write it as a text, such as 'credit:1'\."):
        mainstay.load(ref, folder=two_versions)


def test_gates_and_slices_of_an_own_model(pipeline: Any, tmp_path: Path) -> None:
    gates = ["roc_auc >= 0.7", "recall[purpose=car] >= 0.99"]
    version = mainstay.register(
        pipeline, name="credit", **GIVEN, gates=gates, slices=["purpose"], positive="bad", folder=tmp_path
    )
    assert not version.passed
    assert [gate["passed"] for gate in shown(tmp_path, version.ref).gates] == [True, False]
    with pytest.raises(NotDeployable):
        deploy(tmp_path, version.ref)


def test_without_test_rows_nothing_is_known_so_nothing_is_served(pipeline: Any, tmp_path: Path) -> None:
    version = mainstay.register(pipeline, name="credit", X=X[:400], folder=tmp_path)
    assert not version.passed
    assert files.EVALUATION not in {name for name, _, _ in shown(tmp_path, version.ref).files}
    with pytest.raises(NotDeployable):
        deploy(tmp_path, version.ref)
    assert mainstay.load("credit", folder=tmp_path).predict(X[:3]) == pipeline.predict(X[:3]).tolist()


def test_a_threshold_is_kept_in_the_package(pipeline: Any, tmp_path: Path) -> None:
    mainstay.register(pipeline, name="credit", **GIVEN, threshold=0.2, positive="bad", folder=tmp_path)
    model = mainstay.load("credit:1", folder=tmp_path)
    bad = pipeline.predict_proba(X[400:])[:, 0] >= 0.2
    assert model.predict(X[400:]) == np.where(bad, "bad", "good").tolist()


def test_a_gate_against_a_champion_that_may_know_the_rows_fails_closed(pipeline: Any, tmp_path: Path) -> None:
    gate = ["roc_auc >= champion - 0.05"]
    first = mainstay.register(pipeline, name="credit", **GIVEN, gates=gate, folder=tmp_path)
    assert first.passed  # there is no champion yet, and the baseline is beaten
    deploy(tmp_path, first.ref)
    second = mainstay.register(pipeline, name="credit", **GIVEN, gates=gate, folder=tmp_path)
    assert not second.passed
    assert "cannot be known" in shown(tmp_path, second.ref).gates[0]["reason"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"name": "My Credit"}, "name of a model"),
        ({"y_test": None}, "belong together"),
        ({"X_test": None, "y_test": None, "gates": ["roc_auc > 0.5"]}, "give X_test and y_test"),
        ({"gates": ["roc_acu > 0.5"]}, "Did you mean 'roc_auc'"),
        ({"gates": ["rmse < 3"]}, "not a metric of a binary task"),
        ({"slices": ["purpos"]}, "'purpos'"),
        ({"threshold": 1.5}, "between 0 and 1"),
        ({"threshold": 0.3, "positive": "baad"}, "none of the labels 'bad', 'good'"),
        ({"y_test": ["bad"] * 3}, "y_test has 3 values"),
        ({"y_test": ["awful"] * 200}, "'awful'"),
        ({"X_test": X[400:].drop(columns="age")}, "age"),
    ],
)
def test_wrong_words_register_nothing(pipeline: Any, tmp_path: Path, words: dict[str, Any], said: str) -> None:
    with pytest.raises(MainstayError, match=said):
        mainstay.register(pipeline, **{"name": "credit", **GIVEN, "folder": tmp_path, **words})
    assert not list(tmp_path.iterdir())


def test_an_own_regression_and_a_threshold_it_cannot_have(tmp_path: Path) -> None:
    numbers = X[["age", "income"]]
    value = numbers["age"] * 2.0 + numbers["income"] / 100
    model = RandomForestRegressor(10, random_state=0).fit(numbers[:400], value[:400])
    version = mainstay.register(
        model, name="value", X=numbers[:400], X_test=numbers[400:], y_test=value[400:], folder=tmp_path
    )
    assert version.passed
    assert mainstay.load("value", folder=tmp_path).predict(numbers[:9]) == pytest.approx(model.predict(numbers[:9]))
    with pytest.raises(MainstayError, match="two classes"):
        mainstay.register(model, name="value", X=numbers[:400], threshold=0.3, folder=tmp_path)
    linear = LinearRegression().fit(numbers[:400], value[:400])
    again = mainstay.register(
        linear, name="value", X=numbers[:400], X_test=numbers[400:], y_test=value[400:].to_numpy(), folder=tmp_path
    )
    assert again.ref == "value:2"


def test_an_own_text_model(tmp_path: Path) -> None:
    texts = [f"win free cash now {i % 7}" if i % 3 == 0 else f"see you at lunch {i % 5}" for i in range(120)]
    labels = ["spam" if i % 3 == 0 else "ham" for i in range(120)]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts[:90], labels[:90])
    version = mainstay.register(model, name="sms", X=texts[:90], X_test=texts[90:], y_test=labels[90:], folder=tmp_path)
    assert (version.passed, version.format) == (True, "onnx")
    loaded = mainstay.load("sms:1", folder=tmp_path)
    (column,) = loaded.signature.inputs
    asked = ["free cash", "lunch?", "…"]
    assert loaded.predict([{column.name: text} for text in asked]) == model.predict(asked).tolist()


def test_a_package_that_was_changed_is_not_loaded(pipeline: Any, tmp_path: Path) -> None:
    version = mainstay.register(pipeline, name="credit", **GIVEN, folder=tmp_path)
    with Registry.open(state_of(tmp_path)) as registry:
        package = registry.package(version)
        blob = registry.blobs.path(package.manifest.files["model.onnx"].sha256)
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    with pytest.raises(MainstayError, match=r"model\.onnx"):
        mainstay.load("credit:1", folder=tmp_path)


def test_a_notebook_cell_serves_while_it_runs(pipeline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = processes_of_ours()
    with mainstay.serve(pipeline, X[:400]) as url:
        row = X.iloc[450]
        answer = ask(url, {name: getattr(row[name], "item", lambda v=row[name]: v)() for name in X.columns})
        assert answer["prediction"] == pipeline.predict(X[450:451])[0]
        assert answer["probabilities"]["bad"] == pytest.approx(pipeline.predict_proba(X[450:451])[0, 0], abs=1e-6)
        children = processes_of_ours(since=before)
        assert children
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match=r"refused"):
        urllib.request.urlopen(f"{url}/healthz", timeout=2)


def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(f"{url}/predict", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def test_a_cell_that_fails_leaves_no_server(pipeline: Any) -> None:
    before = processes_of_ours()
    with pytest.raises(ZeroDivisionError), mainstay.serve(pipeline, X[:400]):
        _ = 1 / 0
    assert not processes_of_ours(since=before)


def test_a_model_that_stays_native_is_served_by_a_host_process(tmp_path: Path) -> None:
    numbers = X[["age", "income"]]
    model = NearestCentroid().fit(numbers[:400], y[:400])
    try:
        mainstay.register(model, name="near", X=numbers[:400], folder=tmp_path)
        trusted: list[str] = []
    except UntrustedTypes as error:
        trusted = list(error.types)
        assert not list(tmp_path.iterdir())
    with mainstay.serve(model, numbers[:400], trusted=trusted) as url:
        row = {"age": int(numbers["age"][450]), "income": float(numbers["income"][450])}
        assert ask(url, row)["prediction"] == model.predict(numbers[450:451])[0]
