"""Modules of PyTorch in memory, written as ONNX through torch.export with any number of rows.

There is no other form to serve them in: what PyTorch itself writes to a file is code that runs when it is loaded.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnx

from mainstay.errors import MissingExtra
from mainstay.models.answers import Answers
from mainstay.models.encoder import Encoder
from mainstay.models.formats.arrays import Inputs, by_name, inputs_of
from mainstay.models.formats.export import FEATURES, Exported
from mainstay.models.formats.foreign.onnx_outputs import Said, outputs_of
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, task_of
from mainstay.models.formats.objects import CannotRegister, Given, check_probabilities, check_truth, is_a
from mainstay.models.packaging import build
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, Signature
from mainstay.models.tensors import Array

NAME = "PyTorch"
ROWS = "rows"
EXAMPLE = 3
"""Rows that the module is traced with: more than one, so that nothing takes their number for a constant."""
_TAKEN = ("probabilities", "label", "value", FEATURES)


def recognizes(model: Any) -> bool:
    return is_a(model, "Module", "torch")


def draft(model: Any, given: Given) -> Imported:
    """The package of a module.

    It is asked as in `eval()`, whatever mode it is in, and left in the mode that it was in.

    Raises:
        CannotRegister: it does not take X, cannot be exported, or does not say what it answers.
        ParityFailed: ONNX Runtime does not answer as the module does.
        MissingExtra: onnxscript is not installed.
    """
    module = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    _check(module)
    subject = _subject(module, given)
    signature = subject.signature
    rows = subject.cells(given.table)
    test = rows if given.X_test is None else subject.cells(given.X_test)
    check_truth(given.y_test, len(test), signature.labels)
    expected = subject.answers(test)
    check_probabilities(expected)
    built = build(
        estimator=module,
        encoder=subject.encoder,
        signature=signature,
        cells=test,
        reference=rows,
        decision=given.decision,
        native=subject.answers,
        expected=expected,
        graphs=[lambda: Exported(subject.graph, subject.precision, {})],
        only_graphs=True,
    )
    trained = "It was in training mode, and is served as eval() has it: without dropout, with the averages of norms."
    return Imported(built, f"{type(module).__name__} of PyTorch", (trained,) if _trains(module) else ())


@dataclass(frozen=True)
class _Subject:
    """A module, how it is asked, and its graph."""

    module: Any
    inputs: Inputs
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    """Of the module's own numbers."""
    encoder: Encoder | None
    said: Said
    signature: Signature
    graph: bytes
    given: Given

    @property
    def precision(self) -> Any:
        return "float64" if self.dtype == np.float64 else "float32"

    def cells(self, rows: Any) -> Cells:
        return self.inputs.cells(_own(rows, self.dtype), self.signature)

    def answers(self, cells: Cells) -> Answers:
        """The module's own answers."""
        if self.encoder is not None:
            arrays = [cells.numbers.astype(self.dtype)]
        else:
            arrays = [cells.tensors[name] for name in self.names]
        found = [array.numpy() for array in _outputs(self.module, arrays).values()]
        return decided(self.said.read(found, len(cells)), self.given.decision)


def _subject(module: Any, given: Given) -> _Subject:
    dtype = _dtype(module)
    X = _own(given.table, dtype)
    names = _names(module, X, given)
    inputs = inputs_of(X, names, given.shapes or None, given.images)
    encoder = inputs.encoder("float64" if dtype == np.float64 else "float32")
    arrays = _first(X, names, inputs, dtype)
    outputs = _outputs(module, list(arrays.values()))
    if encoder is not None:
        arrays = {FEATURES: next(iter(arrays.values()))}
    graph = _exported(module, arrays, tuple(outputs), inputs)
    told = Told(labels=tuple(map(str, given.labels)), target=given.target, general=given.general, logits=given.logits)
    try:
        said = outputs_of(graph, told)
    except CannotImport as error:
        raise CannotRegister(_spelled(str(error))) from error
    labels = given.labels if said.labels else ()
    signature = Signature(
        inputs=inputs.columns,
        tensors=inputs.tensors,
        task="general" if said.outputs else task_of(labels),
        target=given.target,
        labels=tuple(label.item() if isinstance(label, np.generic) else label for label in labels),
        outputs=said.outputs,
    ).checked()
    return _Subject(
        module,
        inputs,
        tuple(names),
        dtype,
        encoder,
        said,
        signature,
        graph.SerializeToString(deterministic=True),
        given,
    )


