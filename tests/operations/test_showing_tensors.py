"""`mainstay show` of a version that takes pictures and answers arrays."""

from __future__ import annotations

from onnx import TensorProto, helper

from mainstay.models.formats.foreign.onnx_file import of_bytes
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.tensors import Image
from mainstay.operations.catalogue import shown
from mainstay.registry.store import Registry


def test_pictures_and_outputs_are_told(tmp_path):
    kinds = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 3, 4]) for name in "xy"}
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [kinds["x"]], [kinds["y"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    told = Told(general=True, images={"x": Image(mode="L", layout="HW")})
    draft = of_bytes(model.SerializeToString(), told, "twice").draft
    with Registry.open(tmp_path / ".mainstay") as registry:
        registry.add("twice", draft, passed=True, actor="test", summary={})
    found = shown(tmp_path, "twice:1")
    assert found.inputs == [("x", "float32 (3, 4) or a picture (L)", "refused")]
    assert found.facts["task"] == "general"
    assert found.facts["outputs"] == "y float32 (3, 4)"
