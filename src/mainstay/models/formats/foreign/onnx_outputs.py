"""Which output of an ONNX graph is the label, which the probabilities, which the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mainstay.models.answers import Answers
from mainstay.models.formats.foreign.onnx_ends import check_logits
from mainstay.models.formats.foreign.onnx_inputs import shape_of, tensor_of
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.signature import Floats, Label
from mainstay.models.tensors import Tensor

_NUMBERS = (TensorProto.FLOAT, TensorProto.DOUBLE)
_LABELS = (TensorProto.INT64, TensorProto.INT32, TensorProto.STRING, TensorProto.BOOL)
_LABEL_ATTRIBUTES = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")


@dataclass(frozen=True)
class Said:
    """What a graph answers, and how its own outputs are read."""

    labels: tuple[Label, ...]
    asked: list[str]
    """The graph's own outputs, as they were called."""
    label: int | None
    probabilities: int | None
    value: int | None
    """Their places in `asked`."""
    own: tuple[Any, ...]
    """The classes as the graph spells them."""
    single: bool
    """Whether the probabilities are those of the second class alone."""
    logits: bool = False
    outputs: tuple[Tensor, ...] = ()
    """Of a general model."""

    def read(self, found: list[Any], rows: int) -> Answers:
        """The graph's own answers as ours."""
        if self.outputs:
            return Answers(outputs={output.name: array for output, array in zip(self.outputs, found, strict=True)})
        if self.value is not None:
            return Answers(values=np.asarray(found[self.value], dtype=np.float64).reshape(rows))
        labels = probabilities = None
        if self.label is not None:
            place = {value: index for index, value in enumerate(self.own)}
            labels = np.array([place[v] for v in np.asarray(found[self.label]).reshape(-1).tolist()], dtype=np.int64)
        if self.probabilities is not None:
            given = found[self.probabilities]
            if isinstance(given, list):  # what ZipMap gives
                given = [[row[value] for value in self.own] for row in given]
            probabilities = np.asarray(given, dtype=np.float64).reshape(rows, -1)
            if self.logits:
                probabilities = sigmoid(probabilities) if self.single else softmax(probabilities)
            if self.single:
                probabilities = np.concatenate([1 - probabilities, probabilities], axis=1)
        return Answers(labels=labels, probabilities=probabilities)


def outputs_of(model: onnx.ModelProto, told: Told) -> Said:
    """Finds the outputs, and names them `label`, `probabilities` and `value`.

    Raises:
        CannotImport: it is not clear what an output is, or which classes there are.
    """
    graph = model.graph
    asked = [entry.name for entry in graph.output]
    if told.general:
        return _general(model, told, asked)
    zipped = _without_zip_map(model)
    entries = list(graph.output)
    kinds = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
    for entry in entries:
        if not entry.type.HasField("tensor_type"):
            raise CannotImport(
                f"The output {entry.name!r} is no tensor (a ZipMap, it may be): export the model without, with "
                "options={'zipmap': False} in skl2onnx or zipmap=False in onnxmltools."
            )
    label = _only([e.name for e in entries if kinds[e.name] in _LABELS], "labels")
    number = _only([e.name for e in entries if kinds[e.name] in _NUMBERS], "numbers")
    if (other := [e.name for e in entries if e.name not in (label, number)]) or not entries:
        raise CannotImport(
            f"The output {(other or ['?'])[0]!r} is neither labels nor numbers: export it without, or take the outputs "
            "as they are (--general)."
        )
    width = None if number is None else _width(next(e for e in entries if e.name == number))
    own = zipped or _class_labels(model)
    places = {name: index for index, name in enumerate(asked)}
    if label is None and not told.labels and not own:
        if width != 1:
            raise CannotImport(
                f"The output {number!r} does not say what it is: name the classes with --labels, in their order; "
                "a regression gives one number a row, of shape (rows, 1); with --general its outputs are answered "
                "as they are."
            )
        assert number is not None
        _name(model, number, "value", _reshaped(model, number, [-1]))
        return Said((), asked, None, None, places[number], (), single=False)
    return _classifier(model, told, asked, label=label, number=number, width=width, own=own)


