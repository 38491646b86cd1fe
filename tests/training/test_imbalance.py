from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.training.imbalance import balance, balanced_weights, oversampled

classes = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(lambda y: np.array(y, dtype=np.int64))


@given(classes)
def test_weights_give_each_class_the_same_say(y):
    weights = balanced_weights(y)
    sums = [weights[y == label].sum() for label in np.unique(y)]
    assert sums == pytest.approx([sums[0]] * len(sums))
    assert weights.mean() == pytest.approx(1)


@given(classes, st.integers(0, 5))
def test_oversampling_keeps_every_row_and_evens_out_the_classes(y, seed):
    rows = oversampled(y, seed=seed)
    assert rows[: len(y)].tolist() == list(range(len(y)))
    counts = np.bincount(y[rows])
    assert set(counts[counts > 0]) == {np.bincount(y).max()}
    assert np.array_equal(rows, oversampled(y, seed=seed))


def test_nothing_is_done_unless_asked_for():
    found = balance(np.array([0, 0, 1]), "none", seed=0)
    assert found.rows is None
    assert found.weights is None
