"""Blends of models: one graph, or part by part, always what the parts answer, combined by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from custom_parts import Rule, Spelled
from onnx import helper, inliner, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from mainstay.models.blending import Part, Parts, build
from mainstay.models.combining import Combination
from mainstay.models.formats.composite import FILE, nested
from mainstay.models.formats.foreign.onnx_file import of_bytes
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.objects import Given
from mainstay.models.formats.opsets import prefixed, reads
from mainstay.models.formats.raw_export import onnx_of
from mainstay.models.package import Decision, Draft, ModelSpec, PackageCorrupt, encoded
from mainstay.models.packaging import Built
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, Column
from mainstay.models.uniting import CannotBlend

DRAW = np.random.default_rng(0)
ROWS = 300
FRAME = pd.DataFrame(
    {
        "age": DRAW.integers(18, 80, ROWS),
        "income": np.round(DRAW.normal(3000, 800, ROWS), 2),
        "purpose": DRAW.choice(["car", "house", "holiday"], ROWS),
        "note": DRAW.choice(["late again", "paid in time", "always in time", "late"], ROWS),
    }
)
RISK = (45 - FRAME["age"]) / 12 + (3000 - FRAME["income"]) / 900 + (FRAME["purpose"] == "car")
BAD = np.where(RISK + DRAW.normal(0, 0.5, ROWS) > 1, "bad", "good")
GRADE = np.array(["a", "b", "c"])[np.digitize(RISK, [0.0, 1.5])]
TABLE = ["age", "income", "purpose"]
COMBINATIONS = [
    Combination(method="mean"),
    Combination(method="weights", weights=(0.7, 0.3)),
    Combination(method="vote"),
]


def linear(estimator: Any) -> Any:
    return make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["purpose"])
        ),
        estimator,
    )


def trees(estimator: Any, columns: tuple[str, ...] = ("income", "age")) -> Any:
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(make_column_transformer((codes, ["purpose"]), ("passthrough", list(columns))), estimator)


def part(ref: str, model: Any, X: pd.DataFrame, **words: Any) -> Part:
    built = draft_of(model, Given(X=X, **words)).built
    package = built.draft.package()
    return Part(ref, package, Model.load(package, trusted=built.untrusted))


def of_file(ref: str, graph: onnx.ModelProto, **told: Any) -> Part:
    package = of_bytes(graph.SerializeToString(), Told(**told), "model.onnx").built.draft.package()
    return Part(ref, package, Model.load(package))


def cells_of(parts: Parts, frame: pd.DataFrame = FRAME) -> Cells:
    return (
        Model.load(parts.parts[0].package, trusted=TRUSTED)
        .read.__class__(parts.signature)
        .columns({name: frame[name].tolist() for name in parts.signature.names})
    )


TRUSTED = ("custom_parts.Rule", "custom_parts.Spelled")


def blended(parts: Parts, combination: Combination, decision: Decision | None = None) -> tuple[Built, Model]:
    built = build(parts, combination, decision=decision, cells=cells_of(parts), trusted=TRUSTED)
    return built, Model.load(built.draft.package(), trusted=TRUSTED)


@pytest.fixture(scope="module")
def two() -> Parts:
    """A linear model of some columns, and boosted trees of others that know another list of purposes."""
    few = FRAME.loc[FRAME["purpose"] != "holiday", ["age", "purpose", "income"]]
    boosted = trees(HistGradientBoostingClassifier(max_iter=20)).fit(few, BAD[few.index])
    return Parts(
        [
            part("line:1", linear(LogisticRegression()).fit(FRAME[TABLE], BAD), FRAME[TABLE]),
            part("trees:1", boosted, few),
        ]
    )


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda each: each.method)
def test_a_blend_is_one_graph_that_answers_as_its_parts_do(two: Parts, combination: Combination) -> None:
    built, model = blended(two, combination)
    assert (built.format, built.reason) == ("onnx", "")
    assert built.parity.boundary.rows > 500  # the thresholds of the trees, through the blend's own columns
    assert built.parity.unseen.rows > 0
    each = [p.model.predict_proba(FRAME[list(p.model.signature.names)]) for p in two.parts]
    if combination.method == "vote":
        said = [np.array(p.model.predict(FRAME[list(p.model.signature.names)])) for p in two.parts]
        expected = np.mean([np.stack([s == "bad", s == "good"], axis=1) for s in said], axis=0)
        likely = np.where(expected[:, 0] == 0.5, each[0][:, 0] + each[1][:, 0] >= 1, expected[:, 0] > 0.5)
        assert model.predict(FRAME[list(two.signature.names)]) == np.where(likely, "bad", "good").tolist()
    else:
        weights = combination.weights or (0.5, 0.5)
        expected = weights[0] * each[0] + weights[1] * each[1]
    np.testing.assert_allclose(model.predict_proba(FRAME[list(two.signature.names)]), expected, rtol=0, atol=1e-12)


def test_a_blend_of_a_model_with_itself_is_the_model(two: Parts) -> None:
    for one in two.parts:
        parts = Parts([one, one])
        for combination in (*COMBINATIONS[:2], Combination(method="vote")):
            _, model = blended(parts, combination)
            frame = FRAME[list(one.model.signature.names)]
            assert model.predict(frame) == one.model.predict(frame)
            if combination.method != "vote":
                np.testing.assert_allclose(
                    model.predict_proba(frame), one.model.predict_proba(frame), rtol=0, atol=1e-15
                )


def test_the_order_of_columns_and_of_parts_does_not_matter(two: Parts) -> None:
    _, model = blended(two, Combination(method="weights", weights=(0.7, 0.3)))
    other = Parts(two.parts[::-1])
    _, turned = blended(other, Combination(method="weights", weights=(0.3, 0.7)))
    assert two.signature.names != other.signature.names
    frame = FRAME[list(other.signature.names)]
    a, b = model.predict_proba(frame), turned.predict_proba(frame[frame.columns[::-1]])
    order = [other.signature.labels.index(label) for label in two.signature.labels]
    np.testing.assert_allclose(a, b[:, order], rtol=0, atol=1e-15)


def test_the_same_parts_give_the_same_content(two: Parts) -> None:
    first, second = (blended(two, Combination(method="mean"))[0].draft for _ in range(2))
    assert first.manifest().content_id == second.manifest().content_id
    other = build(two, Combination(method="mean"), decision=None, cells=None, trusted=()).draft
    deciding = {name: data for name, data in first.content.items() if name != "golden.json"}
    assert deciding == {name: data for name, data in other.content.items() if name != "golden.json"}


def test_a_threshold_decides_the_label(two: Parts) -> None:
    _, model = blended(two, Combination(method="mean"), Decision(positive=0, threshold=0.2))
    bad = model.predict_proba(FRAME[list(two.signature.names)])[:, 0] >= 0.2
    assert model.predict(FRAME[list(two.signature.names)]) == np.where(bad, "bad", "good").tolist()


@pytest.mark.parametrize("method", ["mean", "vote", "stack"])
def test_three_labels_that_stand_in_two_orders(method: str) -> None:
    X = FRAME[TABLE]
    codes = {"c": 0, "a": 1, "b": 2}
    forest = RandomForestClassifier(15, random_state=0).fit(
        X[["age", "income"]].to_numpy(np.float32), np.vectorize(codes.get)(GRADE)
    )
    graph = convert_sklearn(
        forest, initial_types=[("x", FloatTensorType([None, 2]))], options={"zipmap": False}, target_opset=17
    )
    parts = Parts(
        [
            part("line:1", linear(LogisticRegression()).fit(X, GRADE), X),
            of_file("forest:1", graph, columns=("age", "income"), labels=("c", "a", "b"), target="prediction"),
        ]
    )
    assert parts.signature.labels == ("a", "b", "c")
    stack = Combination(
        method="stack", coefficients=((1.0, 0.2, 0.0, 0.5, -1.0, 0.0),) * 3, intercepts=(0.0, 0.1, -1.0)
    )
    built, model = blended(parts, stack if method == "stack" else Combination(method=method))
    if method == "mean":
        shares = forest.predict_proba(X[["age", "income"]].to_numpy(np.float32))[:, [1, 2, 0]]
        expected = (parts.parts[0].model.predict_proba(X) + shares) / 2
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=0, atol=1e-6)
    assert (built.format, built.reason) == ("onnx", "")


@pytest.mark.parametrize(
    "estimator",
    [GradientBoostingClassifier(n_estimators=10), RandomForestClassifier(10, random_state=0)],
    ids=lambda each: type(each).__name__,
)
def test_trees_of_an_older_operator_stand_beside_those_of_the_newer(two: Parts, estimator: Any) -> None:
    x = FRAME[["age", "income"]].to_numpy(np.float32)
    estimator.fit(x, BAD)
    kinds = [("x", FloatTensorType([None, 2]))]
    options = {"zipmap": False}
    graph = convert_sklearn(estimator, initial_types=kinds, options=options, target_opset={"": 15, "ai.onnx.ml": 3})
    assert any(node.op_type == "TreeEnsembleClassifier" for node in graph.graph.node)
    parts = Parts([two.parts[1], of_file("old:1", graph, columns=("age", "income"), labels=("bad", "good"))])
    built, model = blended(parts, Combination(method="mean"))
    assert (built.format, built.reason) == ("onnx", "")
    merged = onnx.load_model_from_string(built.draft.content["model.onnx"])
    assert {node.op_type for node in merged.graph.node if node.domain == "ai.onnx.ml"} == {"TreeEnsemble"}
    expected = (two.parts[1].model.predict_proba(FRAME[list(parts.signature.names)]) + estimator.predict_proba(x)) / 2
    np.testing.assert_allclose(model.predict_proba(FRAME[list(parts.signature.names)]), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "combination",
    [*COMBINATIONS[:2], Combination(method="stack", coefficients=((0.4, 0.7),), intercepts=(1.5,))],
    ids=lambda each: each.method,
)
def test_regressions(combination: Combination) -> None:
    X, y = FRAME[TABLE], RISK.to_numpy()
    estimators = {"line:1": linear(LinearRegression()), "boost:1": trees(GradientBoostingRegressor(n_estimators=10))}
    parts = Parts([part(ref, model.fit(X, y), X) for ref, model in estimators.items()])
    built, model = blended(parts, combination)
    each = np.stack([estimators[ref].predict(X) for ref in ("line:1", "boost:1")])
    expected = {"mean": each.mean(axis=0), "weights": 0.7 * each[0] + 0.3 * each[1], "stack": each.T @ [0.4, 0.7] + 1.5}
    assert built.format == "onnx"
    np.testing.assert_allclose(model.predict(X), expected[combination.method], rtol=0, atol=1e-5)


def test_old_regressor_trees_that_average() -> None:
    x = FRAME[["age", "income"]].to_numpy(np.float32)
    forest = RandomForestRegressor(7, random_state=0).fit(x, RISK)
    graph = convert_sklearn(
        forest, initial_types=[("x", FloatTensorType([None, 2]))], target_opset={"": 15, "ai.onnx.ml": 3}
    )
    boosted = trees(GradientBoostingRegressor(n_estimators=5)).fit(FRAME[TABLE], RISK)
    parts = Parts(
        [
            part("boost:1", boosted, FRAME[TABLE]),
            of_file("f:1", graph, columns=("age", "income")),
        ]
    )
    built, model = blended(parts, Combination(method="mean"))
    assert built.format == "onnx"
    expected = (boosted.predict(FRAME[TABLE]) + forest.predict(x)) / 2
    np.testing.assert_allclose(model.predict(FRAME[list(parts.signature.names)]), expected, rtol=0, atol=1e-5)


def test_texts_of_an_encoder_beside_a_table() -> None:
    words = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(FRAME["note"], BAD)
    X = FRAME[TABLE]
    parts = Parts([part("words:1", words, FRAME["note"]), part("line:1", linear(LogisticRegression()).fit(X, BAD), X)])
    built, model = blended(parts, Combination(method="mean"))
    assert built.format == "onnx"
    expected = (words.predict_proba(FRAME["note"]) + parts.parts[1].model.predict_proba(X)) / 2
    np.testing.assert_allclose(model.predict_proba(FRAME), expected, rtol=0, atol=1e-9)


def test_a_part_in_a_native_format_is_asked_beside_the_others(two: Parts) -> None:
    X = FRAME[["age", "income"]]
    rule = part("rule:1", Rule().fit(X, BAD), X, trusted=TRUSTED)
    assert rule.model.spec.format == "skops"
    parts = Parts([*two.parts, rule])
    built, model = blended(parts, Combination(method="mean"))
    assert (built.format, built.reason) == ("ensemble", "rule:1 is served as skops")
    assert "part2.model.skops" in built.draft.content
    assert "part2.golden.json" not in built.draft.content
    frame = FRAME[list(parts.signature.names)]
    each = [p.model.predict_proba(frame[list(p.model.signature.names)]) for p in parts.parts]
    np.testing.assert_allclose(model.predict_proba(frame), sum(each) / 3, rtol=0, atol=1e-12)
    whole = Part("blend:1", built.draft.package(), model)
    again, nested = blended(Parts([whole, two.parts[0]]), Combination(method="mean"))
    assert "part0.part2.model.skops" in again.draft.content
    np.testing.assert_allclose(nested.predict_proba(frame), (sum(each) / 3 + each[0]) / 2, rtol=0, atol=1e-12)


def test_a_column_that_is_a_text_to_one_part_and_a_category_to_another(two: Parts) -> None:
    X = FRAME[["purpose"]].astype(object)
    native = Spelled().fit(X, BAD)
    texts = part("texts:1", native, X, trusted=TRUSTED)
    assert texts.model.signature.inputs[0].type == "text"
    parts = Parts([two.parts[1], texts])
    built, model = blended(parts, Combination(method="mean"))
    assert built.format == "ensemble"
    frame = FRAME[list(parts.signature.names)]
    expected = (two.parts[1].model.predict_proba(frame) + native.predict_proba(X)) / 2
    np.testing.assert_allclose(model.predict_proba(frame), expected, rtol=0, atol=1e-12)


def test_a_vote_of_parts_that_know_no_probabilities() -> None:
    X = FRAME[TABLE]
    models = [linear(LinearSVC(C=c)).fit(X, BAD) for c in (0.001, 1.0)]
    parts = Parts([part(f"svm:{n}", model, X) for n, model in enumerate(models, 1)])
    _, model = blended(parts, Combination(method="vote"))
    said = [each.predict(X) for each in models]
    # Where the two differ nobody says how likely: the first label it is.
    assert model.predict(X) == np.where((said[0] == "good") & (said[1] == "good"), "good", "bad").tolist()


def picture(weights: Any, *, shape: tuple[int, ...] = (2, 2), opset: int = 21) -> onnx.ModelProto:
    """Three classes of a small picture: softmax of its pixels times weights."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["shares"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "picture",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("shares", onnx.TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.asarray(weights, dtype=np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_tensors_of_one_name_are_one_input() -> None:
    weights = [DRAW.normal(size=(4, 3)) for _ in range(2)]
    parts = Parts(
        [
            of_file(f"p:{n}", picture(w, opset=opset), labels=("a", "b", "c"))
            for n, (w, opset) in enumerate(zip(weights, (21, 13), strict=True), 1)
        ]
    )
    assert [tensor.name for tensor in parts.signature.tensors] == ["image"]
    built = build(parts, Combination(method="mean"), decision=None, cells=None, trusted=())
    assert (built.format, built.reason) == ("onnx", "")
    images = DRAW.normal(size=(5, 2, 2)).astype(np.float32)
    raw = [np.exp(images.reshape(5, 4) @ w.astype(np.float32)) for w in weights]
    expected = sum(each / each.sum(axis=1, keepdims=True) for each in raw) / 2
    found = Model.load(built.draft.package()).predict_proba(images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    with pytest.raises(CannotBlend, match=r"'image' is float32 \(2, 2\) in p:1 and float32 \(4, 1\) in p:3"):
        Parts([parts.parts[0], of_file("p:3", picture(weights[0], shape=(4, 1)), labels=("a", "b", "c"))])


def branching(names: str) -> onnx.ModelProto:
    """A regression whose branches read what stands outside of them, called from a function of the file's own."""
    single = onnx.TensorProto.FLOAT
    yes, no = (
        helper.make_graph(
            [helper.make_node("Mul", ["x", weight], [f"{names}{weight} times"])],
            weight,
            [],
            [helper.make_tensor_value_info(f"{names}{weight} times", single, ["n", 1])],
        )
        for weight in ("two", "three")
    )
    twice = helper.make_function(
        "own", "Same", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [helper.make_opsetid("", 21)]
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["x"], ["all"], keepdims=0),
            helper.make_node("Greater", ["all", "zero"], ["which"]),
            helper.make_node("If", ["which"], ["chosen"], then_branch=yes, else_branch=no),
            helper.make_node("Same", ["chosen"], ["y"], domain="own"),
        ],
        "branching",
        [helper.make_tensor_value_info("x", single, ["n", 1])],
        [helper.make_tensor_value_info("y", single, ["n", 1])],
        [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("two", 2), ("three", 3), ("zero", 0))],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, functions=[twice], opset_imports=opsets, ir_version=10)


