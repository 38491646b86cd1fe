"""Weights in fewer bits: how far they move, what stays as it was, and that no row depends on its neighbours."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
from exporting import session
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from examples import examples
from mainstay.models.formats.compression.technique import NotApplicable
from mainstay.models.formats.compression.weights import halved, quantized
from mainstay.models.formats.export import to_onnx
from small_nets import digits_net, layer

KINDS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def run(graph: bytes, rows: np.ndarray) -> np.ndarray:
    asked = session(graph)
    (entry,) = asked.get_inputs()
    return asked.run(None, {entry.name: rows.astype(KINDS[entry.type])})[0]


def stored(graph: bytes) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load_model_from_string(graph).graph.initializer}


@pytest.fixture(scope="module")
def network():
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(300, 20))
    rows[0] *= 50  # one row that is unlike the others
    labels = (rows[:, 0] * rows[:, 1] > 0).astype(int) + (rows[:, 2] > 1)
    fitted = MLPClassifier((48, 32), max_iter=30, random_state=0)
    with unfinished():
        fitted.fit(rows, labels)
    return to_onnx(fitted, width=20).graph, rows


def unfinished():
    """Says nothing of a training that ends early: what these networks have learnt does not matter."""
    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)


@given(st.integers(1, 6), st.integers(8, 40), st.integers(0, 1000), st.sampled_from([1e-6, 1.0, 1e6]), st.booleans())
@settings(max_examples=examples(40))
def test_a_quantized_weight_moves_by_half_a_step_at_most(outputs, inputs, seed, size, double):
    weights = np.random.default_rng(seed).normal(size=(inputs, outputs)) * size
    weights = weights.astype(np.float64 if double else np.float32)
    rows = np.eye(inputs)
    model = layer(rows, weights).SerializeToString()
    if weights.size < 32:
        with pytest.raises(NotApplicable):
            quantized(model)
        return
    step = np.max(np.abs(weights), axis=0) / 127
    moved = np.abs(run(quantized(model), rows) - weights)
    assert (moved <= step * (0.5 + 1e-4)).all()


@pytest.mark.parametrize(
    "weights, attributes",
    [((24, 6), {}), ((6, 24), {"transB": 1})],
    ids=["as they are", "transposed"],
)
def test_each_output_of_a_gemm_has_a_scale_of_its_own(weights, attributes):
    array = np.random.default_rng(0).normal(size=weights).astype(np.float32)
    outputs = 0 if attributes else 1
    array *= np.expand_dims(10.0 ** np.arange(6, dtype=np.float32), 1 - outputs)
    rows = np.random.default_rng(1).normal(size=(5, 24)).astype(np.float32)
    model = layer(rows, array, "Gemm", **attributes).SerializeToString()
    assert stored(quantized(model))["w (scale)"].size == 6
    expected = run(model, rows)
    assert (np.abs(run(quantized(model), rows) - expected).max(axis=0) <= 0.05 * np.abs(expected).max(axis=0)).all()


def test_halves_are_the_weights_rounded_to_half_precision(network):
    graph, _ = network
    before, after = stored(graph), stored(halved(graph))
    weights = {name: array for name, array in before.items() if array.ndim == 2}
    assert len(weights) == 3
    for name, array in weights.items():
        assert after[f"{name} (half)"].dtype == np.float16
        assert (after[f"{name} (half)"] == array.astype(np.float32).astype(np.float16)).all()
        assert name not in after


@pytest.mark.parametrize("make, share, bound", [(quantized, 0.2, 0.05), (halved, 0.35, 0.003)], ids=["8 bits", "half"])
def test_a_network_is_smaller_and_answers_nearly_the_same(network, make, share, bound):
    graph, rows = network
    smaller = make(graph)
    onnx.checker.check_model(onnx.load_model_from_string(smaller), full_check=True)
    assert len(smaller) < share * len(graph)
    assert np.abs(run(smaller, rows) - run(graph, rows)).max() < bound
    assert session(smaller).get_inputs()[0].type == "tensor(float)"
    assert make(graph) == smaller


@pytest.mark.parametrize("make", [quantized, halved])
def test_a_row_is_answered_alone_as_beside_one_that_is_unlike_it(network, make):
    graph, rows = network
    smaller = make(graph)
    together = run(smaller, rows[:40])
    alone = np.concatenate([run(smaller, rows[i : i + 1]) for i in range(40)])
    assert np.abs(alone - together).max() <= 1e-6


@pytest.mark.parametrize("make", [quantized, halved])
def test_a_convolutional_network_keeps_its_accuracy(make):
    model, pictures, labels = digits_net()
    graph = model.SerializeToString()
    before = np.mean(run(graph, pictures).argmax(axis=1) == labels)
    after = np.mean(run(make(graph), pictures).argmax(axis=1) == labels)
    assert before > 0.9
    assert after > before - 0.01
    assert len(make(graph)) < 0.6 * len(graph)
    assert "kernels" not in stored(make(graph))


def test_both_together_leave_no_weight_in_full_precision():
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(200, 6))
    fitted = VotingClassifier(
        [("f", RandomForestClassifier(8, random_state=0)), ("n", MLPClassifier((40,), max_iter=400, random_state=0))],
        voting="soft",
    )
    with unfinished():
        fitted.fit(rows, (rows[:, 0] > 0).astype(int))
    graph = to_onnx(fitted, width=6).graph
    first = quantized(graph)
    both = halved(first)
    assert len(both) < len(first) < len(graph)
    # Trees compare with the very numbers of the rows, so that the graph goes on in double precision.
    assert session(both).get_inputs()[0].type == "tensor(double)"
    assert np.abs(run(both, rows) - run(graph, rows)).max() < 0.02


def test_weights_that_something_else_takes_stay_as_they_are():
    weights = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    model = layer(np.eye(16), weights)
    model.graph.node.append(helper.make_node("ReduceSum", ["w"], ["total"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("total", TensorProto.FLOAT, []))
    with pytest.raises(NotApplicable, match="MatMul"):
        quantized(model.SerializeToString())


def test_constants_that_are_nodes_or_inputs_are_weights_too():
    weights = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    as_node, as_input = layer(np.eye(16), weights), layer(np.eye(16), weights)
    del as_node.graph.initializer[:]
    as_node.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weights, "w")))
    as_input.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [16, 16]))
    for model in (as_node, as_input):
        smaller = quantized(model.SerializeToString())
        assert [entry.name for entry in onnx.load_model_from_string(smaller).graph.input] == ["features"]
        assert np.abs(run(smaller, np.eye(16)) - weights).max() <= np.abs(weights).max() / 127


@pytest.mark.parametrize("value", [1e5, np.inf, np.nan])
def test_weights_that_half_precision_cannot_hold_stay_as_they_are(value):
    weights = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    weights[3, 4] = value
    with pytest.raises(NotApplicable, match="fewer bits"):
        halved(layer(np.eye(16), weights).SerializeToString())


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_weights_that_are_no_numbers_are_not_quantized(value):
    weights = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    weights[3, 4] = value
    with pytest.raises(NotApplicable, match="not all finite"):
        quantized(layer(np.eye(16), weights).SerializeToString())


def test_a_tensor_of_somebody_elses_stays_as_it_is_given():
    weights = np.random.default_rng(0).normal(size=(16, 16))
    model = layer(np.eye(16), weights)
    model.graph.input[0].name = model.graph.node[0].input[0] = "sound"
    asked = session(quantized(model.SerializeToString()))
    assert asked.get_inputs()[0].type == "tensor(double)"
    found = asked.run(None, {"sound": np.eye(16)})[0]
    assert found.dtype == np.float32
    assert np.abs(found - weights).max() <= np.abs(weights).max() / 127


def test_an_output_without_weight_stays_without():
    weights = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    weights[:, 2] = 0
    found = run(quantized(layer(np.eye(16), weights).SerializeToString()), np.eye(16))
    assert (found[:, 2] == 0).all()
