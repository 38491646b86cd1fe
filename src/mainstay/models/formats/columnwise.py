"""Each transformer of scikit-learn that has exact steps in the encoder, and those steps.

A function here takes a fitted transformer and the lanes that come in, and gives the lanes that go out. Tables of
encoders are not read from their private parts: the fitted encoder is asked what it makes of each of its categories.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from mainstay.models.encoder import (
    Affine,
    Bins,
    Bounds,
    Clip,
    Function,
    Impute,
    Lookup,
    Match,
    MissingFlag,
    Numbers,
    OneHot,
    Scale,
    Select,
)
from mainstay.models.formats.lanes import CannotTranscribe, Facts, Lane, Table, numeric, picked, stepped, width
from mainstay.models.signature import Floats
from mainstay.models.text import TextTerms

FUNCTIONS = {
    np.log: "log",
    np.log1p: "log1p",
    np.log2: "log2",
    np.log10: "log10",
    np.sqrt: "sqrt",
    np.square: "square",
    np.abs: "abs",
    np.exp: "exp",
    np.expm1: "expm1",
}
TOKENS = {r"(?u)\b\w\w+\b": "words", r"(?u)\b\w+\b": "all_words", r"\w+|[^\w\s]": "words_and_marks"}
PROBE = "\x00 never seen"


def standard_scaler(scaler: StandardScaler, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    size = width(lanes)
    center = scaler.mean_ if scaler.with_mean else np.zeros(size)
    divisor = scaler.scale_ if scaler.with_std else np.ones(size)
    return _scaled(scaler, center, divisor, lanes, facts)


def robust_scaler(scaler: RobustScaler, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    size = width(lanes)
    center = scaler.center_ if scaler.with_centering else np.zeros(size)
    divisor = scaler.scale_ if scaler.with_scaling else np.ones(size)
    return _scaled(scaler, center, divisor, lanes, facts)


def max_abs_scaler(scaler: MaxAbsScaler, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    scaled = _scaled(scaler, np.zeros(width(lanes)), scaler.scale_, lanes, facts)
    return _clipped(scaled, -1.0, 1.0) if getattr(scaler, "clip", False) else scaled


def min_max_scaler(scaler: MinMaxScaler, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    numeric(lanes, "MinMaxScaler", facts)
    found = stepped(lanes, lambda part: Affine(_numbers(scaler.scale_[part]), _numbers(scaler.min_[part])))
    return _clipped(found, *map(float, scaler.feature_range)) if scaler.clip else found


def simple_imputer(imputer: SimpleImputer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    if not pd.isna(imputer.missing_values):
        raise CannotTranscribe(f"SimpleImputer takes {imputer.missing_values!r} as the missing value")
    fills = np.asarray(imputer.statistics_, dtype=object)
    empty = pd.isna(fills)
    if empty.any() and imputer.keep_empty_features:
        raise CannotTranscribe("SimpleImputer keeps a column without any value")
    single = picked(lanes, range(width(lanes)))
    single = [part for lane in single for part in _split(lane)]
    filled: list[Lane] = []
    for lane, fill, gone in zip(single, fills, empty, strict=True):
        if gone:
            continue  # scikit-learn leaves a column out that had no value at all
        if lane.raw and isinstance(fill, str):
            facts.know(lane.column, [])
            filled.append(lane if lane.fill is not None else replace(lane, fill=fill))
            continue
        numeric([lane], "SimpleImputer", facts)
        filled.append(lane.then(Impute((float(fill),))))
    if imputer.indicator_ is None:
        return filled
    return filled + _flags(imputer.indicator_, single, facts)


def missing_indicator(indicator: MissingIndicator, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    if not pd.isna(indicator.missing_values):
        raise CannotTranscribe(f"MissingIndicator takes {indicator.missing_values!r} as the missing value")
    if indicator.features == "missing-only" and indicator.error_on_new:
        raise CannotTranscribe("MissingIndicator refuses missing values in columns where training saw none")
    return _flags(indicator, [part for lane in lanes for part in _split(lane)], facts)


def function_transformer(transformer: FunctionTransformer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    if transformer.func is None:
        return list(lanes)
    name = next((name for function, name in FUNCTIONS.items() if function is transformer.func), None)
    if name is None or transformer.kw_args:
        raise CannotTranscribe(f"FunctionTransformer calls {getattr(transformer.func, '__name__', transformer.func)}")
    numeric(lanes, "FunctionTransformer", facts)
    return stepped(lanes, lambda _: Function(name))  # type: ignore[arg-type]  # a name of the table above


def k_bins(binner: KBinsDiscretizer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    numeric(lanes, "KBinsDiscretizer", facts)
    edges = [tuple(_numbers(column[1:-1])) for column in binner.bin_edges_]
    found = stepped(lanes, lambda part: Bins(tuple(edges[part])))
    if binner.encode == "ordinal":
        return found
    single = [piece for lane in found for piece in _split(lane)]
    sizes = [len(column) + 1 for column in edges]
    return [lane.then(OneHot((size,)), size) for lane, size in zip(single, sizes, strict=True)]


def binarizer(transformer: Binarizer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    numeric(lanes, "Binarizer", facts)
    over = float(np.nextafter(transformer.threshold, np.inf))  # x > threshold is x >= the next double
    return stepped(lanes, lambda part: Bins(((over,),) * (part.stop - part.start)))


def selector(transformer: Any, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """Whatever keeps some of the features: VarianceThreshold, SelectKBest, SelectFromModel and their kin."""
    numeric(lanes, type(transformer).__name__, facts)
    return picked(lanes, np.flatnonzero(transformer.get_support()).tolist())


def one_hot(encoder: OneHotEncoder, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    sizes = []
    for column, categories in enumerate(encoder.categories_):
        infrequent = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))[column]
        kept = len(categories) - len(infrequent) + 1 if infrequent is not None else len(categories)
        drop = encoder.drop_idx_ is not None and encoder.drop_idx_[column] is not None
        sizes.append(kept - drop)
    found: list[Lane] = []
    for lane, answer, size in zip(
        _encoder_lanes(lanes), _asked(encoder, sizes, encoder.handle_unknown == "error"), sizes, strict=True
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
    return found


def ordinal(encoder: OrdinalEncoder | TargetEncoder, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """A number for each category; a target encoder has one for each class where there are several."""
    columns = len(encoder.categories_)
    each = 1
    if isinstance(encoder, TargetEncoder) and encoder.target_type_ == "multiclass":
        each = len(encoder.classes_)
    strict = isinstance(encoder, OrdinalEncoder) and encoder.handle_unknown == "error"
    found: list[Lane] = []
    for lane, answer in zip(_encoder_lanes(lanes), _asked(encoder, [each] * columns, strict), strict=True):
        for output in range(each):
            unseen = None if answer.unseen is None else float(answer.unseen[output])
            found.append(_coded(lane, answer.values, answer.known[:, output], unseen, facts))
    return found


def vectorizer(transformer: CountVectorizer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """CountVectorizer and TfidfVectorizer of one column."""
    (lane,) = lanes
    if not lane.raw or lane.fill is not None:
        raise CannotTranscribe(f"{type(transformer).__name__} takes something that is not a column of texts")
    for part in ("preprocessor", "tokenizer"):
        if getattr(transformer, part) is not None:
            raise CannotTranscribe(f"{type(transformer).__name__} has a {part} of its own")
    if transformer.analyzer not in ("word", "char", "char_wb") or transformer.strip_accents not in (
        None,
        "unicode",
        "ascii",
    ):
        raise CannotTranscribe(f"{type(transformer).__name__} has an analyzer of its own")
    if transformer.analyzer == "word" and transformer.token_pattern not in TOKENS:
        raise CannotTranscribe(f"{type(transformer).__name__} splits by an expression of its own")
    if np.dtype(transformer.dtype) == np.float32:
        raise CannotTranscribe(f"{type(transformer).__name__} counts in single precision")
    words = sorted(transformer.vocabulary_, key=transformer.vocabulary_.__getitem__)
    stop = transformer.get_stop_words() if transformer.analyzer == "word" else None
    weights: dict[str, Any] = {"norm": None}
    if isinstance(transformer, TfidfVectorizer):
        weights = _weighting(transformer, transformer.idf_ if transformer.use_idf else None)
    facts.texts.add(lane.column)
    terms = TextTerms(
        column=lane.column,
        vocabulary=tuple(words),
        analyzer=transformer.analyzer,
        tokens=TOKENS.get(transformer.token_pattern, "words"),  # type: ignore[arg-type]  # a name of the table above
        stop_words=tuple(sorted(stop or ())),
        ngrams=tuple(transformer.ngram_range),
        lowercase=transformer.lowercase,
        strip_accents=transformer.strip_accents,
        binary=transformer.binary,
        **weights,
    )
    return [Lane(lane.column, width=len(words), text=terms)]


def tfidf_transformer(transformer: TfidfTransformer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """Weights for the counts of a CountVectorizer right before."""
    del facts
    if len(lanes) != 1 or lanes[0].text is None or lanes[0].steps or lanes[0].text.norm or lanes[0].text.idf:
        raise CannotTranscribe("TfidfTransformer takes something that is not the counts of one column of texts")
    lane, terms = lanes[0], lanes[0].text
    values = {name: getattr(terms, name) for name in terms.__struct_fields__}
    weights = _weighting(transformer, transformer.idf_ if transformer.use_idf else None)
    return [replace(lane, text=TextTerms(**{**values, **weights}))]


TRANSCRIBED: dict[type, Callable[[Any, Sequence[Lane], Facts], list[Lane]]] = {
    StandardScaler: standard_scaler,
    RobustScaler: robust_scaler,
    MaxAbsScaler: max_abs_scaler,
    MinMaxScaler: min_max_scaler,
    SimpleImputer: simple_imputer,
    MissingIndicator: missing_indicator,
    FunctionTransformer: function_transformer,
    KBinsDiscretizer: k_bins,
    Binarizer: binarizer,
    OneHotEncoder: one_hot,
    OrdinalEncoder: ordinal,
    TargetEncoder: ordinal,
    CountVectorizer: vectorizer,
    TfidfVectorizer: vectorizer,
    TfidfTransformer: tfidf_transformer,
}
"""By exact class: a subclass may do something else."""


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
    return Lane(lane.column, table=Table(known, otherwise, otherwise if missing is None else missing))


def _bound(value: float) -> Bounds:
    return (None if np.isnan(value) else value,)


def _encoder_lanes(lanes: Sequence[Lane]) -> list[Lane]:
    return [part for lane in lanes for part in _split(lane)]


def _split(lane: Lane) -> list[Lane]:
    """The features of a lane, each as a lane of its own."""
    return [lane] if lane.width == 1 else [lane.then(Select((index,)), 1) for index in range(lane.width)]


def _flags(indicator: MissingIndicator, single: Sequence[Lane], facts: Facts) -> list[Lane]:
    flagged = [single[index] for index in indicator.features_.tolist()]
    for lane in flagged:
        if lane.raw:
            raise CannotTranscribe(f"a missing text of column {facts.names[lane.column]!r} is flagged")
    numeric(flagged, "MissingIndicator", facts)
    return [lane.then(MissingFlag()) for lane in flagged]


def _scaled(scaler: Any, center: Any, divisor: Any, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    numeric(lanes, type(scaler).__name__, facts)
    return stepped(lanes, lambda part: Scale(_numbers(center[part]), _numbers(divisor[part])))


def _clipped(lanes: Sequence[Lane], low: float, high: float) -> list[Lane]:
    return stepped(lanes, lambda part: Clip((low,) * (part.stop - part.start), (high,) * (part.stop - part.start)))


def _weighting(source: Any, idf: Any) -> dict[str, Any]:
    return {"idf": () if idf is None else _numbers(idf), "norm": source.norm, "sublinear": bool(source.sublinear_tf)}


def _numbers(values: Any) -> Numbers:
    return tuple(float(value) for value in values)


def _is_missing(value: Any) -> bool:
    return bool(pd.isna(value))
