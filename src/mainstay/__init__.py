"""Mainstay: from a data file to a machine-learning service that stays right.

The command line does the whole job (`mainstay --help`). From Python, for a model that you trained yourself:

    import mainstay

    version = mainstay.register(pipeline, name="credit", X=X_train, X_test=X_test, y_test=y_test)
    mainstay.load("credit:1").predict(frame)
    mainstay.ensemble("blend", of=["credit:1", "credit:2"])
    with mainstay.serve(pipeline, X_train) as url:
        ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.errors import MainstayError

if TYPE_CHECKING:
    from mainstay.models.runtime import Model
    from mainstay.models.tensors import Image as Image
    from mainstay.operations.ensembles import BlendedVersion
    from mainstay.registry.records import Version

__all__ = ["Image", "MainstayError", "compress", "ensemble", "load", "register", "serve"]

# Each function imports what it needs when it is called: `import mainstay` alone costs next to nothing.


def __getattr__(name: str) -> Any:
    if name == "Image":
        from mainstay.models.tensors import Image  # noqa: PLC0415 - as above

        return Image
    raise AttributeError(f"module 'mainstay' has no attribute {name!r}")


def register(
    model: Any,
    *,
    name: str,
    X: Any = None,  # noqa: N803 - the field's name
    X_test: Any = None,  # noqa: N803
    y_test: Any = None,
    target: str | None = None,
    labels: Sequence[bool | int | str] = (),
    columns: Sequence[str] = (),
    shapes: Mapping[str, tuple[int | str, ...]] | None = None,
    images: Mapping[str, Image] | None = None,
    logits: bool = False,
    general: bool = False,
    gates: Sequence[str] = (),
    slices: Sequence[str] = (),
    threshold: float | None = None,
    positive: Any = None,
    trusted: Sequence[str] = (),
    folder: str | Path = ".",
) -> Version:
    """Registers a fitted model as the next version of `name`.

    The model is packaged (its steps transcribed, its estimator exported), proven to answer as it does here, evaluated
    on the test rows, held against its gates, and registered.

    Args:
        model: a fitted scikit-learn estimator or pipeline, or one with its interface (LightGBM, XGBoost, CatBoost); a
            native booster of these; an ONNX model; or the path of a model's file.
        name: of the model: a-z, 0-9, "_" and "-".
        X: the table that it was fitted on, n rows: DataFrame, array, or series of texts; of a model that takes
            tensors, an array of all rows, or arrays by the names of its inputs.
        X_test: rows that it was not fitted on; those that stand in X too are left out of the evaluation.
        y_test: their true labels or values, in the same order. Without them nothing can be evaluated, and the version
            may not be deployed but by an override.
        target: name of what is predicted; by default that of `y_test`, where it has one.
        labels: the classes in the order of the model's outputs, where the model has none of its own, or calls them
            0, 1, …
        columns: names of the inputs, where neither the model nor X has any; else the same.
        shapes: of one row, by input: a text in place of a size lets it differ from request to request.
        images: by input, how a PNG or JPEG that is sent becomes its numbers.
        logits: whether what the model gives for its classes are logits, not probabilities.
        general: whether its outputs are answered as they are: no classes, no single value.
        gates: conditions such as "roc_auc >= 0.75"; by default, a trivial baseline must be beaten.
        slices: columns whose values are evaluated one by one.
        threshold: of two classes, the probability from which a row is positive; by default, as the model says.
        positive: of two classes, the one to find; by default the last.
        trusted: types that may be restored from a native file, where a model cannot become ONNX; beside those that the
            operator trusts (trust.txt).
        folder: of the project; its registry is made where there is none.

    Raises:
        MainstayError: whatever is wrong, in one sentence.
    """
    from mainstay.operations.registering import register as run  # noqa: PLC0415

    return run(
        model,
        name=name,
        X=X,
        X_test=X_test,
        y_test=y_test,
        target=target,
        labels=labels,
        columns=columns,
        shapes=shapes or {},
        images=images or {},
        logits=logits,
        general=general,
        gates=gates,
        slices=slices,
        threshold=threshold,
        positive=positive,
        trusted=trusted,
        folder=Path(folder),
    )


def compress(
    version: str,
    *,
    quantize: bool = False,
    float16: bool = False,
    prune_trees: bool = False,
    max_loss: float = 0.005,
    metric: str | None = None,
    name: str | None = None,
    data: str | Path | None = None,
    target: str | None = None,
    X_test: Any = None,  # noqa: N803 - the field's name
    y_test: Any = None,
    gates: Sequence[str] = (),
    folder: str | Path = ".",
) -> Version:
    """Registers a smaller model of an ONNX version as the next version, if what it loses is at most `max_loss`.

    Of the techniques asked for, those are kept that save bytes and whose loss holds. The loss is stated on rows that
    the version was not trained on; where something is chosen (several techniques, or how many trees), on the half of
    them by which nothing was chosen. It holds where the upper end of its 95 % bootstrap interval is at most `max_loss`.

    Args:
        version: "credit:1", "credit@champion", or "credit" for its newest.
        quantize: weights of matrix products and convolutions as 8-bit integers.
        float16: weights in half precision.
        prune_trees: fewer trees, and leaves merged that are nearly equal.
        max_loss: of the metric: in its own units where it lies between 0 and 1 (roc_auc), else as a share of what it
            was (log_loss, rmse).
        metric: by default roc_auc, log_loss or rmse, as the task is.
        name: of the model; by default the version's own.
        data: a file of rows with their true answers, in its column `target` (by default, the model's).
        X_test: rows that the version was not trained on, as `load(version).predict` takes them.
        y_test: their true labels or values. Without either, the rows of the project's data that training held out.
        gates: conditions for rows that are given here; those of the project hold for its own.
        folder: of the project.

    Raises:
        MainstayError: whatever is wrong, in one sentence; CheckFailed where the loss does not hold.
    """
    from mainstay.operations.compressing import compressed  # noqa: PLC0415

    return compressed(
        Path(folder),
        version,
        quantize=quantize,
        float16=float16,
        prune_trees=prune_trees,
        max_loss=max_loss,
        metric=metric,
        name=name,
        data=None if data is None else Path(data),
        target=target,
        X_test=X_test,
        y_test=y_test,
        gates=gates,
    )


def ensemble(
    name: str,
    *,
    of: Sequence[str],
    method: str = "mean",
    weights: Sequence[float] | None = None,
    target: str | None = None,
    evaluate: str | Path | None = None,
    gates: Sequence[str] = (),
    threshold: float | None = None,
    positive: Any = None,
    trusted: Sequence[str] = (),
    folder: str | Path = ".",
) -> BlendedVersion:
    """Registers a blend of registered versions as the next version of `name`.

    Where all parts are ONNX, it is one ONNX graph. Its answers are proven to be those of its parts, combined; it is
    evaluated beside them, and held against its gates.

    Args:
        name: of the blend: a-z, 0-9, "_" and "-".
        of: its parts, such as ["credit:3", "churn:2"].
        method: "mean" of probabilities or values, "vote", "weights", or "stack".
        weights: for "weights", one a part; by default they are fitted on half of the rows that no part was trained on,
            as a stack is, and the blend is judged on the other half.
        target: what is predicted, where the parts call it by several names.
        evaluate: a file of rows with true answers that no part was trained on; by default, the rows of the project's
            data that every part held out.
        gates: conditions such as "roc_auc >= 0.75"; by default, a trivial baseline must be beaten.
        threshold: of two classes, the probability from which a row is positive; by default that of the parts where they
            all have the same, else the more probable class.
        positive: of two classes, the one to find; by default the parts' own.
        trusted: types that parts in a native format may hold, beside those that the operator trusts.
        folder: of the project.

    Raises:
        MainstayError: whatever is wrong, in one sentence.
    """
    from mainstay.operations.ensembles import ensemble as run  # noqa: PLC0415

    return run(
        Path(folder),
        name,
        of,
        method=method,
        weights=weights,
        target=target,
        data=None if evaluate is None else Path(evaluate),
        gates=gates,
        threshold=threshold,
        positive=positive,
        trusted=trusted,
    )


def load(version: str, *, folder: str | Path = ".") -> Model:
    """A registered version, ready to answer in this process: `load("credit:1").predict(frame)`.

    Its files are checked against their hashes, and its golden predictions replayed.

    Args:
        version: "credit:1", "credit@champion", or "credit" for its newest.
        folder: of the project.

    Raises:
        MainstayError: no such version, a damaged file, or types that the operator does not trust.
    """
    from mainstay.operations.loading import load as run  # noqa: PLC0415

    return run(Path(folder), version)


def serve(
    model: Any,
    X: Any,  # noqa: N803 - the field's name
    *,
    name: str = "model",
    port: int = 0,
    labels: Sequence[bool | int | str] = (),
    columns: Sequence[str] = (),
    shapes: Mapping[str, tuple[int | str, ...]] | None = None,
    images: Mapping[str, Image] | None = None,
    logits: bool = False,
    general: bool = False,
    trusted: Sequence[str] = (),
) -> AbstractContextManager[str]:
    """Serves a fitted model while a `with` block runs; gives the server's URL. Needs no project.

    with mainstay.serve(pipeline, X_train) as url:
        httpx.post(f"{url}/predict", json={"inputs": [{"age": 35}]})

    Args:
        model, X, labels, columns, shapes, images, logits, general, trusted: as for `register`.
        name: of the model, in the server's paths.
        port: to listen on; 0 takes a free one.

    Raises:
        MainstayError: whatever is wrong, in one sentence.
    """
    from mainstay.operations.notebook import serving as run  # noqa: PLC0415

    given = {"labels": tuple(labels), "columns": tuple(columns), "shapes": shapes or {}, "images": images or {}}
    return run(model, X, name=name, port=port, logits=logits, general=general, trusted=tuple(trusted), **given)
