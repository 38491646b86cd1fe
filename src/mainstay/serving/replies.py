"""Writes answers as JSON bodies."""

from __future__ import annotations

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


class Replies:
    """Writes the answers of one version.

    `{"prediction": […], "probabilities": [{"good": 0.8, "bad": 0.2}, …], "model": "credit:3", "id": "…"}`; without
    the lists where one named row was asked; without `probabilities` where the model gives none. A prediction of a
    general model is an object with its outputs.
    """

    def __init__(self, signature: Signature, version: str) -> None:
        self._labels = signature.labels
        self._keys = tuple(label_key(label) for label in signature.labels)
        self._version = version

    def write(self, answers: Answers, single: bool, identity: str) -> bytes:
        """The body of an answer; `single` is for exactly one row."""
        predictions = self._predictions(answers)
        reply: dict[str, Any] = {"prediction": predictions[0] if single else predictions}
        if answers.probabilities is not None:
            keys = self._keys
            shares = [dict(zip(keys, row, strict=True)) for row in answers.probabilities.tolist()]
            reply["probabilities"] = shares[0] if single else shares
        reply["model"] = self._version
        reply["id"] = identity
        return _encode(reply)

    def _predictions(self, answers: Answers) -> list[Any]:
        if answers.outputs is not None:
            return rowwise(answers.outputs)
        if answers.labels is None:
            return [] if answers.values is None else answers.values.tolist()
        labels = self._labels
        return [labels[index] for index in answers.labels.tolist()]