def _classifier(
    model: onnx.ModelProto,
    told: Told,
    asked: list[str],
    *,
    label: str | None,
    number: str | None,
    width: int | None,
    own: tuple[Any, ...],
) -> Said:
    single = width == 1
    count = 2 if single else (width or len(own) or len(told.labels))
    if not own:
        if not told.labels:
            raise CannotImport("The model does not say which classes it has: name them with --labels, in their order.")
        spelled = told.labels
        text = label is not None and _kind(model, label) == TensorProto.STRING
        whole = all(word.lstrip("-").isdigit() for word in spelled)
        if label is not None and not text and not whole:
            own = tuple(range(len(spelled)))  # the graph answers positions
        else:
            own = spelled if text or not whole else tuple(int(word) for word in spelled)
    if count not in (-1, len(own)):
        raise CannotImport(
            f"The model gives {count} probabilities and has {len(own)} classes: say which with --labels."
        )
    labels = told.classes(own)
    places = {name: index for index, name in enumerate(asked)}
    originals = {name: name.removeprefix(_UNZIPPED) for name in (label, number) if name}
    if told.logits and number is None:
        raise CannotImport("The model gives labels alone, and no logits: leave --logits out.")
    if number is not None:
        tensor = number
        if told.logits:
            check_logits(model, number)
            tensor = _add(model, "Sigmoid", number) if single else _add(model, "Softmax", number, axis=1)
        if single:
            tensor = _second_only(model, tensor, _kind(model, number))
        _name(model, number, "probabilities", tensor)
    if label is not None:
        _name(model, label, "label", _positions(model, label, own))
    return Said(
        labels,
        asked,
        None if label is None else places[originals[label]],
        None if number is None else places[originals[number]],
        None,
        own,
        single,
        told.logits,
    )


def _general(model: onnx.ModelProto, told: Told, asked: list[str]) -> Said:
    """Every output, under its own name."""
    if told.labels or told.logits:
        raise CannotImport("A general model has no classes: leave --labels and --logits out.")
    outputs = tuple(tensor_of(entry, shape_of(entry, "output")) for entry in model.graph.output)
    return Said((), asked, None, None, None, (), single=False, outputs=outputs)


