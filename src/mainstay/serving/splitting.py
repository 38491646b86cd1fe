"""Who answers a request while a candidate is tried: exact shares by an urn, or by a key of the caller's. Pure.

An urn of 10,000 lots, of which as many win as the share has ten-thousandths, is drawn empty before it is filled again.
So a share is exact to one filling, and nobody can tell which request will be the candidate's. A sticky share is decided
by a keyed hash alone: the same on every worker and machine, and whoever is in a share stays in a larger one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b
from random import random

from mainstay.models.signature import Cells, Signature
from mainstay.registry.plans import WHOLE

_SPACE = 1 << 64


class Urn:
    """The lots of one worker."""

    __slots__ = ("_left", "_random", "_share", "_wanted")

    def __init__(self, share: int, chance: Callable[[], float] = random) -> None:
        """`share` in ten-thousandths; `chance` gives numbers in [0, 1)."""
        self._share, self._random = share, chance
        self._left = self._wanted = 0

    def draw(self) -> bool:
        """Whether the next request is in the share."""
        if not self._left:
            self._left, self._wanted = WHOLE, self._share
        won = self._random() * self._left < self._wanted
        self._left -= 1
        self._wanted -= won
        return won


def place_of_key(rollout: str, key: bytes) -> int:
    """Where a caller's key stands in a rollout: evenly in [0, 2**64), by BLAKE2b keyed with the rollout's id."""
    secret = blake2b(rollout.encode(), digest_size=32).digest()
    return int.from_bytes(blake2b(key, key=secret, digest_size=8).digest(), "big")


def in_share(place: int, share: int) -> bool:
    """Whether a place is within a share, in ten-thousandths; it then is in every larger one."""
    return place * WHOLE < share * _SPACE


def key_of_header(value: str | None) -> bytes | None:
    """The key that a header gives; None: no header, or an empty one."""
    return value.encode(errors="surrogateescape") if value else None


def key_of_field(signature: Signature, field: str) -> Callable[[Cells], bytes | None]:
    """What gives the key of a request by the value of an input column in its first row; None where that is missing, or
    where there is no row.

    The value is taken as the signature reads it, so that 7, 7.0 and "7" of a number's or category's column are one key
    in every protocol.

    Raises:
        ValueError: the signature has no such column.
    """
    names = [column.name for column in signature.inputs]
    index = names.index(field)
    if signature.inputs[index].type == "text":

        def text(cells: Cells) -> bytes | None:
            value = cells.texts[index][0] if len(cells) else None
            return None if value is None else value.encode(errors="surrogatepass")

        return text

    def number(cells: Cells) -> bytes | None:
        value = float(cells.numbers[0, index]) if len(cells) else math.nan
        return None if math.isnan(value) else repr(value + 0.0).encode()  # -0.0 + 0.0 is 0.0

    return number


def has_turn(worker: int, workers: int, share: int) -> bool:
    """Whether it is a worker's turn in a rolling update, of which a share (ten-thousandths) of the workers, rounded up,
    have the candidate: those with the lowest numbers, from 0."""
    return worker * WHOLE < share * workers
