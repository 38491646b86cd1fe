from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mainstay.training.own_function import OwnContext, OwnFunctionError, fit_own, frame_of, load, target_of
from training.problems import messages, mixed

GOOD = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
import steps_of_mine

def fit(X, y, context):
    assert context.task == "binary" and context.seed == 7 and len(context.folds) == 3
    columns = ColumnTransformer([("numbers", steps_of_mine.numbers(), ["a", "b"])])
    return make_pipeline(columns, LogisticRegression()).fit(X, y)

def no_model(X, y, context):
    return 3

def one_class(X, y, context):
    return LogisticRegression().fit(X[["a"]], ["x"] * 60 + ["y"] * 60)

def breaks(X, y, context):
    raise KeyError("mine")

def of_two(X, y):
    return len(X), len(y)

def of_one(X):
    return X
"""
STEPS = """
from sklearn.impute import SimpleImputer

def numbers():
    return SimpleImputer()
"""


@pytest.fixture
def folder(tmp_path: Path):
    (tmp_path / "my_model.py").write_text(GOOD)
    (tmp_path / "steps_of_mine.py").write_text(STEPS)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    assert sys.path == path  # nothing of the project stays importable
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def fitted(folder, name):
    tiny = mixed()
    context = OwnContext(
        task=tiny.signature.task, labels=tiny.signature.labels, folds=tuple(tiny.folds), seed=7, budget=60.0
    )
    function = load(f"my_model:{name}", folder)
    return fit_own(function, folder, cells=tiny.cells, y=tiny.y, signature=tiny.signature, context=context)


def test_the_users_function_gets_typed_columns_and_labels_and_gives_a_pipeline(folder):
    tiny = mixed()
    model = fitted(folder, "fit")
    found = model.predict(frame_of(tiny.cells, tiny.signature))
    assert np.mean(found == target_of(tiny.y, tiny.signature)) > 0.7


@pytest.mark.parametrize(
    ("name", "message"), [("no_model", "returned int, which has no predict"), ("one_class", r"classes \['x', 'y'\]")]
)
def test_what_is_no_model_of_the_task_is_refused(folder, name, message):
    with pytest.raises(OwnFunctionError, match=message):
        fitted(folder, name)


def test_what_the_function_raises_is_its_own(folder):
    with pytest.raises(KeyError, match="mine"):
        fitted(folder, "breaks")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("my_model", 'write "module:function"'),
        ("../up:fit", 'write "module:function"'),
        ("my_modle:fit", r"there is no my_modle\.py .* Did you mean 'my_model'"),
        ("my_model:fitt", "has no function 'fitt'. Did you mean 'fit'"),
    ],
)
def test_a_function_that_is_not_there_is_named_with_the_nearest(folder, spec, message):
    with pytest.raises(OwnFunctionError, match=message):
        load(spec, folder)


def test_an_edited_module_counts_at_once(folder):
    (folder / "changing.py").write_text("def fit(X, y, context): return 1")
    assert load("changing:fit", folder)(None, None, None) == 1
    (folder / "changing.py").write_text("def fit(X, y, context): return 200")
    assert load("changing:fit", folder)(None, None, None) == 200


def test_a_module_that_fails_to_import_is_not_left_behind(folder):
    (folder / "bad_module.py").write_text("import no_such_library_at_all")
    with pytest.raises(ModuleNotFoundError):
        load("bad_module:fit", folder)
    assert "bad_module" not in sys.modules


def test_a_frame_has_the_types_that_a_person_expects():
    tiny = mixed()
    frame = frame_of(tiny.cells, tiny.signature)
    assert list(frame.columns) == ["a", "b", "color", "flag", "day"]
    assert frame["a"].dtype == np.float64
    assert frame["flag"].dtype == bool
    assert frame["color"].iloc[0] is None
    assert set(frame["color"].dropna()) == {"blue", "green", "red"}
    assert pd.api.types.is_datetime64_dtype(frame["day"])
    seconds = frame["day"].to_numpy().astype("datetime64[s]").astype(np.int64)
    assert np.array_equal(seconds, tiny.cells.numbers[:, 4])
    assert frame_of(messages().cells, messages().signature)["text"].iloc[0] is None


def test_a_missing_boolean_or_date_stays_missing():
    tiny = mixed()
    tiny.cells.numbers[0, 3:] = np.nan
    frame = frame_of(tiny.cells, tiny.signature)
    assert frame["flag"].iloc[0] is None
    assert frame["day"].isna().tolist() == [True] + [False] * 119


def test_targets_are_spelled_as_the_data_spells_them():
    assert set(target_of(mixed().y, mixed().signature)) == {"no", "yes"}
    assert target_of(mixed(task="regression").y, mixed(task="regression").signature).dtype == np.float64


def test_a_function_of_two_arguments_is_as_welcome(folder):
    with pytest.raises(OwnFunctionError, match="of_two returned tuple"):
        fitted(folder, "of_two")


def test_a_function_that_cannot_be_called_so_is_told_how_to_be(folder):
    with pytest.raises(OwnFunctionError, match=r"of_one\(X\) cannot be called as of_one\(X, y\) or"):
        fitted(folder, "of_one")
