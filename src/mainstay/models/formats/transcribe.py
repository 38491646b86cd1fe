"""A scikit-learn pipeline that somebody fitted himself, as an encoder and the estimator behind it.

The steps of the pipeline are walked with symbols in place of data (lanes); each known transformer becomes exact steps
of the encoder. Where a step has none, the encoder ends before it and the rest of the pipeline is the estimator.
Nothing here is believed: packaging proves the result against the pipeline itself.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import FeatureUnion, Pipeline

from mainstay.models.encoder import Affine, Encoder, Single
from mainstay.models.formats.categories import coded_categories
from mainstay.models.formats.columnwise import TRANSCRIBED, selector
from mainstay.models.formats.frames import Taken, take
from mainstay.models.formats.lanes import CannotTranscribe, Facts, Lane, assembled, held, numeric, picked, stepped
from mainstay.models.formats.wrappers import around, inner_pipeline, picks_by_name
from mainstay.models.signature import MAX_EXACT_INTEGER, Column


@dataclass(frozen=True)
class Transcribed:
    """A pipeline in two parts, and what its signature must say."""

    encoder: Encoder
    estimator: Any
    """What takes the encoder's features: the last step, or the steps that have no exact transcription."""
    signature_inputs: tuple[Column, ...]
    set_aside: tuple[str, ...]
    """Columns of the table that the pipeline leaves out."""
    left: str
    """Why steps before the last one are left to the estimator; empty where none is."""


def transcribe(pipeline: Any, X: Any) -> Transcribed:
    """The encoder of a fitted pipeline (or a bare estimator), from the table that it was fitted on.

    Raises:
        CannotTranscribe: not even its first steps have exact ones in the encoder.
        SignatureError: `X` cannot be described by a signature.
    """
    taken = X if isinstance(X, Taken) else take(X)
    facts = Facts(tuple(column.name for column in taken.inputs))
    lanes, estimator, left = _walked(pipeline, _start(taken, facts), facts)
    lanes, estimator = coded_categories(estimator, lanes, facts)
    numeric(lanes, type(estimator).__name__, facts)
    facts.used = {lane.column for lane in lanes}
    for lane in lanes:
        if lane.column in facts.recoded and lane.table is None:
            raise CannotTranscribe(f"column {facts.names[lane.column]!r} is both a category and a number")
        if lane.column in facts.texts and lane.text is None:
            raise CannotTranscribe(f"column {facts.names[lane.column]!r} is both a text and a category")
    order = sorted(facts.used)
    inputs = tuple(_input(taken, index, lanes, facts) for index in order)
    encoder = assembled(lanes, facts, {column: position for position, column in enumerate(order)})
    aside = tuple(name for index, name in enumerate(facts.names) if index not in facts.used)
    return Transcribed(encoder, estimator, inputs, aside, left)


def _start(taken: Taken, facts: Facts) -> list[Lane]:
    lanes: list[Lane] = []
    for index, column in enumerate(taken.inputs):
        if column.type == "category":
            facts.know(index, column.categories)
        single = "float32" in (taken.spec.columns[index].dtype.lower(), taken.spec.dtype)
        lanes.append(
            Lane(
                index,
                steps=(Single(),) if single else (),
                raw=column.type in ("text", "category"),
                moment=column.type == "datetime",
            )
        )
    return lanes


def _walked(model: Any, lanes: list[Lane], facts: Facts) -> tuple[list[Lane], Any, str]:
    """The lanes before the estimator, the estimator, and why it has steps of its own."""
    if (inner := inner_pipeline(model)) is not None:
        lanes, last, left = _walked(inner, lanes, facts)
        return lanes, around(model, last), left
    if not isinstance(model, Pipeline):
        if picks_by_name(model):
            raise CannotTranscribe(f"{type(model).__name__} holds a pipeline that picks its columns by name")
        return lanes, model, ""
    steps = [step for _, step in model.steps]
    for number, step in enumerate(steps[:-1]):
        # What the failed step has learnt of columns must not stay.
        before = copy.deepcopy(facts)
        try:
            lanes = _through(step, lanes, facts)
        except CannotTranscribe as error:
            facts.__dict__.update(before.__dict__)
            if any(lane.raw or lane.moment for lane in lanes) or any(map(picks_by_name, steps[number:])):
                raise
            return lanes, Pipeline(model.steps[number:]), error.reason
    return _walked(steps[-1], lanes, facts)


