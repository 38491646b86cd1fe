"""MLflow folders, written by hand: what they name is read, what leads out of them or runs code is not."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from mainstay.cli.app import run
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.formats.mlflow_export import mlflow_of
from mainstay.models.formats.mlflow_loader import Model as Loaded
from mainstay.models.formats.objects import Given
from mainstay.models.importing import draft_of_file
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model


@pytest.fixture(scope="module")
def fitted(numbers):
    x = np.nan_to_num(numbers[0][:, :2]).astype(np.float32)
    return LogisticRegression().fit(x, numbers[1] > 0), x


def _folder(path, fitted, words=None, **more):
    model, x = fitted
    path.mkdir()
    (path / "model.onnx").write_bytes(to_onnx(model, x[:1], options={"zipmap": False}).SerializeToString())
    document = words or json.dumps({"flavors": {"onnx": {"data": "model.onnx", "code": None, **more}}})
    (path / "MLmodel").write_text(document)
    return path


def test_the_smallest_folder(fitted, tmp_path):
    imported = draft_of_file(_folder(tmp_path / "m", fitted), Told(labels=("no", "yes")))
    assert imported.description.startswith("MLflow, ONNX")
    table = {"x0": fitted[1][:, 0].tolist(), "x1": fitted[1][:, 1].tolist()}
    found = Model.load(imported.draft.package()).predict_proba(table)
    np.testing.assert_allclose(found, fitted[0].predict_proba(fitted[1]), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("flavors: [1", "cannot be understood"),
        ("[1, 2]", "cannot be understood"),
        ("{}", "cannot be understood"),
        ("flavors: {onnx: 3}", "cannot be understood"),
        ("flavors: {onnx: {data: model.onnx}}\nsignature: {inputs: '[{'}", "cannot be understood"),
        ("!!python/object/apply:os.system ['touch ran']", "cannot be understood"),
        ("flavors: {onnx: {data: ../model.onnx}}", "not inside it"),
        ("flavors: {onnx: {data: /etc/passwd}}", "not inside it"),
        ("flavors: {onnx: {data: away.onnx}}", "no file"),
        ("flavors: {onnx: {}}", "does not name its file"),
        ("flavors: {onnx: {data: link.onnx}}", "it is a link"),
        ("flavors: {onnx: {data: model.onnx, code: code}}", "code of its own"),
        ("flavors: {sklearn: {pickled_model: model.pkl, serialization_format: pickle}}", "runs code"),
        ("flavors: {sklearn: {pickled_model: model.pkl}}", "runs code"),
        ("flavors: {pytorch: {model_data: data}}", "PyTorch"),
        ("flavors: {python_function: {loader_module: mlflow.pyfunc.model}}", "Python function"),
        ("flavors: {prophet: {data: model.pr}, python_function: {}}", "prophet"),
        (
            (
                "flavors: {onnx: {data: model.onnx}}\n"
                """signature: {inputs: '[{"name": "a", "type": "double"}, {"name": "a", "type": "double"}]'}"""
            ),
            "'a' twice",
        ),
        (
            'flavors: {onnx: {data: model.onnx}}\nsignature: {inputs: \'[{"name": "a", "type": "double"}]\'}',
            "takes 'x0', 'x1'",
        ),
    ],
)
def test_what_is_not_sound_or_not_safe_is_refused(words, said, fitted, tmp_path):
    folder = _folder(tmp_path / "m", fitted, words)
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    (folder / "link.onnx").symlink_to(tmp_path / "model.onnx")

    class Evil:
        def __reduce__(self):
            return ((tmp_path / "ran").write_text, ("ran",))

    (folder / "model.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CannotImport, match=said):
        draft_of_file(folder, Told(labels=("no", "yes")))
    assert not (tmp_path / "ran").exists()


def test_a_written_folder_answers_without_mainstay(fitted, tmp_path):
    import pandas as pd

    model, x = fitted
    frame = pd.DataFrame(x.astype(float), columns=["a", "b"])
    named = LogisticRegression().fit(frame, np.where(model.predict(x), "yes", "no"))
    package = draft_of(named, Given(X=frame)).built.draft.package()
    files = mlflow_of(package)
    assert sorted(files) == ["MLmodel", "code/mainstay_onnx.py", "model.onnx", "requirements.txt"]
    (tmp_path / "model.onnx").write_bytes(files["model.onnx"])
    loaded = Loaded(str(tmp_path / "model.onnx"))
    found = loaded.predict(frame)
    assert found["prediction"].tolist() == named.predict(frame).tolist()
    np.testing.assert_allclose(found["probability_yes"], named.predict_proba(frame)[:, 1], atol=1e-9)
    by_name = loaded.predict({"a": frame["a"].to_numpy(), "b": frame["b"].to_numpy()})
    np.testing.assert_array_equal(by_name["probability_yes"], found["probability_yes"])


def test_the_command_takes_a_folder(fitted, tmp_path, monkeypatch, capsys):
    folder = _folder(tmp_path / "m", fitted)
    monkeypatch.chdir(tmp_path)
    assert run(["import", str(folder), "--name", "credit", "--labels", "no,yes"]) == 0
    assert "credit:1" in capsys.readouterr().out