def test_graphs_with_branches_and_functions_of_their_own_keep_their_meaning() -> None:
    models = [prefixed(inliner.inline_local_functions(branching("")).graph, name) for name in ("one/", "two/")]
    both = helper.make_model(
        helper.make_graph(
            [*models[0].node, *models[1].node],
            "both",
            [*models[0].input, *models[1].input],
            [*models[0].output, *models[1].output],
            [*models[0].initializer, *models[1].initializer],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    session = onnxruntime.InferenceSession(both.SerializeToString())
    x = np.array([[1.5]], np.float32)
    assert [y.item() for y in session.run(None, {"one/x": x, "two/x": -x})] == [3.0, -4.5]
    inner = next(node for node in models[0].node if node.op_type == "If")
    assert reads(inner) >= {"one/which", "one/x", "one/two", "one/three"}


def test_a_graph_of_columns_stands_beside_one_behind_an_encoder(two: Parts) -> None:
    frame = FRAME[["age", "income"]].astype(np.float64)
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame.to_numpy(), BAD)
    kinds = [("age", DoubleTensorType([None, 1])), ("income", DoubleTensorType([None, 1]))]
    named = make_pipeline(make_column_transformer((StandardScaler(), ["age", "income"])), LogisticRegression())
    named.fit(frame, BAD)
    graph = convert_sklearn(
        named, initial_types=kinds, options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3}
    )
    raw = of_file("raw:1", graph, labels=("bad", "good"))
    assert raw.package.encoder is None
    parts = Parts([two.parts[1], raw])
    built, model = blended(parts, Combination(method="mean"))
    assert (built.format, built.reason) == ("onnx", "")
    rows = FRAME[list(parts.signature.names)]
    expected = (two.parts[1].model.predict_proba(rows) + scaled.predict_proba(frame.to_numpy())) / 2
    np.testing.assert_allclose(model.predict_proba(rows), expected, rtol=0, atol=1e-6)


