"""The commands: a version goes out and comes back, and is not deployed without a verdict."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import lightgbm
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import mainstay
from mainstay.cli.app import run
from mainstay.errors import MainstayError
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.importing import draft_of_file
from mainstay.models.runtime import Model
from mainstay.operations.exporting import export
from mainstay.operations.importing import import_file
from mainstay.registry.store import Registry


@pytest.fixture(scope="session")
def frame(numbers):
    x, y = numbers
    return pd.DataFrame(
        {
            "age": x[:, 0],
            "size": x[:, 1],
            "colour": np.where(x[:, 2] > 0, "red", "blue"),
            "class": np.where(y > 0, "good", "bad"),
        }
    )


@pytest.fixture(scope="session")
def _project(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange")
    frame.to_csv(folder / "rows.csv", index=False)
    X = frame[["size", "colour"]]
    steps = make_column_transformer(
        (OneHotEncoder(), make_column_selector(dtype_exclude="number")), remainder="passthrough"
    )
    pipeline = make_pipeline(steps, LogisticRegression()).fit(X[::2], frame["class"][::2])
    mainstay.register(
        pipeline,
        name="credit",
        X=X[::2],
        X_test=X[1::2],
        y_test=frame["class"][1::2],
        threshold=0.7,
        positive="good",
        folder=folder,
    )
    return folder


@pytest.fixture
def project(_project, tmp_path):
    return Path(shutil.copytree(_project, tmp_path / "project"))


def test_a_folder_comes_back_as_the_same_content(project, tmp_path):
    export(project, "credit:1", kind="native", output=tmp_path / "out")
    done = import_file(tmp_path / "elsewhere", tmp_path / "out", name="other")
    assert done.version == "other:1"
    assert not done.passed
    with Registry.open(project / ".mainstay") as registry:
        assert registry.version("credit:1").content_id == done.content_id


@pytest.mark.parametrize("harm", ["changed", "gone", "extra", "link", "name"])
def test_a_folder_that_was_tampered_with_is_refused(project, tmp_path, harm):
    out = tmp_path / "out"
    export(project, "credit:1", kind="native", output=out)
    manifest = json.loads((out / "manifest.json").read_text())
    match harm:
        case "changed":
            data = bytearray((out / "model.onnx").read_bytes())
            data[-1] ^= 1
            (out / "model.onnx").write_bytes(data)
        case "gone":
            (out / "model.onnx").unlink()
        case "extra":
            (out / "more.txt").write_text("?")
        case "link":
            shutil.move(out / "model.onnx", tmp_path / "model.onnx")
            (out / "model.onnx").symlink_to(tmp_path / "model.onnx")
        case "name":
            manifest["content"]["../model.onnx"] = manifest["content"].pop("model.onnx")
            (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MainstayError):
        import_file(tmp_path / "elsewhere", out, name="other")


def test_an_exported_graph_answers_and_decides_as_the_version(project, frame, tmp_path):
    export(project, "credit:1", kind="onnx", output=tmp_path / "credit.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "credit.onnx", providers=["CPUExecutionProvider"])
    feeds = {"size": frame[["size"]].to_numpy(), "colour": frame[["colour"]].to_numpy().astype(object)}
    label, probabilities = session.run(["label", "probabilities"], feeds)
    model = mainstay.load("credit:1", folder=project)
    rows = frame[["size", "colour"]]
    np.testing.assert_allclose(probabilities, model.predict_proba(rows), atol=1e-12)
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    assert [labels[i] for i in label] == model.predict(rows)
    assert sum(probabilities[:, 1] < 0.7) - sum(probabilities[:, 1] < 0.5) > 0  # the threshold decides something


def test_an_exported_graph_knows_its_classes_when_it_comes_back(project, frame, tmp_path):
    export(project, "credit:1", kind="onnx", output=tmp_path / "credit.onnx")
    back = Model.load(draft_of_file(tmp_path / "credit.onnx", Told()).draft.package())
    version = mainstay.load("credit:1", folder=project)
    assert back.signature.labels == version.signature.labels
    rows = frame[["size", "colour"]]
    np.testing.assert_allclose(back.predict_proba(rows), version.predict_proba(rows), atol=1e-12)
    assert back.predict(rows) == version.predict(rows)


def test_nothing_is_overwritten(project, tmp_path):
    (tmp_path / "credit.onnx").write_text("mine")
    with pytest.raises(MainstayError, match="exists already"):
        export(project, "credit:1", kind="onnx", output=tmp_path / "credit.onnx")
    assert (tmp_path / "credit.onnx").read_text() == "mine"
    with pytest.raises(MainstayError, match="onnx"):
        export(project, "credit:1", kind="onx", output=tmp_path / "x")


@pytest.fixture
def trees(frame, tmp_path):
    X, y = frame[["age", "size"]], (frame["class"] == "good").astype(int)
    fitted = lightgbm.LGBMClassifier(n_estimators=6, n_jobs=1, verbose=-1).fit(X, y)
    fitted.booster_.save_model(tmp_path / "trees.txt")
    return tmp_path / "trees.txt"


def test_the_commands(project, trees, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert run(["import", str(trees), "--name", "trees", "--labels", "bad,good", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["version"], done["passed"], done["source"]) == ("trees:1", False, "LightGBM")
    assert run(["deploy", "trees:1"]) != 0
    assert run(["deploy", "trees:1", "--override", "--reason", "checked elsewhere"]) == 0
    capsys.readouterr()
    words = ["import", str(trees), "--name", "trees", "--labels", "bad,good", "--target", "class"]
    words += ["--evaluate", "rows.csv", "--positive", "good", "--json"]
    assert run([*words, "--gate", "roc_auc >= 0.6"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["passed"]
    assert done["metrics"]["roc_auc"]["value"] > 0.6
    assert run([*words, "--gate", "roc_auc >= 0.9999"]) == 1
    capsys.readouterr()
    assert run(["deploy", "trees:2"]) == 0
    assert run(["export", "trees:2", "--format", "onnx", "--output", "trees.onnx"]) == 0
    assert run(["import", "trees.onnx", "--name", "again", "--labels", "bad,good"]) == 0
    assert run(["export", "again:1", "--format", "onnx", "--output", "again.onnx"]) == 0
    assert sys.getsizeof(Path("again.onnx").read_bytes()) > 100


def test_rows_that_do_not_say_the_answer_are_refused(project, trees):
    with pytest.raises(MainstayError, match="--target"):
        import_file(project, trees, name="trees", data=project / "rows.csv")
    with pytest.raises(MainstayError, match="--labels"):
        import_file(project, trees, name="trees", target="class", data=project / "rows.csv")
    with pytest.raises(MainstayError, match="--evaluate"):
        import_file(project, trees, name="trees", gates=["roc_auc >= 0.5"])
