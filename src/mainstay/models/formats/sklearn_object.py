"""From a model that somebody trained himself to a package: signature, transcription, proof.

Three ways are tried, each held to the model's own answers on the person's own rows: the encoder and ONNX; the whole
pipeline through a converter; the model as it is, kept with skops. The package says why it is not the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models.answers import Answers
from mainstay.models.formats import skops
from mainstay.models.formats.column_order import check_names, check_order, is_lightgbm_first
from mainstay.models.formats.export import Exported, to_onnx
from mainstay.models.formats.faces import behind
from mainstay.models.formats.foreign.protocol import Imported
from mainstay.models.formats.frames import Taken, as_categories, cells_of, frame_of, native, retaken, same, take
from mainstay.models.formats.lanes import CannotTranscribe
from mainstay.models.formats.native import as_fitted, native_answers
from mainstay.models.formats.objects import CannotRegister, Given, check_truth, labelled
from mainstay.models.formats.own_rows import why_not
from mainstay.models.formats.transcribe import Transcribed, transcribe, used_columns
from mainstay.models.formats.whole import columns_graph, features_graph
from mainstay.models.package import Decision
from mainstay.models.packaging import Built, build
from mainstay.models.signature import Cells, Column, Label, Signature, SignatureError, Task

NAME = "scikit-learn"


@dataclass(frozen=True)
class _Given:
    """What a person gave: the model, its table, its test rows, and what it says of them."""

    model: Any
    taken: Taken
    test: pd.DataFrame
    answers: Callable[[Any, Signature], Answers]
    task: Task
    target: str
    labels: tuple[Label, ...]
    decision: Decision | None


def recognizes(model: Any) -> bool:
    """Whether it has scikit-learn's interface; what has not is told so by `draft`."""
    return hasattr(model, "predict") and hasattr(model, "fit")


def draft(model: Any, given: Given) -> Imported:
    """The package of a fitted scikit-learn estimator or pipeline, or one with its interface (LightGBM, XGBoost).

    Of a search such as GridSearchCV, the best estimator is taken. The classes are the model's own; where they are 0,
    1, …, as XGBoost wants them, `labels` may name them.

    Raises:
        CannotRegister: not a fitted classifier or regressor; or test rows or labels that do not fit it.
        SignatureError: a column that a signature cannot hold as it is.
        InputError: a row that does not fit the signature made from X.
        UntrustedTypes: the model has to be kept as it is, and holds types that are not in `trusted`.
        ParityFailed: the model's answers could not be reproduced from its own rows.
    """
    return Imported(_built(model, given), type(model).__name__)


def _built(model: Any, asked: Given) -> Built:
    model = getattr(model, "best_estimator_", model)
    task, own = _kind(model)
    labels = labelled(own, asked)
    decision, trusted = asked.decision, asked.trusted
    check_names(getattr(model, "feature_names_in_", ()), asked.columns)
    taken = _as_taken(model, take(asked.table, asked.columns))
    test = taken.frame if asked.X_test is None else retaken(asked.X_test, taken)
    if not len(test):
        raise CannotRegister("X_test has no rows: leave it out to use X, or give the rows that were held out.")
    _check_table(model, taken)
    check_truth(asked.y_test, len(test), labels)
    given = _Given(
        model,
        taken,
        test,
        lambda table, signature: native_answers(model, table, signature, decision),
        task,
        asked.target,
        labels,
        decision,
    )
    reasons: list[str] = []
    try:
        built = _transcribed(given, transcribe(model, taken))
        if built.format == "onnx":
            return built
        reasons.append(built.reason)
        fallback: Built | None = built
    except (CannotTranscribe, CheckFailed) as error:
        reasons.append(str(error).rstrip("."))
        fallback = None
    return _trusting(fallback or _whole(given, "; ".join(reasons)), trusted)


def _as_taken(model: Any, taken: Taken) -> Taken:
    """The table as the model takes it: the columns that CatBoost was told are categories are."""
    own = behind(model)
    if not type(own).__module__.startswith("catboost."):
        return taken
    return as_categories(taken, [place for place in own.get_cat_feature_indices() if place < len(taken.inputs)])


def _transcribed(given: _Given, found: Transcribed) -> Built:
    signature = _signature(given, found.signature_inputs, found.set_aside)
    estimator, width = found.estimator, found.encoder.width
    graphs: list[Callable[[], Exported]] = [lambda: to_onnx(estimator, width=width)]
    if isinstance(estimator, Pipeline):
        graphs.append(lambda: features_graph(estimator, width=width))
    return build(
        estimator=estimator,
        encoder=found.encoder,
        signature=signature,
        cells=_cells(given, given.test, signature),
        reference=_cells(given, given.taken.frame, signature),
        native=_native(given, signature),
        expected=_expected(given, signature),
        decision=given.decision,
        graphs=graphs,
    )


def _whole(given: _Given, reason: str) -> Built:
    """The pipeline as it is, on raw columns: through a converter, or kept with skops."""
    used = used_columns(given.model, given.taken)
    aside = [column.name for column in given.taken.inputs if column not in used]
    signature = _signature(given, used, aside)
    return build(
        estimator=given.model,
        encoder=None,
        signature=signature,
        cells=_cells(given, given.test, signature),
        reference=_cells(given, given.taken.frame, signature),
        native=_native(given, signature),
        expected=_expected(given, signature),
        decision=given.decision,
        frame=given.taken.spec,
        graphs=[lambda: columns_graph(given.model, signature, given.taken.spec)],
        reason=reason,
    )


