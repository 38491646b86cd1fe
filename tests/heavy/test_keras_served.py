"""Models of Keras over HTTP, from real servers: as ONNX in the workers, as SavedModel from a host beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from libraries import need
from sklearn.datasets import load_breast_cancer

import mainstay
from mainstay.errors import MainstayError
from mainstay.serving.runs import WORKER

tf = need("tensorflow")
keras = need("keras")
need("tf2onnx")
layers = keras.layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
TRUSTED = ("tensorflow.SavedModel",)


def _post(url, inputs):
    reply = httpx.post(f"{url}/predict", json={"inputs": inputs}, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()


def _spam():
    words = layers.TextVectorization(output_sequence_length=6)
    words.adapt(["free money now", "see you at home", "call me"])
    text = layers.Input((1,), name="sms", dtype="string")
    seen = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(words(text)))
    return keras.Model(text, layers.Dense(1, activation="sigmoid")(seen))


def test_a_registered_table_is_served_as_keras_answers(tmp_path):
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    numbers = x.to_numpy(np.float32)
    scaled = layers.Normalization()
    scaled.adapt(numbers)
    model = keras.Sequential([layers.Input((30,)), scaled, layers.Dense(8), layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(numbers[:400], y[:400], epochs=5, verbose=0)
    version = mainstay.register(
        model, name="cancer", X=x[:400], X_test=x[400:], y_test=y[400:].astype(int), labels=[0, 1],
        gates=["roc_auc >= 0.8"], folder=tmp_path,
    )  # fmt: skip
    assert version.ref == "cancer:1"
    loaded = mainstay.load("cancer:1", folder=tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(x)[:, 1], np.squeeze(model(numbers, training=False)), atol=1e-5)
    with mainstay.serve(model, x, labels=[0, 1]) as url:
        said = _post(url, x[:20].to_dict("records"))
    expected = np.squeeze(np.asarray(model(numbers[:20], training=False)))
    np.testing.assert_allclose([each["1"] for each in said["probabilities"]], expected, atol=1e-5)


def test_a_host_runs_a_saved_model_and_its_crash_costs_a_moment():
    model, texts = _spam(), pd.Series(["free money", "see you", "call me at home"] * 20, name="sms")
    with mainstay.serve(model, texts, labels=["ham", "spam"], trusted=TRUSTED) as url:
        asked = [{"sms": text} for text in ("Free money!", "ünknown", "")]
        expected = np.squeeze(np.asarray(model(tf.constant([[each["sms"]] for each in asked]), training=False)))
        said = _post(url, asked)
        np.testing.assert_allclose([each["spam"] for each in said["probabilities"]], expected, atol=1e-6)
        ours = psutil.Process().children(recursive=True)
        workers = [each for each in ours if each.name() == WORKER]
        (host,) = [each for each in ours if "mainstay.serving.host" in each.cmdline()]
        assert not any("tensorflow" in file.path for each in workers for file in each.memory_maps())
        host.kill()
        over = time.monotonic() + 90
        while httpx.post(f"{url}/predict", json={"inputs": asked}, timeout=60).status_code != 200:
            assert time.monotonic() < over
            time.sleep(0.2)
        assert all(each.is_running() for each in workers)


def test_without_trust_nothing_of_tensorflow_is_served():
    texts = pd.Series(["free money", "see you"] * 20, name="sms")
    with (
        pytest.raises(MainstayError, match=r"name tensorflow\.SavedModel as trusted"),
        mainstay.serve(_spam(), texts, labels=["ham", "spam"]),
    ):
        pytest.fail("it was served")


def test_another_backend_is_refused_by_name():
    pytest.importorskip("torch")
    script = """
import keras, numpy as np
from mainstay.models.formats.objects import Given
from mainstay.models.registering import draft_of
model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
draft_of(model, Given(X=np.ones((5, 2))))
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert "CannotRegister: Keras runs on torch here" in done.stderr


def test_the_command_line_imports_files(tmp_path):
    digits = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    digits.save(tmp_path / "digits.keras")
    _spam().export(tmp_path / "spam", verbose=False)
    words = ["import", "--name", "model", "--json"]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(*more):
        command = [sys.executable, "-W", "ignore", "-m", "mainstay", words[0], *more, *words[1:]]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=200, env=quiet, check=False
        )

    done = run("digits.keras", "--labels", "0,1,2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["inputs"] == ["input"]
    refused = run("spam", "--labels", "ham,spam")
    assert refused.returncode == 2
    assert "tensorflow.SavedModel" in refused.stderr
    (tmp_path / "trust.txt").write_text("tensorflow.SavedModel\n")
    taken = run("spam", "--labels", "ham,spam")
    assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout)["version"] == "model:2"
