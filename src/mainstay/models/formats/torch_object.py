"""Modules of PyTorch in memory, written as ONNX through torch.export with any number of rows.

There is no other form to serve them in: what PyTorch itself writes to a file is code that runs when it is loaded.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnx

from mainstay.errors import MissingExtra
from mainstay.models.answers import Answers
from mainstay.models.encoder import Encoder
from mainstay.models.formats.arrays import Inputs, Precision, by_name, inputs_of
from mainstay.models.formats.export import FEATURES, Exported
from mainstay.models.formats.foreign.onnx_outputs import Said, outputs_of
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told, task_of
from mainstay.models.formats.guarded_ids import refuse_negative
from mainstay.models.formats.objects import CannotRegister, Given, check_probabilities, check_truth, in_python, is_a
from mainstay.models.packaging import build
from mainstay.models.runtime import decided
from mainstay.models.signature import Cells, Signature
from mainstay.models.tensors import Array

NAME = "PyTorch"
ROWS = "rows"
_COMES_FROM = "pkg.torch.onnx.class_hierarchy"
"""Where the exporter says which operators a node was made of."""
EXAMPLE = 3
"""Rows that the module is traced with: more than one, so that nothing takes their number for a constant."""


def recognizes(model: Any) -> bool:
    return is_a(model, "Module", "torch") or is_a(model, "ExportedProgram", "torch")


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
        graphs=[lambda: subject.exported(single=False), *_in_single(subject)],
        only_graphs=True,
    )
    trained = "It was in training mode, and is served as eval() has it: without dropout, with the averages of norms."
    return Imported(built, f"{type(module).__name__} of PyTorch", (trained,) if _trains(module) else ())


@dataclass(frozen=True)
class _Subject:
    """A module, how it is asked, and its graph."""

    inputs: Inputs
    call: _Call
    dtype: np.dtype[Any]
    """Of the module's own numbers."""
    encoder: Encoder | None
    said: Said
    signature: Signature
    graph: onnx.ModelProto
    told: Told
    arrays: Mapping[str, Array]
    """A few rows, by the names of the graph's inputs."""
    outputs: tuple[str, ...]
    given: Given

    def exported(self, *, single: bool) -> Exported:
        """The graph; `single`: of a copy that computes in float32. Raises CannotRegister, CannotImport."""
        graph = self.graph
        if single:
            copied = _Call(copy.deepcopy(self.call.module).float(), self.call.names, self.call.by_keyword)
            graph = _exported(copied, self.arrays, self.outputs, self.inputs, single=True)
            outputs_of(graph, self.told)
        return Exported(graph.SerializeToString(deterministic=True), _precision(self.dtype), {})

    def cells(self, rows: Any) -> Cells:
        return self.inputs.cells(_own(rows, self.dtype), self.signature)

    def answers(self, cells: Cells) -> Answers:
        """The module's own answers."""
        if self.encoder is not None:
            arrays = [cells.numbers.astype(self.dtype)]
        else:
            arrays = [cells.tensors[name] for name in self.call.names]
        found = [array.numpy() for array in _outputs(self.call, arrays).values()]
        return decided(self.said.read(found, len(cells)), self.given.decision)


def _subject(module: Any, given: Given) -> _Subject:
    dtype = _dtype(module)
    X = _own(given.table, dtype)
    call = _call(module, X, given)
    inputs = inputs_of(X, call.names, given.shapes or None, given.images)
    encoder = inputs.encoder(_precision(dtype))
    arrays = _first(X, call.names, inputs, dtype)
    outputs = tuple(_outputs(call, list(arrays.values())))
    if encoder is not None:
        arrays = {FEATURES: next(iter(arrays.values()))}
    _check_names(arrays, outputs, general=given.general)
    graph = _exported(call, arrays, outputs, inputs)
    told = Told(labels=tuple(map(str, given.labels)), target=given.target, general=given.general, logits=given.logits)
    try:
        said = outputs_of(graph, told)
    except CannotImport as error:
        raise CannotRegister(in_python(str(error))) from error
    labels = given.labels if said.labels else ()
    signature = Signature(
        inputs=inputs.columns,
        tensors=inputs.tensors,
        task="general" if said.outputs else task_of(labels),
        target=given.target,
        labels=tuple(label.item() if isinstance(label, np.generic) else label for label in labels),
        outputs=said.outputs,
    ).checked()
    return _Subject(inputs, call, dtype, encoder, said, signature, graph, told, arrays, outputs, given)


def _in_single(subject: _Subject) -> list[Callable[[], Exported]]:
    """For a module of doubles another graph, in float32: ONNX Runtime has no convolutions of doubles, among others."""
    return [lambda: subject.exported(single=True)] if subject.dtype == np.float64 else []


def _precision(dtype: np.dtype[Any]) -> Precision:
    return "float64" if dtype == np.float64 else "float32"


# What is given


def _check(module: Any) -> None:
    if is_a(module, "ExportedProgram", "torch"):
        raise CannotRegister(
            "An exported program may be frozen to the rows that it was traced with: give the module itself, before "
            "torch.export."
        )
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


