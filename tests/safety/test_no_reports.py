"""Nothing is reported to anybody: ONNX Runtime, which does so by itself, is told not to before it is loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import mainstay
from mainstay.models.formats.quiet_onnx import VARIABLE
from mainstay.serving.launch import Allowed, variables_for

SOURCE = Path(mainstay.__file__).parent
OWN = {"models/formats/quiet_onnx.py", "models/formats/mlflow_loader.py"}
"""The second is written into folders for MLflow, and no part of what runs here."""
LOADS = re.compile(r"^\s*(import onnxruntime|from onnxruntime)", re.MULTILINE)
CODE = """
import onnx
from onnx import TensorProto, helper
from mainstay.models.formats.onnx import onnxruntime

value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print(session.run(None, {"x": __import__("numpy").ones(1, "float32")})[0][0])
"""


def test_onnx_runtime_keeps_no_record_of_its_use(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE} | {"HOME": str(tmp_path)}
    environment.pop("XDG_CACHE_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "1.0\n"
    assert list(tmp_path.rglob("*")) == []


def test_onnx_runtime_is_loaded_in_one_place():
    found = {
        path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if LOADS.search(path.read_text("utf-8"))
    }
    assert found == OWN


def test_hosts_are_told_too_and_an_operator_may_say_otherwise(tmp_path):
    allowed = Allowed(environments=tmp_path)
    assert variables_for(allowed, {})[VARIABLE] == "1"
    assert variables_for(allowed, {VARIABLE: "0"})[VARIABLE] == "0"
