"""Small versions to serve, made by hand: what they answer can be worked out on paper."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mainstay.models import package as files
from mainstay.models.encoder import Block, Encoder, Lookup
from mainstay.models.golden import Golden
from mainstay.models.package import Decision, Draft, ModelSpec, encoded
from mainstay.models.signature import Column, Signature

LOAN = Signature(
    inputs=(
        Column(name="age", type="number", minimum=18, maximum=90, typical=35.0),
        Column(name="amount", type="number", nullable=True, minimum=0, maximum=9000, typical=1000.0),
        Column(name="purpose", type="category", categories=("car", "radio/tv", "7"), typical="car"),
        Column(name="owner", type="boolean"),
        Column(name="since", type="datetime", nullable=True, typical="2020-01-31T12:00:00"),
    ),
    task="binary",
    target="class",
    labels=("bad", "good"),
    set_aside=("row_id",),
    missing_tokens=("?", "NA"),
)
WEIGHTS = (0.05, -0.001, 0.7, 0.4, 1e-10)
MISSING_AMOUNT, MISSING_SINCE = 500.0, 0.0
ROW = {"age": 35, "amount": 1200.5, "purpose": "radio/tv", "owner": True, "since": "2020-01-31T12:00:00"}
SECONDS = 1580472000.0
"""Of the row's date-time, since 1970."""


def good(amount: float | None, purpose: int, owner: bool, since: float | None, shift: float = 0.0) -> float:
    """The probability of "good" at 35: a logistic regression; a purpose is its position, -1 where unseen."""
    cells = (
        35.0,
        MISSING_AMOUNT if amount is None else amount,
        float(purpose),
        float(owner),
        MISSING_SINCE if since is None else since,
    )
    z = math.fsum(w * c for w, c in zip(WEIGHTS, cells, strict=True)) + shift
    return 1.0 / (1.0 + math.exp(-z))


GOOD = good(1200.5, 1, True, SECONDS)


def loan(*, shift: float = 0.0, wrong: bool = False, threshold: float = 0.5) -> Draft:
    """A logistic regression on mixed columns.

    Args:
        shift: added before the sigmoid, so that versions can be told apart.
        wrong: with golden predictions that it does not give.
    """
    rows = [
        ROW,
        {**ROW, "amount": None, "purpose": "boat"},
        {**ROW, "since": None, "purpose": "7", "owner": False},
    ]
    shares = [
        good(1200.5, 1, True, SECONDS, shift),
        good(None, -1, True, SECONDS, shift),
        good(1200.5, 2, False, None, shift),
    ]
    if wrong:
        shares[0] += 0.01
    golden = Golden(
        rows=rows,
        labels=[int(share >= threshold) for share in shares],
        probabilities=[[1.0 - share, share] for share in shares],
    )
    encoder = Encoder(
        blocks=(
            Block(columns=(0, 1)),
            Block(columns=(2,), steps=(Lookup(((0.0, 1.0, 2.0),), (-1.0,), (None,)),)),
            Block(columns=(3, 4)),
        )
    )
    spec = ModelSpec(format="onnx", file="model.onnx", decision=Decision(positive=1, threshold=threshold))
    return draft(LOAN, encoder, spec, golden, _sigmoid(WEIGHTS, shift, (0.0, MISSING_AMOUNT, 0.0, 0.0, MISSING_SINCE)))


def double() -> Draft:
    """A regression of one column: twice its value."""
    signature = Signature(
        inputs=(Column(name="x", type="number", minimum=0, maximum=10, typical=3.0),), task="regression", target="y"
    )
    encoder = Encoder(blocks=(Block(columns=(0,)),))
    golden = Golden(rows=[{"x": 0.5}, {"x": -3}], values=[1.0, -6.0])
    return draft(signature, encoder, ModelSpec(format="onnx", file="model.onnx"), golden, _linear((2.0,)))


def project_of_double(*, max_body: int) -> str:
    """The project file of `double`, whose servers take bodies of so many bytes at most."""
    return f"""\
name = "double"
target = "y"
task = "regression"
[data]
path = "rows.csv"
[columns]
x = "number"
[serve]
max_body = {max_body}
"""


