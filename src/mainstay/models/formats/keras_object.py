"""Models of Keras 3 in memory, on the TensorFlow backend: Sequential, functional and subclassed ones.

Every model goes the same way: a function of TensorFlow with the inputs that X has, that as a SavedModel, and that as
ONNX. Where ONNX cannot hold it (texts that are split into words in the graph, half precision that rounds elsewhere),
the SavedModel itself is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from mainstay.errors import MissingExtra
from mainstay.models.formats import arrays, savedmodel
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told
from mainstay.models.formats.frames import cells_of, retaken, take
from mainstay.models.formats.objects import CannotRegister, Given, check_probabilities, check_truth, in_python, is_a
from mainstay.models.formats.tensorflow import calling
from mainstay.models.formats.tensorflow.interface import Feed, Spec
from mainstay.models.formats.tensorflow.keras_models import called, gives_classes, specs_of
from mainstay.models.formats.tensorflow.subject import Subject, Taken, subject_of
from mainstay.models.packaging import build
from mainstay.models.signature import Cells, Column, Label, Signature
from mainstay.models.tensors import Array

NAME = "Keras"


def recognizes(model: Any) -> bool:
    return is_a(model, "Model", "keras", "tf_keras", "tensorflow")


def draft(model: Any, given: Given) -> Imported:
    """The package of a Keras model.

    Raises:
        CannotRegister: it runs on another backend, is not built, does not take X, or does not say what it answers.
        UntrustedGraph: it has to be served by TensorFlow itself, and that is not trusted.
        ParityFailed: neither form answers as the model does.
        UnsafeModel: it does more than compute.
        MissingExtra: TensorFlow or tf2onnx is not installed.
    """
    _check(model, given)
    specs = specs_of(model) or _specs_of(given.table)
    taken, cells = _taken(specs, given)
    try:
        traced = calling.traced(model, called(model, specs, given.X), _asked(specs, taken))
        told = Told(
            labels=tuple(map(str, given.labels)), target=given.target, general=given.general, logits=given.logits
        )
        subject = subject_of(traced, taken, told, labels=_labels(given.labels), decision=given.decision)
        source = calling.source_of(subject.model)
        if given.logits:
            subject.check_logits(source)
    except CannotImport as error:
        raise CannotRegister(in_python(str(error))) from error
    signature = subject.signature
    if signature.task == "regression" and (end := gives_classes(model)):
        raise CannotRegister(
            f"The model ends in a {end}, so it answers classes: name them with labels, in their order, or take its "
            "outputs as they are with general=True."
        )
    rows = cells(given.table, signature)
    test = rows if given.X_test is None else cells(given.X_test, signature)
    check_truth(given.y_test, len(test), signature.labels)
    return Imported(_built(subject, source, told, given, rows, test), f"{type(model).__name__} of Keras")


def _built(  # noqa: PLR0917 - a model, and what is said of it
    subject: Subject, source: calling.Source, told: Told, given: Given, rows: Cells, test: Cells
) -> Any:
    expected = subject.native(test)
    check_probabilities(expected)
    built = build(
        estimator=subject.model,
        encoder=subject.taken.encoder,
        signature=subject.signature,
        cells=test,
        reference=rows,
        decision=given.decision,
        native=subject.native,
        expected=expected,
        graphs=[lambda: subject.graph(source, told)],
        kept=lambda: subject.kept(source.files()),
    )
    if built.format == savedmodel.FORMAT and savedmodel.TRUST not in given.trusted:
        raise savedmodel.UntrustedGraph(built.reason)
    return built


def _check(model: Any, given: Given) -> None:
    if not is_a(model, "Model", "keras"):
        raise CannotRegister(
            "This is a model of Keras 2 (tf_keras): write it with model.export('folder'), and register the folder, or "
            "load it with Keras 3."
        )
    try:
        import keras  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A Keras model", "tensorflow", "keras") from error
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise CannotRegister(
            f"Keras runs on {backend} here, and a model is written from TensorFlow: save it with "
            "model.save('model.keras'), and register that file where KERAS_BACKEND is tensorflow."
        )
    if not model.built:
        raise CannotRegister("The model is not built yet, so it has no weights: fit it, or call it once on its rows.")
    if given.columns and list(getattr(given.X, "columns", ())) != list(given.columns):
        raise CannotRegister("columns are told by X for a Keras model: give it as a DataFrame with these names.")


def _labels(labels: tuple[Label, ...]) -> tuple[Label, ...]:
    return tuple(label.item() if isinstance(label, np.generic) else label for label in labels)


def _specs_of(X: Any) -> list[Spec]:
    """The inputs of a model that does not say which it takes, as X has them."""
    given = X if isinstance(X, Mapping) else {"input": X}
    if isinstance(X, list | tuple) and X and all(isinstance(each, np.ndarray) for each in X):
        given = {f"input_{at}": each for at, each in enumerate(X)}
    specs = []
    for name, rows in given.items():
        array = np.asarray(rows)
        kind = "float32" if array.dtype.kind == "f" or isinstance(rows, pd.DataFrame) else array.dtype.name
        text = array.dtype.kind in "OUT" and not isinstance(rows, pd.DataFrame)
        specs.append(Spec(str(name), "text" if text else kind, array.shape[1:]))
    return specs


def _asked(specs: list[Spec], taken: Taken) -> list[Spec]:
    """The inputs as they are fed: a column has one value a row, and the encoder its own type."""
    if taken.encoder is not None:
        return [Spec(specs[0].name, taken.feeds[0].dtype, (len(taken.columns),))]
    if not taken.columns:
        return specs
    return [Spec(spec.name, feed.dtype, (1,)) for spec, feed in zip(specs, taken.feeds, strict=True)]


def _taken(specs: list[Spec], given: Given) -> tuple[Taken, Any]:
    """The inputs of the signature, and what reads rows like X's for it."""
    X = given.table
    if (frame := _columns(specs, X)) is not None:
        return _by_column(specs, frame, single=len(specs) == 1)
    found = arrays.inputs_of(
        _cast(X, specs), [spec.name for spec in specs], {s.name: s.shape for s in specs}, given.images
    )
    double = specs[0].dtype == "float64"
    encoder = found.encoder("float64" if double else "float32")
    if encoder is not None and not specs[0].dtype.startswith("float"):
        raise CannotRegister(
            f"The model takes {specs[0].dtype}, and X is a table of numbers: give X as an array of those."
        )
    if encoder is not None and len(specs[0].shape) != 1:
        raise CannotRegister(f"The model takes rows of shape {specs[0].shape}, and X is a table: give X as an array.")
    if encoder is not None and specs[0].shape[0] not in (None, len(found.columns)):
        raise CannotRegister(f"The model takes {specs[0].shape[0]} columns, and X has {len(found.columns)}.")
    feeds = (
        (Feed("features", encoder.dtype),) if encoder else tuple(Feed(spec.name, spec.dtype) for spec in specs)
    )  # fmt: skip

    def cells(rows: Any, signature: Signature) -> Cells:
        return found.cells(_cast(rows, specs), signature)

    return Taken(found.columns, found.tensors, encoder, feeds), cells


