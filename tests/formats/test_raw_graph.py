"""A graph with raw columns: each step of the encoder in ONNX answers as the encoder itself."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import onnx
import pytest
from exporting import session
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from examples import examples
from mainstay.models.encoder import (
    Affine,
    Bins,
    Block,
    Clip,
    DateParts,
    Encoder,
    Function,
    Impute,
    Lookup,
    Match,
    MissingFlag,
    OneHot,
    Scale,
    Select,
    Single,
    compiled,
)
from mainstay.models.formats.encoder_nodes import write_step
from mainstay.models.formats.export import CannotExport, to_onnx
from mainstay.models.formats.graph import Graph, Output
from mainstay.models.formats.raw_graph import raw_graph
from mainstay.models.signature import Cells, Column, Reader, Signature
from mainstay.models.text import TextTerms

ALL_PARTS = ("year", "month", "day", "weekday", "hour", "minute", "day_of_year", "days")
SIGNATURE = Signature(
    inputs=(
        Column(name="age", type="number", nullable=True),
        Column(name="n1", type="boolean"),
        Column(name="purpose", type="category", categories=("car", "rent", "-", "10"), nullable=True),
        Column(name="_at", type="datetime", nullable=True),
        Column(name="income", type="number", nullable=True),
    ),
    task="binary",
    labels=(0, 1),
    missing_tokens=("?", "-"),
)
ENCODER = Encoder(
    blocks=(
        Block((0, 4), (Clip((0.0, None), (90.0, 1e5)), Impute((40.0, 10.0)), Scale((40.0, 7.0), (12.5, 3.0)))),
        Block((4, 0), (MissingFlag(),)),
        Block((1,)),
        Block((2,), (OneHot((4,)),)),
        Block((2,), (Lookup(((0.5, None, 2.0, 3.0),), (-7.0,), (None,)), Impute((9.0,)))),
        Block((3,), (DateParts(ALL_PARTS), Impute((0.0,) * 8))),
    ),
)


def records(rows: int, seed: int = 0) -> list[dict]:
    random = np.random.default_rng(seed)

    def maybe(value):
        return None if random.random() < 0.15 else value

    return [
        {
            "age": maybe(float(random.normal(40, 40))),
            "n1": bool(random.random() < 0.5),
            "purpose": maybe(str(random.choice(["car", "rent", "10", "boat", "?", "-", ""]))),
            "_at": maybe(datetime.fromtimestamp(int(random.integers(-(10**10), 10**10)), UTC).isoformat()),
            "income": maybe(float(random.normal() * 10)),
        }
        for _ in range(rows)
    ]


def feeds(rows: list[dict], cells: Cells) -> dict[str, np.ndarray]:
    """What a caller without Mainstay sends: doubles, and texts for categories."""
    found = {}
    for index, column in enumerate(SIGNATURE.inputs):
        if column.type == "category":
            found[column.name] = np.array([[row[column.name] or ""] for row in rows], dtype=object)
        else:
            found[column.name] = cells.numbers[:, [index]]
    return found


def cells_of(rows: list[dict]) -> Cells:
    # The reader takes "" for a category never seen, and a graph for a missing one: it has no other word for it.
    return Reader(SIGNATURE).rows([row | {"purpose": row["purpose"] or None} for row in rows])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_raw_columns_give_what_encoder_and_model_give(dtype):
    rows = records(300)
    cells = cells_of(rows)
    encoder = Encoder(ENCODER.blocks, dtype=dtype)
    features = compiled(encoder)(cells)
    score = features[:, 0] - features[:, 6]
    if dtype == "float64":
        model = HistGradientBoostingClassifier(max_iter=10).fit(features, score > np.median(score))
    else:
        model = RandomForestRegressor(n_estimators=10).fit(features, score)
    exported = to_onnx(model, width=encoder.width)
    graph = raw_graph(SIGNATURE, encoder, exported)
    onnx.checker.check_model(onnx.load_model_from_string(graph), full_check=True)
    assert graph == raw_graph(SIGNATURE, encoder, exported)
    served, split = session(graph), session(exported.graph)
    assert [entry.name for entry in served.get_inputs()] == list(SIGNATURE.names)
    names = [entry.name for entry in split.get_outputs()]
    for raw, part in ((rows, features), (rows[:1], features[:1])):
        found = served.run(names, feeds(raw, cells_of(raw)))
        for a, b in zip(found, split.run(names, {"features": part}), strict=True):
            assert np.array_equal(a, b)


NUMBERS = st.floats(-1e12, 1e12) | st.sampled_from([np.nan, 0.0, -0.0, 1.0, 2.0, 1e-12, -1e-12])
CODES = st.sampled_from([np.nan, -1.0, 0.0, 1.0, 2.0, 3.0, 9.0])
STEPS = [
    (Impute((1.5, -2.0)), NUMBERS),
    (MissingFlag(), NUMBERS),
    (Clip((0.0, None), (None, 3.0)), NUMBERS),
    (Clip((None, None), (2.0, 3.0)), NUMBERS),
    (Scale((0.1, 5.0), (3.0, 7.0)), NUMBERS),
    (Affine((0.1, 5.0), (3.0, 7.0)), NUMBERS),
    (Match(((2.0, 0.0), (1.0,))), CODES),
    (Lookup(((0.1, None), (1.0, 2.0, 3.0)), (-5.0, None), (None, 8.0)), CODES),
    (OneHot((3, 2)), CODES),
    (OneHot((1, 0)), CODES),
    (Bins(((0.0, 1.0, 2.0), (1.0,))), NUMBERS),
    (DateParts(ALL_PARTS), st.floats(-6e10, 2.5e11) | st.just(np.nan)),
    (DateParts(("day",)), st.integers(-62_135_596_800, 253_402_300_799).map(float)),
    (Single(), NUMBERS),
    (Select((1, 0, 1)), NUMBERS),
    (Function("sqrt"), NUMBERS),
    (Function("square"), NUMBERS),
    (Function("abs"), NUMBERS),
]


@pytest.mark.parametrize(("step", "values"), STEPS, ids=lambda case: str(case)[:50])
@settings(max_examples=examples(25), deadline=None)
@given(draw=st.data())
def test_each_step_is_exact(step, values, draw):
    rows = np.array(draw.draw(st.lists(st.tuples(values, values), min_size=1, max_size=9)), dtype=np.float64)
    assert np.array_equal(*both(step, rows), equal_nan=True)


@pytest.mark.parametrize("name", ["log", "log1p", "log2", "log10", "exp", "expm1"])
def test_functions_agree_but_for_the_last_digit(name):
    rows = np.array([-1.0, -0.5, 0.0, 1e-300, -1e-18, 1e-18, 1e-9, 0.3, 1.0, 7.0, 700.0, 800.0, -800.0, 1e300, np.nan])
    found, expected = both(Function(name), rows.reshape(-1, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def both(step, rows):
    """A step on rows (n, width): as ONNX, and as the encoder has it."""
    width = rows.shape[1]
    encoder = Encoder((Block(tuple(range(width)), (step,)),))
    graph = Graph()
    x = graph.features("x", width, "float64").name
    model = graph.model([Output(write_step(graph, x, width, step), "y", "float64", ("rows", encoder.width))])
    (found,) = session(model).run(["y"], {"x": rows})
    with np.errstate(all="ignore"):
        return found, compiled(encoder)(Cells(rows, {}))


def test_what_onnx_cannot_do_exactly_is_refused():
    X = np.random.default_rng(0).normal(size=(60, 1)) + 5
    y = (X[:, 0] > 5).astype(int)
    numbers = Signature(inputs=(Column(name="x", type="number"),), task="binary", labels=(0, 1))
    linear = to_onnx(LogisticRegression().fit(X, y), width=1)
    trees = to_onnx(HistGradientBoostingClassifier(max_iter=2).fit(X, y), width=1)
    logarithm = Encoder((Block((0,), (Function("log"),)),))
    assert raw_graph(numbers, logarithm, linear)
    refused = [
        (numbers, logarithm, trees, "log of a value that the model splits on"),
        (numbers, Encoder((TextTerms(column=0, vocabulary=("a",)),)), linear, "text column"),
        (numbers, Encoder((Block((0,)),), dtype="float32"), linear, "gives float32"),
        (
            Signature(inputs=(Column(name="label", type="number"),), task="binary", labels=(0, 1)),
            Encoder((Block((0,)),)),
            linear,
            "'label' cannot be an input",
        ),
    ]
    for signature, encoder, exported, reason in refused:
        with pytest.raises(CannotExport, match=reason):
            raw_graph(signature, encoder, exported)


def test_an_empty_text_that_is_a_category_stays_one():
    signature = Signature(inputs=(Column(name="c", type="category", categories=("a", "")),), task="regression")
    encoder = Encoder((Block((0,), (OneHot((2,)),)),))
    model = LinearRegression().fit(np.eye(2), [1.0, 2.0])
    run = session(raw_graph(signature, encoder, to_onnx(model, width=2)))
    (found,) = run.run(["value"], {"c": np.array([["a"], [""], ["b"]], dtype=object)})
    expected = model.predict([[1, 0], [0, 1], [0, 0]])
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-12)
