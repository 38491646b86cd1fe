"""Writes answers as JSON bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Any

import msgspec

from mainstay.models.answers import Answers
from mainstay.models.runtime import rowwise
from mainstay.models.signature import Label, Signature

_encode = msgspec.json.Encoder().encode


def label_key(label: Label) -> str:
    """A label as the name of its probability in JSON: text as it is, true, false, or the integer's digits."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


class _Reply(msgspec.Struct):
    """A body, in the order in which it is written; of what is unset, nothing is."""

    prediction: Any
    probabilities: Any
    model: str
    id: str


class Replies:
    """Writes the answers of one version.

    `{"prediction": […], "probabilities": [{"good": 0.8, "bad": 0.2}, …], "model": "credit:3", "id": "…"}`; without
    the lists where one named row was asked; without `probabilities` where the model gives none. A prediction of a
    general model is an object with its outputs.
    """

    def __init__(self, signature: Signature, version: str) -> None:
        self._labels = signature.labels
        self._shares = _named([label_key(label) for label in signature.labels])
        self._version = version

    def write(self, answers: Answers, single: bool, identity: str) -> bytes:
        """The body of an answer; `single` is for exactly one row."""
        predictions = self._predictions(answers)
        shares: Any = msgspec.UNSET
        if answers.probabilities is not None:
            rows = list(starmap(self._shares, answers.probabilities.tolist()))
            shares = rows[0] if single else rows
        return _encode(_Reply(predictions[0] if single else predictions, shares, self._version, identity))

    def _predictions(self, answers: Answers) -> list[Any]:
        if answers.outputs is not None:
            return rowwise(answers.outputs)
        if answers.labels is None:
            return [] if answers.values is None else answers.values.tolist()
        labels = self._labels
        return [labels[index] for index in answers.labels.tolist()]


def _named(keys: Sequence[str]) -> Callable[..., Any]:
    """What gives the numbers of a row their names: a type that has them ready for JSON, twice as fast as a dict; and
    a dict where a name needs escapes."""
    fields = [f"c{index}" for index in range(len(keys))]
    try:
        made: Callable[..., Any] = msgspec.defstruct(
            "Shares", fields, rename=dict(zip(fields, keys, strict=True)), gc=False
        )
    except ValueError:
        return lambda *shares: dict(zip(keys, shares, strict=True))
    return made
