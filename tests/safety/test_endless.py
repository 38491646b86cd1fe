"""What never comes to an end: pipes and devices in place of files, and loops in graphs."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from mainstay.models.formats.bounded_runs import bounded_run
from mainstay.models.formats.foreign.plain_files import check_files
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.importing import check_apart, format_of
from mainstay.models.refusing import InputError
from mainstay.operations.importing import import_file


@pytest.mark.parametrize("name", ["f.onnx", "f.pmml", "f.json", "f.txt", "f.cbm", "f.keras", "f"])
def test_a_pipe_or_a_device_is_refused_before_it_is_opened(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(CannotImport, match="is a pipe, which need not come to an end"):
        import_file(tmp_path, tmp_path / name, name="h")
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(CannotImport, match="is a device"):
        check_apart(tmp_path / name, Told())


@pytest.mark.parametrize(
    "inside",
    ["MLmodel", "saved_model.pb", "variables/variables.index", "manifest.json", "mainstay-model.toml", "m.onnx"],
)
def test_so_is_one_in_a_folder(inside: str, tmp_path: Path) -> None:
    path = tmp_path / "folder" / inside
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(CannotImport, match=f"{path.name} of folder is a pipe"):
        format_of(tmp_path / "folder")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(CannotImport, match="is a socket"):
            format_of(tmp_path / "folder")


def test_more_bytes_than_are_read_are_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(5 << 30)  # of no block on the disk
    with pytest.raises(CannotImport, match="more than 4,294,967,296 bytes"):
        format_of(tmp_path / "m.onnx")
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "hidden")  # what is hidden is not read
    check_files(tmp_path, largest=8 << 30)


def _loop(*, times: int | None) -> bytes:
    """x, through a loop that goes round so many times; None: for ever."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["v"], ["v2"])],
        "body",
        [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, ["n", 3])],
        [value("c2", TensorProto.BOOL, []), value("v2", TensorProto.FLOAT, ["n", 3])],
    )
    known = [helper.make_tensor("yes", TensorProto.BOOL, [], [True])]
    if times is not None:
        known.append(helper.make_tensor("times", TensorProto.INT64, [], [times]))
    loop = helper.make_node("Loop", ["" if times is None else "times", "yes", "x"], ["y"], body=body)
    ends = [value("x", TensorProto.FLOAT, ["n", 3])], [value("y", TensorProto.FLOAT, ["n", 3])]
    graph = helper.make_graph([loop], "g", *ends, known)
    return onnx.ModelProto.SerializeToString(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )


def test_a_loop_that_does_not_end_is_ended() -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    rows = {"x": np.ones((2, 3), np.float32)}

    def session(graph: bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    endless, short = _loop(times=None), _loop(times=5)
    asked = bounded_run(session(endless), endless, longest=0.5)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"did not come to an end within 0.5 s"):
        asked(["y"], rows)
    assert time.monotonic() - start < 20
    assert bounded_run(session(short), short)(["y"], rows)[0].tolist() == rows["x"].tolist()


def test_a_graph_without_a_loop_is_asked_without_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    run = bounded_run(session, data)
    monkeypatch.setattr("mainstay.models.formats.bounded_runs.threading.Timer", None)
    assert run(["y"], {"x": np.ones(3, np.float32)})[0].tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match=r"Required inputs \(\['x'\]\) are missing"):
        run(["y"], {})
