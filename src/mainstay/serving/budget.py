"""What one request may become in memory.

A body is bounded in bytes, but little of it can say much: a shape of a thousand million rows that have no values, or
rows of one value each for a model that answers a thousand. So the numbers of a request and its answers are bounded too.
"""

from __future__ import annotations

from math import prod

from mainstay.errors import MainstayError
from mainstay.models.signature import Signature
from mainstay.models.tensors import Tensor

PER_BYTE = 2
"""Numbers that a request and its answers may have for each byte that its body may have: of an honest body, a number
has a byte at least, and there is as much room again for the answers."""


class TooManyRows(MainstayError):
    """More rows than a model is asked at once."""

    def __init__(self, rows: int, at_most: int) -> None:
        super().__init__(
            f"The request has {rows} rows, and this server answers {at_most} of this model at a time: send fewer at a "
            "time, or raise [serve] max_body, which this follows."
        )


def most_rows(signature: Signature, max_body: int) -> int:
    """How many rows a request may have, at least one.

    Args:
        signature: of the model; a size that differs from request to request counts as one.
        max_body: bytes of the largest body.
    """
    tensors = sum(map(_numbers, (*signature.tensors, *signature.outputs)))
    return max(1, PER_BYTE * max_body // (len(signature.inputs) + tensors + max(1, len(signature.labels))))


def check(rows: int, signature: Signature, max_body: int) -> None:
    """Refuses a request that has more rows than it may.

    Raises:
        TooManyRows: it has.
    """
    at_most = most_rows(signature, max_body)
    if rows > at_most:
        raise TooManyRows(rows, at_most)


def _numbers(tensor: Tensor) -> int:
    return prod(size for size in tensor.shape if isinstance(size, int))
