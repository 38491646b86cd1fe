"""The user's own training function: `train = "module:function"` of the project file.

    def fit(X, y, context):
        return make_pipeline(...).fit(X, y)

`X` is a pandas DataFrame of the typed training columns, `y` a Series of the target as the data spells it, `context`
an `OwnContext`, which may be left out. It returns a fitted estimator, or a pipeline, that takes such a frame.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.signature import Cells, Label, Signature, Task
from mainstay.training.scoring import Target

_SPEC = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")


class OwnFunctionError(MainstayError):
    """The user's training function cannot be found, or does not do what such a function does."""


@dataclass(frozen=True)
class OwnContext:
    """What a training function may want to know besides its rows."""

    task: Task
    labels: tuple[Label, ...]
    """The classes, sorted; empty for a regression."""
    folds: tuple[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]], ...]
    """(training, validation) positions of rows, that keep duplicates, groups and time apart."""
    seed: int
    budget: float
    """Seconds that the project allows; the function holds itself to it."""


def load(spec: str, folder: Path) -> Callable[..., Any]:
    """The function that the project file names, from a module or package in the project's folder.

    The module runs anew at each call, so that an edited file counts.

    Raises:
        OwnFunctionError: the name is not "module:function", or there is no such module or function.
    """
    found = _SPEC.fullmatch(spec)
    if found is None:
        raise OwnFunctionError(f'train = {spec!r} cannot be understood: write "module:function".')
    name, function = found.groups()
    path = folder.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        near = did_you_mean(name, (other.stem for other in folder.glob("*.py")))
        raise OwnFunctionError(f"train = {spec!r}: there is no {file.relative_to(folder)} in {folder}.{near}")
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    with importable(folder):
        before = sys.modules.get(name)
        sys.modules[name] = module  # so that classes of the module can be found again by name
        try:
            specification.loader.exec_module(module)
        except BaseException:
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
            raise
    made: Callable[..., Any] | None = getattr(module, function, None)
    if not callable(made):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise OwnFunctionError(
            f"train = {spec!r}: {file.name} has no function {function!r}.{did_you_mean(function, known)}"
        )
    return made


def fit_own(
    function: Callable[..., Any],
    folder: Path,
    *,
    cells: Cells,
    y: Target,
    signature: Signature,
    context: OwnContext,
) -> Any:
    """What the user's function returns for these training rows: a fitted estimator that takes `frame_of` rows.

    Args:
        function: as `load` gave it.
        folder: of the project; importable while the function runs.
        cells: the training rows, n of them.
        y: label indices, int64, or values, float64, of shape (n,).
        signature: what the rows fit.
        context: what else the function may want to know.

    Raises:
        OwnFunctionError: what it returned is no fitted estimator of the task, or knows other classes.
        Exception: whatever the function raises.
    """
    X = frame_of(cells, signature)
    with importable(folder):
        rest = (context,) if _takes_context(function) else ()
        model = function(X, target_of(y, signature), *rest)
        _check(model, function, signature)
    return model


def _takes_context(function: Callable[..., Any]) -> bool:
    """Whether it takes a third argument; one of `fit(X, y)` is as welcome.

    Raises:
        OwnFunctionError: it takes neither two nor three.
    """
    try:
        takes = inspect.signature(function)
    except (TypeError, ValueError):  # a built-in does not say
        return True
    for arguments in (3, 2):
        try:
            takes.bind(*range(arguments))
        except TypeError:
            continue
        return arguments == 3
    name = getattr(function, "__name__", "the function")
    raise OwnFunctionError(f"{name}{takes} cannot be called as {name}(X, y) or {name}(X, y, context): write it so.")


def frame_of(cells: Cells, signature: Signature) -> pd.DataFrame:
    """Cells as a DataFrame with a column for each input.

    Numbers are float64; booleans bool, or object with None where some are missing; categories and texts are str
    objects with None where missing (a category that the signature does not know is None too); date-times are
    datetime64 in UTC, without a zone.
    """
    columns: dict[str, Any] = {}
    for index, column in enumerate(signature.inputs):
        x = cells.numbers[:, index]
        if column.type == "number":
            columns[column.name] = x.copy()
        elif column.type == "boolean":
            missing = bool(np.isnan(x).any())
            plain = [None if np.isnan(v) else bool(v) for v in x]
            columns[column.name] = pd.Series(plain, dtype=object if missing else bool)
        elif column.type == "category":
            known = column.categories
            columns[column.name] = pd.Series([known[int(v)] if v >= 0 else None for v in x], dtype=object)
        elif column.type == "text":
            columns[column.name] = pd.Series(list(cells.texts[index]), dtype=object)
        else:
            missing_time = np.isnan(x)
            micros = np.round(np.where(missing_time, 0.0, x) * 1e6).astype(np.int64).astype("datetime64[us]")
            columns[column.name] = np.where(missing_time, np.datetime64("NaT", "us"), micros)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(cells)))


def target_of(y: Target, signature: Signature) -> pd.Series[Any]:
    """The target as the data spells it: labels, or float64 values."""
    if signature.task == "regression":
        return pd.Series(y, name=signature.target, dtype=np.float64)
    labels = [signature.labels[index] for index in y.astype(np.intp).tolist()]
    return pd.Series(np.array(labels), name=signature.target)


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """The folder's modules can be imported meanwhile."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _check(model: Any, function: Callable[..., Any], signature: Signature) -> None:
    name = getattr(function, "__name__", "the function")
    if not hasattr(model, "predict"):
        raise OwnFunctionError(
            f"{name} returned {type(model).__name__}, which has no predict: return a fitted estimator or pipeline."
        )
    if signature.task == "regression":
        return
    classes = getattr(model, "classes_", None)
    if classes is None:
        raise OwnFunctionError(
            f"{name} returned {type(model).__name__} without classes_: return a fitted classifier "
            f"for a {signature.task} task."
        )
    found = np.asarray(classes).tolist()
    if found != list(signature.labels):
        raise OwnFunctionError(
            f"{name} returned a model of the classes {found}, but the target has {list(signature.labels)}: "
            "fit it on all rows of y, as they are."
        )