def _expected(given: _Given, signature: Signature) -> Answers:
    """What the model itself answers to the test rows. Raises CannotRegister: it does not."""
    try:
        return given.answers(native(given.test, given.taken.spec), signature)
    except MainstayError:
        raise
    except Exception as error:  # a person's own model raises whatever its parts raise at rows that it does not take
        raise CannotRegister(
            f"The model does not answer the test rows ({why_not(given.test, given.taken.frame, error)}): give rows as "
            "those that it was fitted on."
        ) from error


def _native(given: _Given, signature: Signature) -> Callable[[Cells], Answers]:
    spec = given.taken.spec
    return lambda cells: given.answers(native(frame_of(cells, signature, spec), spec), signature)


def _signature(given: _Given, inputs: Sequence[Column], set_aside: Sequence[str]) -> Signature:
    """The signature; a column is nullable too where the model answered test rows that miss it."""
    columns = tuple(_nullable(column) if bool(given.test[column.name].isna().any()) else column for column in inputs)
    return Signature(
        inputs=columns, task=given.task, target=given.target, labels=given.labels, set_aside=tuple(set_aside)
    ).checked()


def _nullable(column: Column) -> Column:
    values = {name: getattr(column, name) for name in column.__struct_fields__}
    return Column(**{**values, "nullable": True})


def _cells(given: _Given, frame: pd.DataFrame, signature: Signature) -> Cells:
    """The cells of a table, proven to lose nothing.

    Raises:
        InputError: a value does not fit the signature.
        SignatureError: a value is not the same when it is read back.
    """
    cells = cells_of(frame, signature)
    # A category that no encoder knows is meant to be lost; all else is not.
    names = [column.name for column in signature.inputs if column.type != "category"]
    lost = same(frame, frame_of(cells, signature, given.taken.spec), names)
    if lost is not None:
        raise SignatureError(
            f"Column {lost!r} of type {frame[lost].dtype} holds values that a signature cannot keep exactly: "
            "round date-times to microseconds, or make it numbers or texts, and fit the model again."
        )
    return cells


def _trusting(built: Built, trusted: Sequence[str]) -> Built:
    if refused := [name for name in built.untrusted if name not in set(trusted)]:
        raise skops.UntrustedTypes(refused, why=built.reason)
    return built


def _kind(model: Any) -> tuple[Task, tuple[Label, ...]]:
    """The task of a fitted model, and its labels."""
    if not hasattr(model, "predict"):
        raise CannotRegister(f"{type(model).__name__} has no predict: give a fitted classifier or regressor.")
    try:
        check_is_fitted(model)
    except Exception as error:  # scikit-learn raises NotFittedError, or TypeError for what is no estimator
        raise CannotRegister(f"{type(model).__name__} is not fitted: call its fit first.") from error
    if is_regressor(model):
        return "regression", ()
    if not is_classifier(model) and not hasattr(model, "classes_"):
        raise CannotRegister(f"{type(model).__name__} is neither a classifier nor a regressor.")
    classes = model.classes_
    if isinstance(classes, list) or np.ndim(classes) != 1:
        raise _several(model)
    labels = labels_of(classes)
    return ("binary" if len(labels) == 2 else "multiclass"), labels


def labels_of(classes: Any) -> tuple[Label, ...]:
    """The classes of an estimator as labels. Raises CannotRegister for others than texts, integers and booleans."""
    return tuple(_label(value) for value in np.asarray(classes).tolist())


def _label(value: Any) -> Label:
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise CannotRegister(
        f"The class {value!r} is neither a text, an integer nor a boolean: fit the model on such ones."
    )


def _check_table(model: Any, taken: Taken) -> None:
    """The model must take the table's rows, or nothing that follows can be right."""
    fitted_on = getattr(model, "feature_names_in_", None)
    if fitted_on is not None and is_lightgbm_first(model):
        check_order(fitted_on, list(taken.frame.columns))
    elif fitted_on is not None and (lost := [name for name in fitted_on if name not in taken.frame.columns]):
        raise CannotRegister(
            f"X has no column {str(lost[0])!r}, which {type(model).__name__} was fitted on: give the table that it was "
            "fitted on."
        )
    width = getattr(model, "n_features_in_", None)
    if fitted_on is None and width is not None and taken.spec.container == "array" and width != len(taken.inputs):
        raise CannotRegister(
            f"X has {len(taken.inputs)} columns, and {type(model).__name__} was fitted on {width}: give the table "
            "that it was fitted on."
        )
    try:
        with as_fitted():
            answer = model.predict(native(taken.frame.iloc[:1], taken.spec))
    except Exception as error:  # a person's own model raises whatever its parts raise at rows that it does not take
        said = " ".join(str(error).split())
        if "feature names should match" not in said.lower():
            raise CannotRegister(
                f"{type(model).__name__} does not answer the first row of X ({type(error).__name__}: {said[:300]}): "
                "give the table that it was fitted on."
            ) from error
        raise CannotRegister(
            f"X is not the table that {type(model).__name__} was fitted on: {said} Give its columns, in their order."
        ) from error
    if np.size(answer) > 1:
        raise _several(model)


def _several(model: Any) -> CannotRegister:
    return CannotRegister(f"{type(model).__name__} answers several targets at once: register one model for each.")
