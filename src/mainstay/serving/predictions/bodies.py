"""The body of `POST /labels`, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from mainstay.serving.bodies import ID_PATTERN
from mainstay.serving.predictions.joining import COUNTED, REPEATED, SAME_REQUEST, UNKNOWN
from mainstay.serving.predictions.messages import Label, Labels
from mainstay.serving.protocols.codec import Problem
from mainstay.serving.strict import BadBody, decoded

MOST = 2_000
"""Labels of one request."""
LONGEST = 128
"""Characters of a label."""
_FORM = 'Send {"id": "…", "row": 0, "value": …}, or {"labels": [{…}, …]} with up to 2,000 of them.'


class _Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
    value: bool | int | float | Annotated[str, msgspec.Meta(max_length=LONGEST)]
    row: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)] | Annotated[float, msgspec.Meta(ge=0, lt=1 << 32)] = 0

    def __post_init__(self) -> None:
        if self.row != int(self.row):
            raise ValueError("a row is a whole number")  # of which 2.0 is one in JSON


class _Several(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: Annotated[list[_Label], msgspec.Meta(min_length=1, max_length=MOST)]


def labels_in(model: str, body: bytes) -> Labels:
    """The labels of a body, one or many.

    Raises:
        Problem: it is no JSON, or does not fit.
    """
    try:
        said = decoded(body, forms="")
        several = isinstance(said, dict) and "labels" in said
        found = msgspec.convert(said, _Several).labels if several else [msgspec.convert(said, _Label)]
    except BadBody as error:
        raise Problem(400, f"{str(error).rstrip()} {_FORM}") from None
    except msgspec.ValidationError as error:
        raise Problem(400, f"The labels cannot be read: {error}. {_FORM}") from None
    return Labels(model, [Label(each.id, int(each.row), each.value) for each in found])


def told(labels: Labels, became: Sequence[int]) -> bytes:
    """What became of labels: how many were counted, how many had been before or belong to a request that counts by
    another row, and those of rows that nobody knows."""
    unknown: list[dict[str, Any]] = [
        {"id": label.id, "row": label.row}
        for label, outcome in zip(labels.labels, became, strict=True)
        if outcome == UNKNOWN
    ]
    kinds = {"counted": COUNTED, "repeated": REPEATED, "same_request": SAME_REQUEST}
    return msgspec.json.encode({**{name: became.count(kind) for name, kind in kinds.items()}, "unknown": unknown})