def draft(signature: Signature, encoder: Encoder | None, spec: ModelSpec, golden: Golden, model: bytes) -> Draft:
    """The files of a version."""
    content = {
        files.SPEC: encoded(spec),
        files.SIGNATURE: encoded(signature),
        files.GOLDEN: encoded(golden),
        spec.file: model,
    }
    if encoder is not None:
        content[files.ENCODER] = encoded(encoder)
    return Draft(content=content)


def _sigmoid(weights, shift: float, missing) -> bytes:
    nodes = [
        helper.make_node("IsNaN", ["features"], ["absent"]),
        helper.make_node("Where", ["absent", "missing", "features"], ["whole"]),
        helper.make_node("MatMul", ["whole", "weights"], ["z"]),
        helper.make_node("Add", ["z", "shift"], ["shifted"]),
        helper.make_node("Neg", ["shifted"], ["negative"]),
        helper.make_node("Exp", ["negative"], ["power"]),
        helper.make_node("Add", ["power", "one"], ["divisor"]),
        helper.make_node("Div", ["one", "divisor"], ["good"]),
        helper.make_node("Sub", ["one", "good"], ["bad"]),
        helper.make_node("Concat", ["bad", "good"], ["probabilities"], axis=1),
    ]
    constants = {
        "missing": np.array([missing]),
        "weights": np.array(weights).reshape(-1, 1),
        "shift": np.array([[shift]]),
        "one": np.array([[1.0]]),
    }
    return _graph(nodes, constants, len(weights), ("probabilities", ["n", 2]))


def _linear(weights) -> bytes:
    nodes = [helper.make_node("MatMul", ["features", "weights"], ["value"])]
    return _graph(nodes, {"weights": np.array(weights).reshape(-1, 1)}, len(weights), ("value", ["n", 1]))


def _graph(nodes, constants, width: int, output) -> bytes:
    graph = helper.make_graph(
        nodes,
        "subject",
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["n", width])],
        [helper.make_tensor_value_info(output[0], TensorProto.DOUBLE, output[1])],
        [numpy_helper.from_array(np.asarray(values, dtype=np.float64), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def native(*, boosted: bool = False, strength: float = 1.0) -> Draft:
    """A scikit-learn classifier kept as it is: it runs in a host process. `boosted` needs types to be trusted."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    from mainstay.models.formats import skops

    rows = np.arange(160, dtype=np.float64).reshape(80, 2) / 4
    y = np.where(rows[:, 0] > 20, "high", "low")
    estimator = HistGradientBoostingClassifier(max_iter=3) if boosted else LogisticRegression(C=strength)
    estimator.fit(rows, y)
    signature = Signature(
        inputs=(Column(name="a", type="number", typical=1.0), Column(name="b", type="number", typical=2.0)),
        task="binary",
        labels=("high", "low"),
    )
    asked = [[1.0, 2.0], [30.0, 31.0]]
    golden = Golden(
        rows=[{"a": a, "b": b} for a, b in asked],
        labels=[("high", "low").index(label) for label in estimator.predict(asked)],
        probabilities=estimator.predict_proba(asked).tolist(),
    )
    encoder = Encoder(blocks=(Block(columns=(0, 1)),))
    spec = ModelSpec(format="skops", file=skops.FILE, reason="a test of host processes")
    return draft(signature, encoder, spec, golden, skops.save(estimator))


def linear_leaves() -> tuple[Draft, list[list[float]], list[float]]:
    """A LightGBM model that ONNX cannot hold, kept as LightGBM's own file; rows, and its own word on them."""
    import pandas as pd
    from lightgbm import LGBMClassifier

    from mainstay.models.formats.objects import Given
    from mainstay.models.registering import draft_of

    X = pd.DataFrame(np.random.default_rng(0).normal(size=(120, 2)), columns=["a", "b"])
    estimator = LGBMClassifier(n_estimators=4, linear_tree=True, min_child_samples=5, n_jobs=1, verbose=-1)
    estimator.fit(X, np.where(X["a"] * X["b"] > 0, "yes", "no"))
    built = draft_of(estimator, Given(X=X)).built
    assert built.format == "lightgbm"
    few = X.head(20)
    return built.draft, few.to_numpy().tolist(), estimator.predict_proba(few)[:, 1].tolist()
