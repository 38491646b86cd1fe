"""PMML's ModelVerification: rows with the answers that the file's writer gave, held against what was made of the file.

https://dmg.org/pmml/v4-4-1/ModelVerification.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from mainstay.models.answers import Answers
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.pmml.document import needed, number, parts, real
from mainstay.models.formats.pmml.fields import spelled
from mainstay.models.formats.pmml.tables import column_name, rows_of
from mainstay.models.runtime import Model
from mainstay.models.signature import Column, InputError

FINEST = 1e-10
"""No two programs add in one order: a precision below this one asks for it."""


@dataclass(frozen=True)
class _Asked:
    """A verified output: the label or value, or the probability of a class."""

    column: str
    name: str
    label: str | None
    precision: float
    zero: float


def verified(model: Element, made: Model, kinds: Mapping[str, str]) -> str | None:
    """Holds the verification of a model, if it has one, against what was made of it; says what was compared.

    Args:
        model: the outermost model's element.
        made: what was made of it.
        kinds: the data types of the fields by name.

    Raises:
        CannotImport: an answer is not the one that the file gives.
    """
    verification = model.find("ModelVerification")
    if verification is None:
        return None
    table = verification.find("InlineTable")
    rows = [] if table is None else rows_of(table)
    asked, columns = _asked(model, verification, made)
    if not rows or not asked:
        return None
    compared, types = 0, {column.name: column.type for column in made.signature.inputs if isinstance(column, Column)}
    for place, row in enumerate(rows, start=1):
        cells = {name: row[column] for name, column in columns.items() if column in row}
        given = {name: _read(text, kinds.get(name, "string"), types[name]) for name, text in cells.items()}
        expected = [each for each in asked if each.column in row]
        try:
            answers = made.answer(made.read.rows([{**dict.fromkeys(columns), **given}]))
        except InputError as error:
            if expected:
                raise CannotImport(
                    f"Row {place} of the PMML file's ModelVerification has an answer, and here it has none: {error}"
                ) from error
            continue
        if not expected:
            raise CannotImport(
                f"Row {place} of the ModelVerification in the PMML file has no answer, and here it has one."
            )
        for each in expected:
            _compare(place, each, row[each.column], answers, made)
            compared += 1
    if not compared:
        return None
    return f"Its answers are those of the {len(rows)} rows that the PMML file verifies itself with."


def _asked(model: Element, verification: Element, made: Model) -> tuple[list[_Asked], dict[str, str]]:
    """What can be compared, and the columns of the inputs."""
    outputs = {needed(e, "name"): e for e in final_outputs(model)}
    targets = {
        needed(e, "name")
        for e in model.findall("MiningSchema/MiningField")
        if e.get("usageType") in ("target", "predicted")
    }
    labels = [_spelled(label) for label in made.signature.labels]
    asked, columns = [], {}
    for field in verification.findall("VerificationFields/VerificationField"):
        name = needed(field, "field")
        column = column_name(field.get("column") or name)
        output = outputs.get(name)
        feature = None if output is None else output.get("feature", "predictedValue")
        label = None if output is None or feature != "probability" else output.get("value")
        if name in made.signature.names:
            columns[name] = column
        elif (output is None and name in targets) or feature == "predictedValue" or (label in labels):
            asked.append(
                _Asked(
                    column,
                    name,
                    label,
                    max(number(field, "precision", 1e-6), FINEST),
                    max(number(field, "zeroThreshold", 1e-16), FINEST * 1e-6),
                )
            )
    return asked, columns


def final_outputs(model: Element) -> list[Element]:
    """The output fields of a model, or of the last one of its chain."""
    while (segments := model.findall("Segmentation/Segment")) and model.find("Output") is None:
        model = list(parts(segments[-1]))[-1]
    return model.findall("Output/OutputField")


def _spelled(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _read(text: str, kind: str, type_: str) -> Any:
    """A cell as a request would have it."""
    if type_ == "category":
        return spelled(text, kind)
    if kind in ("double", "float", "integer"):
        value = real(text)
        return int(value) if value.is_integer() and kind == "integer" else value
    return spelled(text, kind) == "true" if kind == "boolean" else text


def _compare(place: int, each: _Asked, text: str, answers: Answers, made: Model) -> None:
    labels = made.signature.labels
    if each.label is not None:
        if answers.probabilities is None:
            return
        found: Any = float(answers.probabilities[0, [_spelled(label) for label in labels].index(each.label)])
    elif answers.values is not None:
        found = float(answers.values[0])
    else:
        assert answers.labels is not None
        found = _spelled(labels[int(answers.labels[0])])
    right = found == _as_label(text, labels) if isinstance(found, str) else acceptable(found, real(text), each)
    if not right:
        raise CannotImport(
            f"Row {place} of the ModelVerification in the PMML file has {text} for {each.name!r}, and here it is "
            f"{found}: it would not answer as the file's writer does."
        )


def _as_label(text: str, labels: Sequence[Any]) -> str:
    """A class as labels are spelled: numbers may be written with or without a point."""
    kind = "integer" if all(isinstance(label, int) and not isinstance(label, bool) for label in labels) else "string"
    return spelled(text, "boolean" if all(isinstance(label, bool) for label in labels) else kind)


def acceptable(found: float, expected: float, asked: _Asked) -> bool:
    """Whether both are zero, or the one is within a share of the other, as PMML says."""
    if abs(expected) <= asked.zero:
        return abs(found) <= asked.zero
    return abs(found - expected) <= asked.precision * abs(expected)
