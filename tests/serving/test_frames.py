"""What a worker and a host say to each other comes back as it was."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells
from mainstay.serving.frames import Ask, Told

ARRAYS = {
    "pixels": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "half": np.array([[1.5], [2.5]], dtype=np.float16),
    "words": np.array([["a"], ["ü"]], dtype=object),
    "blobs": np.array([b"\x00\xff", b""], dtype=object),
    "big": np.array([1, 2], dtype=">i4"),
    "none": np.empty((2, 0), dtype=np.float32),
}


def _again(document):
    return msgspec.msgpack.decode(msgspec.msgpack.encode(document), type=type(document))


@pytest.mark.parametrize("name", ARRAYS)
def test_tensors_come_back_as_they_were(name):
    given = Cells(np.array([[1.0, np.nan], [2.0, 3.0]]), {1: ["x", None]}, {name: ARRAYS[name]})
    back = _again(Ask.of(7, given)).cells()
    np.testing.assert_array_equal(back.numbers, given.numbers)
    np.testing.assert_array_equal(back.tensors[name], ARRAYS[name])
    assert back.tensors[name].dtype.kind == ARRAYS[name].dtype.kind
    assert back.texts == given.texts


def test_outputs_come_back_as_they_were():
    told = _again(Told.of(7, Answers(outputs=ARRAYS)))
    assert told.answers().outputs.keys() == ARRAYS.keys()
    for name, array in told.answers().outputs.items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_probabilities_come_back_as_they_were():
    given = Answers(labels=np.array([1, 0]), probabilities=np.array([[0.1, 0.9], [0.7, 0.3]]))
    back = _again(Told.of(1, given)).answers()
    np.testing.assert_array_equal(back.probabilities, given.probabilities)
    np.testing.assert_array_equal(back.labels, given.labels)
    assert back.values is None
    assert back.outputs is None
