"""The encoders of categories: one-hot, ordinal and target encoding, as tables.

Tables are not read from private parts: the fitted encoder is asked what it makes of each of its categories, and of
one that it has not seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from mainstay.models.encoder import Bounds, Lookup, Match, OneHot
from mainstay.models.formats.lanes import CannotTranscribe, Facts, Lane, Table, held, numeric, singles
from mainstay.models.signature import Floats

PROBE = "\x00 never seen"


def one_hot(encoder: OneHotEncoder, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    sizes = []
    for column, categories in enumerate(encoder.categories_):
        infrequent = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))[column]
        kept = len(categories) - len(infrequent) + 1 if infrequent is not None else len(categories)
        drop = encoder.drop_idx_ is not None and encoder.drop_idx_[column] is not None
        sizes.append(kept - drop)
    found: list[Lane] = []
    for lane, answer, size in zip(
        singles(lanes), _asked(encoder, sizes, encoder.handle_unknown == "error"), sizes, strict=True
    ):
        if not size:
            continue
        hot = np.where(answer.known.any(axis=1), answer.known.argmax(axis=1), -1.0).astype(np.float64)
        if not np.array_equal(answer.known.sum(axis=1), (hot >= 0).astype(np.float64)):
            raise CannotTranscribe("OneHotEncoder gives more than one 1 for a category")
        unseen = None
        if answer.unseen is not None:
            unseen = float(answer.unseen.argmax()) if answer.unseen.any() else -1.0
        coded = _coded(lane, answer.values, hot, unseen, facts)
        found.append(coded.then(OneHot((size,)), size))
    return held(found, sparse=encoder.sparse_output)


def ordinal(encoder: OrdinalEncoder | TargetEncoder, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """A number for each category; a target encoder has one for each class where there are several."""
    columns = len(encoder.categories_)
    each = 1
    if isinstance(encoder, TargetEncoder) and encoder.target_type_ == "multiclass":
        each = len(encoder.classes_)
    strict = isinstance(encoder, OrdinalEncoder) and encoder.handle_unknown == "error"
    found: list[Lane] = []
    for lane, answer in zip(singles(lanes), _asked(encoder, [each] * columns, strict), strict=True):
        for output in range(each):
            unseen = None if answer.unseen is None else float(answer.unseen[output])
            found.append(_coded(lane, answer.values, answer.known[:, output], unseen, facts))
    return found


@dataclass(frozen=True)
class _Answer:
    """What a fitted encoder makes of one column: of each of its categories, and of a value that it has not seen."""

    values: list[Any]
    known: Floats
    unseen: Floats | None


def _asked(encoder: Any, sizes: Sequence[int], strict: bool) -> list[_Answer]:
    """Asks a fitted encoder for its table, column by column; `strict` ones are not asked of the unseen."""
    categories = [np.asarray(column, dtype=object).tolist() for column in encoder.categories_]
    rows = max(len(column) for column in categories)
    names = getattr(encoder, "feature_names_in_", np.arange(len(categories)))
    known = _transformed(encoder, names, [[column[row % len(column)] for row in range(rows)] for column in categories])
    unseen = None if strict else _transformed(encoder, names, [[_unlike(column)] for column in categories])
    if known.shape[1] != sum(sizes):
        raise CannotTranscribe(f"{type(encoder).__name__} gives {known.shape[1]} features where {sum(sizes)} were due")
    ends = np.cumsum(sizes).tolist()
    return [
        _Answer(column, known[: len(column), end - size : end], None if unseen is None else unseen[0, end - size : end])
        for column, size, end in zip(categories, sizes, ends, strict=True)
    ]


def _transformed(encoder: Any, names: Any, columns: list[list[Any]]) -> Floats:
    frame = pd.DataFrame(
        {
            name: pd.Series(values, dtype=None if all(isinstance(v, int | float | bool) for v in values) else object)
            for name, values in zip(names, columns, strict=True)
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that an array did not have, and of unseen values all zero
        found = encoder.transform(frame)
    found = found.toarray() if hasattr(found, "toarray") else np.asarray(found)
    return np.asarray(found, dtype=np.float64)


def _unlike(categories: list[Any]) -> Any:
    numbers = [c for c in categories if isinstance(c, int | float) and not isinstance(c, bool) and not pd.isna(c)]
    if any(isinstance(category, str) for category in categories) or not numbers:
        return PROBE
    return float(np.floor(max(numbers)) + 1.5)


def _coded(lane: Lane, values: list[Any], outputs: Floats, unseen: float | None, facts: Facts) -> Lane:
    """A lane of categories as the numbers that an encoder gives for them.

    `unseen` None: the encoder refuses what it has not seen.
    """
    absent = [float(o) for v, o in zip(values, outputs.tolist(), strict=True) if _is_missing(v)]
    if len(absent) > 1:
        raise CannotTranscribe(
            f"column {facts.names[lane.column]!r} has two kinds of missing values, None and NaN, which its encoder "
            "tells apart"
        )
    known = {v: float(o) for v, o in zip(values, outputs.tolist(), strict=True) if not _is_missing(v)}
    # A missing value is one that the encoder has not seen, unless it has.
    missing = absent[0] if absent else unseen
    if lane.raw:
        if not all(isinstance(value, str | int) for value in known):
            raise CannotTranscribe(f"the categories of column {facts.names[lane.column]!r} are not texts")
        return _text_coded(lane, {str(value): o for value, o in known.items()}, unseen, missing, facts)
    numeric([lane], "An encoder of categories", facts)
    if all(isinstance(value, bool) for value in known) and len(known) == 2 and unseen is None and not lane.steps:
        unseen = -1.0  # there is no third one
    if unseen is None:
        if lane.steps or not all(isinstance(value, int) and not isinstance(value, bool) for value in known):
            raise CannotTranscribe(
                f"the encoder of column {facts.names[lane.column]!r} refuses numbers that it has not seen; "
                "handle_unknown='ignore' would say what they become"
            )
        facts.recoded.add(lane.column)
        return _text_coded(lane, {str(value): o for value, o in known.items()}, None, missing, facts)
    numbers = tuple(float(value) for value in known)
    table = tuple(None if np.isnan(o) else o for o in known.values())
    matched = lane.then(Match((numbers,)))
    gone = unseen if missing is None else missing
    return matched.then(Lookup((table,), _bound(unseen), _bound(gone)))


def _text_coded(lane: Lane, known: dict[str, float], unseen: float | None, missing: float | None, facts: Facts) -> Lane:
    if lane.fill is not None:
        missing = known.get(lane.fill, unseen)
        if missing is None:
            raise CannotTranscribe(
                f"a missing value of column {facts.names[lane.column]!r} becomes {lane.fill!r}, "
                "which its encoder refuses"
            )
    facts.know(lane.column, list(known))
    if unseen is None:
        facts.closed.add(lane.column)
    otherwise = -1.0 if unseen is None else unseen
    table = Table(known, otherwise, otherwise if missing is None else missing)
    return Lane(lane.column, table=table, fill=lane.fill)


def _bound(value: float) -> Bounds:
    return (None if np.isnan(value) else value,)


def _is_missing(value: Any) -> bool:
    return bool(pd.isna(value))
