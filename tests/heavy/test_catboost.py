"""CatBoost's files answer as CatBoost does."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import need

from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.importing import draft_of_file
from mainstay.models.runtime import Model

catboost = need("catboost")

TASKS = ("binary", "multiclass", "regression")


@pytest.fixture(scope="module")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    """(400, 4) numbers and three classes."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 4)).round(2)
    return x, (x[:, 1] + x[:, 2] > 0).astype(int) + (x[:, 3] > 0.8)


def _target(y, task):
    return {"binary": (y > 0).astype(int), "multiclass": y, "regression": y + 0.25}[task]


def _answers(model, x):
    answers = model.answer(model.read.matrix(x.tolist()))
    return answers.values if answers.probabilities is None else answers.probabilities


@pytest.mark.parametrize("form", ["cbm", "onnx"])
@pytest.mark.parametrize("task", TASKS)
def test_a_file_answers_as_catboost(task, form, numbers, tmp_path):
    x, y = numbers[0], _target(numbers[1], task)
    kind = catboost.CatBoostRegressor if task == "regression" else catboost.CatBoostClassifier
    fitted = kind(iterations=12, depth=3, thread_count=1, verbose=False, allow_writing_files=False).fit(x, y)
    expected = fitted.predict(x) if task == "regression" else fitted.predict_proba(x)
    path = tmp_path / f"model.{form}"
    fitted.save_model(str(path), format=form)
    model = Model.load(draft_of_file(path, Told(columns=("a", "b", "c", "d"))).draft.package())
    np.testing.assert_allclose(_answers(model, x), expected, atol=1e-5)