def _spelled(sentence: str) -> str:
    """A sentence for the command line, in Python's words."""
    for option, argument in (("--general", "general=True"), ("--logits", "logits=True"), ("--labels", "labels=[…]")):
        sentence = sentence.replace(option, argument)
    return sentence


# What is given


def _check(module: Any) -> None:
    try:
        import onnxscript  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A PyTorch module", "torch", "onnxscript") from error
    if is_a(module, "ScriptModule", "torch"):
        raise CannotRegister(
            "A scripted or traced module is not exported: give the module itself, before torch.jit.script or trace."
        )


def _trains(module: Any) -> bool:
    return bool(module.training) and any(True for _ in module.buffers()) | any(
        "Dropout" in type(each).__name__ for each in module.modules()
    )


def _dtype(module: Any) -> np.dtype[Any]:
    kinds = {str(each.dtype).removeprefix("torch.") for each in (*module.parameters(), *module.buffers())}
    floats = kinds & {"float16", "bfloat16", "float32", "float64"}
    if len(floats) > 1 or floats & {"bfloat16", "float16"}:
        raise CannotRegister(
            f"The module holds numbers of {' and '.join(sorted(floats))}, and ONNX Runtime computes in float32 or "
            "float64 throughout: call module.float() first."
        )
    return np.dtype(floats.pop() if floats else "float32")


def _own(rows: Any, dtype: np.dtype[Any]) -> Any:
    """Rows as NumPy has them: tensors as arrays, and floats of arrays in the module's own precision."""
    if isinstance(rows, Mapping):
        return {name: _own(each, dtype) for name, each in rows.items()}
    if isinstance(rows, list | tuple) and rows and all(hasattr(each, "shape") for each in rows):
        return [_own(each, dtype) for each in rows]
    if is_a(rows, "Tensor", "torch"):
        rows = rows.detach().cpu().numpy()
    if isinstance(rows, np.ndarray) and rows.dtype.kind == "f":
        return rows.astype(dtype)
    return rows


def _names(module: Any, X: Any, given: Given) -> list[str]:
    """The module's inputs, by the names of the arguments of its forward."""
    if given.columns and isinstance(X, np.ndarray):
        raise CannotRegister("columns are told by X for a module: give it as a DataFrame with these names.")
    own: list[str] = []
    for name, parameter in inspect.signature(module.forward).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            break
        if parameter.kind is not parameter.VAR_KEYWORD:
            own.append(name)
    if isinstance(X, Mapping):
        if unknown := [name for name in X if name not in own]:
            raise CannotRegister(f"forward has no argument {unknown[0]!r}: it takes {', '.join(own)}.")
        names = [name for name in own if name in X]
        if names != own[: len(names)]:
            raise CannotRegister(f"X leaves out {own[0]!r}: give the arguments of forward from the first on.")
    else:
        count = len(X) if isinstance(X, list) and X and isinstance(X[0], np.ndarray) else 1
        names = [*own[:count], *(f"input_{at}" for at in range(len(own), count))]
    if clash := [name for name in names if name in _TAKEN]:
        raise CannotRegister(f"An argument of forward is called {clash[0]!r}, as an answer is here: rename it.")
    return names


def _first(X: Any, names: Sequence[str], inputs: Inputs, dtype: np.dtype[Any]) -> dict[str, Array]:
    """A few rows, by the names of the inputs; repeated where there are too few."""
    if inputs.taken is not None:
        arrays = {names[0]: inputs.taken.frame.to_numpy(dtype=np.float64).astype(dtype)}
    else:
        arrays = by_name(X, names)
    return {name: np.resize(array[:EXAMPLE], (EXAMPLE, *array.shape[1:])) for name, array in arrays.items()}


# Asking, and writing


