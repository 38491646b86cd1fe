"""What is kept of an answered row, and of a label that was joined with it: records of a fixed size."""

from __future__ import annotations

import struct
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mainstay.models.answers import Answers

FOLDER = "predictions"
"""In the project's state folder: a folder for each rollout. It outlives the run, as labels come when they come."""
KEPT, LABELS = ".kept", ".labels"

PREDICTED = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("row", "<u4"), ("arm", "u1"), ("step", "u1"), ("spare", "<u2"), ("said", "<f8")]
)
"""A row that was answered: the hash of its prediction id, and the index of the label, or the number."""
JOINED = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("row", "<u4"), ("arm", "u1"), ("step", "u1"), ("wrong", "u1"), ("spare", "u1")]
)
"""A row whose outcome came."""
_ONE = struct.Struct("<16sIBBHd")
_KEY = struct.Struct("<QQ")

Place = tuple[int, int, int]
"""A row: the halves of its key, and its index."""


def key_of(identity: str) -> bytes:
    """16 bytes that stand for a prediction id."""
    return blake2b(identity.encode(), digest_size=16).digest()


def halves(key: bytes) -> tuple[int, int]:
    """A key as a record has it."""
    high, low = _KEY.unpack(key)
    return high, low


def key_from(high: int, low: int) -> bytes:
    """A key from its halves."""
    return _KEY.pack(high, low)


def mark(key: bytes, arm: int) -> bytes:
    """A request as one version answered it, for a set of very many."""
    return key + bytes((arm,))


def packed(identity: str, arm: int, step: int, answers: Answers) -> bytes:
    """The records of a request's rows; none of a general model, whose outputs are no label and no number."""
    said = answers.values if answers.labels is None else answers.labels
    if said is None or not len(said):
        return b""
    key = key_of(identity)
    if len(said) == 1:
        return _ONE.pack(key, 0, arm, step, 0, float(said[0]))
    records = np.zeros(len(said), PREDICTED)
    records["high"], records["low"] = halves(key)
    records["row"], records["arm"], records["step"], records["said"] = np.arange(len(said)), arm, step, said
    return records.tobytes()


def minute_in(identity: str) -> int | None:
    """The minute since 1970 in which a UUIDv7 was made, as ours are; None: it is another kind of id."""
    plain = identity.replace("-", "")
    if len(plain) != 32 or plain[12] != "7":
        return None
    try:
        return int(plain[:12], 16) // 60_000
    except ValueError:
        return None


def folder_of(run: Path, rollout: str) -> Path:
    """Where the workers of a run keep what they answered; a run's folder is two below the project's state."""
    return run.parent.parent / FOLDER / rollout
