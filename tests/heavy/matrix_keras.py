"""The lines of the matrix for Keras and TensorFlow: objects, files, pictures and texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from libraries import need
from matrix import TASKS, Case, Made
from matrix_tables import digits, messages, numbers

from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.formats.objects import Given

FORMAT = "TensorFlow / Keras 3"
LABELS = {"binary": (0, 1), "multiclass": (0, 1, 2), "regression": ()}


def cases() -> Iterator[Case]:
    """Every line."""
    for task in TASKS:
        yield Case(FORMAT, "object", task, _table(task, None))
        yield Case(FORMAT, "file (.keras)", task, _table(task, "model.keras"))
        yield Case(FORMAT, "folder (SavedModel)", task, _table(task, "model"))
    yield Case(FORMAT, "object, pictures", "multiclass", _pictures)
    yield Case(FORMAT, "object, raw texts", "binary", _texts)


def _table(task: str, file: str | None):
    def make(folder: Path) -> Made:
        layers = need("keras").layers
        X, X_test, y, _ = numbers(task)
        scaled = layers.Normalization()
        scaled.adapt(X)
        width, end, loss = {
            "binary": (1, "sigmoid", "binary_crossentropy"),
            "multiclass": (3, "softmax", "sparse_categorical_crossentropy"),
            "regression": (1, None, "mse"),
        }[task]
        shape = layers.Input((X.shape[1],))
        model = _fitted([shape, scaled, layers.Dense(16, "relu"), layers.Dense(width, end)], X, y, loss)
        labels = LABELS[task]
        if file is None:
            return Made(model, Given(X=X, X_test=X_test, labels=labels), X_test, _asked(model), X_test)
        path = folder / file
        if path.suffix:
            model.save(path)
        else:
            model.export(path, verbose=False)
        return Made(path, Told(labels=tuple(map(str, labels))), X_test, _asked(model), X_test)

    return make


def _pictures(folder: Path) -> Made:
    del folder
    layers = need("keras").layers
    X, X_test, y, _ = digits()
    model = _fitted(
        [
            layers.Input((8, 8)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ],
        X,
        y,
        "sparse_categorical_crossentropy",
    )
    return Made(model, Given(X=X, X_test=X_test, labels=tuple(range(10))), X_test, _asked(model), X_test)


def _texts(folder: Path) -> Made:
    del folder
    tf, layers = need("tensorflow"), need("keras").layers
    X, X_test, y = messages()
    words = layers.TextVectorization(output_sequence_length=12)
    words.adapt(X)
    shape = layers.Input((1,), dtype="string")
    steps = [shape, words, layers.Embedding(50, 8), layers.GlobalAveragePooling1D(), layers.Dense(1, "sigmoid")]
    model = _fitted(steps, tf.constant(X)[:, None], y == "spam", "binary_crossentropy")
    given = Given(
        X=pd.Series(X, name="sms"),
        X_test=pd.Series(X_test, name="sms"),
        labels=("ham", "spam"),
        trusted=("tensorflow.SavedModel",),
    )
    return Made(model, given, {"sms": X_test}, _asked(model), tf.constant(X_test)[:, None])


def _fitted(steps: list[Any], X: Any, y: np.ndarray, loss: str) -> Any:
    model = need("keras").Sequential(steps)
    model.compile("adam", loss)
    model.fit(X, np.asarray(y, dtype=np.float32), epochs=2, batch_size=64, verbose=0)
    return model


def _asked(model: Any):
    def native(rows: Any) -> np.ndarray:
        found = np.asarray(model(rows, training=False), dtype=np.float64)
        if found.shape[1] == 1 and model.layers[-1].activation.__name__ == "sigmoid":
            return np.column_stack([1 - found, found])
        return found

    return native