@contextlib.contextmanager
def _in_eval(module: Any) -> Iterator[None]:
    import torch  # noqa: PLC0415 - an extra

    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for each, mode in modes.items():
            each.training = mode


def _outputs(module: Any, arrays: Sequence[Array]) -> dict[str, Any]:
    """The module's answers by name.

    Raises:
        CannotRegister: it does not take these rows, or answers other things than tensors.
    """
    import torch  # noqa: PLC0415 - an extra

    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    with _in_eval(module):
        try:
            found = module(*tensors)
        except Exception as error:  # whatever a person's own module raises
            raise CannotRegister(
                f"The module does not take the rows of X ({type(error).__name__}: {_first_line(error)}): give them as "
                "it was trained on, without batches."
            ) from error
    named = _named(found)
    rows = len(arrays[0])
    for name, tensor in named.items():
        if not is_a(tensor, "Tensor", "torch") or tensor.ndim == 0 or tensor.shape[0] != rows:
            raise CannotRegister(f"The output {name!r} of the module is no tensor with a value a row.")
    return named


def _named(found: Any) -> dict[str, Any]:
    """Outputs by their names: of a mapping (or what behaves as one), else by their place."""
    if isinstance(found, Mapping):
        return {str(name): value for name, value in found.items() if value is not None}
    if hasattr(found, "_asdict"):
        return dict(found._asdict())
    if isinstance(found, list | tuple):
        return {f"output_{at}": value for at, value in enumerate(found)}
    return {"output": found}


def _exported(module: Any, arrays: Mapping[str, Array], outputs: Sequence[str], inputs: Inputs) -> onnx.ModelProto:
    """The module as ONNX, the same bytes for the same module.

    Raises:
        CannotRegister: torch.export cannot follow it, or ONNX has no such operator.
    """
    import torch  # noqa: PLC0415 - an extra

    class Flat(torch.nn.Module):
        """The module with its outputs as a tuple."""

        def __init__(self) -> None:
            super().__init__()
            self.own = module

        def forward(self, *given: Any) -> tuple[Any, ...]:
            return tuple(_named(self.own(*given)).values())

    tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays.values())
    with _in_eval(module), _quiet():
        try:
            program: Any = torch.onnx.export(
                Flat().eval(),
                tensors,
                dynamo=True,
                dynamic_shapes={"given": _dynamic(torch, list(arrays), inputs)},
                input_names=list(arrays),
                output_names=list(outputs),
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch's exporter raises classes of its own, and whatever the module raises
            raise CannotRegister(
                f"PyTorch cannot export this module ({_cause(error)}): rewrite what depends on the values of a row or "
                "on the number of rows, or register it as a Python class."
            ) from error
    graph = cast("onnx.ModelProto", program.model_proto)
    _strip(graph)
    return graph


def _dynamic(torch: Any, names: Sequence[str], inputs: Inputs) -> tuple[dict[int, Any], ...]:
    """Which axes may have any size: the rows, and those that a tensor names."""
    rows = torch.export.Dim(ROWS, min=1)
    sizes: dict[str, Any] = {}
    shapes = {tensor.name: tensor.shape for tensor in inputs.tensors}
    found = []
    for name in names:
        axes = {0: rows}
        for axis, size in enumerate(shapes.get(name, ()), start=1):
            if isinstance(size, str):
                plain = re.sub(r"\W", "_", size)
                axes[axis] = sizes.setdefault(plain, torch.export.Dim(plain, min=1))
        found.append(axes)
    return tuple(found)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the exporter has to say to its own developers off a person's screen."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _strip(graph: onnx.ModelProto) -> None:
    """Takes out what tells of the machine and the moment: paths, stack traces, the names of classes."""
    del graph.metadata_props[:]
    graph.doc_string = ""
    graph.graph.doc_string = ""
    del graph.graph.metadata_props[:]
    for entry in (*graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        entry.doc_string = ""
        del entry.metadata_props[:]
    for tensor in graph.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]


def _cause(error: BaseException) -> str:
    """The first line of what is at the bottom of a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return plain[0][:200] if plain else "without a word"
