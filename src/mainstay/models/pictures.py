"""Encoded pictures as tensors: PNG and JPEG, decoded by Pillow (the extra `images`), never resized or guessed at."""

from __future__ import annotations

import io
import warnings

import numpy as np

from mainstay.errors import MissingExtra
from mainstay.models.refusing import InputError, place
from mainstay.models.tensors import Array, Tensor

FORMATS = ("PNG", "JPEG")


def decoded(tensor: Tensor, data: bytes, row: int = 0, rows: int = 1) -> Array:
    """The numbers of one picture: the tensor's shape and type.

    Args:
        tensor: has an `image`, and fixed sizes.
        data: the file's bytes.
        row, rows: where it stands in the request.

    Raises:
        InputError: no PNG or JPEG, a damaged one, or one of another size or mode.
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("A picture", "images", "pillow") from error
    image = tensor.image
    assert image is not None

    def refuse(what: str) -> InputError:
        return InputError(f"{place(row, rows)}tensor {tensor.name!r}: {what}.", column=tensor.name, row=row)

    shape = [int(size) for size in tensor.shape]
    sizes = dict(zip(image.layout, shape, strict=True))
    try:
        with warnings.catch_warnings():
            # The size is checked before anything is decoded, so that a bomb never goes off.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                if (picture.height, picture.width) != (sizes["H"], sizes["W"]):
                    raise refuse(
                        f"the picture is {picture.width} wide and {picture.height} high, and the model takes "
                        f"{sizes['W']} by {sizes['H']}: resize it as you did in training"
                    )
                if picture.mode != image.mode:
                    raise refuse(
                        f"the picture is of mode {picture.mode!r}, and the model takes {image.mode!r}: convert it"
                    )
                pixels = np.asarray(picture)
    except UnidentifiedImageError:
        raise refuse("these bytes are no PNG or JPEG") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow's decoders raise
        raise refuse(f"the picture cannot be decoded ({error})") from error
    numbers = pixels.astype(np.float64) * image.scale + image.offset
    if image.layout == "CHW":
        numbers = np.moveaxis(numbers.reshape(sizes["H"], sizes["W"], -1), 2, 0)
    return numbers.reshape(shape).astype(tensor.numpy)