def _columns(specs: list[Spec], X: Any) -> pd.DataFrame | None:
    """X as a table with a column for each input, where every input takes one value a row; else None."""
    if any(spec.shape not in ((), (1,)) or spec.dtype not in ("text", "float32", "float64", "bool") for spec in specs):
        return None
    names = [spec.name for spec in specs]
    if len(specs) == 1:
        alone = X[names[0]] if isinstance(X, Mapping) and set(X) == set(names) else X
        one = isinstance(alone, pd.Series | pd.DataFrame) or np.ndim(alone) == 1
        return take(alone).frame if specs[0].dtype == "text" and one else None
    if isinstance(X, pd.DataFrame):
        if missing := [name for name in names if name not in X.columns]:
            raise CannotRegister(f"X has no column {missing[0]!r}, which the model takes: name its columns so.")
        return X[names]
    if isinstance(X, Mapping) and set(X) == set(names) and all(np.ndim(values) == 1 for values in X.values()):
        return pd.DataFrame({name: np.asarray(X[name]) for name in names})
    return None


def _by_column(specs: list[Spec], frame: pd.DataFrame, *, single: bool) -> tuple[Taken, Any]:
    taken = take(frame)
    columns = []
    for spec, column in zip(specs, taken.inputs, strict=True):
        wanted = {"text": ("text", "category"), "bool": ("boolean",)}.get(spec.dtype, ("number", "boolean"))
        if column.type not in wanted:
            raise CannotRegister(
                f"Column {column.name!r} of X is a {column.type}, and the model takes {spec.dtype} there."
            )
        columns.append(Column(name=column.name, type="text") if spec.dtype == "text" else _number(column, spec.dtype))

    def cells(rows: Any, signature: Signature) -> Cells:
        if isinstance(rows, Mapping):
            rows = pd.DataFrame({name: np.asarray(values) for name, values in rows.items()})
        table = take(rows).frame if single and not isinstance(rows, pd.DataFrame) else rows
        return cells_of(retaken(table, taken), signature)

    feeds = tuple(Feed(column.name, spec.dtype) for column, spec in zip(columns, specs, strict=True))
    return Taken(tuple(columns), (), None, feeds), cells


def _number(column: Column, dtype: str) -> Column:
    if dtype == "bool":
        return column
    return msgspec.structs.replace(column, type="number")


def _cast(X: Any, specs: list[Spec]) -> Any:
    """Arrays of numbers in the types that the model takes, where nothing but precision is lost."""
    if isinstance(X, Mapping):
        kinds = {spec.name: spec for spec in specs}
        return {name: _one(rows, kinds[name]) if name in kinds else rows for name, rows in X.items()}
    if len(specs) == 1:
        return _one(X, specs[0])
    return [_one(rows, spec) for rows, spec in zip(X, specs, strict=True)] if len(X) == len(specs) else X


def _one(rows: Any, spec: Spec) -> Array | Any:
    if isinstance(rows, pd.DataFrame) or spec.dtype == "text":
        return rows
    array = np.asarray(rows)
    if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        return array
    return array.astype(spec.dtype)
