"""ONNX files of others: what they say is taken, what they do not say is asked for."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mainstay.errors import MainstayError
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.importing import check_apart, draft_of_file
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError, SignatureError


def _imported(data: bytes, tmp_path, **told):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    return Model.load(draft_of_file(path, Told(**told)).draft.package())


@pytest.fixture
def table(numbers):
    return np.nan_to_num(numbers[0]).astype(np.float32), numbers[1]


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize("names", [(0, 1, 2), ("low", "middle", "high")])
def test_a_classifier_of_scikit_learn(table, names, zipmap, tmp_path):
    x, y = table
    fitted = RandomForestClassifier(n_estimators=5, random_state=0).fit(x, np.array(names)[y])
    data = to_onnx(fitted, x[:1], options={"zipmap": zipmap}).SerializeToString()
    model = _imported(data, tmp_path, columns=("a", "b", "c", "d"))
    assert model.signature.labels == tuple(fitted.classes_.tolist())
    rows = [dict(zip("abcd", map(float, row), strict=True)) for row in x]
    np.testing.assert_allclose(model.predict_proba(rows), fitted.predict_proba(x), atol=1e-6)
    assert model.predict(rows) == fitted.predict(x).tolist()


def test_a_regression(table, tmp_path):
    x, y = table
    fitted = LinearRegression().fit(x, y)
    model = _imported(to_onnx(fitted, x[:1]).SerializeToString(), tmp_path)
    assert model.signature.names == ("x0", "x1", "x2", "x3")
    np.testing.assert_allclose(
        model.predict([dict(zip(model.signature.names, map(float, r), strict=True)) for r in x]),
        fitted.predict(x),
        atol=1e-5,
    )


def test_named_columns_of_numbers_and_texts(table, tmp_path):
    import pandas as pd

    x, y = table
    frame = pd.DataFrame({"age": x[:, 1], "colour": np.where(x[:, 2] > 0, "red", "blue")})
    steps = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["colour"]), remainder="passthrough")
    fitted = make_pipeline(steps, LogisticRegression()).fit(frame, y > 0)
    kinds = [("age", FloatTensorType([None, 1])), ("colour", StringTensorType([None, 1]))]
    data = to_onnx(fitted, initial_types=kinds, options={"zipmap": False}).SerializeToString()
    model = _imported(data, tmp_path, labels=("no", "yes"))
    assert [(c.name, c.type) for c in model.signature.inputs] == [("age", "number"), ("colour", "text")]
    rows = [{"age": float(a), "colour": c} for a, c in zip(frame["age"], frame["colour"], strict=True)]
    np.testing.assert_allclose(model.predict_proba(rows), fitted.predict_proba(frame), atol=1e-6)


def _graph(op="Identity", *, domain="", width=3, out=3, rows="rows", outputs=1, kind=TensorProto.FLOAT, weights=None):
    names = [f"y{i}" for i in range(outputs)]
    weights = weights or numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    inputs = ["x", "w"] if op == "MatMul" else ["x"]
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(op, inputs, [name], domain=domain) for name in names],
            "g",
            [helper.make_tensor_value_info("x", kind, [rows, width])],
            [helper.make_tensor_value_info(name, kind, [rows, out]) for name in names],
            [weights] if op == "MatMul" else [],
        ),
        opset_imports=[helper.make_opsetid("", 21), *([helper.make_opsetid(domain, 1)] if domain else [])],
        ir_version=10,
    )


def _external():
    weights = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    return _graph("MatMul", weights=weights)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (_graph("Mine", domain="my.library"), "custom operators"),
        (_external(), "in other files"),
        (_graph(rows=1), "exactly 1 rows"),
        (_graph(), "--labels"),
        (_graph(outputs=2), "which one answers"),
        (_graph(width=None, out=None), "how many columns"),
        (_graph("NoSuchOperator"), "no sound ONNX"),
    ],
)
def test_what_is_not_said_or_not_safe_is_refused(model, said, tmp_path):
    with pytest.raises(CannotImport, match=said):
        _imported(model.SerializeToString(), tmp_path)


def test_a_file_that_is_no_onnx_is_refused(tmp_path):
    with pytest.raises(CannotImport):
        _imported(b"\x08not a model", tmp_path)


def test_told_labels_and_columns_make_a_plain_graph_whole(tmp_path):
    model = _imported(_graph("Softmax").SerializeToString(), tmp_path, labels=("a", "b", "c"), nullable=("*",))
    assert model.signature.labels == ("a", "b", "c")
    assert model.predict([{"x0": 0.0, "x1": 3.0, "x2": 1.0}]) == ["b"]


def test_an_onnx_that_answers_nan_is_refused(tmp_path):
    with pytest.raises(CannotImport, match="no number"):
        _imported(_log_graph(), tmp_path)


def _log_graph() -> bytes:
    graph = _graph("Log", width=3, out=3)
    node = helper.make_node("Sub", ["x", "big"], ["less"])
    graph.graph.initializer.append(numpy_helper.from_array(np.array([99.0], dtype=np.float32), "big"))
    graph.graph.node[0].input[0] = "less"
    graph.graph.node.insert(0, node)
    del graph.graph.output[0].type.tensor_type.shape.dim[1:]
    graph.graph.output[0].type.tensor_type.shape.dim.add(dim_value=1)
    graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def _tensor_graph(op, inputs, outputs, **attributes):
    entries = {name: helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in (*inputs, *outputs)}
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(op, [name for name, *_ in inputs], [name for name, *_ in outputs], **attributes)],
            "g",
            [entries[name] for name, *_ in inputs],
            [entries[name] for name, *_ in outputs],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )


def test_several_tensors_in_and_several_out(tmp_path):
    graph = _tensor_graph(
        "Split",
        [("ids", TensorProto.INT64, ["rows", 6])],
        [(name, TensorProto.INT64, ["rows", 3]) for name in ("first", "second")],
        axis=1,
        num_outputs=2,
    )
    model = _imported(graph.SerializeToString(), tmp_path, general=True)
    assert model.signature.task == "general"
    assert model.signature.tensors[0].told() == "int64 (6,)"
    assert [output.name for output in model.signature.outputs] == ["first", "second"]
    said = model.predict(np.arange(12).reshape(2, 6))
    assert said == [{"first": [0, 1, 2], "second": [3, 4, 5]}, {"first": [6, 7, 8], "second": [9, 10, 11]}]
    assert model.predict([{"ids": [1, 2, 3, 4, 5, 6]}]) == [{"first": [1, 2, 3], "second": [4, 5, 6]}]
    assert model.package.golden.outputs


def test_sizes_that_differ_share_their_name(tmp_path):
    graph = _tensor_graph(
        "Add",
        [(name, TensorProto.FLOAT, ["rows", "time", 2]) for name in ("a", "b")],
        [("sum", TensorProto.FLOAT, ["rows", "time", 2])],
    )
    model = _imported(graph.SerializeToString(), tmp_path, general=True)
    ones = np.ones((2, 5, 2))
    assert model.predict({"a": ones, "b": ones})[0]["sum"] == [[2.0, 2.0]] * 5
    with pytest.raises(InputError, match="'b' has 4 for 'time'"):
        model.predict({"a": ones, "b": ones[:, :4]})


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([("y", TensorProto.FLOAT, ["rows", 2, 2])], "dimensions"),
        ([("y", TensorProto.FLOAT, ["rows", 2]), ("z", TensorProto.FLOAT, ["rows", 2])], "all give numbers"),
    ],
)
def test_outputs_that_are_no_answer_say_how_they_can_be_taken(outputs, said, tmp_path):
    size = outputs[0][2][1:]
    graph = _tensor_graph(
        "Identity" if len(outputs) == 1 else "Split",
        [("x", TensorProto.FLOAT, ["rows", *(size if len(outputs) == 1 else [4])])],
        outputs,
        **({} if len(outputs) == 1 else {"axis": 1, "num_outputs": 2}),
    )
    with pytest.raises(CannotImport, match=said) as caught:
        _imported(graph.SerializeToString(), tmp_path)
    assert "--general" in str(caught.value)


def test_logits_become_probabilities_only_where_they_are_said_to_be(tmp_path):
    data = _graph("MatMul").SerializeToString()
    labels = ("a", "b", "c")
    with pytest.raises(CannotImport, match="--logits"):
        _imported(data, tmp_path, labels=labels)
    model = _imported(data, tmp_path, labels=labels, logits=True)
    x = np.array([[1.0, 2.0, 3.0], [500.0, -500.0, 0.0]])
    expected = np.exp(x - x.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba({f"x{i}": x[:, i].tolist() for i in range(3)}), expected, atol=1e-6)


@pytest.mark.parametrize(("end", "width"), [("Softmax", 3), ("Sigmoid", 1)])
def test_probabilities_are_no_logits(end, width, tmp_path):
    """Told so, they would be squeezed a second time."""
    entries = [[(name, TensorProto.FLOAT, ["rows", width])] for name in "xy"]
    graph = _tensor_graph(end, *entries)
    labels = ("a", "b", "c")[: max(width, 2)]
    for wrapped in (False, True):
        if wrapped:
            graph.graph.node[0].output[0] = "inner"
            graph.graph.node.append(helper.make_node("Identity", ["inner"], ["y"]))
        assert _imported(graph.SerializeToString(), tmp_path, labels=labels).signature.labels == labels
        with pytest.raises(
            CannotImport, match=f"ends in a {end}, so it gives probabilities and no logits: leave --logits"
        ):
            _imported(graph.SerializeToString(), tmp_path, labels=labels, logits=True)


def test_one_logit_is_the_second_class(tmp_path):
    data = _tensor_graph(
        "Identity", [("x", TensorProto.FLOAT, ["rows", 1])], [("y", TensorProto.FLOAT, ["rows", 1])]
    ).SerializeToString()
    with pytest.raises(CannotImport, match="--logits"):  # as a probability it would be above one, and the other below 0
        _imported(data, tmp_path, labels=("no", "yes"))
    model = _imported(data, tmp_path, labels=("no", "yes"), logits=True)
    found = model.predict_proba([{"x": 0.0}, {"x": 3.0}, {"x": -800.0}])
    np.testing.assert_allclose(found[:, 1], [0.5, 1 / (1 + np.exp(-3.0)), 0.0], atol=1e-6)


@pytest.mark.parametrize("labels", [("a", "a", "b"), ("1", "1", "2")])
def test_two_classes_have_two_names(labels, tmp_path):
    data = _graph("Softmax").SerializeToString()
    with pytest.raises(SignatureError, match="two classes"):
        _imported(data, tmp_path, labels=labels)


def test_a_graph_that_cannot_be_computed_is_refused_in_a_sentence(tmp_path):
    shape = numpy_helper.from_array(np.array([10**6, 10**6]), "shape")
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
            helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(MainstayError, match=r"ONNX Runtime refuses|does not answer") as caught:
        _imported(model.SerializeToString(), tmp_path)
    assert ".cc:" not in str(caught.value)


def _endless():
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Add", ["so far", "one"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("so far", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(np.ones(1, dtype=np.float32), "one")],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["turns", "yes", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.array(2**62), "turns"), numpy_helper.from_array(np.array(True), "yes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_a_graph_that_never_ends_is_given_up(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(_endless().SerializeToString())
    with pytest.raises(CannotImport, match="within 5 s"):
        check_apart(path, Told(), within=5.0)
