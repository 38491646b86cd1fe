"""Tensors: read exactly, or refused with the place, the value and what was expected."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mainstay.models.signature import Cells, Column, InputError, Reader, Signature, SignatureError
from mainstay.models.tensors import Image, Tensor, empty, plain, read, with_images

NUMBERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")


@st.composite
def _tensors(draw):
    dtype = draw(st.sampled_from([*NUMBERS, "bool"]))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    rows = draw(st.integers(1, 4))
    elements = None
    if dtype.startswith("float"):
        elements = {"allow_nan": False, "allow_infinity": False}
    elif dtype.endswith("64"):
        elements = None
    array = draw(hnp.arrays(np.dtype(dtype), (rows, *shape), elements=elements))
    return Tensor(name="x", dtype=dtype, shape=shape), array


@given(_tensors())
def test_what_json_carries_comes_back_as_it_was(case):
    tensor, array = case
    back = read(tensor, plain(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back.reshape(array.shape), array)


@given(_tensors())
def test_an_array_is_read_as_its_lists_are(case):
    tensor, array = case
    np.testing.assert_array_equal(read(tensor, array), array)
    np.testing.assert_array_equal(read(tensor, list(array)), array)


F = Tensor(name="x", dtype="float32", shape=(2, 2))
I8 = Tensor(name="x", dtype="int8", shape=(2,))


@pytest.mark.parametrize(
    ("tensor", "values", "said"),
    [
        (F, [[[1, 2], [3]]], "got 1 values where 2 belong"),
        (F, [[[1, 2], [3, 4]], [[1, 2], 3]], "row 1, tensor 'x': got 3"),
        (F, [[[1, 2], [3, "4"]]], "got '4', expected float32 of shape"),
        (F, [[[1, 2], [3, True]]], "got true"),
        (F, [[[1, 2], [3, None]]], "got null"),
        (F, [[[1, 2], [3, 1e39]]], "a number that float32 can hold"),
        (F, [[[1, 2], [3, float("nan")]]], "a finite number"),
        (F, [[[1, 2], [3, 2**53 + 1]]], "holds exactly"),
        (F, np.zeros((3, 2)), "got the shape"),
        (F, [[[[1]], [[2]]]], "where 2 belong"),
        (F, [{"b64": "AA=="}], "got an object"),
        (I8, [[1, 128]], "-128 to 127"),
        (I8, [[1, 1.0]], "an integer"),
        (I8, [[1, True]], "an integer"),
        (I8, [[1, 2**70]], "-128 to 127"),
        (I8, np.array([[1, 200]]), "-128 to 127"),
        (I8, np.array([[1.0, 2.0]]), "expected integers"),
        (Tensor(name="x", dtype="bool"), [1], "true or false"),
        (Tensor(name="x", dtype="text"), [1], "text"),
        (Tensor(name="x", dtype="bytes"), ["AA=="], "base64"),
        (Tensor(name="x", dtype="bytes"), [{"b64": "A"}], "cannot be read"),
        (Tensor(name="x", dtype="float64"), np.array([2**53 + 1]), "holds exactly"),
        (Tensor(name="x", dtype="float32", shape=("n",)), [np.zeros(2), np.zeros(3)], "the same shape"),
    ],
)
def test_what_does_not_fit_is_refused(tensor, values, said):
    with pytest.raises(InputError, match=said) as caught:
        read(tensor, values)
    assert caught.value.column == "x"


def test_bytes_and_texts():
    assert read(Tensor(name="x", dtype="bytes"), [{"b64": "AP8="}, b"x"]).tolist() == [b"\x00\xff", b"x"]
    assert read(Tensor(name="x", dtype="text", shape=(2,)), [["a", "ü"]]).tolist() == [["a", "ü"]]
    assert plain(np.array([b"\x00\xff"], dtype=object)) == [{"b64": "AP8="}]


TWO = Signature(
    inputs=(Column(name="age", type="number"),),
    tensors=(
        Tensor(name="ids", dtype="int64", shape=("time",)),
        Tensor(name="mask", dtype="bool", shape=("time",)),
    ),
    task="regression",
).checked()


def test_one_name_of_a_size_is_one_size():
    read_ = Reader(TWO)
    cells = read_.rows([{"age": 3, "ids": [1, 2], "mask": [True, False]}] * 2)
    assert cells.tensors["ids"].shape == (2, 2)
    assert len(cells) == 2
    with pytest.raises(InputError, match="'mask' has 3 for 'time', but 'ids' has 2"):
        read_.rows([{"age": 3, "ids": [1, 2], "mask": [True, False, True]}])
    with pytest.raises(InputError, match="'mask' is missing"):
        read_.rows([{"age": 3, "ids": [1, 2]}])


def test_columns_and_tensors_by_any_road():
    read_ = Reader(TWO)
    by_row = read_.rows([{"mask": [True], "age": 3, "ids": [1]}, {"age": 4, "ids": [2], "mask": [False]}])
    by_column = read_.columns({"ids": np.array([[1], [2]]), "mask": [[True], [False]], "age": [3, 4]})
    in_order = read_.matrix([[3, [1], [True]], [4, [2], [False]]])
    for cells in (by_column, in_order):
        np.testing.assert_array_equal(cells.numbers, by_row.numbers)
        for name in ("ids", "mask"):
            np.testing.assert_array_equal(cells.tensors[name], by_row.tensors[name])
    assert by_row.rows(slice(1, 2)).tensors["ids"].tolist() == [[2]]


def test_rows_of_tensors_alone_are_counted():
    assert len(Cells(np.empty((3, 0)), {}, {"x": np.zeros((3, 2))})) == 3
    assert empty(TWO.tensors[0]).shape == (0, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tensors": (Tensor(name="age", dtype="bool"),)}, "more than once"),
        ({"inputs": ()}, None),
        ({"inputs": (), "tensors": ()}, "at least one input"),
        ({"task": "general"}, "named outputs"),
        ({"outputs": (Tensor(name="y", dtype="bool"),)}, "named outputs"),
        ({"tensors": (Tensor(name="x", dtype="bool", shape=(-1,)),)}, "a size that is none"),
        (
            {"tensors": (Tensor(name="x", dtype="bool", shape=("a", "b"), image=Image(mode="L", layout="HW")),)},
            "fixed sizes",
        ),
    ],
)
def test_a_contradictory_signature_is_refused(changes, said):
    given_ = {"inputs": TWO.inputs, "tensors": TWO.tensors, "task": "regression", **changes}
    if said is None:
        assert Signature(**given_).checked()
        return
    with pytest.raises(SignatureError, match=said):
        Signature(**given_).checked()


# Pictures


def _png(array, form="PNG", **more):
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.fromarray(array).save(file, form, **more)
    return {"b64": base64.b64encode(file.getvalue()).decode()}


GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOURS = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7


@pytest.mark.parametrize(
    ("picture", "layout", "mode", "shape", "expected"),
    [
        (GRAY, "HW", "L", (3, 4), GRAY / 255),
        (GRAY, "HWC", "L", (3, 4, 1), GRAY[:, :, None] / 255),
        (GRAY, "CHW", "L", (1, 3, 4), GRAY[None] / 255),
        (COLOURS, "HWC", "RGB", (3, 4, 3), COLOURS / 255),
        (COLOURS, "CHW", "RGB", (3, 3, 4), np.moveaxis(COLOURS, 2, 0) / 255),
    ],
)
def test_a_picture_gives_the_numbers_of_training(picture, layout, mode, shape, expected):
    tensor = Tensor(name="x", dtype="float32", shape=shape, image=Image(mode=mode, layout=layout, scale=1 / 255))
    found = read(tensor, [_png(picture), _png(picture)])
    assert found.shape == (2, *shape)
    np.testing.assert_allclose(found[1], expected, atol=1e-7)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda: _png(GRAY.T.copy()), "3 wide and 4 high"),
        (lambda: _png(COLOURS), "mode 'RGB'"),
        (lambda: _png(GRAY, "GIF"), "no PNG or JPEG"),
        (lambda: {"b64": "AAAA"}, "no PNG or JPEG"),
        (lambda: {"b64": _png(GRAY)["b64"][:64]}, r"decoded|no PNG"),
    ],
)
def test_another_picture_is_refused(value, said):
    tensor = Tensor(name="x", dtype="float32", shape=(3, 4), image=Image(mode="L", layout="HW"))
    with pytest.raises(InputError, match=said):
        read(tensor, [value()])


def test_a_bomb_is_refused_before_it_is_decoded():
    pytest.importorskip("PIL")
    # A PNG header that claims 60,000 by 60,000 pixels, and holds none.
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    tensor = Tensor(name="x", dtype="float32", shape=(3, 4), image=Image(mode="L", layout="HW"))
    with pytest.raises(InputError, match=r"60000 wide|cannot be decoded"):
        read(tensor, [data])


def test_pictures_of_a_few_bytes_each_do_not_fill_the_memory():
    tensor = Tensor(name="x", dtype="float32", shape=(4096, 4096), image=Image(mode="L", layout="HW"))
    with pytest.raises(InputError, match="got 5 pictures, and 4 of this size are decoded at once"):
        read(tensor, [b"not looked at"] * 5)


def test_a_picture_of_no_input_is_told_which_there_are():
    with pytest.raises(InputError, match="'pic', which is no input of arrays: the model has 'x', 'mask'"):
        with_images(
            [Tensor(name="x", dtype="float32", shape=(2,)), Tensor(name="mask", dtype="bool", shape=())],
            {"pic": Image(mode="L", layout="HWC")},
        )