def softmax(logits: Floats) -> Floats:
    """Probabilities of logits (n, classes), in double precision."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    smaller = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, smaller) / (1.0 + smaller)


_UNZIPPED = "unzipped "


def _without_zip_map(model: onnx.ModelProto) -> tuple[Any, ...]:
    """Takes out a ZipMap at the end, which makes a dictionary of each row; gives its classes."""
    graph = model.graph
    outputs = {entry.name: entry for entry in graph.output}
    for node in list(graph.node):
        if node.op_type != "ZipMap" or node.output[0] not in outputs:
            continue
        entry = outputs[node.output[0]]
        labels = _labels_in(node)
        name = _UNZIPPED + entry.name
        source = next((each for each in graph.node if node.input[0] in each.output), None)
        if source is None or not labels:
            return ()
        graph.node.remove(node)
        graph.node.append(helper.make_node("Identity", [node.input[0]], [name], name))
        entry.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, len(labels)]))
        return labels
    return ()


def _class_labels(model: onnx.ModelProto) -> tuple[Any, ...]:
    """The classes that the classifiers of a graph name, where they agree."""
    found = {labels for node in model.graph.node if (labels := _labels_in(node))}
    return found.pop() if len(found) == 1 else ()


def _labels_in(node: onnx.NodeProto) -> tuple[Any, ...]:
    for attribute in node.attribute:
        if attribute.name in _LABEL_ATTRIBUTES and (attribute.strings or attribute.ints):
            return tuple(text.decode("utf-8") for text in attribute.strings) or tuple(attribute.ints)
    return ()


def _only(names: list[str], what: str) -> str | None:
    if len(names) > 1:
        raise CannotImport(
            f"The outputs {', '.join(map(repr, names))} all give {what}, and which one answers is not said: "
            "export the model with one of them, or take its outputs as they are (--general)."
        )
    return names[0] if names else None


def _width(entry: onnx.ValueInfoProto) -> int:
    """How many numbers a row has; -1 where that is not said."""
    dims = entry.type.tensor_type.shape.dim
    if len(dims) == 1:
        return 1
    if len(dims) != 2:
        raise CannotImport(
            f"The output {entry.name!r} has {len(dims)} dimensions, and one class or value a row has one or two: take "
            "it as it is (--general)."
        )
    return dims[1].dim_value if dims[1].dim_value > 0 else -1


def _kind(model: onnx.ModelProto, name: str) -> int:
    return int(next(e for e in model.graph.output if e.name == name).type.tensor_type.elem_type)


def _constant(model: onnx.ModelProto, value: Any, name: str) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _add(model: onnx.ModelProto, op: str, *inputs: str, **attributes: Any) -> str:
    name = f"mainstay {len(model.graph.node)}"
    model.graph.node.append(helper.make_node(op, list(inputs), [name], name, **attributes))
    return name


def _reshaped(model: onnx.ModelProto, tensor: str, shape: list[int]) -> str:
    return _add(model, "Reshape", tensor, _constant(model, np.array(shape, dtype=np.int64), f"shape of {tensor}"))


def _second_only(model: onnx.ModelProto, tensor: str, kind: int) -> str:
    dtype = np.float32 if kind == TensorProto.FLOAT else np.float64
    positive = _reshaped(model, tensor, [-1, 1])
    negative = _add(model, "Sub", _constant(model, np.ones(1, dtype=dtype), "one"), positive)
    return _add(model, "Concat", negative, positive, axis=1)


def _positions(model: onnx.ModelProto, label: str, own: tuple[Any, ...]) -> str:
    """The place of each label among the classes."""
    kind = _kind(model, label)
    if kind in (TensorProto.BOOL, TensorProto.INT32):
        label = _add(model, "Cast", label, to=TensorProto.INT64)
        kind = TensorProto.INT64
    flat = _reshaped(model, label, [-1])
    if not any(entry.domain == "ai.onnx.ml" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    if kind == TensorProto.STRING:
        first = next(entry.version for entry in model.opset_import if entry.domain == "ai.onnx.ml") == 1
        words = [str(value) for value in own]
        known: dict[str, Any] = (
            {"classes_strings": words} if first else {"keys_strings": words, "values_int64s": list(range(len(own)))}
        )
        return _add(model, "LabelEncoder", flat, domain="ai.onnx.ml", default_int64=-1, **known)
    if tuple(own) == tuple(range(len(own))):
        return _add(model, "Identity", flat)
    # LabelEncoder from integers to integers has to be of version 2 at least, and this graph may have the first.
    keys = _constant(model, np.array([own], dtype=np.int64), "classes")
    same = _add(model, "Equal", _reshaped(model, flat, [-1, 1]), keys)
    return _add(model, "ArgMax", _add(model, "Cast", same, to=TensorProto.INT64), axis=1, keepdims=0)


def _name(model: onnx.ModelProto, output: str, name: str, tensor: str) -> None:
    """Gives the output the name, and that tensor."""
    graph = model.graph
    entry = next(e for e in graph.output if e.name == output)
    if output == name and tensor == output:
        return
    if name in {value for node in graph.node for value in node.output}:
        # Somebody else's tensor has our name: every use of it moves aside.
        aside = f"own {name}"
        for node in graph.node:
            node.input[:] = [aside if value == name else value for value in node.input]
            node.output[:] = [aside if value == name else value for value in node.output]
        tensor = aside if tensor == name else tensor
    graph.node.append(helper.make_node("Identity", [tensor], [name], f"{tensor} as {name}"))
    kind = TensorProto.INT64 if name == "label" else int(entry.type.tensor_type.elem_type)
    shape = ["rows", None] if name == "probabilities" else ["rows"]
    entry.CopyFrom(helper.make_tensor_value_info(name, kind, shape))
