"""The package of an encoder and an estimator: proven, or kept as it is with what differed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

from mainstay.models import package as files
from mainstay.models.answers import Answers
from mainstay.models.encoder import Affine, Block, Encoder, Impute, OneHot, Scale, compiled
from mainstay.models.formats.export import to_onnx
from mainstay.models.formats.native import native_answers
from mainstay.models.golden import GoldenMismatch
from mainstay.models.package import Decision, Draft
from mainstay.models.packaging import Built, ParityFailed, build
from mainstay.models.parity import Lineage, around, boundary_cells, compare, lineage, missing_cells, unseen_cells
from mainstay.models.profile import Histogram, profile_of
from mainstay.models.runtime import Model
from mainstay.models.signature import Cells, Column, Reader, Signature
from mainstay.models.synthetic import synthetic_rows

SIGNATURE = Signature(
    inputs=(
        Column(name="n", type="number", nullable=True, minimum=-3.0, maximum=3.0),
        Column(name="c", type="category", categories=("x", "y", "z")),
    ),
    task="binary",
    labels=("bad", "good"),
)


def cells(rows: int = 200, seed: int = 0) -> Cells:
    rng = np.random.default_rng(seed)
    numbers = np.column_stack([rng.normal(size=rows), rng.integers(0, 3, rows).astype(np.float64)])
    numbers[::17, 0] = np.nan
    return Cells(numbers, {})


ENCODER = Encoder(
    (Block((0,), (Impute((0.0,)), Scale((0.2,), (1.7,)))), Block((1,), (OneHot((3,)),))),
)


def fitted(estimator: Any) -> Any:
    features = compiled(ENCODER)(cells())
    return estimator.fit(features, (features[:, 0] + features[:, 1] > 0.3).astype(np.int64))


def built(estimator: Any, **further: Any) -> Built:
    return build(
        estimator=estimator, encoder=ENCODER, signature=SIGNATURE, cells=cells(90, 1), reference=cells(), **further
    )


def test_a_threshold_decides_the_labels_of_package_and_proof_alike() -> None:
    estimator = fitted(LogisticRegression())
    package = built(estimator, decision=Decision(positive=1, threshold=0.8), attestations={"note.txt": b"hello"})
    assert package.format == "onnx"
    assert package.draft.attestations["note.txt"] == b"hello"
    model = Model.load(package.draft.package())
    asked = cells(90, 1)
    good = estimator.predict_proba(compiled(ENCODER)(asked))[:, 1] >= 0.8
    np.testing.assert_array_equal(model.answer(asked).labels, good.astype(np.int64))
    assert model.package.golden.labels == model.answer(model.read.rows(model.package.golden.rows)).labels.tolist()


def test_the_encoder_in_the_package_casts_to_what_the_graph_takes() -> None:
    package = built(fitted(RandomForestClassifier(5, random_state=0)))
    assert package.draft.package().encoder == Encoder(ENCODER.blocks, (), "float32")
    assert package.parity.boundary.rows > 100


def test_a_graph_that_lies_is_not_served_and_the_package_says_by_how_much() -> None:
    estimator = fitted(LogisticRegression())
    liar = LogisticRegression().fit(compiled(ENCODER)(cells()), np.arange(200) % 2)
    package = built(estimator, graphs=[lambda: to_onnx(liar, width=4)])
    assert package.format == "skops"
    assert "The onnx model does not answer as the native one: on held-out rows" in package.reason
    assert package.draft.package().spec.reason == package.reason
    Model.load(package.draft.package(), trusted=package.untrusted).check_golden()


def test_a_graph_right_on_real_rows_and_wrong_on_a_threshold_is_found_out() -> None:
    estimator = fitted(RandomForestClassifier(5, random_state=0))
    exported = to_onnx(estimator, width=4)
    # The same forest behind a scaler that is off by less than any held-out row can tell.
    early = Encoder((Block((0,), (Impute((0.0,)), Scale((0.2 + 1e-9,), (1.7,)))), *ENCODER.blocks[1:]))
    encode = compiled(ENCODER)
    with pytest.raises(ParityFailed, match="on rows on thresholds"):
        build(
            estimator=estimator,
            encoder=early,
            signature=SIGNATURE,
            cells=cells(90, 1),
            reference=cells(),
            native=lambda asked: native_answers(estimator, encode(asked), SIGNATURE),
            graphs=[lambda: exported],
        )


def test_golden_predictions_of_another_model_do_not_pass() -> None:
    package = built(fitted(LogisticRegression()))
    other = built(fitted(LogisticRegression(C=0.01)))
    content = {**package.draft.content, files.GOLDEN: other.draft.content[files.GOLDEN]}
    with pytest.raises(GoldenMismatch):
        Model.load(Draft(content).package()).check_golden()


def test_answers_that_miss_a_number_do_not_agree() -> None:
    one = Answers(values=np.array([1.0, np.nan]))
    assert compare(one, one).holds
    assert not compare(Answers(values=np.array([1.0, 2.0])), one).holds
    assert not compare(Answers(labels=np.array([0, 1])), Answers(labels=np.array([0, 0]))).holds
    missing = Answers(labels=np.array([0]))
    assert not compare(missing, Answers(labels=np.array([0]), probabilities=np.array([[1.0, 0.0]]))).holds


@given(
    center=st.floats(-1e3, 1e3),
    divisor=st.floats(1e-3, 1e3),
    factor=st.floats(0.01, 100),
    threshold=st.floats(-1e3, 1e3),
)
def test_a_threshold_is_followed_back_to_the_cell_that_reaches_it(
    center: float, divisor: float, factor: float, threshold: float
) -> None:
    encoder = Encoder((Block((0,), (Scale((center,), (divisor,)), Affine((factor,), (0.5,)))),))
    (path,) = lineage(encoder, SIGNATURE)
    assert isinstance(path, Lineage)
    found = compiled(encoder)(Cells(np.array([[path.back(threshold), 0.0]]), {}))[0, 0]
    scale = max(abs(threshold), abs(center / divisor * factor), 1.0)
    assert abs(found - threshold) <= 1e-13 * scale


def test_boundary_rows_meet_each_threshold_and_its_neighbours() -> None:
    encoder = Encoder((Block((1, 0)),))
    paths = lineage(encoder, SIGNATURE)
    assert paths == (None, Lineage(0))
    found = boundary_cells(cells(), paths, {1: np.array([0.5, 2.0])}, limit=100, seed=0)
    assert sorted(found.numbers[:, 0].tolist()) == sorted([*around(0.5), *around(2.0)])


def test_rows_with_missing_and_unseen_values_touch_only_what_may_be_so() -> None:
    missing, unseen = missing_cells(cells(), SIGNATURE), unseen_cells(cells(), SIGNATURE)
    assert np.isnan(missing.numbers[:, 0]).all()
    assert not np.isnan(missing.numbers[:, 1]).any()
    assert (unseen.numbers[:, 1] == -1).all()
    closed = Signature(inputs=(Column(name="c", type="category", categories=("x",), closed=True),), task="regression")
    assert len(unseen_cells(Cells(np.zeros((3, 1)), {}), closed)) == 0


def test_synthetic_rows_hold_thresholds_fit_the_signature_and_repeat_by_seed() -> None:
    near = np.array([0.123456789])
    rows = synthetic_rows(SIGNATURE, 40, reference=cells(), thresholds={0: near}, seed=5)
    assert rows == synthetic_rows(SIGNATURE, 40, reference=cells(), thresholds={0: near}, seed=5)
    assert rows != synthetic_rows(SIGNATURE, 40, reference=cells(), thresholds={0: near}, seed=6)
    assert len(Reader(SIGNATURE).rows(rows)) == 40
    values = {row["n"] for row in rows}
    assert values & set(around(0.123456789))
    assert None in values


def test_no_synthetic_row_is_one_of_the_reference_unless_nothing_else_is_left() -> None:
    whole = Signature(inputs=(Column(name="k", type="number", minimum=0, maximum=3),), task="regression")
    reference = Cells(np.array([[0.0], [1.0], [3.0]]), {})
    assert {row["k"] for row in synthetic_rows(whole, 10, reference=reference)} == {2}
    full = Cells(np.arange(4.0).reshape(-1, 1), {})
    assert len(synthetic_rows(whole, 10, reference=full)) == 1


@given(values=arrays.arrays(np.float64, st.integers(0, 300), elements=st.floats(-1e9, 1e9)))
def test_a_profile_counts_every_row_once(values: Any) -> None:
    signature = Signature(inputs=(Column(name="n", type="number"),), task="regression")
    profile = profile_of(Cells(values.reshape(-1, 1), {}), signature, Answers(values=values))
    for histogram in (profile.columns[0].histogram, profile.predictions.values):
        assert isinstance(histogram, Histogram)
        assert sum(histogram.counts) == len(values)
        assert len(histogram.counts) == len(histogram.edges) + 1
        assert all(a < b for a, b in zip(histogram.edges, histogram.edges[1:], strict=False))


def test_a_profile_of_texts_holds_their_lengths_alone() -> None:
    signature = Signature(inputs=(Column(name="t", type="text", nullable=True),), task="regression")
    texts = ["secret", None, "", "another secret that is longer"]
    profile = profile_of(Cells(np.full((4, 1), np.nan), {0: texts}), signature, Answers(values=np.zeros(4)))
    assert (profile.columns[0].missing, profile.columns[0].histogram.counts[:4]) == (1, (1, 0, 1, 0))
    assert b"secret" not in files.encoded(profile)


def test_an_estimator_is_asked_in_double_precision() -> None:
    signature = Signature(inputs=(Column(name="n", type="number"),), task="regression")
    X = np.array([[1.0], [1.0 + 1e-12]])
    model = LinearRegression().fit(StandardScaler().fit_transform(X), [0.0, 1e12])
    values = native_answers(model, np.array([[0.0], [1e-12]]), signature).values
    assert values[0] != values[1]