def spelled(shares: dict[str, float]) -> onnx.ModelProto:
    """The share of a text that is looked up; 0.5 where it is not listed."""
    single = onnx.TensorProto.FLOAT
    looked = helper.make_node("LabelEncoder", ["note"], ["first"], domain="ai.onnx.ml", default_float=0.5)
    looked.attribute.append(helper.make_attribute("keys_strings", list(shares)))
    looked.attribute.append(helper.make_attribute("values_floats", list(shares.values())))
    nodes = [
        looked,
        helper.make_node("Sub", ["one", "first"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["shares"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "spelled",
        [helper.make_tensor_value_info("note", onnx.TensorProto.STRING, ["n", 1])],
        [helper.make_tensor_value_info("shares", single, ["n", 2])],
        [numpy_helper.from_array(np.float32(1), "one")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_texts_that_graphs_take_by_name_stand_beside_features_however_deep(two: Parts) -> None:
    shares = {"late": 0.9, "late again": 0.75, "paid in time": 0.25}
    said = of_file("words:1", spelled(shares), labels=("bad", "good"))
    late = np.array([shares.get(note, 0.5) for note in FRAME["note"]])
    words = np.column_stack([late, 1 - late])
    assert said.package.encoder is None and said.model.signature.inputs[0].type == "text"
    built, blend = blended(Parts([two.parts[1], said]), Combination(method="mean"))
    assert (built.format, built.reason) == ("onnx", "")
    first = (two.parts[1].model.predict_proba(FRAME[TABLE]) + words) / 2
    np.testing.assert_allclose(blend.predict_proba(FRAME), first, rtol=0, atol=1e-6)
    inner = Part("blend:1", built.draft.package(), blend)
    again, model = blended(Parts([inner, two.parts[0], said]), Combination(method="mean"))
    assert (again.format, again.reason) == ("onnx", "")
    others = two.parts[0].model.predict_proba(FRAME[TABLE]) + words
    np.testing.assert_allclose(model.predict_proba(FRAME), (first + others) / 3, rtol=0, atol=1e-6)
    with pytest.raises(CannotExport, match="--format native"):
        onnx_of(built.draft.package())


@pytest.mark.parametrize(
    "document",
    [
        {"combination": {"method": "mean"}, "parts": [""]},
        {"combination": {"method": "mean"}, "parts": ["", ""]},
        {"combination": {"method": "mean"}, "parts": ["part0.", "part0."]},
        {"combination": {"method": "weights", "weights": [1.0]}, "parts": ["part0.", "part1."]},
        {
            "combination": {"method": "stack", "coefficients": [[1.0]], "intercepts": [1.0]},
            "parts": ["part0.", "part1."],
        },
        {"combination": {"method": "product"}, "parts": ["part0.", "part1."]},
        {"combination": {"method": "mean"}, "parts": ["part0.", "part7."]},
    ],
)
def test_a_document_that_does_not_fit_its_parts_is_refused(two: Parts, document: Any) -> None:
    content = {**nested([part.package for part in two.parts], Combination(method="mean"))}
    content |= {FILE: encoded(document), "signature.json": encoded(two.signature)}
    content["model.json"] = encoded(ModelSpec(format="ensemble", file=FILE))
    with pytest.raises(PackageCorrupt):
        Model.load(Draft(content).package())


def test_a_blend_holds_no_part_that_runs_code_of_its_own(two: Parts) -> None:
    content = {**nested([part.package for part in two.parts], Combination(method="mean"))}
    content |= {
        "signature.json": encoded(two.signature),
        "model.json": encoded(ModelSpec(format="ensemble", file=FILE)),
    }
    assert Model.load(Draft(content).package()).signature == two.signature
    content["part1.signature.json"] = encoded(
        msgspec.structs.replace(two.parts[1].model.signature, inputs=(Column(name="other", type="number"),))
    )
    with pytest.raises(PackageCorrupt, match="does not fit its parts"):
        Model.load(Draft(content).package())
    content["part1.model.json"] = b'{"format": "pickle", "file": "model.onnx"}'
    with pytest.raises(PackageCorrupt):
        Model.load(Draft(content).package())
