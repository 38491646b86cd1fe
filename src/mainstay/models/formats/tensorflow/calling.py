"""The one module that runs TensorFlow: asks a model, writes it as a SavedModel, and reads such a one as ONNX."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mainstay.errors import MissingExtra
from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.tensorflow.graphs import check_saved_model, files_of
from mainstay.models.formats.tensorflow.interface import Spec
from mainstay.models.formats.tensorflow.rewriting import write_erfc
from mainstay.models.signature import InputError
from mainstay.models.tensors import Array

OPSET = 18
BATCH = 512
"""Rows that are asked at once."""
SIGNATURE = "serving_default"
_HALVES = ("float16", "bfloat16")


def library() -> Any:
    """TensorFlow. Raises MissingExtra."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    try:
        with _unheard(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of while it is imported is its own matter
            import tensorflow as tf  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A model of TensorFlow or Keras", "tensorflow", "tensorflow") from error
    return tf


@dataclass(frozen=True)
class Traced:
    """A model with a fixed interface."""

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    module: Any
    """A tf.Module whose function `answer` takes the inputs in their order and gives the outputs by position."""

    def ask(self, arrays: Sequence[Array]) -> list[Array]:
        """The model's own answers for rows.

        Args:
            arrays: one of n rows for each input.

        Raises:
            InputError: the model refuses them.
        """
        rows = len(arrays[0])
        parts = [
            asked(self.module.direct, [array[start : start + BATCH] for array in arrays])
            for start in range(0, max(rows, 1), BATCH)
        ]
        return [np.concatenate(found) for found in zip(*parts, strict=True)]


def traced(model: Any, call: Callable[[list[Any]], Mapping[str, Any]], inputs: Sequence[Spec]) -> Traced:
    """A model with the interface that is wanted of it.

    Args:
        model: what holds its weights.
        call: gives the outputs by name for tensors of the inputs.
        inputs: their names, types and shapes of one row.
    """
    tf = library()
    specs = [
        tf.TensorSpec((None, *spec.shape), "string" if spec.dtype == "text" else spec.dtype, name=input_name(at))
        for at, spec in enumerate(inputs)
    ]
    names: list[str] = []

    def direct(*tensors: Any) -> list[Any]:
        outputs = call(list(tensors))
        names[:] = outputs
        return [tf.cast(each, tf.float32) if each.dtype.name in _HALVES else each for each in outputs.values()]

    module = tf.Module()
    module.model = model  # kept with it, and so are its weights and tables
    module.answer = tf.function(
        lambda *tensors: {_output(at): tf.identity(each) for at, each in enumerate(direct(*tensors))},
        input_signature=specs,
    )
    module.direct = direct
    found = module.answer.get_concrete_function().structured_outputs
    taken = {spec.name for spec in inputs}
    outputs = tuple(
        Spec(
            f"{name}_output" if name in taken else name,
            "text" if found[_output(at)].dtype.name == "string" else found[_output(at)].dtype.name,
            _row(name, found[_output(at)].shape),
        )
        for at, name in enumerate(names)
    )
    return Traced(tuple(inputs), outputs, module)


def asked(function: Callable[..., Any], arrays: Sequence[Array]) -> list[Array]:
    """What a function of TensorFlow gives for arrays, as arrays; texts are Python's.

    Raises:
        InputError: it refuses them.
    """
    tf = library()
    tensors = [tf.constant(array.tolist() if array.dtype == object else array) for array in arrays]
    if any(array.dtype == object and not array.size for array in arrays):
        tensors = [
            tf.zeros(array.shape, "string") if array.dtype == object else tensor
            for array, tensor in zip(arrays, tensors, strict=True)
        ]
    try:
        found = function(*tensors)
    except tf.errors.InvalidArgumentError as error:
        said = (str(error.message).splitlines() or [""])[0]
        raise InputError(f"The model itself refuses these rows: {said}") from error
    ordered = [found[name] for name in sorted(found)] if isinstance(found, Mapping) else found
    return [_plain(np.asarray(each)) for each in ordered]


def saved(model: Traced) -> dict[str, bytes]:
    """The files of a SavedModel that answers as the model does, by path.

    Raises:
        UnsafeModel: it does more than compute.
        CannotExport: TensorFlow cannot write it.
    """
    tf = library()
    with tempfile.TemporaryDirectory(prefix="mainstay-") as folder, _quiet():
        try:
            function = model.module.answer.get_concrete_function()
            tf.saved_model.save(model.module, folder, signatures={SIGNATURE: function})
        except (ValueError, TypeError, AssertionError) as error:
            raise CannotExport(f"TensorFlow cannot save it ({_first(error)})") from error
        files = files_of(Path(folder))
    check_saved_model(files)
    return files


def loaded(files: Mapping[str, bytes]) -> Any:
    """A SavedModel in memory.

    Raises:
        UnsafeModel: it does more than compute; found before TensorFlow sees it.
        CannotExport: TensorFlow cannot load it.
    """
    check_saved_model(files)
    tf = library()
    with _written(files) as folder, _quiet(), _unheard():
        try:
            return tf.saved_model.load(str(folder))
        except Exception as error:  # TensorFlow raises what its parts raise, for a damaged file too
            raise CannotExport(f"TensorFlow cannot load it ({_first(error)})") from error


@dataclass(frozen=True)
class Source:
    """A SavedModel that ONNX is written from."""

    files: Callable[[], dict[str, bytes]]
    signature: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    """As the signature calls them, in the order of the model."""


def source_of(model: Traced) -> Source:
    """What `saved` writes of a model, made when it is first asked for."""
    found: list[dict[str, bytes]] = []

    def files() -> dict[str, bytes]:
        if not found:
            found.append(saved(model))
        return found[0]

    inputs = [input_name(at) for at in range(len(model.inputs))]
    return Source(files, SIGNATURE, inputs, [_output(at) for at in range(len(model.outputs))])


def to_onnx(source: Source) -> onnx.ModelProto:
    """The graph of a SavedModel's signature, with the inputs and outputs as they are called there.

    Raises:
        CannotExport: tf2onnx cannot write it.
    """
    files = source.files()
    check_saved_model(files)
    tf = library()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tf2onnx import optimizer, tf_loader, tfonnx  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A model of TensorFlow as ONNX", "tensorflow", "tf2onnx") from error
    with _written(files) as folder, _quiet(), _unheard():
        try:
            graph, inputs, outputs, tables, renamed = tf_loader.from_saved_model(
                str(folder), None, None, "serve", [source.signature], return_initialized_tables=True,
                return_tensors_to_rename=True,
            )  # fmt: skip
            with tf.Graph().as_default() as imported:
                tf.import_graph_def(graph, name="")
                converted = tfonnx.process_tf_graph(
                    imported,
                    opset=OPSET,
                    input_names=inputs,
                    output_names=outputs,
                    tensors_to_rename=renamed,
                    initialized_tables=tables,
                )
            model: onnx.ModelProto = optimizer.optimize_graph(converted).make_model("converted by Mainstay")
        except Exception as error:  # tf2onnx raises what its parts raise
            raise CannotExport(f"tf2onnx cannot write it ({_first(error)})") from error
    write_erfc(model.graph)
    unknown = {node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)}
    if unknown:
        raise CannotExport(f"ONNX has no operator for TensorFlow's {', '.join(sorted(unknown))}")
    return model


def input_name(at: int) -> str:
    """The name of an input in a SavedModel that was written here."""
    return f"input_{at:03d}"


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keeps away what TensorFlow tells of this machine and of itself while it is imported, or loads a model: it writes
    past Python, and heeds no level before it is there. Nothing of it is to be mended by a user; what is in the way is
    raised."""
    try:
        kept = os.dup(2)
    except OSError:  # the process has no standard error
        yield
        return
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _output(at: int) -> str:
    return f"output_{at:03d}"  # TensorFlow sorts outputs by name


def _row(name: str, shape: Any) -> tuple[int | None, ...]:
    if shape.rank is None or shape.rank == 0:
        raise CannotExport(f"its output {name!r} has no rows: give one answer a row")
    return tuple(shape.as_list()[1:])


def _plain(array: Array) -> Array:
    if array.dtype != object:
        return array
    texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in array.reshape(-1)]
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return found.reshape(array.shape)


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextlib.contextmanager
def _written(files: Mapping[str, bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mainstay-") as folder:
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        yield Path(folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the libraries' remarks on the way to themselves: what matters is raised."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "tf2onnx", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
