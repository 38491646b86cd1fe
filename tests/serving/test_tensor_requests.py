"""Tensors over HTTP: in by any of the forms, out by name, refused with the place."""

from __future__ import annotations

import numpy as np
import pytest
from live import serving
from onnx import TensorProto, helper

from mainstay.models.formats.foreign.onnx_file import of_bytes
from mainstay.models.formats.foreign.protocol import Told

ROWS = np.arange(24, dtype=np.float32).reshape(3, 2, 4) / 8


def _drafts():
    kinds = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2, 4]) for name in "xy"}
    twice = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [kinds["x"]], [kinds["y"]])
    total = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("ReduceSum", ["flat", "axes"], ["y"], keepdims=1),
        ],
        "g",
        [kinds["x"]],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    for graph, told in ((twice, Told(general=True)), (total, Told())):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        yield of_bytes(model.SerializeToString(), told, "graph").draft


@pytest.fixture(scope="module")
def tensors(tmp_path_factory):
    twice, total = _drafts()
    models = ("twice", twice), ("total", total)
    with serving(tmp_path_factory.mktemp("tensors"), *models) as server, server.client() as client:
        yield client


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [{"x": row} for row in ROWS.tolist()]},
        {"x": ROWS.tolist()},
        {"inputs": {"x": ROWS.tolist()}},
        {"features": [[row] for row in ROWS.tolist()]},
        [{"x": row} for row in ROWS.tolist()],
    ],
)
def test_each_form_of_several_rows(tensors, body):
    said = tensors.post("/models/twice/predict", json=body).json()
    np.testing.assert_array_equal([each["y"] for each in said["prediction"]], 2 * ROWS)
    said = tensors.post("/models/total/predict", json=body).json()
    np.testing.assert_allclose(said["prediction"], ROWS.sum(axis=(1, 2)))


def test_one_row_by_name_is_answered_alone(tensors):
    said = tensors.post("/models/twice/predict", json={"x": ROWS[1].tolist()}).json()
    np.testing.assert_array_equal(said["prediction"]["y"], 2 * ROWS[1])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"x": [[1, 2, 3, 4], [1, 2, 3]]}, "got 3 values where 4 belong"),
        ({"inputs": [{"x": ROWS[0].tolist()}, {"x": [1]}]}, "Row 1, tensor 'x'"),
        ({"x": "text"}, "got 'text'"),
        ({"x": [[1, 2, 3, 4], [1, 2, 3, "4"]]}, "got '4'"),
        ({"z": 1}, "unknown column 'z'"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(tensors, body, said):
    answer = tensors.post("/models/twice/predict", json=body)
    assert answer.status_code == 400
    assert said.lower() in answer.json()["error"].lower()


def test_the_description_knows_tensors(tensors):
    described = tensors.get("/openapi.json").json()["paths"]["/models/twice/predict"]["post"]
    examples = described["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        assert tensors.post("/models/twice/predict", json=example["value"]).status_code == 200
    assert tensors.get("/models/twice").json()["signature"]["outputs"][0]["name"] == "y"


def test_no_rows_are_no_answers(tensors):
    assert tensors.post("/models/twice/predict", json={"inputs": []}).json()["prediction"] == []
