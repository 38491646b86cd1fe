"""What stands in a SavedModel, judged before TensorFlow sees it.

A SavedModel is a program. It is read here as bytes (tensorflow/core/protobuf/{saved_model,meta_graph,saver,
saved_object_graph}.proto, tensorflow/core/framework/{graph,function,node_def,attr_value}.proto), and every node of
every function has to be one that computes. The functions that write and read checkpoints stand in each SavedModel; they
may stay where nothing but the saver can call them, and Mainstay never calls it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mainstay.errors import MainstayError
from mainstay.models.formats.tensorflow.operators import ALLOWED, SAVING
from mainstay.models.formats.tensorflow.wire import BadMessage, Message, fields, messages, texts

PROGRAM = "saved_model.pb"
_WEIGHTS = re.compile(r"variables/variables\.(index|data-\d{5}-of-\d{5})")
MOST = 2 << 30
"""Bytes of a SavedModel: one larger is none that a request waits for."""
DEEPEST = 50
"""Levels of attributes within attributes."""


class UnsafeModel(MainstayError):
    """A file of TensorFlow or Keras that would do more than compute when it is loaded."""


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a SavedModel that count: its program and its weights. All others stay where they are.

    Raises:
        UnsafeModel: they are links, or too large.
        OSError: as reading does.
    """
    found: dict[str, bytes] = {}
    size = 0
    weights = folder / "variables"
    inside = sorted(weights.iterdir()) if weights.is_dir() and not weights.is_symlink() else []
    for path in (folder / PROGRAM, *inside):
        name = path.relative_to(folder).as_posix()
        if name != PROGRAM and not _WEIGHTS.fullmatch(name):
            continue
        if path.is_symlink() or not path.is_file():
            raise UnsafeModel(f"{name} of {folder.name} is a link or no file: put the file itself there.")
        size += path.stat().st_size
        if size > MOST:
            raise UnsafeModel(f"{folder.name} has more than {MOST:,} bytes, which is more than is read of a model.")
        found[name] = path.read_bytes()
    return found


def check_saved_model(files: Mapping[str, bytes]) -> None:
    """Whether the files of a SavedModel, by path, hold nothing but a computation.

    Raises:
        UnsafeModel: a node that reads, writes, calls or hides something; a file that does not belong; or no SavedModel
            of TensorFlow 2.
    """
    if PROGRAM not in files:
        raise UnsafeModel(f"There is no {PROGRAM}: give the folder that tf.saved_model.save or model.export made.")
    if other := [name for name in files if name != PROGRAM and not _WEIGHTS.fullmatch(name)]:
        raise UnsafeModel(f"{other[0]!r} is no part of a SavedModel that is loaded: leave it out.")
    try:
        graphs = messages(fields(files[PROGRAM]), 2)
        if len(graphs) != 1:
            raise UnsafeModel(f"The SavedModel holds {len(graphs)} graphs, and one can be served: save it with one.")
        _check_graph(graphs[0])
    except BadMessage as error:
        raise UnsafeModel(f"{PROGRAM} cannot be read: {error}") from error


def _check_graph(graph: Message) -> None:
    objects = messages(graph, 7)
    if not objects:
        raise UnsafeModel("The SavedModel is one of TensorFlow 1, which is not read: save it again with TensorFlow 2.")
    if graph.get(6):
        raise UnsafeModel(
            "The SavedModel reads files of its own (assets) when it is loaded: save its vocabulary as part of the "
            "graph, or export it as ONNX."
        )
    called = {name for each in objects for entry in messages(each, 2) for name in texts(entry, 1)}
    savers = {
        name.split(":")[0] for saver in messages(graph, 3) for number in (1, 2, 3) for name in texts(saver, number)
    }
    saving: dict[str, str] = {}
    for definition in messages(graph, 2):
        for node in messages(definition, 1):
            # Nothing of the outermost graph is run when it is loaded as TensorFlow 2 does: its nodes only stand there.
            if (operator := _operator(node, "the graph")) not in ALLOWED | SAVING:
                raise _refused(operator, "its outermost graph")
            if not savers.intersection(texts(node, 1)):
                called.update(_called(node))
        for library in messages(definition, 2):
            called |= _check_library(library, saving)
    if reached := sorted(saving.keys() & called):
        raise _refused(saving[reached[0]], reached[0])


def _check_library(library: Message, saving: dict[str, str]) -> set[str]:
    """The functions that functions name; those that write or read checkpoints are added to `saving`."""
    called: set[str] = set()
    for function in messages(library, 1):
        name, operators, calls = _function(function)
        if bad := sorted(operators - ALLOWED - SAVING):
            raise _refused(bad[0], name)
        if found := operators & SAVING:
            saving[name] = min(found)
        called |= calls
    for gradient in (*messages(library, 2), *messages(library, 3)):
        called.update((*texts(gradient, 1), *texts(gradient, 2)))
    return called


def _refused(operator: str, where: str) -> UnsafeModel:
    return UnsafeModel(
        f"The SavedModel has the operator {operator} (in {where}), which is none of those that only compute: a model "
        "that reads or writes files, runs Python or hides a graph is not loaded. Take that part out, or export "
        "the rest as ONNX."
    )


def _operator(node: Message, where: str) -> str:
    names = texts(node, 2)
    if len(names) != 1:
        raise UnsafeModel(f"A node of {where} has {len(names)} operators: the SavedModel is damaged.")
    return names[0]


def _function(function: Message) -> tuple[str, set[str], set[str]]:
    """A function's name, its operators, and the functions that it names."""
    names = [name for signature in messages(function, 1) for name in texts(signature, 1)]
    if len(names) != 1:
        raise UnsafeModel("A function of the SavedModel has no name, or two: it is damaged.")
    operators: set[str] = set()
    calls: set[str] = set()
    for node in messages(function, 3):
        operators.add(_operator(node, names[0]))
        calls.update(_called(node))
    return names[0], operators, calls


def _called(node: Message) -> Iterator[str]:
    """The names of functions in a node's attributes."""
    for entry in messages(node, 5):
        for value in messages(entry, 2):
            yield from _functions_in(value)


def _functions_in(value: Message, depth: int = 0) -> Iterator[str]:
    """Of an AttrValue: `func` is its field 10, `list` its field 1, in which `func` is the field 9."""
    if depth > DEEPEST:
        raise UnsafeModel("A node of the SavedModel has attributes in attributes without end: it is damaged.")
    named = messages(value, 10)
    for each in messages(value, 1):
        named += messages(each, 9)
    for function in named:
        yield from texts(function, 1)
        for entry in messages(function, 2):
            for inner in messages(entry, 2):
                yield from _functions_in(inner, depth + 1)
