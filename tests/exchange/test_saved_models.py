"""SavedModels that would do more than compute, judged by their bytes."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.formats.tensorflow.graphs import PROGRAM, UnsafeModel, check_saved_model, files_of
from mainstay.models.formats.tensorflow.wire import BadMessage, fields
from mainstay.models.importing import draft_of_file


def _field(number, value):
    """A field of a message: of bytes, a text or a number."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value):
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def _node(operator, name="node", calls=None, *, listed=False):
    attributes = b""
    if calls:
        named = _field(1, calls)
        value = _field(1, _field(9, named)) if listed else _field(10, named)
        attributes = _field(5, _field(1, "f") + _field(2, value))
    return _field(1, name) + _field(2, operator) + attributes


def _function(name, *nodes):
    return _field(1, _field(1, name)) + b"".join(_field(3, node) for node in nodes)


def _program(nodes=(), functions=(), *, concrete=("answer",), saver=(), graphs=1, objects=True, assets=False, more=b""):
    library = b"".join(_field(1, function) for function in functions) + more
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, library)
    meta = _field(2, graph)
    if saver:
        meta += _field(3, b"".join(_field(at, f"{name}:0") for at, name in enumerate(saver, start=1)))
    if assets:
        meta += _field(6, _field(2, "words.txt"))
    if objects:
        meta += _field(7, b"".join(_field(2, _field(1, name) + _field(2, b"")) for name in concrete))
    return _field(1, 1) + _field(2, meta) * graphs


SAVING = _function("save", _node("SaveV2"), _node("MergeV2Checkpoints"))
RESTORING = _function("restore", _node("RestoreV2"))
ANSWER = _function("answer", _node("MatMul"), _node("Softmax"))
SAVER = [_node("Placeholder", "file"), _node("PartitionedCall", "saving", "save"),
         _node("PartitionedCall", "restoring", "restore")]  # fmt: skip
PLAIN = _program(SAVER, [ANSWER, SAVING, RESTORING], saver=("file", "saving", "restoring"))


def test_a_plain_one_is_let_in():
    check_saved_model(
        {PROGRAM: PLAIN, "variables/variables.index": b"", "variables/variables.data-00000-of-00001": b""}
    )


@pytest.mark.parametrize(
    "operator",
    [
        "ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "PyFuncStateless", "MatchingFiles", "PrintV2", "Save",
        "RestoreSlice", "DatasetFromGraph", "MapDataset", "RemoteCall", "DebugIdentity", "XlaCustomCallV2",
        "InitializeTableFromTextFileV2",
        "LoadAndRemapMatrix", "_Send", "DistributedSave", "SummaryWriter", "ParseTensor", "TfLiteCustom", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["graph", "answer", "uncalled function"])
def test_operators_that_do_more_than_compute_are_refused(operator, where):
    nodes = [_node(operator)] if where == "graph" else []
    function = _function("hidden" if where == "uncalled function" else "answer", _node("MatMul"), _node(operator))
    with pytest.raises(UnsafeModel, match=operator or "operator"):
        check_saved_model({PROGRAM: _program(nodes, [] if nodes else [function])})


@pytest.mark.parametrize(
    "program",
    [
        _program(
            SAVER, [ANSWER, SAVING, RESTORING], saver=("file", "saving", "restoring"), concrete=("answer", "save")
        ),
        _program(SAVER, [_function("answer", _node("PartitionedCall", calls="save")), SAVING]),
        _program(SAVER, [_function("answer", _node("If", calls="save", listed=True)), SAVING]),
        _program([_node("StatefulPartitionedCall", "init", "save")], [ANSWER, SAVING], saver=("file", "saving")),
        _program([], [ANSWER, SAVING], more=_field(2, _field(1, "answer") + _field(2, "save"))),
        _program([], [_function("answer", _node("SaveV2"))]),
    ],
    ids=["object", "function", "list of functions", "another node", "gradient", "itself"],
)
def test_checkpoints_are_written_by_nobody_but_the_saver(program):
    with pytest.raises(UnsafeModel, match=r"SaveV2|MergeV2"):
        check_saved_model({PROGRAM: program})


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (_program(graphs=2), "2 graphs"),
        (b"", "0 graphs"),
        (_program(objects=False), "TensorFlow 1"),
        (_program(assets=True), "reads files of its own"),
        (_program([_field(1, "node")]), "0 operators"),
        (_program([_node("MatMul") + _field(2, "ReadFile")]), "2 operators"),
        (_program(functions=[_field(3, _node("MatMul"))]), "has no name"),
        (PLAIN[:-3], "cannot be read"),
        (b"\xff" * 20, "cannot be read"),
        (b"\x0b\x0c", "no longer written"),
    ],
)
def test_programs_that_are_none_are_refused(program, said):
    with pytest.raises(UnsafeModel, match=said):
        check_saved_model({PROGRAM: program})


def test_other_files_are_no_part_of_it(tmp_path):
    with pytest.raises(UnsafeModel, match=r"no saved_model\.pb"):
        check_saved_model({})
    with pytest.raises(UnsafeModel, match="no part of a SavedModel"):
        check_saved_model({PROGRAM: PLAIN, "assets/../../evil": b""})
    for name in (
        PROGRAM,
        "keras_metadata.pb",
        "saved_model.cpb",
        "variables/variables.index",
        "variables/evil",
        "assets/a",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PLAIN)
    assert sorted(files_of(tmp_path)) == [PROGRAM, "variables/variables.index"]
    (tmp_path / "variables" / "variables.data-00000-of-00001").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeModel, match="is a link"):
        files_of(tmp_path)


def test_a_folder_is_judged_before_tensorflow_sees_it(tmp_path):
    (tmp_path / PROGRAM).write_bytes(_program([_node("WriteFile")]))
    loaded = "tensorflow" in sys.modules
    with pytest.raises(UnsafeModel, match="WriteFile"):
        draft_of_file(tmp_path, Told(trusted=("tensorflow.SavedModel",)))
    assert ("tensorflow" in sys.modules) == loaded


@given(st.integers(0, len(PLAIN) - 1), st.binary(max_size=4))
def test_damaged_programs_are_judged_or_refused(at, change):
    damaged = PLAIN[:at] + change + PLAIN[at + 1 :]
    try:
        check_saved_model({PROGRAM: damaged})
    except UnsafeModel:
        return
    assert all(isinstance(values, list) for values in fields(damaged).values())


@given(st.dictionaries(st.integers(1, 1 << 20), st.one_of(st.binary(), st.integers(0, 2**64 - 1)), max_size=5))
def test_fields_survive_a_round_trip(message):
    assert fields(b"".join(_field(number, value) for number, value in message.items())) == {
        number: [value] for number, value in message.items()
    }


@given(st.binary())
def test_any_bytes_are_fields_or_refused(data):
    try:
        fields(data)
    except BadMessage as error:
        assert "damaged" in str(error)
