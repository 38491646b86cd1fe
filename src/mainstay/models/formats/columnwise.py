"""The transformers of scikit-learn that take numbers column by column, as steps of the encoder.

A function here takes a fitted transformer and the lanes that come in, and gives the lanes that go out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
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

from mainstay.models.encoder import Affine, Bins, Clip, Function, Impute, MissingFlag, Numbers, OneHot, Scale, Single
from mainstay.models.formats.lanes import CannotTranscribe, Facts, Lane, held, numeric, picked, singles, stepped, width
from mainstay.models.formats.tables import one_hot, ordinal
from mainstay.models.formats.vectorizers import tfidf_transformer, vectorizer

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


def standard_scaler(scaler: StandardScaler, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    center, divisor = scaler.mean_ if scaler.with_mean else None, scaler.scale_
    if all(lane.single for lane in lanes):  # its own parameters are rounded first
        center, divisor = (None if part is None else part.astype(np.float32) for part in (center, divisor))
    return _scaled(scaler, center, divisor, lanes, facts)


def robust_scaler(scaler: RobustScaler, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    center = scaler.center_ if scaler.with_centering else None
    return _scaled(scaler, center, scaler.scale_ if scaler.with_scaling else None, lanes, facts)


def max_abs_scaler(scaler: MaxAbsScaler, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    scaled = _scaled(scaler, None, scaler.scale_, lanes, facts)
    return _clipped(scaled, -1.0, 1.0) if getattr(scaler, "clip", False) else scaled


def min_max_scaler(scaler: MinMaxScaler, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    numeric(lanes, "MinMaxScaler", facts)
    factor, offset = _numbers(scaler.scale_), _numbers(scaler.min_)
    if all(lane.single for lane in lanes):
        zeros, ones = (0.0,) * len(factor), (1.0,) * len(factor)
        found = _rounded(stepped(lanes, lambda part: Affine(factor[part], zeros[part])))
        found = _rounded(stepped(found, lambda part: Affine(ones[part], offset[part])))
    else:
        found = stepped(lanes, lambda part: Affine(factor[part], offset[part]))
    return _clipped(found, *map(float, scaler.feature_range)) if scaler.clip else found


def simple_imputer(imputer: SimpleImputer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    if not pd.isna(imputer.missing_values):
        raise CannotTranscribe(f"SimpleImputer takes {imputer.missing_values!r} as the missing value")
    fills = np.asarray(imputer.statistics_, dtype=object)
    empty = pd.isna(fills)
    if empty.any() and imputer.keep_empty_features:
        raise CannotTranscribe("SimpleImputer keeps a column without any value")
    single = singles(lanes)
    filled: list[Lane] = []
    for lane, fill, gone in zip(single, fills, empty, strict=True):
        if gone:
            continue  # scikit-learn leaves a column out that had no value at all
        if lane.raw and isinstance(fill, str):
            facts.know(lane.column, [])
            filled.append(lane if lane.fill is not None else replace(lane, fill=fill))
            continue
        numeric([lane], "SimpleImputer", facts)
        done = lane.then(Impute((float(fill),)))
        filled.append(done.then(Single()) if lane.single else done)
    if imputer.indicator_ is None:
        return filled
    return filled + _flags(imputer.indicator_, single, facts)


def missing_indicator(indicator: MissingIndicator, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    if not pd.isna(indicator.missing_values):
        raise CannotTranscribe(f"MissingIndicator takes {indicator.missing_values!r} as the missing value")
    if indicator.features == "missing-only" and indicator.error_on_new:
        raise CannotTranscribe("MissingIndicator refuses missing values in columns where training saw none")
    return _flags(indicator, singles(lanes), facts)


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
    single = singles(found)
    sizes = [len(column) + 1 for column in edges]
    hot = [lane.then(OneHot((size,)), size) for lane, size in zip(single, sizes, strict=True)]
    return held(hot, sparse=binner.encode == "onehot")


def binarizer(transformer: Binarizer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    numeric(lanes, "Binarizer", facts)
    over = float(np.nextafter(transformer.threshold, np.inf))  # x > threshold is x >= the next double
    return stepped(lanes, lambda part: Bins(((over,),) * (part.stop - part.start)))


def selector(transformer: Any, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """Whatever keeps some of the features: VarianceThreshold, SelectKBest, SelectFromModel and their kin."""
    numeric(lanes, type(transformer).__name__, facts)
    return picked(lanes, np.flatnonzero(transformer.get_support()).tolist())


def _flags(indicator: MissingIndicator, single: Sequence[Lane], facts: Facts) -> list[Lane]:
    flagged = [single[index] for index in indicator.features_.tolist()]
    for lane in flagged:
        if lane.raw:
            raise CannotTranscribe(f"a missing text of column {facts.names[lane.column]!r} is flagged")
    numeric(flagged, "MissingIndicator", facts)
    return [lane.then(MissingFlag()) for lane in flagged]


def _scaled(scaler: Any, center: Any, divisor: Any, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """(x - center) / divisor, each where it is not None, as scikit-learn computes it where the numbers are held."""
    numeric(lanes, type(scaler).__name__, facts)
    size = width(lanes)
    minus = (0.0,) * size if center is None else _numbers(center)
    over = (1.0,) * size if divisor is None else _numbers(divisor)
    if any(lane.sparse for lane in lanes):
        # A sparse matrix is multiplied by the inverse, which is another number in the last place.
        factor = tuple(1.0 / value for value in over)
        return stepped(lanes, lambda part: Affine(factor[part], minus[part]))
    if all(lane.single for lane in lanes):
        ones, zeros = (1.0,) * size, (0.0,) * size
        centered = _rounded(stepped(lanes, lambda part: Scale(minus[part], ones[part])))
        return _rounded(stepped(centered, lambda part: Scale(zeros[part], over[part])))
    return stepped(lanes, lambda part: Scale(minus[part], over[part]))


def _rounded(lanes: Sequence[Lane]) -> list[Lane]:
    return stepped(lanes, lambda _: Single())


def _clipped(lanes: Sequence[Lane], low: float, high: float) -> list[Lane]:
    return stepped(lanes, lambda part: Clip((low,) * (part.stop - part.start), (high,) * (part.stop - part.start)))


def _numbers(values: Any) -> Numbers:
    return tuple(float(value) for value in values)


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
