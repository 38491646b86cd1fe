"""Look-ups in tables: an id that a table does not hold is the asker's mistake, a negative one too."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mainstay.models.formats.guarded_ids import refuse_negative
from mainstay.models.formats.onnx import OnnxRunner
from mainstay.models.refusing import InputError
from mainstay.models.signature import Cells, Signature
from mainstay.models.tensors import Tensor

SIGNATURE = Signature(
    inputs=(),
    task="general",
    tensors=(Tensor(name="ids", dtype="int32", shape=(1,)),),
    outputs=(Tensor(name="found", dtype="float32", shape=(1,)),),
)


def _graph(ids: str = "ids") -> onnx.ModelProto:
    """found = table[ids], in a branch of an If as well as outside it."""
    table = numpy_helper.from_array(np.arange(5, dtype=np.float32), "table")
    last = numpy_helper.from_array(np.array([[-1]], dtype=np.int32), "last")
    always = numpy_helper.from_array(np.array(True), "always")
    inner = helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["rows", 1])
    branch = helper.make_graph([helper.make_node("Gather", ["table", ids], ["inner"])], "branch", [], [inner])
    other = helper.make_graph([helper.make_node("Identity", ["outer"], ["inner"])], "other", [], [inner])
    nodes = [
        helper.make_node("Gather", ["table", ids], ["outer"]),
        helper.make_node("If", ["always"], ["found"], then_branch=branch, else_branch=other),
    ]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT32, ["rows", 1])]
    outputs = [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["rows", 1])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [table, last, always])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _asked(graph: onnx.ModelProto, ids: list[int]) -> list[float]:
    onnx.checker.check_model(graph, full_check=True)
    arrays = {"ids": np.array(ids, dtype=np.int32)[:, None]}
    answers = OnnxRunner(graph.SerializeToString(), SIGNATURE).run(Cells(np.empty((len(ids), 0)), {}, arrays), None)
    assert answers.outputs is not None
    return answers.outputs["found"].ravel().tolist()


def test_a_guarded_look_up_refuses_what_onnx_counts_from_the_end() -> None:
    graph = _graph()
    assert _asked(graph, [0, 4, -1]) == [0, 4, 4]
    refuse_negative(graph)
    assert _asked(graph, [0, 4]) == [0, 4]
    for bad in (-1, -5, 5):
        with pytest.raises(InputError, match="an id lies outside 0 to 4, which is what its table holds"):
            _asked(graph, [0, bad])


def test_which_look_ups_are_guarded_is_said_and_constants_are_left() -> None:
    graph = _graph()
    refuse_negative(graph, lambda node: False)
    assert graph == _graph()
    constant = _graph("last")
    refuse_negative(constant)
    assert [node.op_type for node in constant.graph.node] == ["Gather", "If"]
