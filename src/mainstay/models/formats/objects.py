"""Which module registers which object: the one table of models that people hold in their hands."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers, are_probabilities
from mainstay.models.formats.foreign.protocol import Imported
from mainstay.models.package import Decision
from mainstay.models.signature import Label
from mainstay.models.tensors import Image

_HERE = "mainstay.models.formats"
MODULES = ("booster_object", "onnx_object", "keras_object", "torch_object", "sklearn_object")
"""In the order in which they are asked whether an object is theirs. A Keras model on the backend torch is a module of
PyTorch too; scikit-learn's interface is the most general."""


class CannotRegister(MainstayError):
    """What was given is no model that can be registered, or its rows do not fit it."""


@dataclass(frozen=True)
class Given:
    """What a person gives beside a model."""

    X: Any = None
    """Rows that it was trained on: a table, an array, or arrays by the names of the inputs."""
    X_test: Any = None
    """Rows that it was not trained on, for the proof; None: X itself."""
    y_test: Any = None
    """Their true labels or values."""
    target: str = "prediction"
    labels: tuple[Label, ...] = ()
    """The classes, in the order of the model's outputs, where the model does not know them."""
    columns: tuple[str, ...] = ()
    """Names of the inputs, where neither the model nor X has any."""
    shapes: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    """Of one row, by input: a size that is a text may differ from request to request."""
    images: Mapping[str, Image] = field(default_factory=dict)
    """By input: how an encoded picture becomes its numbers."""
    logits: bool = False
    general: bool = False
    trusted: tuple[str, ...] = ()
    decision: Decision | None = None

    @property
    def table(self) -> Any:
        """X.

        Raises:
            CannotRegister: there is none.
        """
        if self.X is None:
            raise CannotRegister("X is missing: give the rows that the model was trained on, for its signature.")
        return self.X


class ObjectFormat(Protocol):
    """A module for one kind of object."""

    NAME: str
    """As a person calls it."""

    def recognizes(self, model: Any) -> bool:
        """Whether an object is of this kind: told by the names of its classes, so that nothing is imported for it."""

    def draft(self, model: Any, given: Given) -> Imported:
        """The package of an object.

        Raises:
            CannotRegister, SignatureError, InputError: what was given is not enough, or does not fit.
            ParityFailed: nothing that could be served answers as the model does.
            MissingExtra: a library is not installed.
        """


def format_of_object(model: Any) -> ObjectFormat:
    """The format of an object.

    Raises:
        CannotRegister: there is none.
    """
    modules = [cast("ObjectFormat", importlib.import_module(f"{_HERE}.{name}")) for name in MODULES]
    for module in modules:
        if module.recognizes(model):
            return module
    known = ", ".join(module.NAME for module in modules)
    raise CannotRegister(
        f"{type(model).__name__} has no predict, and is no model that can be registered: give a fitted one of {known}, "
        "or the path of a model's file."
    )


def is_a(model: Any, name: str, *packages: str) -> bool:
    """Whether one of an object's classes is called `name` and stands in one of the packages."""
    return any(base.__name__ == name and base.__module__.split(".", 1)[0] in packages for base in type(model).__mro__)


def labelled(own: tuple[Label, ...], given: Given) -> tuple[Label, ...]:
    """The labels of a model that has classes of its own: those, or the names that are given for 0, 1, …

    Raises:
        CannotRegister: others are given; or a model with classes is called general, or its outputs logits.
    """
    if given.general or given.logits:
        raise CannotRegister("The model says itself what it answers: leave general and logits out.")
    names = tuple(given.labels)
    if not names or names == own:
        return own
    numbered = bool(own) and not isinstance(own[0], bool) and own == tuple(range(len(own)))
    if numbered and len(set(names)) == len(own) and all(isinstance(name, str) for name in names):
        return names
    also = f", or name all {len(own)} of them, as texts" if numbered else ""
    raise CannotRegister(
        f"The model's own classes are {', '.join(map(repr, own)) or 'none'}: leave labels out, or give the same{also}."
    )


def check_probabilities(answers: Answers) -> None:
    """What a model gives for its classes may be logits, or scores of its own.

    Raises:
        CannotRegister: it gives numbers that are no probabilities.
    """
    if answers.probabilities is not None and not are_probabilities(answers.probabilities):
        raise CannotRegister(
            "What the model gives for its classes are no probabilities, for they are below zero or do not add up to "
            "one: say that they are logits with logits=True, or take its outputs as they are with general=True."
        )


def check_truth(y_test: Any, rows: int, labels: Sequence[Label]) -> None:
    """True answers must be one a row: labels that the model can give or, where there are none, finite numbers.

    Raises:
        CannotRegister: they are not.
    """
    if y_test is None:
        return
    # As objects: an array of texts would make a 1 among them the text '1'.
    truth = np.asarray(y_test, dtype=object).reshape(-1).tolist()
    if len(truth) != rows:
        raise CannotRegister(f"y_test has {len(truth)} values, but there are {rows} test rows: give one a row.")
    if not labels:
        _check_numbers(truth)
    known = {(isinstance(label, bool), label) for label in labels}
    for value in truth if labels else ():
        # True equals 1 in Python, and is another label.
        if (isinstance(value, bool | np.bool_), value) not in known:
            raise CannotRegister(f"y_test holds {value!r}, which the model does not know: its classes are {labels}.")


def _check_numbers(truth: Sequence[Any]) -> None:
    for row, value in enumerate(truth):
        try:
            number = math.nan if isinstance(value, str | bytes) else float(value)
        except (TypeError, ValueError, OverflowError):  # no number, or one beyond all doubles
            number = math.nan
        if not math.isfinite(number):
            raise CannotRegister(
                f"y_test holds {value!r} in row {row}, and the model answers finite numbers: leave rows without a "
                "known value out, and give numbers for the others."
            )


def in_python(sentence: str) -> str:
    """A sentence for the command line, in the words of `mainstay.register`."""
    for option, argument in (("--general", "general=True"), ("--logits", "logits=True"), ("--labels", "labels=[…]")):
        sentence = sentence.replace(option, argument)
    return sentence
