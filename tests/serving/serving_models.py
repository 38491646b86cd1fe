"""Small models made by hand: a signature, an encoder, an ONNX graph, and golden rows that the graph itself answered."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from mainstay.models.encoder import Block, DateParts, Encoder, Impute, OneHot
from mainstay.models.golden import Golden
from mainstay.models.package import ENCODER, GOLDEN, SIGNATURE, SPEC, Decision, Draft, ModelSpec, encoded
from mainstay.models.runtime import Model
from mainstay.models.signature import Column, Signature

CATEGORIES = ("car", "radio/tv", "a:b", "007", "12", "1234567890123456789")

MIXED = Signature(
    inputs=(
        Column(name="age", type="number"),
        Column(name="credit amount: €", type="number", nullable=True),
        Column(name="own", type="boolean"),
        Column(name="purpose", type="category", categories=CATEGORIES, nullable=True),
        Column(name="sex", type="category", categories=("female", "male"), closed=True),
        Column(name="since", type="datetime"),
        Column(name='odd "name"\\', type="number"),
    ),
    task="binary",
    target="class",
    labels=("bad", "good"),
    set_aside=("customer", "note: free"),
    missing_tokens=("", "?", "NA"),
)
MIXED_ROW: dict[str, Any] = {
    "age": 35,
    "credit amount: €": 1200.5,
    "own": True,
    "purpose": "car",
    "sex": "female",
    "since": "2024-02-29T12:00:00Z",
    'odd "name"\\': -1,
}
ONE = Signature(inputs=(Column(name="x", type="number"),), task="regression", target="y")


def linear(width: int, *, weight: float = 1.0, bias: float = 0.0) -> bytes:
    """value = bias + weight * (x0 + 2 x1 + …)."""
    weights = weight * np.arange(1.0, width + 1.0).reshape(width, 1)
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["value"]),
    ]
    constants = {"weights": weights, "bias": np.array([bias])}
    return graph(nodes, constants, width=width, outputs={"value": (TensorProto.DOUBLE, ["n", 1])})


def logistic(width: int, *, weight: float = 1.0) -> bytes:
    """Probabilities (1 - p, p) with p = sigmoid(weight * (x0 + 2 x1 + …) / 1000)."""
    weights = weight / 1000.0 * np.arange(1.0, width + 1.0).reshape(width, 1)
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], ["probabilities"], axis=1),
    ]
    constants = {"weights": weights, "one": np.array([1.0])}
    return graph(nodes, constants, width=width, outputs={"probabilities": (TensorProto.DOUBLE, ["n", 2])})


def slow(*, size: int, times: int) -> bytes:
    """value = x, and `times` multiplications of matrices of `size` on the way, which nothing can fold away."""
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "ones"], ["m0"]),
    ]
    for step in range(times):
        nodes += [
            helper.make_node("MatMul", [f"m{step}", "share"], [f"m{step + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMax", [f"m{times}"], ["end"], keepdims=0),
        helper.make_node("Mul", ["end", "zero"], ["nothing"]),
        helper.make_node("Add", ["features", "nothing"], ["value"]),
    ]
    constants = {
        "ones": np.ones((size, size)),
        "share": np.full((size, size), 1.0 / size),
        "zero": np.array(0.0),
    }
    return graph(nodes, constants, width=1, outputs={"value": (TensorProto.DOUBLE, ["n", 1])})


def graph(nodes: list[Any], constants: dict[str, Any], *, width: int, outputs: dict[str, Any]) -> bytes:
    made = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["n", width])],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def mixed_encoder() -> Encoder:
    return Encoder(
        blocks=(
            Block((0, 1, 2, 6), (Impute((0.0, -1.0, 0.0, 0.0)),)),
            Block((5,), (DateParts(("day_of_year",)),)),
            Block((3, 4), (OneHot((len(CATEGORIES), 2)),)),
        )
    )


def package_of(
    signature: Signature,
    model: bytes,
    rows: list[dict[str, Any]],
    *,
    encoder: Encoder | None = None,
    decision: Decision | None = None,
    wrong: float = 0.0,
) -> Draft:
    """A draft whose golden predictions are the graph's own answers to `rows`, plus `wrong` where they should not be."""
    content = {
        SPEC: encoded(ModelSpec(format="onnx", file="model.onnx", decision=decision)),
        SIGNATURE: encoded(signature),
        ENCODER: encoded(encoder or Encoder(blocks=(Block(tuple(range(len(signature.inputs)))),))),
        GOLDEN: encoded(Golden(rows=[])),
        "model.onnx": model,
    }
    loaded = Model.load(Draft(content).package())
    answers = loaded.answer(loaded.read.rows(rows))
    golden = Golden(
        rows=rows,
        labels=None if answers.labels is None else answers.labels.tolist(),
        probabilities=None if answers.probabilities is None else (answers.probabilities + wrong).tolist(),
        values=None if answers.values is None else (answers.values + wrong).tolist(),
    )
    return Draft({**content, GOLDEN: encoded(golden)})


def mixed(*, weight: float = 1.0, wrong: float = 0.0) -> Draft:
    rows = [MIXED_ROW, {**MIXED_ROW, "credit amount: €": None, "purpose": None, "sex": "male", "own": False}]
    model = logistic(mixed_encoder().width, weight=weight)
    return package_of(MIXED, model, rows, encoder=mixed_encoder(), decision=Decision(1, 0.3), wrong=wrong)


def line(*, weight: float = 1.0, bias: float = 0.0, wrong: float = 0.0) -> Draft:
    """y = bias + weight * x."""
    return package_of(ONE, linear(1, weight=weight, bias=bias), [{"x": 1.0}, {"x": -2.5}], wrong=wrong)


def slow_line(*, size: int, times: int) -> Draft:
    """y = x, late."""
    return package_of(ONE, slow(size=size, times=times), [{"x": 1.0}])
