"""The lines of the matrix for Python classes: a linear model in a folder of its own, asked in its own process."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matrix import TASKS, Case, Made
from matrix_tables import numbers
from sklearn.linear_model import LinearRegression, LogisticRegression

from mainstay.models.classes import UntrustedCode
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.importing import draft_of_file
from mainstay.operations.loading import loaded
from mainstay.serving.uv import resolve
from python_classes import plain, trust

CODE = """\
import json

import numpy as np


class Model:
    def __init__(self, folder):
        said = json.loads((folder / "weights.json").read_text())
        self.coef, self.intercept, self.task = np.array(said["coef"]), np.array(said["intercept"]), said["task"]

    def predict(self, rows):
        X = np.column_stack(list(rows.values()))
        scores = (X[:, :, None] * self.coef).sum(axis=1) + self.intercept
        if self.task == "regression":
            return scores[:, 0]
        if self.task == "binary":
            scores = np.column_stack([0 * scores[:, 0], scores[:, 0]])
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)
"""


def cases() -> Iterator[Case]:
    """Every line."""
    for task in TASKS:
        yield Case("Python class", "folder", task, _folder(task))


def _folder(task: str):
    def make(folder: Path) -> Made:
        X, X_test, y, _ = numbers(task)
        X, X_test = (X - X.mean(axis=0)) / X.std(axis=0), (X_test - X.mean(axis=0)) / X.std(axis=0)
        model = (LinearRegression() if task == "regression" else LogisticRegression(max_iter=500)).fit(X, y)
        path = plain(folder / "model", CODE, _described(task, X))
        weights = {"coef": np.atleast_2d(model.coef_).T.tolist(), "intercept": np.atleast_1d(model.intercept_).tolist()}
        (path / "weights.json").write_text(json.dumps({**weights, "task": task}))
        told = Told(
            opened=partial(loaded, folder), locked=lambda requirements, python: resolve(requirements, python=python)
        )
        _trusted(folder, path, told)
        names = [f"x{index}" for index in range(X.shape[1])]
        return Made(
            path,
            told,
            pd.DataFrame(X_test, columns=names),
            _called(path),
            dict(zip(names, X_test.T, strict=True)),
            one=_first,
            opened=partial(loaded, folder),
        )

    return make


def _described(task: str, X: np.ndarray) -> str:
    labels = {"binary": "labels = [0, 1]", "multiclass": "labels = [0, 1, 2]", "regression": ""}[task]
    columns = "".join(
        f'\n[[signature.inputs]]\nname = "x{index}"\ntype = "number"\n'
        f"minimum = {float(column.min())}\nmaximum = {float(column.max())}\n"
        for index, column in enumerate(X.T)
    )
    return f'class = "model:Model"\n\n[signature]\ntask = "{task}"\n{labels}\n{columns}'


def _trusted(project: Path, path: Path, told: Told) -> None:
    """Trusts the code, as an operator does who has read it."""
    try:
        draft_of_file(path, told)
    except UntrustedCode as refused:
        trust(project, refused.code)


def _called(path: Path) -> Any:
    """The class itself, asked in this process."""
    spec = importlib.util.spec_from_file_location("own_model", path / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Model(path).predict


def _first(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values[:1] for name, values in rows.items()}