@dataclass(frozen=True)
class _Call:
    """How a module is given its inputs."""

    module: Any
    names: tuple[str, ...]
    """Arguments of its forward."""
    by_keyword: bool

    def __call__(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """Its outputs, by name."""
        if self.by_keyword:
            return _named(self.module(**dict(zip(self.names, tensors, strict=True))))
        return _named(self.module(*tensors))


def _call(module: Any, X: Any, given: Given) -> _Call:
    """The module's inputs: those of a mapping by the names of forward's arguments, others by their places."""
    if given.columns and list(getattr(X, "columns", ())) != list(given.columns):
        raise CannotRegister("columns are told by X for a module: give it as a DataFrame with these names.")
    parameters = inspect.signature(module.forward).parameters.values()
    own = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    places = [each.name for each in own if each.kind is not each.KEYWORD_ONLY]
    if isinstance(X, Mapping):
        known = [each.name for each in own]
        if unknown := [name for name in X if name not in known]:
            raise CannotRegister(f"forward has no argument {unknown[0]!r}: it takes {', '.join(known)}.")
        if lost := [each.name for each in own if each.default is each.empty and each.name not in X]:
            raise CannotRegister(f"X leaves out {lost[0]!r}, which forward cannot do without: give it too.")
        return _Call(module, tuple(name for name in known if name in X), by_keyword=True)
    count = len(X) if isinstance(X, list) and X and isinstance(X[0], np.ndarray) else 1
    names = (*places[:count], *(f"input_{at}" for at in range(len(places), count)))
    return _Call(module, names, by_keyword=False)


def _check_names(inputs: Iterable[str], outputs: Sequence[str], *, general: bool) -> None:
    """A graph has one name for one thing. Raises CannotRegister where an input is called as an answer is."""
    answers = outputs if general else ("probabilities", "label", "value", *outputs)
    if clash := [name for name in inputs if name in answers]:
        raise CannotRegister(
            f"An argument of forward is called {clash[0]!r}, as an answer is here: rename it, or wrap the module."
        )


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


def _outputs(call: _Call, arrays: Sequence[Array]) -> dict[str, Any]:
    """The module's answers by name.

    Raises:
        CannotRegister: it does not take these rows, or answers other things than tensors.
    """
    import torch  # noqa: PLC0415 - an extra

    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    with _in_eval(call.module):
        try:
            named = call(tensors)
        except Exception as error:  # whatever a person's own module raises
            raise CannotRegister(
                f"The module does not take the rows of X ({type(error).__name__}: {_first_line(error)}): give them as "
                "it was trained on, without batches."
            ) from error
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


def _exported(
    call: _Call, arrays: Mapping[str, Array], outputs: Sequence[str], inputs: Inputs, *, single: bool = False
) -> onnx.ModelProto:
    """The module as ONNX, the same bytes for the same module; `single`: which takes and gives doubles all the same.

    Raises:
        CannotRegister: torch.export cannot follow it, or ONNX has no such operator.
    """
    import torch  # noqa: PLC0415 - an extra

    class Flat(torch.nn.Module):
        """The module with its outputs as a tuple."""

        def __init__(self) -> None:
            super().__init__()
            self.own = call.module

        def forward(self, *given: Any) -> tuple[Any, ...]:
            if not single:
                return tuple(call(given).values())
            narrow = [each.float() if each.dtype == torch.float64 else each for each in given]
            found = call(narrow).values()
            return tuple(each.double() if each.dtype == torch.float32 else each for each in found)

    tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays.values())
    _forget_kernels(torch)
    with _in_eval(call.module), _quiet():
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
    _check_sizes(graph, inputs)
    refuse_negative(graph, _looks_up)
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


def _forget_kernels(torch: Any) -> None:
    """Drops which kernels of recurrent layers were found when they ran last. PyTorch's exporter, which replaces them
    while it works, would take those, and write out as many steps as its example has."""
    for name in ("lstm", "gru"):
        operator = getattr(torch.ops.aten, name)
        for overload in operator.overloads():
            getattr(operator, overload)._dispatch_cache.clear()  # noqa: SLF001 - it has no other name


def _check_sizes(graph: onnx.ModelProto, inputs: Inputs) -> None:
    """Raises CannotRegister where a size that may be any is a fixed one in the graph: the exporter does not say so."""
    sizes = {entry.name: entry.type.tensor_type.shape.dim for entry in graph.graph.input}
    for tensor in inputs.tensors:
        for axis, size in enumerate(tensor.shape, start=1):
            fixed = sizes[tensor.name][axis].dim_value
            if isinstance(size, str) and fixed:
                raise CannotRegister(
                    f"PyTorch exports this module for {size!r} = {fixed} of {tensor.name!r} alone, since it goes "
                    f"through it step by step: leave {size!r} out of shapes, if all rows have {fixed}; use "
                    "torch.nn.LSTM or torch.nn.GRU, which take any; or register it as a Python class."
                )


def _looks_up(node: onnx.NodeProto) -> bool:
    """Whether a node is of an operator that refuses negative ids; an index in brackets counts them from the end."""
    come_from = " ".join(entry.value for entry in node.metadata_props if entry.key == _COMES_FROM)
    return any(f"'aten.{name}.default'" in come_from for name in ("embedding", "index_select", "gather"))


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
