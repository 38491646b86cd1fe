"""What the API's description says of tensors fits them."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.models.tensors import Image, Tensor, read
from mainstay.serving.tensor_schema import tensor_example

SHAPES = {("L", "HW"): (30, 20), ("L", "CHW"): (1, 30, 20), ("RGB", "HWC"): (30, 20, 3), ("RGBA", "CHW"): (4, 30, 20)}


@pytest.mark.parametrize(("kind", "shape"), SHAPES.items())
def test_the_example_of_a_large_picture_is_a_black_one(kind, shape):
    mode, layout = kind
    image = Image(mode=mode, layout=layout, scale=0.5, offset=-1.0)
    tensor = Tensor(name="x", dtype="float32", shape=shape, image=image)
    example = tensor_example(tensor)
    assert example.keys() == {"b64"}
    np.testing.assert_array_equal(read(tensor, [example]), np.full((1, *shape), -1.0, np.float32))


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint8", "float16", "float64", "text", "bytes"])
def test_the_example_of_a_small_tensor_fits_it(dtype):
    tensor = Tensor(name="x", dtype=dtype, shape=("steps", 3))
    assert read(tensor, [tensor_example(tensor)]).shape == (1, 1, 3)


def test_a_huge_picture_has_no_example_that_would_bury_the_page():
    image = Image(mode="RGB", layout="HWC")
    example = tensor_example(Tensor(name="x", dtype="uint8", shape=(40_000, 40_000, 3), image=image))
    assert example == {"b64": "a picture in base64"}