def _through(step: Any, lanes: list[Lane], facts: Facts) -> list[Lane]:
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return lanes
    if isinstance(step, Pipeline):
        for _, inner in step.steps:
            lanes = _through(inner, lanes, facts)
        return lanes
    if isinstance(step, ColumnTransformer):
        return _column_transformer(step, lanes, facts)
    if isinstance(step, FeatureUnion):
        weights = step.transformer_weights or {}
        found: list[Lane] = []
        for name, inner in step.transformer_list:
            if not (isinstance(inner, str) and inner == "drop"):
                found += _weighted(_through(inner, lanes, facts), weights.get(name))
        return held(found, sparse=any(lane.sparse for lane in found))
    handler = TRANSCRIBED.get(type(step))
    if handler is not None:
        return handler(step, lanes, facts)
    if isinstance(step, SelectorMixin) and type(step).__module__.startswith("sklearn."):
        return selector(step, lanes, facts)
    raise CannotTranscribe(f"{type(step).__name__} has no exact steps in the encoder")


def _column_transformer(step: ColumnTransformer, lanes: list[Lane], facts: Facts) -> list[Lane]:
    names = list(getattr(step, "feature_names_in_", ()))
    weights = step.transformer_weights or {}
    found: list[Lane] = []
    for name, inner, columns in step.transformers_:
        if isinstance(inner, str) and inner == "drop":
            continue
        positions = _positions(columns, names, step.n_features_in_)
        if positions:
            found += _weighted(_through(inner, picked(lanes, positions), facts), weights.get(name))
    return held(found, sparse=bool(step.sparse_output_))


def used_columns(model: Any, taken: Taken) -> tuple[Column, ...]:
    """The columns that a pipeline looks at, where its first step says so; all of them where it does not."""
    while isinstance(model, Pipeline):
        model = model.steps[0][1]
    if not isinstance(model, ColumnTransformer):
        return taken.inputs
    names = list(getattr(model, "feature_names_in_", ()))
    used = {
        position
        for _, inner, columns in model.transformers_
        if not (isinstance(inner, str) and inner == "drop")
        for position in _positions(columns, names, model.n_features_in_)
    }
    return tuple(taken.inputs[position] for position in sorted(used))


def _positions(columns: Any, names: list[str], width: int) -> list[int]:
    """The positions that a column specification of a ColumnTransformer names."""
    if isinstance(columns, slice):
        start, stop = columns.start, columns.stop
        if isinstance(start, str) or isinstance(stop, str):  # labels include the last one
            first = names.index(start) if start is not None else 0
            last = names.index(stop) + 1 if stop is not None else width
            return list(range(first, last))[:: columns.step or 1]
        return list(range(width))[columns]
    if isinstance(columns, str | int | np.integer):
        columns = [columns]
    chosen = list(columns)
    if chosen and all(isinstance(column, bool | np.bool_) for column in chosen):
        return np.flatnonzero(chosen).tolist()
    return [names.index(column) if isinstance(column, str) else int(column) % width for column in chosen]


def _weighted(lanes: list[Lane], weight: float | None) -> list[Lane]:
    if weight is None:
        return lanes
    return stepped(
        lanes,
        lambda part: Affine((float(weight),) * (part.stop - part.start), (0.0,) * (part.stop - part.start)),
    )


def _input(taken: Taken, index: int, lanes: Sequence[Lane], facts: Facts) -> Column:
    """The column of the signature, as the pipeline takes it."""
    column, own = taken.inputs[index], [lane for lane in lanes if lane.column == index]
    nullable = column.nullable or all(lane.handles_missing for lane in own)
    if column.type == "number" and index not in facts.recoded:
        _refuse_big(taken.frame.iloc[:, index], column.name)
    if index in facts.texts:
        return msgspec.structs.replace(column, nullable=nullable)
    if column.type == "text" or index in facts.recoded:
        return Column(
            name=column.name,
            type="category",
            nullable=nullable,
            categories=tuple(facts.categories.get(index, {})),
            closed=index in facts.closed,
            typical=_most_common(taken.frame.iloc[:, index]),
        )
    closed = index in facts.closed
    categories = tuple(facts.categories[index]) if column.type == "category" else ()
    return msgspec.structs.replace(column, nullable=nullable, closed=closed, categories=categories)


def _refuse_big(values: pd.Series[Any], name: str) -> None:
    if pd.api.types.is_integer_dtype(values.dtype) and bool((values.abs() > MAX_EXACT_INTEGER).any()):
        raise CannotTranscribe(f"column {name!r} holds integers beyond 2^53, which a double cannot hold")


def _most_common(values: pd.Series[Any]) -> str | None:
    counts = values.value_counts()
    return str(counts.index[0]) if len(counts) else None
